package control

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// settle runs once, when the journal has been read to where it stood at the
// hello: what runs here and is unknown to the agent is lost. Only the reader
// calls it, so that no record comes between the question and its answer.
func (c *Control) settle(ctx context.Context, s *session) error {
	if s.settled.Load() || s.position() < s.hello.LastSeq {
		return nil
	}
	known, _ := s.held()
	var lost []fleet.Job
	var pokes []job.HostID
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		lost, pokes = nil, nil
		if err := c.speaks(ctx, tx, s); err != nil {
			return err
		}
		active, err := tx.ActiveJobs(ctx, s.host)
		if err != nil {
			return err
		}
		for _, j := range active {
			if j.State != job.Running || known[j.ID] {
				continue
			}
			moved, more, err := c.lose(ctx, tx, j, job.CauseRestarted, "The agent no longer knows this job; its state folder was replaced or damaged. Look at the snapshots, then run it again.")
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
	s.settled.Store(true)
	c.onAgentHello(s.host)
	s.pokeWants()
	c.lost(ctx, lost, pokes)
	return nil
}

// lost tells of jobs that were lost in a transaction that is durable now.
func (c *Control) lost(ctx context.Context, jobs []fleet.Job, pokes []job.HostID) {
	for _, j := range jobs {
		c.live.drop(j.ID)
	}
	c.changedJobs(jobs...)
	for _, host := range pokes {
		c.hub.poke(host)
	}
	c.moveLines(ctx, jobs...)
}

// lose ends a job whose end will not be known, unless it has moved meanwhile. A
// storage agent's is asked for again; pokes are whom to tell.
func (c *Control) lose(ctx context.Context, tx *store.Tx, j fleet.Job, cause job.Cause, sentence string) (moved bool, pokes []job.HostID, err error) {
	moved, err = tx.MoveJob(ctx, j.ID, j.State, job.Lost, job.ByServer, c.now())
	if err != nil || !moved {
		return false, nil, err
	}
	if err := tx.EndJob(ctx, j.ID, store.End{At: c.now(), Cause: cause, Error: sentence}); err != nil {
		return false, nil, err
	}
	j.State, j.FinishedAt, j.Error, j.Cause = job.Lost, c.now(), sentence, cause
	switch j.Kind {
	case job.Backup:
		if err = tx.NoteBackup(ctx, j); err == nil {
			err = c.retry(ctx, tx, j)
		}
	case job.Provision, job.Init:
		pokes, err = c.storageJobEnded(ctx, tx, j)
	case job.Snapshots, job.Unlock, job.Check, job.Stats, job.PreviewSources: // nothing follows
	}
	return true, pokes, err
}

// retry queues the next attempt of a backup that ended without its agent's word,
// when its group's rules have one for it. Its agent, should it know the job after
// all, asks for the same one.
func (c *Control) retry(ctx context.Context, tx *store.Tx, j fleet.Job) error {
	if !j.CancelRequestedAt.IsZero() || !job.Retryable(j.State, j.Cause, j.Trouble) {
		return nil
	}
	group, err := tx.Group(ctx, j.Group)
	if err != nil {
		return ignoreNotFound(err)
	}
	if j.Retry+1 >= group.Options.RetryMax {
		return nil
	}
	occasion, id, err := j.Occasion().Next(j.ID)
	if err != nil {
		return err
	}
	wait := schedule.Backoff(time.Duration(group.Options.RetryBackoffSeconds)*time.Second, occasion.Retry)
	next := c.newRun(j.Host, group, id, occasion)
	next.Origin, next.AskedBy = j.Origin, j.AskedBy
	next.CreatedAt, next.NextAttemptAt = c.now(), c.now().Add(wait)
	return c.queueRun(ctx, tx, next)
}
