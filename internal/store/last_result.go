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

// badFirst sorts results of backups so that the one that needs a person comes
// first; column names where the state is.
func badFirst(column string) string {
	return "CASE " + column + " WHEN 'failed' THEN 1 WHEN 'lost' THEN 2 WHEN '' THEN 3 WHEN 'warning' THEN 4 WHEN 'cancelled' THEN 5 ELSE 6 END"
}

// NoteBackup keeps the last result of a group on its row, when it is newer than
// what that holds or is about the same job: then it corrects a guess. The host
// shows the worst of its groups, so that one good group hides no bad one.
func (t *Tx) NoteBackup(ctx context.Context, j fleet.Job) error {
	known, err := t.changed(ctx, `UPDATE source_groups SET last_job_id = $1, last_state = $2, last_ended_at = $3, last_error = $4
		WHERE id = $5 AND (last_ended_at <= $3 OR last_job_id = $1)`, j.ID, j.State, millis(j.FinishedAt), plain(j.Error), j.Group)
	if err != nil {
		return fmt.Errorf("note backup of source group: %w", err)
	}
	if j.State == job.Succeeded || j.State == job.Warning {
		for _, row := range []struct{ table, id string }{{"hosts", string(j.Host)}, {"source_groups", string(j.Group)}} {
			if err := t.exec(ctx, "UPDATE "+row.table+" SET last_backup_at = $1 WHERE id = $2 AND last_backup_at < $1", millis(j.FinishedAt), row.id); err != nil {
				return fmt.Errorf("note backup in %s: %w", row.table, err)
			}
		}
	}
	if known == 0 {
		return nil // an older result, or of a group that is gone
	}
	return t.showWorst(ctx, j.Host)
}

// showWorst puts the worst last result of a host's groups on the host's row; of
// equally bad ones the newest. Groups that never ran do not count.
func (t *Tx) showWorst(ctx context.Context, host job.HostID) error {
	var (
		id, state, text string
		ended           time.Time
	)
	err := t.tx.QueryRowContext(ctx, `SELECT last_job_id, last_state, last_ended_at, last_error FROM source_groups
		WHERE host_id = $1 AND last_state <> '' ORDER BY `+badFirst("last_state")+`, last_ended_at DESC LIMIT 1`, host).Scan(&id, &state, instant{&ended}, &text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read the results of a host's groups: %w", err)
	}
	if err := t.exec(ctx, "UPDATE hosts SET last_job_id = $1, last_backup_state = $2, last_ended_at = $3, last_error = $4 WHERE id = $5",
		id, state, millis(ended), text, host); err != nil {
		return fmt.Errorf("note backup of host: %w", err)
	}
	return nil
}
