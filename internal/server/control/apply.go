package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// errOutOfOrder ends a session whose records do not follow each other.
var errOutOfOrder = errors.New("records came out of order")

// rejection says why one record can't be applied. The log goes on behind it.
type rejection struct{ reason string }

func (r *rejection) Error() string { return r.reason }

func reject(format string, args ...any) error { return &rejection{fmt.Sprintf(format, args...)} }

// effects are what follows a transaction once it is durable.
type effects struct {
	events  []Event
	pokes   []job.HostID
	began   []job.ID // now held by the agent
	ended   []job.ID // no longer
	rejects int
}

func (e *effects) job(j fleet.Job) {
	e.events = append(e.events, Event{NounJob, string(j.ID)}, Event{NounHost, string(j.Host)})
}

// apply writes a batch of records and the new cursor in one transaction; only
// then is the cursor acknowledged.
func (c *Control) apply(ctx context.Context, s *session, batch *api.Records) error {
	if batch.JournalID != s.hello.JournalID {
		return errors.New("records of another journal")
	}
	from := s.position()
	fresh := batch.Items
	for len(fresh) > 0 && fresh[0].Seq <= from {
		fresh = fresh[1:]
	}
	if len(fresh) == 0 {
		wake(s.acks)
		return nil
	}
	to := fresh[len(fresh)-1].Seq
	var after effects
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		after = effects{}
		a := applier{c: c, tx: tx, s: s, after: &after}
		next := from + 1
		for _, record := range fresh {
			switch {
			case record.Seq < next:
				return fmt.Errorf("%w: %d after %d", errOutOfOrder, record.Seq, next-1)
			case record.Seq > next:
				// The agent no longer keeps what is between; a gap record says why.
				if err := a.gap(ctx, &api.Gap{From: next, To: record.Seq - 1, Reason: "the agent no longer has them"}); err != nil {
					return err
				}
			}
			next = record.Seq + 1
			if err := a.record(ctx, record); err != nil {
				return err
			}
		}
		moved, err := tx.Advance(ctx, s.host, s.hello.JournalID, from, to, c.now())
		if err == nil && !moved {
			err = errReplaced
		}
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.cursor = to
	for _, id := range after.began {
		s.holding[id] = true
	}
	for _, id := range after.ended {
		delete(s.holding, id)
	}
	s.mu.Unlock()
	wake(s.acks)
	c.live.drop(after.ended...)
	for _, event := range after.events {
		c.events.publish(event)
	}
	for _, host := range after.pokes {
		c.hub.poke(host)
	}
	return c.settle(ctx, s)
}

// settle runs once, when the journal has been read to where it stood at the
// hello: what runs here and is unknown to the agent is lost.
func (c *Control) settle(ctx context.Context, s *session) error {
	s.mu.Lock()
	due := !s.settled && s.cursor >= s.hello.LastSeq
	s.settled = s.settled || due
	known := map[job.ID]bool{}
	for id := range s.holding {
		known[id] = true
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	var lost []fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		lost = nil
		active, err := tx.ActiveJobs(ctx, s.host)
		if err != nil {
			return err
		}
		for _, j := range active {
			if j.State != job.Running || known[j.ID] {
				continue
			}
			if err := c.lose(ctx, tx, j, job.CauseRestarted, "The agent no longer knows this job; its state folder was replaced or damaged. Look at the snapshots, then run it again."); err != nil {
				return err
			}
			lost = append(lost, j)
		}
		return nil
	})
	for _, j := range lost {
		c.changedJob(j)
	}
	return err
}

// lose ends a job whose end will not be known.
func (c *Control) lose(ctx context.Context, tx *store.Tx, j fleet.Job, cause job.Cause, sentence string) error {
	moved, err := tx.MoveJob(ctx, j.ID, j.State, job.Lost, job.ByServer, c.now())
	if err != nil || !moved {
		return err
	}
	if err := tx.EndJob(ctx, j.ID, store.End{At: c.now(), Cause: cause, Error: sentence}); err != nil {
		return err
	}
	if j.Kind != job.Backup {
		return nil
	}
	j.State, j.FinishedAt, j.Error = job.Lost, c.now(), sentence
	return tx.NoteBackup(ctx, j)
}

