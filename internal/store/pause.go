package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

const selectPause = "SELECT id, scope, subject, until, reason, created_at, created_by FROM pauses"

func scanPause(row scanner) (p fleet.Pause, err error) {
	return p, row.Scan(&p.ID, &p.Scope, &p.Subject, instant{&p.Until}, &p.Reason, instant{&p.CreatedAt}, &p.CreatedBy)
}

// Pauses lists the pauses that have not ended, newest first.
func (r reader) Pauses(ctx context.Context, now time.Time) ([]fleet.Pause, error) {
	items, err := collect(ctx, r.q, scanPause, selectPause+" WHERE until > $1 ORDER BY id DESC", millis(now))
	if err != nil {
		return nil, fmt.Errorf("list pauses: %w", err)
	}
	return items, nil
}

// EndedPauses lists the pauses that ended after one instant and up to another,
// that one included.
func (r reader) EndedPauses(ctx context.Context, after, until time.Time) ([]fleet.Pause, error) {
	items, err := collect(ctx, r.q, scanPause, selectPause+" WHERE until > $1 AND until <= $2 ORDER BY id", millis(after), millis(until))
	if err != nil {
		return nil, fmt.Errorf("list ended pauses: %w", err)
	}
	return items, nil
}

// Pause returns one pause, also one that has ended.
func (r reader) Pause(ctx context.Context, id string) (fleet.Pause, error) {
	p, err := scanPause(r.q.QueryRowContext(ctx, selectPause+" WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return p, fleet.NotFound("pause", id)
	}
	if err != nil {
		return p, fmt.Errorf("read pause: %w", err)
	}
	return p, nil
}

// InsertPause adds a pause.
func (t *Tx) InsertPause(ctx context.Context, p fleet.Pause) error {
	err := t.exec(ctx, "INSERT INTO pauses (id, scope, subject, until, reason, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		p.ID, p.Scope, p.Subject, millis(p.Until), plain(p.Reason), millis(p.CreatedAt), p.CreatedBy)
	if err != nil {
		return fmt.Errorf("add pause: %w", err)
	}
	return nil
}

// EndPause ends a pause now; false means it has ended already.
func (t *Tx) EndPause(ctx context.Context, id string, now time.Time) (bool, error) {
	n, err := t.changed(ctx, "UPDATE pauses SET until = $1 WHERE id = $2 AND until > $1", millis(now), id)
	if err != nil {
		return false, fmt.Errorf("end pause: %w", err)
	}
	return n == 1, nil
}

// DropPauses removes pauses that ended before the given time.
func (t *Tx) DropPauses(ctx context.Context, before time.Time) error {
	if err := t.exec(ctx, "DELETE FROM pauses WHERE until < $1", millis(before)); err != nil {
		return fmt.Errorf("remove old pauses: %w", err)
	}
	return nil
}
