package control

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// A check holds the exclusive lock, and backups wait for it. So it reads as much as
// it did last time in as long as it has, and ends before a backup gives up, which by
// default waits fleet.DefaultRetryLockMinutes.
const (
	checkBudget = 20 * time.Minute
	checkMost   = 25 * time.Minute
	// checkWait is how long it waits for a lock itself.
	checkWait = 15 * time.Minute
	// checkFirstMiB is what the first one reads, whose speed is not known.
	checkFirstMiB = 1024
	// checkAllMost is how long one may take that reads all.
	checkAllMost = 24 * time.Hour
)

// checkOf orders a check of a repository.
func checkOf(r fleet.Repository, all bool) job.CheckSpec {
	spec := job.CheckSpec{Repository: r.ID, ReadAll: all, RetryLockSeconds: int(checkWait.Seconds()), MostSeconds: int(checkMost.Seconds())}
	if all {
		spec.MostSeconds = int(checkAllMost.Seconds())
		return spec
	}
	spec.ReadMiB = checkFirstMiB
	if last := r.Check; last != nil && last.ReadMiB > 0 && last.Seconds >= 1 {
		inBudget := float64(last.ReadMiB) / last.Seconds * checkBudget.Seconds()
		// Twice as much at most: what was so fast may have been cached.
		spec.ReadMiB = max(1, min(int64(inBudget), 2*last.ReadMiB))
	}
	return spec
}

// place puts a job on a repository where its files are nearest: the storage agent
// that holds them, or else its host.
func (c *Control) place(ctx context.Context, tx *store.Tx, n *NewJob) error {
	if n.Repository == "" {
		host, err := tx.Host(ctx, n.Host)
		if err != nil {
			return err
		}
		repository, err := c.repositoryFor(ctx, tx, host, "")
		if err != nil {
			return err
		}
		n.Repository = repository.ID
	}
	repository, err := tx.Repository(ctx, n.Repository)
	if err != nil {
		return err
	}
	if n.Host != "" && n.Host != repository.Host && n.Host != repository.Storage {
		return invalid("repository_id", "This host has no such repository.")
	}
	n.Host = repository.Host
	if repository.Storage != "" {
		storage, err := tx.Host(ctx, repository.Storage)
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
		if err == nil && storage.RemovedAt.IsZero() {
			n.Host = storage.ID
		}
	}
	return nil
}

var packName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// checkEnded notes what a check found, if it came to a result.
func (a *applier) checkEnded(ctx context.Context, j fleet.Job, body *api.Ended) error {
	if body.Summary == nil || body.Summary.Check == nil {
		return nil
	}
	found := *body.Summary.Check
	var packs []string
	for _, pack := range found.BrokenPacks {
		if packName.MatchString(pack) && len(packs) < maxFindings {
			packs = append(packs, pack)
		}
	}
	found.BrokenPacks = packs
	a.after.tell(Event{NounRepository, string(j.Repository)})
	return a.tx.CheckedRepository(ctx, j.Repository, j.ID, &found, j.FinishedAt)
}
