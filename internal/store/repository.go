package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

const repositoryColumns = `r.id, r.name, r.url, r.host_id, r.storage_id, r.username, r.created_at, r.provisioned_at, r.ready_at,
	r.append_only, r.append_only_at, r.listed_at, r.checked_at, r.check_job, r.check_result, r.check_mib, r.counted_at, r.stats,
	(SELECT count(*) FROM snapshots s WHERE s.repository_id = r.id),
	coalesce((SELECT max(s.taken_at) FROM snapshots s WHERE s.repository_id = r.id), 0)`

func scanRepository(row scanner) (r fleet.Repository, err error) {
	err = row.Scan(&r.ID, &r.Name, &r.URL, &r.Host, &r.Storage, &r.User, instant{&r.CreatedAt}, instant{&r.ProvisionedAt}, instant{&r.ReadyAt},
		&r.AppendOnly, instant{&r.AppendOnlyAt}, instant{&r.ListedAt}, instant{&r.CheckedAt}, &r.CheckJob, encoded{&r.Check}, &r.CheckMiB, instant{&r.CountedAt}, encoded{&r.Stats}, &r.SnapshotCount, instant{&r.LatestAt})
	return r, err
}

// RepositoryFilter narrows a list of repositories; zero values do not narrow.
type RepositoryFilter struct {
	Host    job.HostID
	Storage job.HostID
	fleet.Page
}

// Repositories lists repositories, oldest first, and the cursor of the next page.
func (r reader) Repositories(ctx context.Context, f RepositoryFilter) ([]fleet.Repository, string, error) {
	var w where
	if f.Host != "" {
		w.add("r.host_id = ?", f.Host)
	}
	if f.Storage != "" {
		w.add("r.storage_id = ?", f.Storage)
	}
	if f.Cursor != "" {
		last, err := afterID(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		w.add("r.id > ?", last)
	}
	items, err := collect(ctx, r.q, scanRepository, "SELECT "+repositoryColumns+" FROM repositories r"+w.String()+" ORDER BY r.id"+w.limit(f.Size()+1), w.args...)
	if err != nil {
		return nil, "", fmt.Errorf("list repositories: %w", err)
	}
	items, next := cut(items, f.Size(), func(r fleet.Repository) string { return string(r.ID) })
	return items, next, nil
}

// UnsettledRepositories lists those of living storage agents that are not yet
// what they should be: not ready, or still with the user of a removed host.
func (r reader) UnsettledRepositories(ctx context.Context, limit int) ([]fleet.Repository, error) {
	items, err := collect(ctx, r.q, scanRepository, "SELECT "+repositoryColumns+` FROM repositories r JOIN hosts h ON h.id = r.host_id JOIN hosts s ON s.id = r.storage_id
		WHERE s.removed_at = 0 AND (h.removed_at = 0 AND r.ready_at = 0 OR h.removed_at > 0 AND r.provisioned_at > 0) ORDER BY r.id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("list unsettled repositories: %w", err)
	}
	return items, nil
}

// Repository returns one repository.
func (r reader) Repository(ctx context.Context, id job.RepositoryID) (fleet.Repository, error) {
	repository, err := scanRepository(r.q.QueryRowContext(ctx, "SELECT "+repositoryColumns+" FROM repositories r WHERE r.id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return repository, fleet.NotFound("repository", string(id))
	}
	if err != nil {
		return repository, fmt.Errorf("read repository: %w", err)
	}
	return repository, nil
}

// SealedRepository returns the sealed secrets of a repository.
func (r reader) SealedRepository(ctx context.Context, id job.RepositoryID) (sealed []byte, err error) {
	if err := r.q.QueryRowContext(ctx, "SELECT sealed FROM repositories WHERE id = $1", id).Scan(binary{&sealed}); err != nil {
		return nil, fmt.Errorf("read secrets of repository %s: %w", id, err)
	}
	return sealed, nil
}

// InsertRepository adds a repository with its sealed secrets.
func (t *Tx) InsertRepository(ctx context.Context, r fleet.Repository, sealed []byte) error {
	err := t.exec(ctx, `INSERT INTO repositories (id, name, url, host_id, storage_id, username, sealed, created_at, provisioned_at, ready_at,
		append_only, append_only_at, listed_at, checked_at, check_job, check_result, check_mib, counted_at, stats)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, 0, '', '', 0, 0, '')`,
		r.ID, r.Name, r.URL, r.Host, r.Storage, r.User, encodeBytes(sealed), millis(r.CreatedAt), millis(r.ProvisionedAt), millis(r.ReadyAt), false)
	if err != nil {
		return fmt.Errorf("add repository: %w", err)
	}
	return nil
}

// ProvisionedRepository notes since when the repository's user exists; the zero
// time is "not any more".
func (t *Tx) ProvisionedRepository(ctx context.Context, id job.RepositoryID, now time.Time) error {
	return t.touchRepository(ctx, "provisioned_at", id, now)
}

// ReadyRepository notes that the repository itself exists.
func (t *Tx) ReadyRepository(ctx context.Context, id job.RepositoryID, now time.Time) error {
	return t.touchRepository(ctx, "ready_at", id, now)
}

// ListedRepository notes when all snapshots were last listed.
func (t *Tx) ListedRepository(ctx context.Context, id job.RepositoryID, now time.Time) error {
	return t.touchRepository(ctx, "listed_at", id, now)
}

// CheckedRepository notes what a check found.
func (t *Tx) CheckedRepository(ctx context.Context, id job.RepositoryID, check job.ID, found *job.CheckResult, now time.Time) error {
	if err := t.exec(ctx, "UPDATE repositories SET checked_at = $1, check_job = $2, check_result = $3 WHERE id = $4", millis(now), check, plain(encode(found)), id); err != nil {
		return fmt.Errorf("note the check of repository %s: %w", id, err)
	}
	return nil
}

// PaceChecks sets how much the next check of a repository reads.
func (t *Tx) PaceChecks(ctx context.Context, id job.RepositoryID, mib int64) error {
	if err := t.exec(ctx, "UPDATE repositories SET check_mib = $1 WHERE id = $2", mib, id); err != nil {
		return fmt.Errorf("pace the checks of repository %s: %w", id, err)
	}
	return nil
}

// CountedRepository notes what a count came to.
func (t *Tx) CountedRepository(ctx context.Context, id job.RepositoryID, stats *job.StatsResult, now time.Time) error {
	if err := t.exec(ctx, "UPDATE repositories SET counted_at = $1, stats = $2 WHERE id = $3", millis(now), plain(encode(stats)), id); err != nil {
		return fmt.Errorf("note the count of repository %s: %w", id, err)
	}
	return nil
}

func (t *Tx) touchRepository(ctx context.Context, column string, id job.RepositoryID, now time.Time) error {
	if err := t.exec(ctx, "UPDATE repositories SET "+column+" = $1 WHERE id = $2", millis(now), id); err != nil {
		return fmt.Errorf("set %s of repository %s: %w", column, id, err)
	}
	return nil
}

// ProvedRepository notes what the harmless test for append-only found.
func (t *Tx) ProvedRepository(ctx context.Context, id job.RepositoryID, host job.HostID, appendOnly bool, now time.Time) (bool, error) {
	n, err := t.changed(ctx, "UPDATE repositories SET append_only = $1, append_only_at = $2 WHERE id = $3 AND host_id = $4", appendOnly, millis(now), id, host)
	if err != nil {
		return false, fmt.Errorf("note proof of repository %s: %w", id, err)
	}
	return n == 1, nil
}
