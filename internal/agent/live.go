package agent

import (
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// live holds the newest progress of each running job until a session has sent
// it. It is never journalled.
type live struct {
	// changed holds a token when something may be due.
	changed chan struct{}

	now   func() time.Time
	mutex sync.Mutex
	jobs  map[job.ID]*liveJob
}

type liveJob struct {
	progress job.Progress
	unsent   bool
	sentAt   time.Time
}

func newLive() *live {
	return &live{changed: make(chan struct{}, 1), now: time.Now, jobs: map[job.ID]*liveJob{}}
}

// set changes a job's progress.
func (l *live) set(id job.ID, change func(*job.Progress)) {
	l.mutex.Lock()
	entry := l.jobs[id]
	if entry == nil {
		entry = &liveJob{progress: job.Progress{Job: id}}
		l.jobs[id] = entry
	}
	change(&entry.progress)
	wake := !entry.unsent
	entry.unsent = true
	l.mutex.Unlock()
	if wake {
		poke(l.changed)
	}
}

// phase sets what a job waits for and tells whether that is news.
func (l *live) phase(id job.ID, phase job.Phase) (news bool) {
	l.set(id, func(p *job.Progress) {
		news = p.Phase != phase
		p.Phase = phase
	})
	return news
}

func (l *live) end(id job.ID) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.jobs, id)
}

// phaseOf returns what a job waits for.
func (l *live) phaseOf(id job.ID) job.Phase {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if entry := l.jobs[id]; entry != nil {
		return entry.progress.Phase
	}
	return ""
}

// resend makes everything due again, for a server that has just come.
func (l *live) resend() {
	l.mutex.Lock()
	for _, entry := range l.jobs {
		entry.unsent, entry.sentAt = true, time.Time{}
	}
	l.mutex.Unlock()
	poke(l.changed)
}

// due returns what is to be sent now, and how long until more is; negative is
// not before a change.
func (l *live) due() (due []job.Progress, wait time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	wait = -1
	now := l.now()
	for _, entry := range l.jobs {
		if !entry.unsent {
			continue
		}
		if rest := api.ProgressEvery - now.Sub(entry.sentAt); rest > 0 {
			if wait < 0 || rest < wait {
				wait = rest
			}
			continue
		}
		entry.unsent, entry.sentAt = false, now
		due = append(due, entry.progress)
	}
	return due, wait
}

// poke leaves a token in a channel of capacity one.
func poke(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
