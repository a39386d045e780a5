package control

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// told is what this connection has been told. It dies with the connection, so
// all of it may be said again on the next one.
type told struct {
	plan    string
	jobs    map[job.ID]bool
	cancels map[job.ID]bool
	cursor  uint64
}

// write is the one loop of a session that speaks: it waits for a poke, asks what
// the host wants and says what this connection has not been told yet.
func (c *Control) write(ctx context.Context, s *session, held bool) error {
	said := told{plan: s.hello.PlanDigest, jobs: map[job.ID]bool{}, cancels: map[job.ID]bool{}, cursor: s.position()}
	ping := time.NewTicker(time.Duration(c.intervals.Ping) * time.Millisecond)
	defer ping.Stop()
	if !held {
		if err := c.settle(ctx, s); err != nil {
			return err
		}
		s.pokeWants()
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ping.C:
			if err := s.ping(ctx, pingTimeout); err != nil {
				return err
			}
		case message := <-s.outbox:
			if err := s.send(ctx, message); err != nil {
				return err
			}
			if w, ok := message.(*api.Welcome); ok && w.Counter > 0 {
				return errReplaced
			}
		case <-s.acks:
			if cursor := s.position(); cursor != said.cursor {
				if err := s.send(ctx, &api.Ack{JournalID: s.hello.JournalID, Cursor: cursor}); err != nil {
					return err
				}
				said.cursor = cursor
			}
		case <-s.wants:
			if err := c.tell(ctx, s, &said); err != nil {
				return err
			}
		}
	}
}

func (s *session) position() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// wants is what a host should know: the whole of what goes down.
type wants struct {
	host    fleet.Host
	plan    api.Plan
	jobs    []fleet.Job // sent to it
	cancels []api.Cancel
}

// ask reads what a host wants. Jobs that are queued and admissible become sent
// in the same transaction; holding are the jobs that the agent has.
func (c *Control) ask(ctx context.Context, id job.HostID, holding []job.ID) (wants, error) {
	var w wants
	err := c.admitQueued(ctx, id)
	if err != nil {
		return w, err
	}
	if w.host, err = c.store.Host(ctx, id); err != nil || !w.host.RemovedAt.IsZero() {
		return w, err
	}
	if w.plan, err = c.plan(ctx, c.store, w.host); err != nil {
		return w, err
	}
	active, err := c.store.ActiveJobs(ctx, id)
	if err != nil {
		return w, err
	}
	alive := map[job.ID]bool{}
	for _, j := range active {
		alive[j.ID] = true
		switch {
		case !j.CancelRequestedAt.IsZero():
			w.cancels = append(w.cancels, api.Cancel{ID: j.ID, Cause: job.CauseOperator})
		case j.State == job.Sent:
			w.jobs = append(w.jobs, j)
		}
	}
	for _, held := range holding {
		if alive[held] {
			continue
		}
		j, err := c.store.Job(ctx, held)
		if errors.Is(err, fleet.ErrNotFound) {
			continue // the agent's record of it is still to come
		}
		if err != nil {
			return w, err
		}
		// Only what was ended here goes down; lost is a guess that the agent may
		// still correct, and what the agent ended it no longer holds.
		if j.State == job.Cancelled || j.State == job.Skipped {
			w.cancels = append(w.cancels, api.Cancel{ID: held, Cause: job.CauseOperator})
		}
	}
	return w, nil
}

