package control

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// wants is what a host should know: the whole of what goes down.
type wants struct {
	host    fleet.Host
	plan    api.Plan
	jobs    []fleet.Job // sent to it, and not yet in its journal
	cancels []api.Cancel
}

// ask reads what the host of s wants. What waits is judged first.
func (c *Control) ask(ctx context.Context, s *session) (w wants, err error) {
	active, err := c.admitted(ctx, s)
	if err != nil {
		return w, err
	}
	if w.host, err = c.store.Host(ctx, s.host); err != nil {
		return w, err
	}
	if w.plan, err = c.plan(ctx, c.store, w.host); err != nil {
		return w, err
	}
	holding, waiting := s.held()
	for _, j := range active {
		switch {
		case !j.CancelRequestedAt.IsZero():
			w.cancels = append(w.cancels, api.Cancel{ID: j.ID, State: job.Cancelled, Cause: job.CauseOperator})
		case j.State == job.Sent && !holding[j.ID]:
			w.jobs = append(w.jobs, j)
		}
		delete(holding, j.ID)
		delete(waiting, j.ID)
	}
	for begun, held := range map[bool]map[job.ID]bool{true: holding, false: waiting} {
		for id := range held {
			cancel, err := c.endedHere(ctx, s.host, id, begun)
			if err != nil {
				return w, err
			}
			if cancel != nil {
				w.cancels = append(w.cancels, *cancel)
			}
		}
	}
	return w, nil
}

// endedHere makes the cancel of a job that the agent holds and that has ended;
// nil is that it has not. Of one that the agent has begun only an end that was
// decided here goes down: lost is a guess that it may still correct, and any other
// end is its own. One that it has not begun was begun by a copy of the machine:
// whatever became of it there, it is not to run again here.
func (c *Control) endedHere(ctx context.Context, host job.HostID, id job.ID, begun bool) (*api.Cancel, error) {
	j, err := c.store.Job(ctx, id)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil, nil // the agent's record of it is still to come
	}
	if err != nil || j.Host != host || !j.State.Ended() {
		return nil, err
	}
	cancel := &api.Cancel{ID: id, State: j.State, Cause: j.Cause, Error: j.Error}
	if j.State != job.Cancelled && j.State != job.Skipped {
		if begun {
			return nil, nil
		}
		cancel.State, cancel.Cause, cancel.Error = job.Skipped, job.CauseSatisfied, "It was run before by another machine with this one's identity."
	}
	if cancel.Cause == "" {
		cancel.Cause = job.CauseOperator
	}
	return cancel, nil
}

// admitted lists the jobs of the host of s that have not ended, after those that
// wait were judged.
func (c *Control) admitted(ctx context.Context, s *session) ([]fleet.Job, error) {
	if stirs, err := c.stirs(ctx, s.host); err != nil {
		return nil, err
	} else if !stirs {
		return c.store.ActiveJobs(ctx, s.host)
	}
	var active []fleet.Job
	var done drained
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if err := c.speaks(ctx, tx, s); err != nil {
			return err
		}
		if done, err = c.drain(ctx, tx, s.host); err != nil {
			return err
		}
		active, err = tx.ActiveJobs(ctx, s.host)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.settleDrained(ctx, done)
	return active, nil
}

// closeSession notes that s has ended: what was sent and not accepted waits
// again, and looks end. A newer session of the host, here or on another node, is
// left alone.
func (c *Control) closeSession(ctx context.Context, s *session) error {
	var waiting []fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		waiting = nil
		if err := tx.HoldHost(ctx, s.host); err != nil {
			return err
		}
		link, err := tx.Link(ctx, s.host)
		if err != nil || link.Counter != s.hello.Counter {
			return err
		}
		waiting, err = c.release(ctx, tx, s.host, link)
		return err
	})
	c.changedJobs(waiting...)
	c.moveLines(ctx, waiting...)
	return err
}

// release lets go of the session that a host is written to have, whichever node
// holds it, and returns the jobs that wait again.
func (c *Control) release(ctx context.Context, tx *store.Tx, host job.HostID, link store.Link) ([]fleet.Job, error) {
	if link.Node == "" {
		return nil, nil
	}
	if err := tx.CloseSession(ctx, link.Node, host, c.now()); err != nil {
		return nil, err
	}
	return c.unsend(ctx, tx, host)
}

// unsend lets the jobs of a host whose session has ended wait again. Those that
// were to be cancelled end, and looks too; should the agent prove to have taken
// one, that counts.
func (c *Control) unsend(ctx context.Context, tx *store.Tx, host job.HostID) (touched []fleet.Job, err error) {
	active, err := tx.ActiveJobs(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, j := range active {
		info, _ := job.InfoOf(j.Kind)
		to, end := job.Queued, store.End{At: c.now()}
		switch {
		case info.Look:
			to, end.Cause, end.Error = job.Lost, job.CauseSessionEnded, "The connection ended before the answer came. Ask again."
		case j.State != job.Sent:
			continue
		case !j.CancelRequestedAt.IsZero():
			to, end.Cause, end.Error = job.Cancelled, job.CauseOperator, "Cancelled before its agent had taken it."
		}
		moved, err := tx.MoveJob(ctx, j.ID, j.State, to, job.ByServer, c.now())
		if err != nil {
			return nil, err
		}
		if moved && to.Ended() {
			if err := tx.EndJob(ctx, j.ID, end); err != nil {
				return nil, err
			}
		}
		j.State = to
		touched = append(touched, j)
	}
	return touched, nil
}
