package control

import (
	"context"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/store"
)

// verdict says what a hello's numbers prove.
type verdict int

const (
	genuine verdict = iota
	// knownCopy: a person has decided for another session; this one counts below
	// the floor that was set then.
	knownCopy
	// suspect: two machines, or two states of one, use this identity.
	suspect
)

// judge compares a hello with where the host's log stands.
func judge(link store.Link, journal string, counter, lastSeq uint64) verdict {
	switch {
	case counter < link.Floor:
		return knownCopy
	case !link.QuarantinedAt.IsZero(), counter <= link.Counter:
		return suspect
	case journal == link.JournalID && lastSeq < link.Cursor:
		return suspect
	}
	return genuine
}

// admit decides whether s becomes the host's session or is held, and welcomes it.
func (c *Control) admit(ctx context.Context, s *session) (held bool, err error) {
	rival, err := c.makeWay(ctx, s)
	if err != nil {
		return false, err
	}
	var (
		link    store.Link
		waiting []fleet.Job // again
	)
	err = c.store.Write(ctx, func(tx *store.Tx) error {
		held, waiting = rival, nil
		if err := tx.HoldHost(ctx, s.host); err != nil {
			return err
		}
		host, err := tx.Host(ctx, s.host)
		if err != nil {
			return err
		}
		if link, err = tx.Link(ctx, s.host); err != nil {
			return err
		}
		if !link.RemovedAt.IsZero() {
			return errRemoved
		}
		if s.head, err = tx.AuditHead(ctx); err != nil {
			return err
		}
		switch judge(link, s.hello.JournalID, s.hello.Counter, s.hello.LastSeq) {
		case knownCopy:
			held = true
			return c.noteCopy(ctx, tx, host, s)
		case suspect:
			held = true
		case genuine: // unless it has a rival
		}
		if held {
			waiting, err = c.quarantine(ctx, tx, host, &link, s)
			return err
		}
		waiting, err = c.openSession(ctx, tx, host, &link, s)
		return err
	})
	if err != nil {
		c.hub.leave(s)
		return held, err
	}
	if held {
		c.hub.hold(s)
		if other := c.hub.session(s.host); other != nil && !link.QuarantinedAt.IsZero() {
			other.end(errQuarantined) // it comes back and is held as well
		}
		c.events.publish(Event{NounAlert, ""})
	} else {
		s.cursor = link.Cursor
		for _, id := range s.hello.Unfinished {
			s.holding[id] = true
		}
		for _, id := range s.hello.Held {
			s.waiting[id] = true
		}
	}
	c.changedJobs(waiting...)
	c.moveLines(ctx, waiting...)
	c.events.publish(Event{NounHost, string(s.host)})
	if !held {
		// An agent with nothing to tell is known before it is welcomed.
		if err := c.settle(ctx, s); err != nil {
			c.depart(s, err)
			return held, err
		}
	}
	if err := s.send(ctx, c.welcome(s, link.Cursor, 0, held)); err != nil {
		c.depart(s, err)
		return held, err
	}
	return held, nil
}

// makeWay makes s the host's session on this node. An older one that still
// answers is a rival and stays; one that does not is over.
func (c *Control) makeWay(ctx context.Context, s *session) (rival bool, err error) {
	for !c.hub.take(s) {
		other := c.hub.session(s.host)
		if other == nil {
			continue
		}
		if other.ping(ctx, c.rivalPatience) == nil {
			return true, nil
		}
		if err := context.Cause(ctx); err != nil {
			return false, err // it is s that ended
		}
		other.end(errReplaced)
		c.hub.leave(other)
	}
	return false, nil
}

