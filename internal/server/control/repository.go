package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// makeRepository adds a repository that a storage agent has yet to make.
func (c *Control) makeRepository(ctx context.Context, tx *store.Tx, host, storage fleet.Host) (fleet.Repository, error) {
	now := c.now()
	user := userName(host.Name)
	r := fleet.Repository{ID: job.RepositoryID(job.NewULID(now)), Name: host.Name, Host: host.ID, Storage: storage.ID, User: user,
		URL: "rest:" + strings.TrimSuffix(storage.Storage.URL, "/") + "/" + user + "/", CreatedAt: now}
	secrets := fleet.RepositorySecrets{Password: crypto.NewText(crypto.NewSecret(24)), Key: crypto.NewText(crypto.NewSecret(32))}
	sealed, err := c.sealSecrets(repositoryBound(r.ID), secrets)
	if err != nil {
		return r, err
	}
	return r, tx.InsertRepository(ctx, r, sealed)
}

// bringRepository adds one that exists elsewhere; it counts as ready.
func (c *Control) bringRepository(ctx context.Context, tx *store.Tx, host fleet.Host, url, user string, secrets fleet.RepositorySecrets) (fleet.Repository, error) {
	now := c.now()
	r := fleet.Repository{ID: job.RepositoryID(job.NewULID(now)), Name: host.Name, Host: host.ID, User: user, URL: url, CreatedAt: now, ProvisionedAt: now, ReadyAt: now}
	sealed, err := c.sealSecrets(repositoryBound(r.ID), secrets)
	if err != nil {
		return r, err
	}
	return r, tx.InsertRepository(ctx, r, sealed)
}

// userName makes a rest-server user that says whose it is and was never used.
func userName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	safe = strings.Trim(safe, "-")
	if len(safe) > 40 {
		safe = safe[:40]
	}
	if safe == "" {
		safe = "host"
	}
	return safe + "-" + strings.ToLower(rand.Text()[:8])
}

// advanceRepository asks the storage agent of a repository for the next step
// towards what it should be, unless one is under way: first its user, then the
// repository itself; and no user any more once the host is gone.
func (c *Control) advanceRepository(ctx context.Context, tx *store.Tx, r fleet.Repository) error {
	if r.Storage == "" {
		return nil
	}
	host, err := tx.Host(ctx, r.Host)
	if err != nil {
		return err
	}
	switch gone := !host.RemovedAt.IsZero(); {
	case gone && !r.ProvisionedAt.IsZero():
		return c.storageJob(ctx, tx, r, &job.ProvisionSpec{Repository: r.ID, User: r.User, Remove: true})
	case gone, r.Ready():
		return nil
	case r.ProvisionedAt.IsZero():
		return c.storageJob(ctx, tx, r, &job.ProvisionSpec{Repository: r.ID, User: r.User})
	}
	return c.storageJob(ctx, tx, r, &job.InitSpec{Repository: r.ID, User: r.User})
}

