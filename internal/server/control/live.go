package control

import (
	"sync"

	"github.com/restic-manager/restic-manager/internal/job"
)

// live holds the progress of running jobs. It is overwritten state: a restart
// loses it and the next message brings it back.
type live struct {
	mu       sync.RWMutex
	progress map[job.ID]job.Progress
}

func (l *live) init() { l.progress = map[job.ID]job.Progress{} }

func (l *live) set(p job.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress[p.Job] = p
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
	return p, ok
}
