package control

import (
	"context"
	"slices"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// linePage is how many waiting jobs of one rest-server are read at once.
const linePage = 500

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
	free := wait.Slots - wait.Busy
	if free <= 0 {
		return wait, nil
	}
	err = c.line(ctx, r, repository.Storage, func(place int, j fleet.Job) bool {
		if j.ID == wait.ID {
			wait.Reason = ""
		}
		return wait.Reason != "" && place < free
	})
	return wait, err
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
func (c *Control) line(ctx context.Context, r reading, storage job.HostID, yield func(place int, j fleet.Job) bool) error {
	pauses, err := r.Pauses(ctx, c.now())
	if err != nil {
		return err
	}
	type writer struct {
		host       job.HostID
		repository job.RepositoryID
	}
	seen := map[writer]bool{}
	place := 0
	for offset := 0; ; offset += linePage {
		page, err := r.Line(ctx, storage, c.now(), linePage, offset)
		if err != nil {
			return err
		}
		for _, waiting := range page {
			key := writer{waiting.Host, waiting.Repository}
			if seen[key] || !c.settledHere(waiting.Host) || !pausedFor(waiting.Job, pauses, waiting.Tags, c.now()).IsZero() {
				continue
			}
			seen[key] = true
			place++
			if !yield(place, waiting.Job) {
				return nil
			}
		}
		if len(page) < linePage {
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
	busy, slots, err := c.slots(ctx, c.store, storage)
	free := slots - busy
	if err != nil || free <= 0 {
		return
	}
	err = c.line(ctx, c.store, storage, func(place int, j fleet.Job) bool {
		if place <= free {
			c.hub.poke(j.Host)
		}
		return place < free
	})
	if err != nil {
		c.log.Warn("the line of a storage box did not move; the next tick moves it", "host", storage, "error", err)
	}
}
