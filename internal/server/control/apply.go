package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// errOutOfOrder ends a session whose records do not follow each other.
var errOutOfOrder = errors.New("records came out of order")

// maxApplied is how many records share one transaction, so that a long batch of
// one host does not keep the others waiting.
const maxApplied = 500

// effects are what follows a transaction once it is durable.
type effects struct {
	events   []Event
	pokes    []job.HostID
	due      []job.ID    // now held by the agent until it is told what to do
	began    []job.ID    // now accepted by it
	ended    []job.ID    // no longer held
	over     []fleet.Job // ended, or replaced: their slots are free
	rejected []string    // why
}

func (e *effects) tell(events ...Event) {
	for _, event := range events {
		if !slices.Contains(e.events, event) {
			e.events = append(e.events, event)
		}
	}
}

func (e *effects) job(j fleet.Job) {
	e.tell(Event{NounJob, string(j.ID)}, Event{NounHost, string(j.Host)})
}

// apply writes a batch of records and the new cursor in one transaction, or in a
// few when it is long; only then is the cursor acknowledged.
func (c *Control) apply(ctx context.Context, s *session, batch *api.Records) error {
	if batch.JournalID != s.hello.JournalID {
		return errors.New("records of another journal")
	}
	fresh := batch.Items
	for len(fresh) > 0 && fresh[0].Seq <= s.position() {
		fresh = fresh[1:]
	}
	wake(s.acks)
	for part := range slices.Chunk(fresh, maxApplied) {
		if err := c.applyPart(ctx, s, part); err != nil {
			return err
		}
	}
	return c.settle(ctx, s)
}

func (c *Control) applyPart(ctx context.Context, s *session, fresh []api.Record) error {
	from, to := s.position(), fresh[len(fresh)-1].Seq
	if to >= maxCount {
		return fmt.Errorf("%w: number %d is too large", errOutOfOrder, to)
	}
	var after effects
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		after = effects{}
		if err := c.speaks(ctx, tx, s); err != nil {
			return err
		}
		a := applier{c: c, tx: tx, s: s, after: &after, places: map[job.ID]place{}}
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
	for _, id := range after.due {
		s.waiting[id] = true
	}
	for _, id := range after.began {
		s.holding[id] = true
		delete(s.waiting, id)
	}
	for _, id := range after.ended {
		delete(s.holding, id)
		delete(s.waiting, id)
	}
	s.mu.Unlock()
	wake(s.acks)
	if len(after.rejected) > 0 {
		c.log.Warn("records rejected", "host", s.host, "count", len(after.rejected), "up_to", to, "first_reason", after.rejected[0])
	}
	c.live.drop(after.ended...)
	for _, event := range after.events {
		c.events.publish(event)
	}
	for _, host := range after.pokes {
		c.hub.poke(host)
	}
	c.moveLines(ctx, after.over...)
	return nil
}

// rejection says why one record can't be applied. The log goes on behind it. A
// record is rejected before anything of it is written.
type rejection struct{ reason string }

func (r *rejection) Error() string { return r.reason }

func reject(format string, args ...any) error { return &rejection{fmt.Sprintf(format, args...)} }

// applier applies records in one transaction.
type applier struct {
	c     *Control
	tx    *store.Tx
	s     *session
	after *effects
	// places are those in a line that runs of these records gave up to another.
	places map[job.ID]place
}

// Bounds of what is kept of an agent's account, in bytes unless said otherwise.
// What an honest agent says fits.
const (
	maxRejected     = 200 // records of one host
	maxRejectedBody = 64 << 10
	maxReason       = 300
	maxSentence     = 4096
)