// applier applies records in one transaction.
type applier struct {
	c     *Control
	tx    *store.Tx
	s     *session
	after *effects
}

// record applies one record, or keeps it among the rejected ones.
func (a *applier) record(ctx context.Context, r api.Record) error {
	err := a.try(ctx, r)
	var refused *rejection
	if !errors.As(err, &refused) {
		return err
	}
	a.c.log.Warn("record rejected", "host", a.s.host, "seq", r.Seq, "kind", r.Kind, "reason", refused.reason)
	a.after.events = append(a.after.events, Event{NounAlert, ""})
	if err := a.tx.RejectRecord(ctx, a.s.host, a.s.hello.JournalID, r.Seq, string(r.Kind), string(r.Body), refused.reason, a.c.now()); err != nil {
		return err
	}
	_, err = a.tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertRejected, Host: a.s.host,
		Sentence: fmt.Sprintf("The server could not apply something that this host's agent reported (%s). It is kept for inspection; look for a job there that shows less than it did.", refused.reason)}, a.c.now())
	return err
}

func (a *applier) try(ctx context.Context, r api.Record) error {
	body, err := r.Decode()
	if err != nil {
		return reject("%s", err)
	}
	switch body := body.(type) {
	case *api.Accepted:
		return a.accepted(ctx, r, body)
	case *api.Started:
		return a.started(ctx, r, body)
	case *api.Log:
		return a.log(ctx, r, body)
	case *api.Ended:
		return a.ended(ctx, r, body)
	case *api.SnapshotMade:
		return a.snapshot(ctx, r, body)
	case *api.Report:
		return a.report(ctx, body)
	case *api.Gap:
		return a.gap(ctx, body)
	case *api.CancelAsked:
		return nil // the server asked for it itself
	}
	return reject("record kind %q has no meaning here", r.Kind)
}

// at is the time of a record in the server's clock, and never later than now.
func (a *applier) at(r api.Record) time.Time {
	at := time.UnixMilli(r.At).Add(-a.s.offset)
	if now := a.c.now(); at.After(now) || at.Year() < 2000 {
		return now
	}
	return at
}

// mine reads a job and refuses one of another host.
func (a *applier) mine(ctx context.Context, r api.Record) (fleet.Job, error) {
	j, err := a.tx.Job(ctx, r.Job)
	if errors.Is(err, fleet.ErrNotFound) {
		return j, reject("job %q is not known here", r.Job)
	}
	if err == nil && j.Host != a.s.host {
		return j, reject("job %s belongs to another host", r.Job)
	}
	return j, err
}

func (a *applier) gap(ctx context.Context, g *api.Gap) error {
	_, err := a.tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertGap, Host: a.s.host, Sentence: fmt.Sprintf(
		"Records %d to %d of this host's agent are lost (%s). Results of that time may be missing here; refresh its snapshots.", g.From, g.To, g.Reason)}, a.c.now())
	return err
}

func (a *applier) report(ctx context.Context, r *api.Report) error {
	now := a.c.now()
	alert := fleet.Alert{Host: a.s.host, Subject: string(r.Repository)}
	switch r.Topic {
	case api.ReportAppendOnly:
		known, err := a.tx.ProvedRepository(ctx, r.Repository, a.s.host, r.OK, now)
		if err == nil && !known {
			return reject("the repository of a proof is not this host's")
		}
		a.after.events = append(a.after.events, Event{NounRepository, string(r.Repository)})
		return err
	case api.ReportLockRemoved:
		return a.tx.CloseAlert(ctx, fleet.AlertLockLeft, a.s.host, alert.Subject, now)
	case api.ReportLockLeft:
		alert.Kind = fleet.AlertLockLeft
		alert.Sentence = "A stopped restic left a lock that could not be removed yet; the agent goes on trying. " + r.Detail
	case api.ReportQuarantine:
		alert.Kind = fleet.AlertSetAside
		alert.Sentence = "The agent found its own state damaged and set a part of it aside. " + r.Detail
	default:
		return reject("report %q has no meaning here", r.Topic)
	}
	_, err := a.tx.OpenAlert(ctx, alert, now)
	a.after.events = append(a.after.events, Event{NounAlert, ""})
	return err
}
