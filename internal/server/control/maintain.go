package control

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Times of what a node does by itself.
const (
	defaultBeat           = 10 * time.Second
	leaseBeats            = 3           // how long a node is believed to live
	seenEvery             = time.Minute // it writes every host that is online
	tidyEvery             = time.Hour
	noContact             = 24 * time.Hour      // after it a running job is lost
	noContactIntermittent = 14 * 24 * time.Hour // the same on an intermittent host
	keepLooks             = time.Hour
	keepJobs              = 400 * 24 * time.Hour
	keepTokens            = 30 * 24 * time.Hour
	keepRejects           = 90 * 24 * time.Hour
	keepAlerts            = 400 * 24 * time.Hour // after they were closed
	keepPauses            = 90 * 24 * time.Hour  // after they have ended
	tidyAtOnce            = 1000                 // rows in one transaction
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
		return c.renew(ctx, tx)
	})
	if err != nil {
		return err
	}
	return c.sweep(ctx)
}

// renew shows that this node lives. The time is that of the transaction: whatever
// is written at once by thousands of hosts may have kept it waiting.
func (c *Control) renew(ctx context.Context, tx *store.Tx) error {
	now := c.now()
	_, err := tx.NodeLease(ctx, c.node, now, now.Add(leaseBeats*c.beat))
	return err
}

// Run does what a node does by itself until ctx ends, then ends the sessions
// and waits for them.
func (c *Control) Run(ctx context.Context) error {
	ticker := time.NewTicker(c.beat)
	defer ticker.Stop()
	var did duties
	for {
		select {
		case <-ctx.Done():
			c.Shutdown()
			c.lobby.wait()
			c.beside.Wait()
			over, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return errors.Join(c.sealRest(over), c.store.Write(over, func(tx *store.Tx) error { return tx.DropNode(over, c.node) }))
		case <-ticker.C:
			c.runOnce(ctx, &did)
		}
	}
}

// duties are when a node last did what it does less often than each time.
type duties struct{ seen, paused, tidied, sealed time.Time }

// due tells whether every has passed since last, and notes that it is done now.
func due(last *time.Time, now time.Time, every time.Duration) bool {
	if age := now.Sub(*last); age >= 0 && age < every {
		return false
	}
	*last = now
	return true
}

func (c *Control) runOnce(ctx context.Context, did *duties) {
	now := c.now()
	seen := due(&did.seen, now, seenEvery)
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := c.renew(ctx, tx); err != nil || !seen {
			return err
		}
		return tx.SeenHosts(ctx, c.node, c.now())
	})
	if err != nil {
		c.log.Error("lease of this node not renewed", "error", err)
	}
	if err := c.sweep(ctx); err != nil {
		c.log.Error("dead sessions not cleared", "error", err)
	}
	if !c.sole {
		c.hub.pokeAll() // what another node has changed reaches nobody else
	}
	if due(&did.sealed, now, sealEvery) {
		if err := c.sealAudit(ctx); err != nil {
			c.log.Error("audit log not sealed", "error", err)
		}
	}
	c.endPauses(ctx, &did.paused, now)
	if due(&did.tidied, now, tidyEvery) {
		if err := c.tidy(ctx, now); err != nil {
			c.log.Error("old rows not removed", "error", err)
		}
	}
}

// sweep ends the sessions of nodes that are dead, and gives jobs up that nobody
// has heard of for too long.
func (c *Control) sweep(ctx context.Context) error {
	var waiting, lost []fleet.Job
	var pokes []job.HostID
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		waiting, lost, pokes = nil, nil, nil
		// The sessions of a node that has to wait for its turn to write are not dead.
		if err := c.renew(ctx, tx); err != nil {
			return err
		}
		hosts, err := tx.DeadSessions(ctx, c.now())
		if err != nil {
			return err
		}
		for _, host := range hosts {
			jobs, err := c.unsend(ctx, tx, host)
			if err != nil {
				return err
			}
			waiting = append(waiting, jobs...)
		}
		overdue, err := tx.OverdueJobs(ctx, c.now().Add(-noContact), c.now().Add(-noContactIntermittent), tidyAtOnce)
		if err != nil {
			return err
		}
		for _, j := range overdue {
			moved, more, err := c.lose(ctx, tx, j, job.CauseNoContact, "Its host has not been heard of for too long. Should it come back, its own account of the job counts.")
			if err != nil {
				return err
			}
			if moved {
				lost, pokes = append(lost, j), append(pokes, more...)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.changedJobs(waiting...)
	c.lost(ctx, lost, pokes)
	c.moveLines(ctx, waiting...)
	return nil
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
	if err := c.ForgetSignIns(ctx); err != nil {
		return err
	}
	if err := c.dropAudit(ctx, now); err != nil {
		return err
	}
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.DropEnrollments(ctx, now.Add(-keepTokens)); err != nil {
			return err
		}
		if err := tx.DropRejected(ctx, now.Add(-keepRejects)); err != nil {
			return err
		}
		if err := tx.DropAlerts(ctx, now.Add(-keepAlerts)); err != nil {
			return err
		}
		if err := tx.DropPauses(ctx, now.Add(-keepPauses)); err != nil {
			return err
		}
		return tx.DropExpiredLeases(ctx, now.Add(-tidyEvery))
	})
	if err != nil {
		return err
	}
	return c.settleRepositories(ctx)
}

// settleRepositories tries again what has failed on the way of a repository to
// what it should be.
func (c *Control) settleRepositories(ctx context.Context) error {
	unsettled, err := c.store.UnsettledRepositories(ctx, tidyAtOnce)
	if err != nil {
		return err
	}
	for _, r := range unsettled {
		err := c.store.Write(ctx, func(tx *store.Tx) error {
			if err := tx.HoldHost(ctx, r.Storage); err != nil {
				return err
			}
			current, err := tx.Repository(ctx, r.ID)
			if err != nil {
				return err
			}
			return c.advanceRepository(ctx, tx, current)
		})
		if err != nil {
			return err
		}
		c.hub.poke(r.Storage)
	}
	return nil
}
