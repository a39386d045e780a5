package control

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Times of what a node does by itself.
const (
	leaseEvery  = 10 * time.Second
	leaseFor    = 30 * time.Second
	tidyEvery   = time.Hour
	noContact   = 24 * time.Hour // after it a running job is lost
	keepLooks   = time.Hour
	keepJobs    = 400 * 24 * time.Hour
	keepTokens  = 30 * 24 * time.Hour
	keepRejects = 90 * 24 * time.Hour
	tidyAtOnce  = 1000 // rows in one transaction
)

// Start shows that this node lives and clears what a dead one left behind. It
// comes before the first session.
func (c *Control) Start(ctx context.Context) error {
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if c.sole {
			if err := tx.DropNodes(ctx); err != nil {
				return err
			}
		}
		_, err := tx.NodeLease(ctx, c.node, c.now(), c.now().Add(leaseFor))
		return err
	})
	if err != nil {
		return err
	}
	return c.sweep(ctx)
}

// Run does what a node does by itself until ctx ends, then ends the sessions
// and waits for them.
func (c *Control) Run(ctx context.Context) error {
	ticker := time.NewTicker(leaseEvery)
	defer ticker.Stop()
	var tidied time.Time
	for {
		select {
		case <-ctx.Done():
			c.Shutdown()
			c.sessions.Wait()
			over, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return c.store.Write(over, func(tx *store.Tx) error { return tx.DropNode(over, c.node) })
		case <-ticker.C:
			c.runOnce(ctx, &tidied)
		}
	}
}

func (c *Control) runOnce(ctx context.Context, tidied *time.Time) {
	now := c.now()
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.NodeLease(ctx, c.node, now, now.Add(leaseFor)); err != nil {
			return err
		}
		return tx.SeenHosts(ctx, c.node, now)
	})
	if err != nil {
		c.log.Error("lease of this node not renewed", "error", err)
	}
	if err := c.sweep(ctx); err != nil {
		c.log.Error("dead sessions not cleared", "error", err)
	}
	if now.Sub(*tidied) >= tidyEvery || now.Before(*tidied) {
		*tidied = now
		if err := c.tidy(ctx, now); err != nil {
			c.log.Error("old rows not removed", "error", err)
		}
	}
}

// sweep ends the sessions of nodes that are dead, and gives jobs up that nobody
// has heard of for too long.
func (c *Control) sweep(ctx context.Context) error {
	var touched []fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		touched = nil
		hosts, err := tx.DeadSessions(ctx, c.now())
		if err != nil {
			return err
		}
		for _, host := range hosts {
			jobs, err := c.unsend(ctx, tx, host)
			if err != nil {
				return err
			}
			touched = append(touched, jobs...)
		}
		overdue, err := tx.OverdueJobs(ctx, c.now().Add(-noContact), tidyAtOnce)
		if err != nil {
			return err
		}
		for _, j := range overdue {
			if err := c.lose(ctx, tx, j, job.CauseNoContact, "Its host has not been heard of for 24 hours. Should it come back, its own account of the job counts."); err != nil {
				return err
			}
		}
		touched = append(touched, overdue...)
		return nil
	})
	for _, j := range touched {
		c.changedJob(j)
	}
	return err
}

// tidy removes what is older than it is kept for.
func (c *Control) tidy(ctx context.Context, now time.Time) error {
	var looks []job.Kind
	for _, info := range job.Kinds {
		if info.Look {
			looks = append(looks, info.Kind)
		}
	}
	for _, step := range []struct {
		kinds  []job.Kind
		before time.Time
	}{{looks, now.Add(-keepLooks)}, {nil, now.Add(-keepJobs)}} {
		for gone := int64(tidyAtOnce); gone == tidyAtOnce; {
			err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
				gone, err = tx.DeleteJobs(ctx, step.kinds, step.before, tidyAtOnce)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return c.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.DropEnrollments(ctx, now.Add(-keepTokens)); err != nil {
			return err
		}
		if err := tx.DropRejected(ctx, now.Add(-keepRejects)); err != nil {
			return err
		}
		return tx.DropExpiredLeases(ctx, now.Add(-tidyEvery))
	})
}
