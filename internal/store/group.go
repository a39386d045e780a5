package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

const groupColumns = `id, host_id, name, repository_id, includes, excludes, options, retention, created_at, updated_at,
	last_job_id, last_state, last_ended_at, last_backup_at, last_error`

func scanGroup(row scanner) (g fleet.SourceGroup, err error) {
	err = row.Scan(&g.ID, &g.Host, &g.Name, &g.Repository, encoded{&g.Includes}, encoded{&g.Excludes}, encoded{&g.Options}, encoded{&g.Retention},
		instant{&g.CreatedAt}, instant{&g.UpdatedAt}, &g.LastJobID, &g.LastState, instant{&g.LastEndedAt}, instant{&g.LastBackupAt}, &g.LastError)
	return g, err
}

// Groups lists the source groups of a host by name.
func (r reader) Groups(ctx context.Context, host job.HostID) ([]fleet.SourceGroup, error) {
	items, err := collect(ctx, r.q, scanGroup, "SELECT "+groupColumns+" FROM source_groups WHERE host_id = $1 ORDER BY lower(name)", host)
	if err != nil {
		return nil, fmt.Errorf("list source groups: %w", err)
	}
	return items, nil
}

// Group returns one source group.
func (r reader) Group(ctx context.Context, id job.GroupID) (fleet.SourceGroup, error) {
	g, err := scanGroup(r.q.QueryRowContext(ctx, "SELECT "+groupColumns+" FROM source_groups WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return g, fleet.NotFound("source group", string(id))
	}
	if err != nil {
		return g, fmt.Errorf("read source group: %w", err)
	}
	return g, nil
}

// InsertGroup adds a source group.
func (t *Tx) InsertGroup(ctx context.Context, g fleet.SourceGroup) error {
	err := t.exec(ctx, `INSERT INTO source_groups (id, host_id, name, repository_id, includes, excludes, options, retention, created_at, updated_at,
		last_job_id, last_state, last_ended_at, last_backup_at, last_error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', '', 0, 0, '')`,
		g.ID, g.Host, g.Name, g.Repository, encode(g.Includes), encode(g.Excludes), encode(g.Options), encode(g.Retention), millis(g.CreatedAt), millis(g.UpdatedAt))
	return t.groupError("add source group", g.Name, err)
}

// UpdateGroup writes what a person may change.
func (t *Tx) UpdateGroup(ctx context.Context, g fleet.SourceGroup) error {
	err := t.exec(ctx, `UPDATE source_groups SET name = $1, repository_id = $2, includes = $3, excludes = $4, options = $5, retention = $6, updated_at = $7
		WHERE id = $8`, g.Name, g.Repository, encode(g.Includes), encode(g.Excludes), encode(g.Options), encode(g.Retention), millis(g.UpdatedAt), g.ID)
	return t.groupError("change source group", g.Name, err)
}

func (t *Tx) groupError(doing, name string, err error) error {
	if t.engine.uniqueViolation(err) {
		return fleet.Conflict("This host has a source group named %q already. Choose another name.", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// DeleteGroup removes a source group; its jobs and snapshots stay.
func (t *Tx) DeleteGroup(ctx context.Context, g fleet.SourceGroup) error {
	if err := t.exec(ctx, "DELETE FROM source_groups WHERE id = $1", g.ID); err != nil {
		return fmt.Errorf("remove source group: %w", err)
	}
	return t.showWorst(ctx, g.Host)
}
