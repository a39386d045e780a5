package control

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Bounds of the answer to a look.
const (
	// maxSnapshots is how many snapshots one repository may have here.
	maxSnapshots = 200_000
	maxAnswers   = 64 << 20
)

// partialAnswer gathers the parts of one answer.
type partialAnswer struct {
	kind      job.Kind
	since     time.Time
	snapshots []job.Snapshot
	bytes     int
	tooLong   bool
}

// answer takes one part of the result of a look, size bytes long. The last part
// applies it all.
func (c *Control) answer(ctx context.Context, s *session, part *api.Answer, size int) error {
	gathered := s.answers[part.Job]
	if gathered == nil {
		j, err := c.store.Job(ctx, part.Job)
		if errors.Is(err, fleet.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if info, _ := job.InfoOf(j.Kind); j.Host != s.host || !info.Look || j.State.Ended() {
			return nil // no look of this host's, or one that ended meanwhile
		}
		gathered = &partialAnswer{kind: j.Kind, since: j.CreatedAt}
		s.answers[part.Job] = gathered
	}
	if gathered.tooLong = gathered.tooLong || s.answerBytes+size > c.maxAnswers || len(gathered.snapshots)+len(part.Snapshots) > maxSnapshots; gathered.tooLong {
		s.answerBytes -= gathered.bytes
		gathered.snapshots, gathered.bytes = nil, 0
	} else {
		gathered.snapshots = append(gathered.snapshots, part.Snapshots...)
		gathered.bytes += size
		s.answerBytes += size
	}
	if part.More || part.Ended == nil {
		return nil
	}
	delete(s.answers, part.Job)
	s.answerBytes -= gathered.bytes
	if gathered.tooLong {
		part.Ended = &api.Ended{State: job.Failed, Error: "The repository has more snapshots than the server takes in one list."}
	}
	if gathered.kind == job.PreviewSources {
		takePreview(part)
	}
	return c.answered(ctx, s, part, gathered)
}

// takePreview puts what a look has counted where it is kept with its job. Its
// size is bounded by that of a frame.
func takePreview(part *api.Answer) {
	if part.Ended.State != job.Succeeded {
		return
	}
	if part.Preview == nil {
		part.Ended = &api.Ended{State: job.Failed, Error: "The agent answered without a result. Update it, then ask again."}
		return
	}
	part.Ended.Summary = &job.Summary{Preview: part.Preview}
}

// answered ends a look with its result.
func (c *Control) answered(ctx context.Context, s *session, part *api.Answer, gathered *partialAnswer) error {
	// The list is written in pieces, so that a long one keeps nobody waiting; what
	// it does not show goes with the end of the look.
	if part.Ended.State == job.Succeeded && gathered.kind == job.Snapshots {
		if err := c.putSnapshots(ctx, s, part.Job, gathered.snapshots); err != nil {
			return err
		}
	}
	var j fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if err := c.speaks(ctx, tx, s); err != nil {
			return err
		}
		if j, err = tx.Job(ctx, part.Job); err != nil {
			return err
		}
		if !part.Ended.State.Ended() || !job.CanMove(j.State, part.Ended.State, job.ByAgent) {
			return nil
		}
		if summary := part.Ended.Summary; part.Ended.State == job.Succeeded && gathered.kind == job.Stats && summary != nil && summary.Stats != nil {
			summary.Stats.Groups = summary.Stats.Groups[:min(len(summary.Stats.Groups), job.MaxStatsGroups)]
			if err := tx.CountedRepository(ctx, j.Repository, summary.Stats, c.now()); err != nil {
				return err
			}
		}
		if part.Ended.State == job.Succeeded && gathered.kind == job.Snapshots {
			if _, err := tx.DropSnapshots(ctx, j.Repository, gathered.since); err != nil {
				return err
			}
			if err := tx.ListedRepository(ctx, j.Repository, c.now()); err != nil {
				return err
			}
		}
		if _, err := tx.MoveJob(ctx, j.ID, j.State, part.Ended.State, job.ByAgent, c.now()); err != nil {
			return err
		}
		j.State = part.Ended.State
		return tx.EndJob(ctx, j.ID, endOf(part.Ended, c.now()))
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.holding, part.Job)
	s.mu.Unlock()
	c.changedJobs(j)
	if j.Repository != "" {
		c.events.publish(Event{NounRepository, string(j.Repository)})
	}
	return nil
}

// putSnapshots makes the projection hold a full list. A snapshot that was
// reported while the list was made has been seen since and stays.
func (c *Control) putSnapshots(ctx context.Context, s *session, id job.ID, list []job.Snapshot) error {
	for part := range slices.Chunk(list, maxApplied) {
		err := c.store.Write(ctx, func(tx *store.Tx) error {
			if err := c.speaks(ctx, tx, s); err != nil {
				return err
			}
			j, err := tx.Job(ctx, id)
			if err != nil || j.State.Ended() {
				return err
			}
			repository, err := tx.Repository(ctx, j.Repository)
			if err != nil {
				return err
			}
			for _, snapshot := range part {
				if !validSnapshotID(snapshot.ID) {
					continue
				}
				if err := tx.PutSnapshot(ctx, c.projection(snapshot, repository, "")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
