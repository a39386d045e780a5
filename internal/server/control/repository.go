package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

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
	suffix := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(crypto.NewSecret(12)))
	return safe + "-" + suffix[:8]
}

// advanceRepository makes the next step that a repository of a storage agent
// needs, unless one is under way: first its user, then the repository itself.
// It is asked again whenever one of these ends.
func (c *Control) advanceRepository(ctx context.Context, tx *store.Tx, r fleet.Repository) error {
	if r.Storage == "" || r.Ready() {
		return nil
	}
	var spec job.Spec = &job.InitSpec{Repository: r.ID, User: r.User}
	if r.ProvisionedAt.IsZero() {
		spec = &job.ProvisionSpec{Repository: r.ID, User: r.User}
	}
	return c.storageJob(ctx, tx, r, spec)
}

// storageJob asks a repository's storage agent for spec, unless it is already
// doing something for that repository.
func (c *Control) storageJob(ctx context.Context, tx *store.Tx, r fleet.Repository, spec job.Spec) error {
	active, err := tx.ActiveJobs(ctx, r.Storage)
	if err != nil {
		return err
	}
	for _, j := range active {
		if j.Repository == r.ID && j.Kind == spec.Kind() {
			return nil
		}
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	return tx.InsertJob(ctx, fleet.Job{ID: job.NewID(c.now()), Host: r.Storage, Kind: spec.Kind(), State: job.Queued, Origin: job.BySystem,
		Repository: r.ID, Spec: raw, CreatedAt: c.now()})
}

// RetryRepository tries again to make a repository that is not ready.
func (c *Control) RetryRepository(ctx context.Context, who auth.Identity, id job.RepositoryID) error {
	if err := require(who, auth.RepositoriesWrite); err != nil {
		return err
	}
	var r fleet.Repository
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if r, err = tx.Repository(ctx, id); err != nil {
			return err
		}
		switch {
		case r.Ready():
			return fleet.Conflict("The repository %s is ready; there is nothing to try again.", r.Name)
		case r.Storage == "":
			return fleet.Conflict("The repository %s was not made by a storage box; make it with restic init.", r.Name)
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
