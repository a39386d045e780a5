package control

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// floorJump is how far a chosen session counts on above all others: far more
// than a copy can reach by connecting again.
const floorJump = 1 << 32

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
	var (
		floor   uint64
		waiting []fleet.Job
	)
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.HoldHost(ctx, host); err != nil {
			return err
		}
		link, err := tx.Link(ctx, host)
		if err != nil {
			return err
		}
		if !link.RemovedAt.IsZero() {
			return fleet.Conflict("This host was removed.")
		}
		if waiting, err = c.release(ctx, tx, host, link); err != nil {
			return err // of a session that was chosen earlier
		}
		floor = max(link.Counter, s.hello.Counter) + floorJump
		link.Floor, link.Counter = floor, floor
		link.QuarantinedAt = time.Time{}
		if s.hello.JournalID == link.JournalID {
			// What this one was never told to be durable may have come from the other.
			link.Cursor = min(link.Cursor, s.hello.Acked)
		}
		if err := tx.SetLink(ctx, host, link); err != nil {
			return err
		}
		for _, subject := range []string{"", copySubject} {
			if err := tx.CloseAlert(ctx, fleet.AlertClone, host, subject, c.now()); err != nil {
				return err
			}
		}
		return c.audit(ctx, tx, who, "host.session_kept", NounHost, string(host), map[string]any{"address": s.address, "hostname": s.hello.Facts.Hostname})
	})
	if err != nil {
		return err
	}
	if other := c.hub.session(host); other != nil {
		other.end(errReplaced)
	}
	c.changedJobs(waiting...)
	// The agent stores the new count and connects again with the next one. Should
	// this word be lost, it counts as a copy and the decision can be repeated.
	s.say(ctx, c.welcome(s, 0, floor, true))
	c.events.publish(Event{NounAlert, ""})
	c.events.publish(Event{NounHost, string(host)})
	return nil
}
