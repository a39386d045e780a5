package control

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// settle runs once, when the journal has been read to where it stood at the
// hello: what runs here and is unknown to the agent is lost. Only the reader
// calls it, so that no record comes between the question and its answer.
func (c *Control) settle(ctx context.Context, s *session) error {
	if s.settled || s.position() < s.hello.LastSeq {
		return nil
	}
	known := s.held()
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
	s.settled = true
	c.lost(lost, pokes)
	return nil
}

// lost tells of jobs that were lost in a transaction that is durable now.
func (c *Control) lost(jobs []fleet.Job, pokes []job.HostID) {
	for _, j := range jobs {
		c.live.drop(j.ID)
	}
	c.changedJobs(jobs...)
	for _, host := range pokes {
		c.hub.poke(host)
	}
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
		err = tx.NoteBackup(ctx, j)
	case job.Provision, job.Init:
		pokes, err = c.storageJobEnded(ctx, tx, j)
	case job.Snapshots, job.Unlock: // nothing follows
	}
	return true, pokes, err
}
