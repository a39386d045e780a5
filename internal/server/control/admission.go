package control

import (
	"context"
	"slices"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// firstInLine is how many waiting jobs of one rest-server are read at first; of a
// longer line more are, each time.
const firstInLine = 32

// turn says whether a run has a slot of its rest-server; a run that has none
// waits for one. Whoever moves the job on that word holds the rest-server.
func (c *Control) turn(ctx context.Context, r reading, wait fleet.PendingRun) (fleet.PendingRun, error) {
	repository, err := r.Repository(ctx, wait.Repository)
	if err != nil || repository.Storage == "" {
		return wait, ignoreNotFound(err) // no rest-server of ours counts for it
	}
	if wait.Busy, wait.Slots, err = c.slots(ctx, r, repository.Storage); err != nil {
		return wait, err
	}
	wait.Reason = fleet.WaitsForSlot
	next, err := c.next(ctx, r, repository.Storage, wait.Slots-wait.Busy)
	if slices.ContainsFunc(next, func(j store.InLine) bool { return j.ID == wait.ID }) {
		wait.Reason = ""
	}
	return wait, err
}

// next are the jobs that the free slots of a rest-server are for.
func (c *Control) next(ctx context.Context, r reading, storage job.HostID, free int) (next []store.InLine, err error) {
	if free <= 0 {
		return nil, nil
	}
	err = c.line(ctx, r, storage, func(place int, j store.InLine) bool {
		next = append(next, j)
		return place < free
	})
	return next, err
}

// turns are the jobs whose turn it is to take a slot of a rest-server.
func (c *Control) turns(ctx context.Context, storage job.HostID) ([]store.InLine, error) {
	busy, slots, err := c.slots(ctx, c.store, storage)
	if err != nil {
		return nil, err
	}
	return c.next(ctx, c.store, storage, slots-busy)
}

// slots are the slots of a rest-server, and how many of them are taken.
func (c *Control) slots(ctx context.Context, r reading, storage job.HostID) (busy, slots int, err error) {
	box, err := r.Host(ctx, storage)
	if err != nil {
		return 0, 0, err
	}
	if box.Storage != nil {
		slots = box.Storage.Slots
	}
	busy, err = r.SlotsHeld(ctx, storage, c.now().Add(-schedule.SeenWithin))
	return busy, slots, err
}

// line calls yield for each job that could take a slot of a rest-server now, the
// next one first, until yield returns false. Of one host's jobs for one
// repository only the first counts, and none that a pause holds back, or whose
// agent has yet to tell what its hello spoke of.
func (c *Control) line(ctx context.Context, r reading, storage job.HostID, yield func(place int, j store.InLine) bool) error {
	now := c.now()
	pauses, err := r.Pauses(ctx, now)
	if err != nil {
		return err
	}
	type writer struct {
		host       job.HostID
		repository job.RepositoryID
	}
	seen := map[writer]bool{}
	place := 0
	for offset, size := 0, firstInLine; ; offset, size = offset+size, 4*size {
		page, err := r.Line(ctx, storage, now, size, offset)
		if err != nil {
			return err
		}
		for _, waiting := range page {
			key := writer{waiting.Host, waiting.Repository}
			if seen[key] || !c.settledHere(waiting.Host) || !pausedFor(waiting.Host, waiting.Tags, waiting.HurriedAt, pauses, now).IsZero() {
				continue
			}
			seen[key] = true
			place++
			if !yield(place, waiting) {
				return nil
			}
		}
		if len(page) < size {
			return nil
		}
	}
}

// moveLines wakes the hosts whose turn it is where one of these jobs may have
// given a slot, or a repository, back.
func (c *Control) moveLines(ctx context.Context, jobs ...fleet.Job) {
	var storages []job.HostID
	for _, j := range jobs {
		if info, _ := job.InfoOf(j.Kind); !info.Slot {
			continue
		}
		c.hub.poke(j.Host) // another of its own may have waited for the repository
		repository, err := c.store.Repository(ctx, j.Repository)
		if err != nil {
			continue // gone; the tick finds who waits
		}
		if repository.Storage != "" && !slices.Contains(storages, repository.Storage) {
			storages = append(storages, repository.Storage)
		}
	}
	for _, storage := range storages {
		c.moveLine(ctx, storage)
	}
}

// moveLine wakes the hosts of the jobs that are next in line for a rest-server.
func (c *Control) moveLine(ctx context.Context, storage job.HostID) {
	turns, err := c.turns(ctx, storage)
	if err != nil {
		c.log.Warn("the line of a storage box did not move; the next tick moves it", "host", storage, "error", err)
	}
	for _, j := range turns {
		c.hub.poke(j.Host)
	}
}
