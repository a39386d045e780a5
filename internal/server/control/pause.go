package control

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// maxPauses bounds how many pauses hold at once: every plan is made from them.
const maxPauses = 500

// CreatePause keeps the schedules of a host, a tag or the whole fleet from
// starting anything until a moment. What runs goes on, and what a person asks for
// runs.
func (c *Control) CreatePause(ctx context.Context, who auth.Identity, p fleet.Pause) (fleet.Pause, error) {
	if err := require(who, auth.PausesWrite); err != nil {
		return p, err
	}
	p.ID, p.CreatedAt, p.CreatedBy = job.NewULID(c.now()), c.now(), who.Label()
	var problems fleet.Invalid
	p.Check(&problems, c.now())
	if err := problems.Err(); err != nil {
		return p, err
	}
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if p.Scope == fleet.PauseHost {
			host, err := tx.Host(ctx, job.HostID(p.Subject))
			if errors.Is(err, fleet.ErrNotFound) || err == nil && !host.RemovedAt.IsZero() {
				return invalid("subject", "There is no host %q. It may have been removed.", p.Subject)
			}
			if err != nil {
				return err
			}
		}
		standing, err := tx.Pauses(ctx, c.now())
		if err != nil {
			return err
		}
		if len(standing) >= maxPauses {
			return fleet.Conflict("%d pauses hold already. End some of them, or pause a tag or the whole fleet.", len(standing))
		}
		if err := tx.InsertPause(ctx, p); err != nil {
			return err
		}
		return c.auditChange(ctx, tx, who, "pause.created", NounPause, p.ID, nil, detailOfPause(p))
	})
	if err != nil {
		return p, err
	}
	c.changedPause(p)
	return p, nil
}

// EndPause ends a pause now instead of at its own end.
func (c *Control) EndPause(ctx context.Context, who auth.Identity, id string) error {
	if err := require(who, auth.PausesWrite); err != nil {
		return err
	}
	var p fleet.Pause
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if p, err = tx.Pause(ctx, id); err != nil {
			return err
		}
		before := detailOfPause(p)
		ended, err := tx.EndPause(ctx, id, c.now())
		if err != nil {
			return err
		}
		if !ended {
			return fleet.Conflict("This pause has ended already.")
		}
		p.Until = c.now()
		return c.auditChange(ctx, tx, who, "pause.ended", NounPause, id, before, detailOfPause(p))
	})
	if err != nil {
		return err
	}
	c.changedPause(p)
	return nil
}

// changedPause lets the plans of all hosts that a pause covers be made again.
func (c *Control) changedPause(p fleet.Pause) {
	c.events.publish(Event{NounPause, p.ID})
	if p.Scope == fleet.PauseHost {
		c.events.publish(Event{NounHost, p.Subject})
		c.hub.poke(job.HostID(p.Subject))
		return
	}
	c.events.publish(Event{NounHost, ""})
	c.hub.pokeAll()
}

// endPauses tells of the pauses that have ended by themselves since last, which
// it moves on: nothing else is to be done, since no plan holds them any more.
func (c *Control) endPauses(ctx context.Context, last *time.Time, now time.Time) {
	ended, err := c.store.EndedPauses(ctx, *last, now)
	if err != nil {
		c.log.Error("pauses that ended not told of", "error", err)
		return
	}
	*last = now
	for _, p := range ended {
		c.changedPause(p)
	}
}

// pauseDetail is what the audit tells of a pause.
type pauseDetail struct {
	Scope   fleet.PauseScope `json:"scope"`
	Subject string           `json:"subject"`
	Until   time.Time        `json:"until"`
	Reason  string           `json:"reason"`
}

func detailOfPause(p fleet.Pause) pauseDetail {
	return pauseDetail{p.Scope, p.Subject, p.Until.UTC(), p.Reason}
}