// admitQueued moves the queued jobs of a host to sent.
func (c *Control) admitQueued(ctx context.Context, id job.HostID) error {
	active, err := c.store.ActiveJobs(ctx, id)
	if err != nil {
		return err
	}
	queued := 0
	for _, j := range active {
		if j.State == job.Queued {
			queued++
		}
	}
	if queued == 0 {
		return nil
	}
	return c.store.Write(ctx, func(tx *store.Tx) error {
		active, err := tx.ActiveJobs(ctx, id)
		if err != nil {
			return err
		}
		for _, j := range active {
			if j.State != job.Queued {
				continue
			}
			if _, err := tx.MoveJob(ctx, j.ID, job.Queued, job.Sent, job.ByServer, c.now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// tell asks what the host wants and says what is new to this connection.
func (c *Control) tell(ctx context.Context, s *session, said *told) error {
	w, err := c.ask(ctx, s.host, s.held())
	if err != nil {
		return err
	}
	if !w.host.RemovedAt.IsZero() {
		return errors.Join(errRemoved, s.send(ctx, c.gone(&s.hello)))
	}
	if w.plan.Digest != said.plan {
		if err := s.send(ctx, &w.plan); err != nil {
			return err
		}
		said.plan = w.plan.Digest
	}
	for _, j := range w.jobs {
		if said.jobs[j.ID] {
			continue
		}
		if err := c.dispatch(ctx, s, w.host, j); err != nil {
			return err
		}
		said.jobs[j.ID] = true
	}
	for _, cancel := range w.cancels {
		if said.cancels[cancel.ID] {
			continue
		}
		if err := s.send(ctx, &cancel); err != nil {
			return err
		}
		said.cancels[cancel.ID] = true
	}
	return nil
}

func (s *session) held() []job.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]job.ID, 0, len(s.holding))
	for id := range s.holding {
		ids = append(ids, id)
	}
	return ids
}

// dispatch sends one job. One that can no longer be resolved ends skipped.
func (c *Control) dispatch(ctx context.Context, s *session, host fleet.Host, j fleet.Job) error {
	order, err := c.order(ctx, c.store, host, j)
	var reason *unresolvable
	if errors.As(err, &reason) {
		err := c.store.Write(ctx, func(tx *store.Tx) error {
			moved, err := tx.MoveJob(ctx, j.ID, job.Sent, job.Skipped, job.ByServer, c.now())
			if err != nil || !moved {
				return err
			}
			if err := tx.EndJob(ctx, j.ID, store.End{At: c.now(), Error: reason.reason}); err != nil {
				return err
			}
			return c.audit(ctx, tx, auth.Server, "job.abandoned", NounJob, string(j.ID), map[string]string{"reason": reason.reason})
		})
		c.changedJob(j)
		return err
	}
	if err != nil {
		return err
	}
	if err := s.send(ctx, order); err != nil {
		return err
	}
	c.events.publish(Event{NounJob, string(j.ID)})
	return nil
}

// closeSession notes that a host's session has ended: what was sent and not
// accepted waits again, and looks end with their session.
func (c *Control) closeSession(ctx context.Context, host job.HostID) error {
	var touched []fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		touched = nil
		if err := tx.CloseSession(ctx, c.node, host, c.now()); err != nil {
			return err
		}
		var err error
		touched, err = c.unsend(ctx, tx, host)
		return err
	})
	for _, j := range touched {
		c.changedJob(j)
	}
	return err
}

func (c *Control) unsend(ctx context.Context, tx *store.Tx, host job.HostID) ([]fleet.Job, error) {
	active, err := tx.ActiveJobs(ctx, host)
	if err != nil {
		return nil, err
	}
	var touched []fleet.Job
	for _, j := range active {
		info, _ := job.InfoOf(j.Kind)
		switch {
		case info.Look:
			if _, err := tx.MoveJob(ctx, j.ID, j.State, job.Lost, job.ByServer, c.now()); err != nil {
				return nil, err
			}
			if err := tx.EndJob(ctx, j.ID, store.End{At: c.now(), Cause: job.CauseSessionEnded, Error: "The connection ended before the answer came. Ask again."}); err != nil {
				return nil, err
			}
		case j.State == job.Sent:
			if _, err := tx.MoveJob(ctx, j.ID, job.Sent, job.Queued, job.ByServer, c.now()); err != nil {
				return nil, err
			}
		default:
			continue
		}
		touched = append(touched, j)
	}
	return touched, nil
}
