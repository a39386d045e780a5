package control

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// A check holds the exclusive lock, and backups wait for it. So it reads as much as
// it can in as long as it has, and ends before a backup gives up, which by default
// waits fleet.DefaultRetryLockMinutes.
const (
	checkBudget = 20 * time.Minute
	checkMost   = 25 * time.Minute
	// checkWait is how long it waits for a lock itself.
	checkWait = 15 * time.Minute
	// checkFirstMiB is what it reads as long as neither speed nor size is known.
	checkFirstMiB = 1024
	// maxChecksAnHour bounds how often one that was cut off is asked for again.
	maxChecksAnHour = 4
	// checkAllMost is how long one may take that reads all.
	checkAllMost = 24 * time.Hour
)

// checkOf orders a check of a repository.
func checkOf(r fleet.Repository, all bool) job.CheckSpec {
	spec := job.CheckSpec{Repository: r.ID, ReadAll: all, RetryLockSeconds: int(checkWait.Seconds())}
	if all {
		spec.MostSeconds = int(checkAllMost.Seconds())
		return spec
	}
	spec.MostSeconds, spec.ReadMiB = int(checkMost.Seconds()), r.CheckMiB
	if spec.ReadMiB < 1 {
		spec.ReadMiB = checkFirstMiB
	}
	return spec
}

// paceOf is how much the next check is to read after one that has read as much as
// spec says in some seconds; 0 seconds is that its time was too short. stored is the
// size of the repository in MiB, which bounds what was truly read; 0 is not known.
func paceOf(spec job.CheckSpec, seconds float64, stored int64) int64 {
	if seconds <= 0 {
		return max(1, spec.ReadMiB/4)
	}
	if stored <= 0 {
		return min(spec.ReadMiB, checkFirstMiB)
	}
	read := min(spec.ReadMiB, stored)
	if spec.ReadAll {
		read = stored
	}
	inBudget := int64(float64(read) / max(seconds, 1) * checkBudget.Seconds())
	// Twice as much at most: what was so fast may have been cached.
	return max(1, min(inBudget, 2*max(read, 1), stored))
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

// checkEnded notes what a check found, if it came to a result, and how much the
// next one reads.
func (a *applier) checkEnded(ctx context.Context, j fleet.Job, body *api.Ended) error {
	repository, err := a.tx.Repository(ctx, j.Repository)
	if err != nil {
		return ignoreNotFound(err)
	}
	var spec job.CheckSpec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return reject("job %s has a spec that can't be read", j.ID)
	}
	var stored int64
	if repository.Stats != nil {
		stored = 1 + repository.Stats.StoredBytes>>20
	}
	if j.State == job.Lost && repository.Storage == j.Host {
		// The lock that it may have left is removed by the next one alone: a storage
		// agent keeps nothing that opens the repository.
		recent, err := a.tx.CountRecent(ctx, repository.ID, job.Check, a.c.now().Add(-time.Hour))
		if err != nil || recent >= maxChecksAnHour {
			return err
		}
		a.after.pokes = append(a.after.pokes, j.Host)
		return a.c.storageJob(ctx, a.tx, repository, &spec)
	}
	if body.Summary == nil || body.Summary.Check == nil {
		if body.Cause != job.CauseTimeout || spec.ReadAll {
			return nil
		}
		return a.tx.PaceChecks(ctx, repository.ID, paceOf(spec, 0, stored))
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
	if err := a.tx.PaceChecks(ctx, repository.ID, paceOf(spec, found.Seconds, stored)); err != nil {
		return err
	}
	return a.tx.CheckedRepository(ctx, j.Repository, j.ID, &found, j.FinishedAt)
}
