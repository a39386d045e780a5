package control

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// live holds the progress of running jobs. It is overwritten state: a restart
// loses it and the next message brings it back.
type live struct {
	mu       sync.RWMutex
	progress map[job.ID]liveJob
}

type liveJob struct {
	job.Progress
	toldAt time.Time
}

// tellEvery bounds the events of one job's progress; agents send two a second.
const tellEvery = 200 * time.Millisecond

func (l *live) init() { l.progress = map[job.ID]liveJob{} }

// set keeps p and tells whether that is worth an event.
func (l *live) set(p job.Progress, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	toldAt := l.progress[p.Job].toldAt
	tell := now.Sub(toldAt) >= tellEvery || now.Before(toldAt)
	if tell {
		toldAt = now
	}
	l.progress[p.Job] = liveJob{p, toldAt}
	return tell
}

func (l *live) drop(ids ...job.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.progress, id)
	}
}

// Progress returns the last progress of a running job, and whether there is any.
func (c *Control) Progress(id job.ID) (job.Progress, bool) {
	c.live.mu.RLock()
	defer c.live.mu.RUnlock()
	p, ok := c.live.progress[id]
	return p.Progress, ok
}

// Bounds of what is shown of a job at work.
const (
	maxCurrentFiles = 8
	maxShownPath    = 4096 // bytes
)

// progress keeps the live state of a job of this host.
func (c *Control) progress(ctx context.Context, s *session, p *job.Progress) error {
	s.mu.Lock()
	mine := s.holding[p.Job]
	s.mu.Unlock()
	if !mine {
		// A look, or a job that was accepted on another connection: ask once, then
		// remember.
		j, err := c.store.Job(ctx, p.Job)
		if errors.Is(err, fleet.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if j.Host != s.host || j.State.Ended() {
			return nil
		}
		s.mu.Lock()
		s.holding[p.Job] = true
		s.mu.Unlock()
	}
	p.Phase = job.Phase(tidyText(string(p.Phase), 40))
	p.Percent = min(max(p.Percent, 0), 1)
	p.CurrentFiles = p.CurrentFiles[:min(len(p.CurrentFiles), maxCurrentFiles)]
	for i, file := range p.CurrentFiles {
		p.CurrentFiles[i] = strings.Clone(cut(file, maxShownPath)) // not the whole frame
	}
	before, _ := c.Progress(p.Job)
	if before.Phase != p.Phase {
		if err := elsewhere(func() error { return c.changePhase(ctx, s, p.Job, p.Phase) }); err != nil {
			return err
		}
	}
	if c.live.set(*p, c.now()) {
		c.events.publish(Event{NounJob, string(p.Job)})
	}
	return nil
}

// changePhase notes what a job waits for: while it waits, its slot is another's.
func (c *Control) changePhase(ctx context.Context, s *session, id job.ID, phase job.Phase) error {
	var j fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if err := c.speaks(ctx, tx, s); err != nil {
			return err
		}
		if j, err = tx.Job(ctx, id); err != nil || j.Host != s.host || j.Phase == phase {
			return ignoreNotFound(err)
		}
		return tx.SetPhase(ctx, id, phase)
	})
	if err != nil {
		return err
	}
	c.moveLines(ctx, j)
	return nil
}