// openSession writes what the hello said and that this node holds the session.
// It returns the jobs that an earlier session, ended without a word, left behind.
func (c *Control) openSession(ctx context.Context, tx *store.Tx, host fleet.Host, link *store.Link, s *session) (waiting []fleet.Job, err error) {
	if waiting, err = c.release(ctx, tx, host.ID, *link); err != nil {
		return nil, err
	}
	if link.JournalID != s.hello.JournalID {
		if link.JournalID != "" {
			if _, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertSetAside, Host: host.ID,
				Sentence: fmt.Sprintf("The agent on %s began a new journal; what its old one held and had not yet sent may be missing here. Look at its state folder and its last jobs.", host.Name)}, c.now()); err != nil {
				return nil, err
			}
		}
		link.JournalID, link.Cursor = s.hello.JournalID, 0
	}
	link.Counter = s.hello.Counter
	if err := tx.SetLink(ctx, host.ID, *link); err != nil {
		return nil, err
	}
	setFacts(&host, s.hello.Facts)
	if err := c.checkRole(ctx, tx, &host, s); err != nil {
		return nil, err
	}
	if err := c.checkAuditHead(ctx, tx, host, s.hello.AuditHead); err != nil {
		return nil, err
	}
	if said := tidyText(s.hello.PlanDigest, maxFact); said != host.PlanDigest {
		host.PlanDigest, host.PlanAt = said, c.now()
	}
	host.Address, host.LastSeenAt, host.ClockOffset = s.address, c.now(), s.offset
	if err := tx.WakePending(ctx, host.ID, c.now()); err != nil {
		return nil, err
	}
	return waiting, tx.OpenSession(ctx, c.node, host)
}

// checkRole takes what a storage agent says of its disk. What a machine is was
// decided at its enrolment: an endpoint that calls itself a storage box later
// would be offered to new hosts, and be sent the passwords of their repositories.
func (c *Control) checkRole(ctx context.Context, tx *store.Tx, host *fleet.Host, s *session) error {
	said := s.hello.Facts.Storage
	problem := ""
	switch {
	case said == nil:
	case !host.IsStorage():
		problem = "it calls itself a storage box, but was enrolled as a machine that is backed up. Enrol it anew if it is one"
	default:
		problem = setStorage(host, said)
	}
	if problem == "" {
		return tx.CloseAlert(ctx, fleet.AlertRejected, host.ID, "facts", c.now())
	}
	_, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertRejected, Host: host.ID, Subject: "facts",
		Sentence: fmt.Sprintf("The server did not take what the agent on %s says of itself: %s. Everything else goes on.", host.Name, problem)}, c.now())
	return err
}

// quarantine stops all dealings with a host until a person has decided. It
// returns the jobs that wait again.
func (c *Control) quarantine(ctx context.Context, tx *store.Tx, host fleet.Host, link *store.Link, s *session) ([]fleet.Job, error) {
	if link.QuarantinedAt.IsZero() {
		link.QuarantinedAt = c.now()
		if err := c.audit(ctx, tx, auth.Server, "host.quarantined", NounHost, string(host.ID),
			map[string]any{"address": s.address, "counter": s.hello.Counter, "expected_above": link.Counter}); err != nil {
			return nil, err
		}
	}
	link.Counter = max(link.Counter, s.hello.Counter)
	if err := tx.SetLink(ctx, host.ID, *link); err != nil {
		return nil, err
	}
	if _, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertClone, Host: host.ID,
		Sentence: fmt.Sprintf("Two machines, or an old copy of one, use the identity of %s; the last came from %s. Nothing is started there until you decide on the host's page which one is the true one. Both keep their results.", host.Name, s.address)}, c.now()); err != nil {
		return nil, err
	}
	return c.release(ctx, tx, host.ID, *link)
}

// copySubject is what tells the alert about a known copy from that about a
// question that is still open.
const copySubject = "copy"

// noteCopy keeps one open row for a copy that goes on connecting.
func (c *Control) noteCopy(ctx context.Context, tx *store.Tx, host fleet.Host, s *session) error {
	_, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertClone, Host: host.ID, Subject: copySubject,
		Sentence: fmt.Sprintf("A copy of %s at %s still connects and is given nothing. Enrol that machine as a host of its own, or stop its agent.", host.Name, s.address)}, c.now())
	return err
}
