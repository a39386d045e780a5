package control

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// PendingFilter narrows the list of pending runs; zero values do not narrow.
type PendingFilter struct {
	Host job.HostID
	fleet.Page
}

// PendingRuns lists the backups that wait, newest first, each with why, and the
// cursor of the next page.
func (c *Control) PendingRuns(ctx context.Context, f PendingFilter) ([]fleet.PendingRun, string, error) {
	waiting, next, err := c.store.PendingRuns(ctx, f.Host, f.Page)
	if err != nil {
		return nil, "", err
	}
	w := c.newWaitingRoom(ctx)
	runs := make([]fleet.PendingRun, 0, len(waiting))
	for _, j := range waiting {
		run, err := w.why(j)
		if err != nil {
			return nil, "", err
		}
		runs = append(runs, run)
	}
	return runs, next, nil
}

// WhyWaiting says why one pending run waits; false is that the job is none.
func (c *Control) WhyWaiting(ctx context.Context, j fleet.Job) (fleet.PendingRun, bool, error) {
	if j.Kind != job.Backup || j.State != job.Queued && j.State != job.Sent {
		return fleet.PendingRun{}, false, nil
	}
	run, err := c.newWaitingRoom(ctx).why(j)
	return run, true, err
}

// waitingRoom answers why runs wait, and reads hosts, pauses and lines once.
type waitingRoom struct {
	c      *Control
	ctx    context.Context //nolint:containedctx // it lives for one list
	hosts  map[job.HostID]fleet.Host
	places map[job.HostID]map[job.ID]int
	pauses []fleet.Pause
	read   bool
}

func (c *Control) newWaitingRoom(ctx context.Context) *waitingRoom {
	return &waitingRoom{c: c, ctx: ctx, hosts: map[job.HostID]fleet.Host{}, places: map[job.HostID]map[job.ID]int{}}
}

func (w *waitingRoom) why(j fleet.Job) (run fleet.PendingRun, err error) {
	if !w.read {
		if w.pauses, err = w.c.store.Pauses(w.ctx, w.c.now()); err != nil {
			return run, err
		}
		w.read = true
	}
	host, ok := w.hosts[j.Host]
	if !ok {
		if host, err = w.c.store.Host(w.ctx, j.Host); err != nil {
			return run, err
		}
		w.hosts[j.Host] = host
	}
	if run, err = w.c.waits(w.ctx, w.c.store, host, j, w.pauses); err != nil {
		return run, err
	}
	switch run.Reason {
	case fleet.WaitsForSlot:
		run.Position, err = w.place(j)
	case "":
		run.Reason = fleet.WaitsForTurn
	case fleet.WaitsForHost, fleet.WaitsForPause, fleet.WaitsForBackoff, fleet.WaitsForRepository, fleet.WaitsForQuarantine, fleet.WaitsForAgent, fleet.WaitsForTurn:
	}
	return run, err
}

// place is the place of a run in the line of its rest-server.
func (w *waitingRoom) place(j fleet.Job) (int, error) {
	repository, err := w.c.store.Repository(w.ctx, j.Repository)
	if err != nil {
		return 0, err
	}
	places, ok := w.places[repository.Storage]
	if !ok {
		places = map[job.ID]int{}
		err := w.c.line(w.ctx, w.c.store, repository.Storage, func(place int, waiting store.InLine) bool {
			places[waiting.ID] = place
			return true
		})
		if err != nil {
			return 0, err
		}
		w.places[repository.Storage] = places
	}
	return places[j.ID], nil
}

// RunPending makes a pending run due now and puts it in front of its line, pause or
// not. It still waits for its host and for a slot.
func (c *Control) RunPending(ctx context.Context, who auth.Identity, id job.ID) (fleet.Job, error) {
	if err := require(who, auth.JobsRun); err != nil {
		return fleet.Job{}, err
	}
	return c.changePending(ctx, id, func(tx *store.Tx, j fleet.Job) error {
		_, err := c.hurry(ctx, tx, who, j)
		return err
	})
}

// hurry puts a run that waits in front of its line, and returns it as it is then.
// One that is on its way already stays as it is.
func (c *Control) hurry(ctx context.Context, tx *store.Tx, who auth.Identity, j fleet.Job) (fleet.Job, error) {
	if j.State != job.Queued {
		return j, nil
	}
	j.NextAttemptAt, j.HurriedAt = c.now(), c.now()
	if err := tx.Hurry(ctx, j.ID, j.HurriedAt); err != nil {
		return j, err
	}
	return j, c.audit(ctx, tx, who, "pending_run.hurried", NounJob, string(j.ID), runDetail(j))
}

// DropPending takes a pending run out of the line. One that is on its way to its
// agent is cancelled, and the agent has the last word.
func (c *Control) DropPending(ctx context.Context, who auth.Identity, id job.ID) error {
	if err := require(who, auth.JobsCancel); err != nil {
		return err
	}
	_, err := c.changePending(ctx, id, func(tx *store.Tx, j fleet.Job) error {
		if !j.CancelRequestedAt.IsZero() {
			return nil // on its way out already
		}
		if j.State == job.Sent {
			if err := c.requestCancel(ctx, tx, j, job.CauseOperator, ""); err != nil {
				return err
			}
		} else if _, err := tx.MoveJob(ctx, id, job.Queued, job.Skipped, job.ByServer, c.now()); err != nil {
			return err
		} else if err := tx.EndJob(ctx, id, store.End{At: c.now(), Cause: job.CauseDropped, Error: "Dropped by " + who.Label() + "."}); err != nil {
			return err
		}
		return c.audit(ctx, tx, who, "pending_run.dropped", NounJob, string(id), runDetail(j))
	})
	return err
}

// changePending changes one pending run, and has what waits for its host judged.
func (c *Control) changePending(ctx context.Context, id job.ID, change func(*store.Tx, fleet.Job) error) (fleet.Job, error) {
	var (
		j    fleet.Job
		done drained
	)
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		done = drained{}
		if j, err = tx.Job(ctx, id); err != nil {
			return err
		}
		if err := tx.HoldHost(ctx, j.Host); err != nil {
			return err
		}
		if j, err = tx.Job(ctx, id); err != nil {
			return err
		}
		if j.Kind != job.Backup || j.State != job.Queued && j.State != job.Sent {
			return fleet.Conflict("This run waits no longer: it is %s.", j.State)
		}
		if err := change(tx, j); err != nil {
			return err
		}
		if done, err = c.drain(ctx, tx, j.Host); err != nil {
			return err
		}
		j, err = tx.Job(ctx, id)
		return err
	})
	if err != nil {
		return fleet.Job{}, err
	}
	c.changedJobs(j)
	c.settleDrained(ctx, done)
	c.moveLines(ctx, j)
	c.hub.poke(j.Host)
	return j, nil
}