// record applies one record, or keeps it among the rejected ones.
func (a *applier) record(ctx context.Context, r api.Record) error {
	err := a.try(ctx, r)
	var refused *rejection
	if !errors.As(err, &refused) {
		return err
	}
	reason := cut(refused.reason, maxReason)
	a.after.rejected = append(a.after.rejected, reason)
	a.after.tell(Event{NounAlert, ""})
	kept, err := a.tx.CountRejected(ctx, a.s.host)
	if err != nil {
		return err
	}
	if kept < maxRejected {
		if err := a.tx.RejectRecord(ctx, a.s.host, a.s.hello.JournalID, r.Seq, cut(string(r.Kind), maxFact), cut(string(r.Body), maxRejectedBody), reason, a.c.now()); err != nil {
			return err
		}
	}
	_, err = a.tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertRejected, Host: a.s.host,
		Sentence: fmt.Sprintf("The server could not apply something that this host's agent reported (%s). It is kept for inspection; look for a job there that shows less than it did.", reason)}, a.c.now())
	return err
}

func (a *applier) try(ctx context.Context, r api.Record) error {
	body, err := r.Decode()
	if err != nil {
		return reject("%s", err)
	}
	switch body := body.(type) {
	case *api.Due:
		return a.due(ctx, r, body)
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
	case *api.HookRun:
		return nil // the job's log tells a person of it
	}
	return reject("record kind %q has no meaning here", r.Kind)
}

// at is the time of a record in the server's clock.
func (a *applier) at(r api.Record) time.Time { return a.ours(r.At) }

// oldestRecord is how old a record can truly be: twice as long as a journal keeps it.
const oldestRecord = 2 * 90 * 24 * time.Hour

// ours turns the agent's clock into the server's. Nothing is later than now, and
// what seems older than an account can be was written by a wrong clock: taken at
// its word it would be tidied away.
func (a *applier) ours(ms int64) time.Time {
	at, now := time.UnixMilli(ms).Add(-a.s.offset), a.c.now()
	if at.After(now) || now.Sub(at) > oldestRecord {
		return now
	}
	return at
}

func (a *applier) gap(ctx context.Context, g *api.Gap) error {
	a.after.tell(Event{NounAlert, ""})
	_, err := a.tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertGap, Host: a.s.host, Sentence: fmt.Sprintf(
		"Records %d to %d of this host's agent are lost (%s). Results of that time may be missing here; refresh its snapshots.", g.From, g.To, cut(g.Reason, maxReason))}, a.c.now())
	return err
}

func (a *applier) report(ctx context.Context, r *api.Report) error {
	if r.Repository != "" {
		if _, err := a.repository(ctx, r.Repository); err != nil {
			return err
		}
	}
	now := a.c.now()
	alert := fleet.Alert{Host: a.s.host, Subject: string(r.Repository)}
	detail := cut(r.Detail, maxReason)
	switch r.Topic {
	case api.ReportAppendOnly:
		known, err := a.tx.ProvedRepository(ctx, r.Repository, a.s.host, r.OK, now)
		if err == nil && !known {
			return reject("the repository of a proof is not this host's")
		}
		a.after.tell(Event{NounRepository, string(r.Repository)})
		return err
	case api.ReportLockRemoved:
		a.after.tell(Event{NounAlert, ""})
		return a.tx.CloseAlert(ctx, fleet.AlertLockLeft, a.s.host, alert.Subject, now)
	case api.ReportLockLeft:
		alert.Kind = fleet.AlertLockLeft
		alert.Sentence = "A stopped restic left a lock that could not be removed yet; the agent goes on trying. " + detail
	case api.ReportQuarantine:
		alert.Kind = fleet.AlertSetAside
		alert.Sentence = "The agent found its own state damaged and set a part of it aside. " + detail
	default:
		return reject("report %.40q has no meaning here", r.Topic)
	}
	a.after.tell(Event{NounAlert, ""})
	_, err := a.tx.OpenAlert(ctx, alert, now)
	return err
}

// repository reads one that this host backs up to, or keeps.
func (a *applier) repository(ctx context.Context, id job.RepositoryID) (fleet.Repository, error) {
	r, err := a.tx.Repository(ctx, id)
	if errors.Is(err, fleet.ErrNotFound) || err == nil && r.Host != a.s.host && r.Storage != a.s.host {
		return r, reject("the repository %.40q is not this host's", id)
	}
	return r, err
}
