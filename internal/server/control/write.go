package control

import (
	"context"
	"errors"
	"maps"
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
// the host wants and says what this connection has not been told yet. A held
// session is told nothing but that its host is gone.
func (c *Control) write(ctx context.Context, s *session, said *told, held bool) error {
	ping := time.NewTicker(time.Duration(c.intervals.Ping) * time.Millisecond)
	defer ping.Stop()
	s.pokeWants()
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
			if err := elsewhere(func() error { return c.tell(ctx, s, said, held) }); err != nil {
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

// held are the jobs that the agent holds, as far as its journal was read.
func (s *session) held() map[job.ID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.holding)
}

// speaks proves that s still is the host's session: only it may change anything
// in the host's name. It holds the host until the transaction ends.
func (c *Control) speaks(ctx context.Context, tx *store.Tx, s *session) error {
	if err := tx.HoldHost(ctx, s.host); err != nil {
		return err
	}
	link, err := tx.Link(ctx, s.host)
	if err != nil {
		return err
	}
	return c.ended(link, s)
}

// ended says why a session is over by what is written of its host; nil is "it
// is not".
func (c *Control) ended(link store.Link, s *session) error {
	switch {
	case !link.RemovedAt.IsZero():
		return errRemoved
	case !link.QuarantinedAt.IsZero():
		return errQuarantined
	case link.Node != c.node, link.JournalID != s.hello.JournalID, link.Counter != s.hello.Counter:
		return errReplaced
	}
	return nil
}

// tell asks what the host wants and says what is new to this connection.
func (c *Control) tell(ctx context.Context, s *session, said *told, held bool) error {
	link, err := c.store.Link(ctx, s.host)
	if err != nil {
		return err
	}
	if !link.RemovedAt.IsZero() {
		return errRemoved
	}
	if held {
		return nil
	}
	if err := c.ended(link, s); err != nil {
		return err
	}
	w, err := c.ask(ctx, s)
	if err != nil {
		return err
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

// dispatch sends one job. One that can no longer be resolved ends.
func (c *Control) dispatch(ctx context.Context, s *session, host fleet.Host, j fleet.Job) error {
	order, err := c.order(ctx, c.store, host, j)
	var reason *unresolvable
	if !errors.As(err, &reason) {
		if err == nil {
			err = s.send(ctx, order)
		}
		if err == nil {
			c.events.publish(Event{NounJob, string(j.ID)})
		}
		return err
	}
	if reason.cause != nil {
		c.log.Error("job not sent", "job", j.ID, "host", j.Host, "error", reason.cause)
	}
	err = c.store.Write(ctx, func(tx *store.Tx) error {
		moved, err := tx.MoveJob(ctx, j.ID, job.Sent, job.Skipped, job.ByServer, c.now())
		if err != nil || !moved {
			return err
		}
		if err := tx.EndJob(ctx, j.ID, store.End{At: c.now(), Error: reason.sentence}); err != nil {
			return err
		}
		return c.audit(ctx, tx, auth.Server, "job.abandoned", NounJob, string(j.ID), map[string]string{"reason": reason.sentence})
	})
	c.changedJobs(j)
	return err
}
