package control

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// maxSnapshots bounds one list of snapshots that an agent may answer with.
const maxSnapshots = 200_000

// partialAnswer gathers the parts of one answer.
type partialAnswer struct {
	since     time.Time
	snapshots []job.Snapshot
}

// answer takes one part of the result of a look. The last part applies it all.
func (c *Control) answer(ctx context.Context, s *session, part *api.Answer) error {
	gathered := s.answers[part.Job]
	if gathered == nil {
		j, err := c.store.Job(ctx, part.Job)
		info, _ := job.InfoOf(j.Kind)
		if err != nil || j.Host != s.host || !info.Look || j.State.Ended() {
			return nil // no look of this host's, or one that ended meanwhile
		}
		gathered = &partialAnswer{since: j.CreatedAt}
		s.answers[part.Job] = gathered
	}
	if len(gathered.snapshots)+len(part.Snapshots) > maxSnapshots {
		return fmt.Errorf("answer to job %s: more than %d snapshots", part.Job, maxSnapshots)
	}
	gathered.snapshots = append(gathered.snapshots, part.Snapshots...)
	if part.More || part.Ended == nil {
		return nil
	}
	delete(s.answers, part.Job)
	var j fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if j, err = tx.Job(ctx, part.Job); err != nil {
			return err
		}
		if !part.Ended.State.Ended() || !job.CanMove(j.State, part.Ended.State, job.ByAgent) {
			return nil
		}
		if part.Ended.State == job.Succeeded {
			if err := c.replaceSnapshots(ctx, tx, j, gathered); err != nil {
				return err
			}
		}
		if _, err := tx.MoveJob(ctx, j.ID, j.State, part.Ended.State, job.ByAgent, c.now()); err != nil {
			return err
		}
		return tx.EndJob(ctx, j.ID, store.End{At: c.now(), Cause: part.Ended.Cause, ExitCode: part.Ended.ExitCode, Error: part.Ended.Error, Summary: part.Ended.Summary})
	})
	if err != nil {
		return err
	}
	c.live.drop(part.Job)
	s.mu.Lock()
	delete(s.holding, part.Job)
	s.mu.Unlock()
	c.changedJob(j)
	c.events.publish(Event{NounRepository, string(j.Repository)})
	return nil
}

// replaceSnapshots makes the projection agree with a full list. A snapshot that
// was reported while the list was made has been seen since and stays.
func (c *Control) replaceSnapshots(ctx context.Context, tx *store.Tx, j fleet.Job, list *partialAnswer) error {
	repository, err := tx.Repository(ctx, j.Repository)
	if err != nil {
		return err
	}
	for _, s := range list.snapshots {
		if !validSnapshotID(s.ID) {
			continue
		}
		if err := tx.PutSnapshot(ctx, c.projection(s, repository, "")); err != nil {
			return err
		}
	}
	if _, err := tx.DropSnapshots(ctx, repository.ID, list.since); err != nil {
		return err
	}
	return tx.ListedRepository(ctx, repository.ID, c.now())
}