// storageJob asks a repository's storage agent for spec, unless it is being
// asked for that already.
func (c *Control) storageJob(ctx context.Context, tx *store.Tx, r fleet.Repository, spec job.Spec) error {
	storage, err := tx.Host(ctx, r.Storage)
	if err != nil || !storage.RemovedAt.IsZero() {
		return err
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	wanted := fleet.Job{ID: job.NewID(c.now()), Host: r.Storage, Kind: spec.Kind(), State: job.Queued, Origin: job.BySystem,
		Repository: r.ID, Spec: raw, CreatedAt: c.now()}
	active, err := c.storageJobs(ctx, tx, r)
	if err != nil {
		return err
	}
	for _, j := range active {
		if j.Kind == spec.Kind() && removes(j) == removes(wanted) && j.CancelRequestedAt.IsZero() {
			return nil
		}
	}
	return tx.InsertJob(ctx, wanted)
}

// storageJobs lists what a repository's storage agent is being asked for it.
func (c *Control) storageJobs(ctx context.Context, tx *store.Tx, r fleet.Repository) ([]fleet.Job, error) {
	active, err := tx.ActiveJobs(ctx, r.Storage)
	return slices.DeleteFunc(active, func(j fleet.Job) bool { return j.Repository != r.ID }), err
}

// removes tells whether a job takes a user away.
func removes(j fleet.Job) bool {
	var spec job.ProvisionSpec
	return j.Kind == job.Provision && json.Unmarshal(j.Spec, &spec) == nil && spec.Remove
}

// maxStepsAnHour bounds how often one step is repeated at once; the hourly look
// at unsettled repositories goes on after that.
const maxStepsAnHour = 20

// storageJobEnded takes the next step after a storage agent's job has ended;
// pokes are the hosts to tell. One that was cut off is asked for again, since the
// agent holds no job-only secret to begin it anew; one that failed waits for a
// person, or for the hourly look.
func (c *Control) storageJobEnded(ctx context.Context, tx *store.Tx, j fleet.Job) (pokes []job.HostID, err error) {
	r, err := tx.Repository(ctx, j.Repository)
	if errors.Is(err, fleet.ErrNotFound) || err == nil && r.Storage != j.Host {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pokes = []job.HostID{r.Storage}
	switch now := c.now(); {
	case j.State == job.Lost, j.State == job.Cancelled && j.Cause != job.CauseOperator:
		recent, err := tx.CountRecent(ctx, r.ID, j.Kind, now.Add(-time.Hour))
		if err != nil || recent >= maxStepsAnHour {
			return nil, err
		}
	case j.State != job.Succeeded:
		return nil, nil
	case removes(j):
		return nil, tx.ProvisionedRepository(ctx, r.ID, time.Time{})
	case j.Kind == job.Provision:
		r.ProvisionedAt = now
		err = tx.ProvisionedRepository(ctx, r.ID, now)
	case j.Kind == job.Init:
		r.ReadyAt = now
		pokes = append(pokes, r.Host)
		err = tx.ReadyRepository(ctx, r.ID, now)
	}
	if err != nil {
		return nil, err
	}
	return pokes, c.advanceRepository(ctx, tx, r)
}

// dropUser takes the rest-server user of a removed host away. What is under way
// for it is stopped; the removal waits while the storage agent is offline.
func (c *Control) dropUser(ctx context.Context, tx *store.Tx, r fleet.Repository) error {
	active, err := c.storageJobs(ctx, tx, r)
	if err != nil {
		return err
	}
	for _, j := range active {
		if err := c.requestCancel(ctx, tx, j, job.CauseHostRemoved, "Its host was removed."); err != nil {
			return err
		}
	}
	return c.storageJob(ctx, tx, r, &job.ProvisionSpec{Repository: r.ID, User: r.User, Remove: true})
}

// RetryRepository tries again to make a repository what it should be.
func (c *Control) RetryRepository(ctx context.Context, who auth.Identity, id job.RepositoryID) error {
	if err := require(who, auth.RepositoriesWrite); err != nil {
		return err
	}
	var r fleet.Repository
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if r, err = tx.Repository(ctx, id); err != nil {
			return err
		}
		host, err := tx.Host(ctx, r.Host)
		if err != nil {
			return err
		}
		switch gone := !host.RemovedAt.IsZero(); {
		case gone && r.ProvisionedAt.IsZero(), !gone && r.Ready():
			return fleet.Conflict("The repository %s is as it should be; there is nothing to try again.", r.Name)
		case r.Storage == "":
			return fleet.Conflict("The repository %s was not made by a storage box; make it with restic init.", r.Name)
		}
		if err := tx.HoldHost(ctx, r.Storage); err != nil {
			return err
		}
		if err := c.advanceRepository(ctx, tx, r); err != nil {
			return err
		}
		return c.audit(ctx, tx, who, "repository.retried", NounRepository, string(id), nil)
	})
	if err != nil {
		return err
	}
	c.events.publish(Event{NounRepository, string(id)})
	c.hub.poke(r.Storage)
	return nil
}
