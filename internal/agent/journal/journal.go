package journal

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// Errors that a caller tells apart.
var (
	// ErrInUse: another process has this journal open.
	ErrInUse = errors.New("the journal is in use by another process")
	// ErrAhead: the server has records that this journal never wrote, so this is
	// a copy or an older state of the one that wrote them.
	ErrAhead = errors.New("the server has more of this journal than there is")
	// ErrBroken: a sync failed. What the system then holds in memory may differ
	// from the disk, so nothing more is taken until the journal is opened again.
	ErrBroken = errors.New("the journal could not be synced and takes no more records")
	// ErrFull: not even the room kept for state records is left.
	ErrFull = errors.New("the disk is full and the journal's reserve is used up")
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("the journal is closed")
)

// Options tune a journal. The zero value is what an agent uses.
type Options struct {
	Files    Files            // the disk; nil is the real one
	MaxBytes int64            // size from which old log text goes; 0 is 256 MiB
	Reserve  int64            // kept free in the file for state records; 0 is 4 MiB
	Keep     time.Duration    // how long acknowledged state records stay; 0 is 90 days
	Recent   uint64           // how many of the newest numbers stay, however old they look; 0 is 10,000
	Now      func() time.Time // wall clock; nil is time.Now
}

func (o Options) withDefaults() Options {
	if o.Files == nil {
		o.Files = disk{}
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if o.Reserve <= 0 {
		o.Reserve = 4 << 20 // so that a step is 1 MiB
	}
	if o.Keep <= 0 {
		o.Keep = 90 * 24 * time.Hour
	}
	if o.Recent == 0 {
		o.Recent = 10_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Journal is an agent's journal. It is safe for concurrent use.
type Journal struct {
	dir      string
	path     string
	files    Files
	maxBytes int64
	reserve  int64
	step     int64 // the least that growing or shrinking the file is worth
	keep     time.Duration
	recent   uint64
	now      func() time.Time
	lock     io.Closer
	header   header
	cutBytes int64
	damage   string
	changed  chan struct{}

	mu      sync.Mutex
	synced  sync.Cond // a sync ended
	syncing bool
	broken  error // set once, then every write is refused
	closed  bool

	file  File
	size  int64 // of the file, zeros behind the frames included
	tail  int64 // where the next frame goes
	index index
	jobs  jobs

	last         uint64 // number of the last frame
	durable      uint64 // the last one that is on the disk
	acknowledged uint64
	marked       uint64 // the cursor that the last mark in the file carries

	// judged is up to where a compaction has looked already: what it left there
	// stays. forced is how large the last one for want of room left the file.
	judged  int64
	forced  int64
	retryAt time.Time

	pending map[job.ID]omission
	omitted int64
}

// omission is log text that found no room and has not been reported yet.
type omission struct {
	lines    int
	troubled bool
}

// ID names this journal; 32 hexadecimal digits.
func (j *Journal) ID() string { return j.header.name() }

// CutBytes counts the bytes that Open cut because they were damaged.
func (j *Journal) CutBytes() int64 { return j.cutBytes }

// Damage says in one sentence what was wrong when Open found this journal; ""
// when nothing was. The gap is journalled already; a report is the caller's.
func (j *Journal) Damage() string { return j.damage }

// LastSeq is the number of the newest record, durable or not; 0 for none.
func (j *Journal) LastSeq() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Acknowledged is the cursor that the server is known to have. After a restart
// it may be older than the truth; the server says it again.
func (j *Journal) Acknowledged() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.acknowledged
}

// Omitted counts the log lines left out for want of room since Open.
func (j *Journal) Omitted() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.omitted
}

// Changed is signalled after something new became durable. It has one receiver,
// which reads until it finds nothing and only then waits.
func (j *Journal) Changed() <-chan struct{} { return j.changed }

// Known tells whether a job was ever accepted or ended here, as long as its
// records were kept. Such a job is never started again.
func (j *Journal) Known(id job.ID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.jobs.noted[keyOf(id)] >= wasTaken
}

// EndedWell tells whether a job did its work here, as long as its records were kept.
func (j *Journal) EndedWell(id job.ID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.jobs.noted[keyOf(id)] == endedWell
}

// Noted tells whether a job was ever due, accepted or ended here, as long as its
// records were kept. A run whose moment was skipped is noted and not known: should
// the server ask for it, it may run.
func (j *Journal) Noted(id job.ID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, noted := j.jobs.noted[keyOf(id)]
	return noted
}

// MadeByOther tells whether a snapshot is known to be the work of another job
// than id, as long as its record is kept.
func (j *Journal) MadeByOther(snapshot string, id job.ID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	made, known := j.jobs.made[keyOf(snapshot)]
	return known && made != keyOf(id)
}

// Held lists the runs that are due and were neither accepted nor ended, oldest
// first.
func (j *Journal) Held() []Held {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.jobs.waiting()
}

// Unfinished lists the jobs that were accepted and have not ended, oldest first.
func (j *Journal) Unfinished() []Unfinished {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.jobs.open()
}

// EndedLast is the job whose ended record is the newest record of all, gaps and
// reports apart; "" when another is. A power cut can have taken what was appended
// together with it.
func (j *Journal) EndedLast() job.ID {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.jobs.endedLast
}

// Sync makes everything appended so far durable.
func (j *Journal) Sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	return j.syncTo(j.last)
}

// Close syncs and closes the file and gives up the lock. The journal takes
// nothing more.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	j.waitForSync()
	var err error
	if j.broken == nil {
		if j.acknowledged != j.marked {
			_ = j.writeMark() // only spares the server from saying it again
		}
		if err = j.file.Sync(); err == nil {
			j.madeDurable(j.last)
		} else {
			err = j.breakDown("sync journal", err)
		}
	}
	var closed error
	if j.file != nil {
		closed = j.file.Close()
	}
	return errors.Join(err, closed, j.lock.Close())
}

func (j *Journal) usable() error {
	switch {
	case j.closed:
		return ErrClosed
	case j.broken != nil:
		return j.broken
	}
	return nil
}

func (j *Journal) breakDown(doing string, cause error) error {
	if j.broken == nil {
		j.broken = fmt.Errorf("%s: %w: %w", doing, ErrBroken, cause)
	}
	return j.broken
}

// syncTo returns when all up to seq is durable. Callers that come while a sync
// runs share the next one.
func (j *Journal) syncTo(seq uint64) error {
	for j.durable < seq {
		if err := j.usable(); err != nil {
			return err
		}
		if j.syncing {
			j.synced.Wait()
			continue
		}
		j.syncing = true
		upTo, file := j.last, j.file
		j.mu.Unlock()
		err := file.Sync()
		j.mu.Lock()
		j.syncing = false
		j.synced.Broadcast()
		if err != nil {
			return j.breakDown("sync journal", err)
		}
		j.madeDurable(upTo)
	}
	return nil
}

// waitForSync returns when no sync uses the file any more.
func (j *Journal) waitForSync() {
	for j.syncing {
		j.synced.Wait()
	}
}

func (j *Journal) madeDurable(upTo uint64) {
	if upTo <= j.durable {
		return
	}
	j.durable = upTo
	select {
	case j.changed <- struct{}{}:
	default:
	}
}
