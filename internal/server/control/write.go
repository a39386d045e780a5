package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// told is what this connection has been told. It dies with the connection, so
// all of it may be said again on the next one.
type told struct {
	plan string
	jobs map[job.ID]bool
	// asked are the jobs that wait for the agent's word, and since when. Looks are
	// not among them, they take their time.
	asked   map[job.ID]time.Time
	cancels map[job.ID]bool
	cursor  uint64
}

// write is the one loop of a session that speaks: it waits for a poke, asks what
// the host wants and says what this connection has not been told yet. A held
// session is told nothing but that its host is gone.
func (c *Control) write(ctx context.Context, s *session, said *told, held bool) error {
	ping := time.NewTicker(time.Duration(c.intervals.Ping) * time.Millisecond)
	defer ping.Stop()
	patience := time.NewTimer(0) // runs while a job waits for the agent's word
	defer patience.Stop()
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
		case <-patience.C:
			if err := elsewhere(func() error { return c.unanswered(ctx, s, said) }); err != nil {
				return err
			}
		}
		if left, waiting := said.patience(c.now()); waiting {
			patience.Reset(left)
		}
	}
}

func (s *session) position() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// held are the jobs that the agent has accepted, and the due runs that wait for a
// word of ours, as far as its journal was read.
func (s *session) held() (holding, waiting map[job.ID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.holding), maps.Clone(s.waiting)
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

// planSent notes which plan the host has now, for the page that shows whether it
// is the one that it should have.
func (c *Control) planSent(ctx context.Context, s *session, w wants) error {
	if w.host.PlanDigest == w.plan.Digest {
		return nil
	}
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := c.speaks(ctx, tx, s); err != nil {
			return err
		}
		return tx.SetPlan(ctx, s.host, w.plan.Digest, c.now())
	})
	if err == nil {
		c.events.publish(Event{NounHost, string(s.host)})
	}
	return err
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
		if err := c.planSent(ctx, s, w); err != nil {
			return err
		}
	}
	for _, j := range w.jobs {
		if said.jobs[j.ID] {
			continue
		}
		if err := c.dispatch(ctx, s, w.host, j); err != nil {
			return err
		}
		said.jobs[j.ID] = true
		if info, _ := job.InfoOf(j.Kind); !info.Look {
			said.asked[j.ID] = c.now()
		}
	}
	said.forget(w.jobs)
	for id := range said.cancels {
		if !slices.ContainsFunc(w.cancels, func(cancel api.Cancel) bool { return cancel.ID == id }) {
			delete(said.cancels, id) // the agent has done with it
		}
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

// forget drops what no longer waits for the agent's word: should it ever be sent
// again, this connection must say it again.
func (t *told) forget(waiting []fleet.Job) {
	for id := range t.jobs {
		if !slices.ContainsFunc(waiting, func(j fleet.Job) bool { return j.ID == id }) {
			delete(t.jobs, id)
			delete(t.asked, id)
		}
	}
}

// patience is how long the job that was asked for first may still go without an
// answer; false is that none waits for one.
func (t *told) patience(now time.Time) (left time.Duration, waiting bool) {
	for _, at := range t.asked {
		if rest := schedule.AnswerPatience - now.Sub(at); !waiting || rest < left {
			left, waiting = rest, true
		}
	}
	return max(left, 0), waiting
}

// unanswered takes back the jobs that the agent has had for too long without a
// word, and lets those that can't be taken back be sent again.
func (c *Control) unanswered(ctx context.Context, s *session, said *told) error {
	holding, _ := s.held()
	for id, at := range said.asked {
		if holding[id] {
			delete(said.asked, id)
			continue
		}
		if c.now().Sub(at) < schedule.AnswerPatience {
			continue
		}
		delete(said.asked, id)
		delete(said.jobs, id)
		if err := c.postpone(ctx, s, id, fmt.Sprintf("Its agent did not answer within %d seconds.", int(schedule.AnswerPatience.Seconds()))); err != nil {
			return err
		}
		s.pokeWants()
	}
	return nil
}

// refusal is an agent's word about why it can't take a job, within bounds.
func refusal(reason string) string {
	if reason == "" {
		return "Its agent refused it without a reason."
	}
	return "Its agent refused it: " + cut(reason, maxReason)
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
		return c.abandon(ctx, tx, j, abandonUnresolvable, reason.sentence)
	})
	c.changedJobs(j)
	c.moveLines(ctx, j)
	return err
}
