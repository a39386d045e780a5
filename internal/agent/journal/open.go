package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

const (
	fileName    = "journal"
	newName     = "journal.new"
	lockName    = "journal.lock"
	damagedName = "journal.damaged-"
)

// Open opens the journal in dir, or makes folder and journal with a new random
// id, and takes its lock: ErrInUse when another process holds it. Damage
// is cut, see CutBytes.
func Open(dir string, o Options) (*Journal, error) {
	o = o.withDefaults()
	if err := o.Files.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("make journal's folder: %w", err)
	}
	lock, err := o.Files.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("lock journal: %w", err)
	}
	j := &Journal{
		dir: dir, path: filepath.Join(dir, fileName), files: o.Files, lock: lock,
		maxBytes: o.MaxBytes, reserve: o.Reserve, step: o.Reserve / 4, keep: o.Keep, recent: o.Recent, now: o.Now,
		changed: make(chan struct{}, 1), jobs: newJobs(), pending: map[job.ID]omission{},
	}
	j.synced.L = &j.mu
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.load(); err != nil {
		err = fmt.Errorf("open journal: %w", err)
		if j.file != nil {
			err = errors.Join(err, j.file.Close())
		}
		return nil, errors.Join(err, lock.Close())
	}
	return j, nil
}

// load reads the file, or makes it, and repairs it.
func (j *Journal) load() error {
	file, err := j.files.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := j.create(); err != nil {
			return err
		}
		file, err = j.files.Open(j.path)
	}
	if err != nil {
		return err
	}
	j.file = file
	seen, err := look(file, j.take)
	if errors.Is(err, errDamaged) {
		return j.startAnew(seen.size)
	}
	if err != nil {
		return err
	}
	j.header, j.size, j.tail = seen.header, seen.size, seen.tail
	if !seen.clean() {
		if err := j.repair(seen); err != nil {
			return err
		}
	}
	// A process killed before its syncs left records that only the system holds, and
	// it may be alone in knowing the file's name.
	if err := errors.Join(file.Sync(), j.files.SyncDir(j.dir)); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	j.durable = j.last
	j.judged = headerSize
	if j.worthJudging(j.step) {
		j.shrink()
	}
	return j.usable()
}

func (j *Journal) take(f frame, offset int64) {
	j.index.note(j.last, offset)
	j.last = f.seq
	if f.mark() {
		j.acknowledged = min(f.acknowledged(), f.seq)
		j.marked = j.acknowledged
	}
	j.jobs.learnFrame(f)
}

func (j *Journal) create() error {
	h := header{written: j.now().UnixMilli()}
	_, _ = rand.Read(h.id[:]) // never fails
	built, err := build(j.files, j.path, h, j.reserve+j.step, func(func(frame) error) error { return nil })
	if err != nil {
		return err
	}
	if err := j.files.Rename(built.path, j.path); err != nil {
		return err
	}
	return j.files.SyncDir(j.dir)
}

// startAnew sets a file without a readable header aside and makes a new journal.
func (j *Journal) startAnew(size int64) error {
	end, err := lastNonZero(&window{file: j.file, end: size}, 0)
	if err != nil {
		return err
	}
	path, err := j.copyAside(0, end)
	if err != nil {
		return err
	}
	if err := j.file.Close(); err != nil {
		j.file = nil
		return err
	}
	j.file = nil
	if err := j.create(); err != nil {
		return err
	}
	j.cutBytes = end
	j.damage = fmt.Sprintf("the journal's header was damaged; its %d bytes are kept in %s and a new journal was begun", end, path)
	return j.load()
}

// repair gives up the numbers that the damaged bytes may have held, and then
// the bytes. In this order, since a file that was only cut would look whole.
func (j *Journal) repair(seen found) error {
	j.cutBytes += seen.dirty - seen.tail
	j.damage = fmt.Sprintf("the journal was damaged behind record %d; %d bytes were cut", seen.last, j.cutBytes)
	if seen.behind {
		path, err := j.copyAside(seen.tail, seen.dirty)
		if err == nil {
			j.damage += " and are kept in " + path
		} else {
			// They are for a person alone; no backup is to wait for a disk that is full.
			j.damage += fmt.Sprintf(" and could not be kept (%v)", err)
		}
	}
	now := j.now().UnixMilli()
	gap, err := api.NewRecord(api.RecordGap, "", now, api.Gap{
		From: seen.lostFrom, To: seen.possible,
		Reason: fmt.Sprintf("the journal was damaged: %d bytes were cut, which held some of these records or none", seen.dirty-seen.tail),
	})
	if err != nil {
		return err
	}
	said := entry{record: gap}.frame(seen.possible + 1)
	mark := markFrame(seen.possible, j.acknowledged, now)
	raw := said.append(mark.append(nil))
	if _, err := j.file.WriteAt(raw, j.tail); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	j.take(mark, j.tail)
	j.take(said, j.tail+mark.size())
	j.tail += int64(len(raw))
	j.size = max(j.size, j.tail)
	for at := j.tail; at < seen.dirty; at += readAhead {
		if _, err := j.file.WriteAt(make([]byte, min(readAhead, seen.dirty-at)), at); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
	}
	if j.size-j.tail < frameHeader {
		return j.grow(j.tail + j.reserve + j.step)
	}
	return nil
}

// copyAside copies a range of the file to one of its own, for a person.
func (j *Journal) copyAside(from, to int64) (path string, err error) {
	name := filepath.Join(j.dir, damagedName+j.now().UTC().Format("20060102T150405Z"))
	path = name
	for n := 2; ; n++ {
		taken, err := j.files.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err == nil {
			err = taken.Close()
		}
		if err != nil {
			return "", fmt.Errorf("set damage aside: %w", err)
		}
		path = fmt.Sprintf("%s-%d", name, n)
	}
	copied, err := j.files.Create(path)
	if err != nil {
		return "", fmt.Errorf("set damage aside: %w", err)
	}
	w := window{file: j.file, end: to}
	for at := from; at < to && err == nil; {
		var raw []byte
		if raw, err = w.peek(at, int(min(readAhead, to-at))); err == nil {
			_, err = copied.WriteAt(raw, at-from)
			at += int64(len(raw))
		}
	}
	if err = errors.Join(err, syncUnless(err, copied), copied.Close()); err != nil {
		return "", fmt.Errorf("set damage aside: %w", errors.Join(err, j.files.Remove(path)))
	}
	return path, j.files.SyncDir(j.dir)
}

func syncUnless(failed error, file File) error {
	if failed != nil {
		return nil
	}
	return file.Sync()
}
