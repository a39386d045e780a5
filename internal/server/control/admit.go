package control

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
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
	rival := false
	for !c.hub.take(s) {
		other := c.hub.session(s.host)
		if other == nil {
			continue
		}
		if other.ping(ctx, rivalTimeout) == nil {
			rival = true
			break
		}
		other.end(errReplaced)
		c.hub.leave(other)
	}
	var link store.Link
	held = rival
	err = c.store.Write(ctx, func(tx *store.Tx) error {
		held = rival
		host, err := tx.Host(ctx, s.host)
		if err != nil {
			return err
		}
		if link, err = tx.Link(ctx, s.host); err != nil {
			return err
		}
		switch judge(link, s.hello.JournalID, s.hello.Counter, s.hello.LastSeq) {
		case knownCopy:
			held = true
			return c.noteCopy(ctx, tx, host, s)
		case suspect:
			held = true
		}
		if held {
			return c.quarantine(ctx, tx, host, &link, s)
		}
		return c.openSession(ctx, tx, host, &link, s)
	})
	if err != nil {
		c.hub.leave(s)
		return held, err
	}
	s.cursor = link.Cursor
	if held {
		c.hub.leave(s)
		c.hub.hold(s)
		if other := c.hub.session(s.host); other != nil && !link.QuarantinedAt.IsZero() {
			other.end(errQuarantined) // it comes back and is held as well
		}
		c.events.publish(Event{NounAlert, ""})
	}
	c.events.publish(Event{NounHost, string(s.host)})
	if err := s.send(ctx, c.welcome(s, min(link.Cursor, s.hello.LastSeq), 0, held)); err != nil {
		c.depart(s, err)
		return held, err
	}
	return held, nil
}

// openSession writes what the hello said and that this node holds the session.
func (c *Control) openSession(ctx context.Context, tx *store.Tx, host fleet.Host, link *store.Link, s *session) error {
	facts := s.hello.Facts
	if link.JournalID != s.hello.JournalID {
		if link.JournalID != "" {
			if _, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertSetAside, Host: host.ID,
				Sentence: fmt.Sprintf("The agent on %s began a new journal; what its old one held and had not yet sent may be missing here. Look at its state folder and its last jobs.", host.Name)}, c.now()); err != nil {
				return err
			}
		}
		link.JournalID, link.Cursor = s.hello.JournalID, 0
	}
	link.Counter = s.hello.Counter
	if err := tx.SetLink(ctx, host.ID, *link); err != nil {
		return err
	}
	host.Hostname, host.OS, host.Arch = facts.Hostname, facts.OS, facts.Arch
	host.AgentVersion, host.ResticVersion, host.Allowed = facts.AgentVersion, facts.ResticVersion, facts.Allowed
	host.Address, host.LastSeenAt, host.ClockOffset = s.address, c.now(), s.offset
	if host.Allowed == nil {
		host.Allowed = []job.Kind{}
	}
	if facts.Storage != nil {
		host.Storage = &fleet.Storage{URL: facts.Storage.URL, BytesFree: facts.Storage.BytesFree, BytesTotal: facts.Storage.BytesTotal}
	}
	if err := tx.OpenSession(ctx, c.node, host); err != nil {
		return err
	}
	for _, id := range s.hello.Unfinished {
		s.holding[id] = true
	}
	if !host.IsStorage() {
		return nil
	}
	waiting, _, err := tx.Repositories(ctx, store.RepositoryFilter{Storage: host.ID, Page: fleet.Page{Limit: 500}})
	if err != nil {
		return err
	}
	for _, r := range waiting {
		if err := c.advanceRepository(ctx, tx, r); err != nil {
			return err
		}
	}
	return nil
}

// quarantine stops all dealings with a host until a person has decided.
func (c *Control) quarantine(ctx context.Context, tx *store.Tx, host fleet.Host, link *store.Link, s *session) error {
	if link.QuarantinedAt.IsZero() {
		link.QuarantinedAt = c.now()
		if err := c.audit(ctx, tx, auth.Server, "host.quarantined", NounHost, string(host.ID),
			map[string]any{"address": s.address, "counter": s.hello.Counter, "expected_above": link.Counter}); err != nil {
			return err
		}
	}
	link.Counter = max(link.Counter, s.hello.Counter)
	if err := tx.SetLink(ctx, host.ID, *link); err != nil {
		return err
	}
	_, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertClone, Host: host.ID,
		Sentence: fmt.Sprintf("Two machines, or an old copy of one, use the identity of %s; the last came from %s. Nothing is started there until you decide on the host's page which one is the true one. Both keep their results.", host.Name, s.address)}, c.now())
	return err
}

// noteCopy keeps one open row for a copy that goes on connecting.
func (c *Control) noteCopy(ctx context.Context, tx *store.Tx, host fleet.Host, s *session) error {
	_, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertClone, Host: host.ID, Subject: "copy",
		Sentence: fmt.Sprintf("A copy of %s at %s still connects and is given nothing. Enrol that machine as a host of its own, or stop its agent.", host.Name, s.address)}, c.now())
	return err
}

// KeepSession is a person's decision that a held session is the true one. Every
// other one with this identity is a copy from now on.
func (c *Control) KeepSession(ctx context.Context, who auth.Identity, host job.HostID, id string) error {
	if err := require(who, auth.HostsEnrol); err != nil {
		return err
	}
	s := c.hub.heldSession(host, id)
	if s == nil {
		return fleet.Conflict("This session has ended meanwhile. Wait until the machine has connected again.")
	}
	var floor uint64
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		link, err := tx.Link(ctx, host)
		if err != nil {
			return err
		}
		// Far above any count that the other can reach by connecting again.
		const jump = 1 << 32
		link.Floor = link.Counter + jump
		link.Counter = link.Floor
		link.QuarantinedAt = time.Time{}
		if s.hello.JournalID == link.JournalID {
			// What this one was never told to be durable may have come from the other.
			link.Cursor = min(link.Cursor, s.hello.Acked)
		}
		if err := tx.SetLink(ctx, host, link); err != nil {
			return err
		}
		if err := tx.CloseAlert(ctx, fleet.AlertClone, host, "", c.now()); err != nil {
			return err
		}
		floor = link.Floor
		return c.audit(ctx, tx, who, "host.session_kept", NounHost, string(host), map[string]any{"address": s.address, "hostname": s.hello.Facts.Hostname})
	})
	if err != nil {
		return err
	}
	// The agent stores the new count and connects again with the next one. Should
	// this word be lost, it counts as a copy and the decision can be repeated.
	s.say(ctx, c.welcome(s, 0, floor, true))
	c.events.publish(Event{NounAlert, ""})
	c.events.publish(Event{NounHost, string(host)})
	return nil
}
