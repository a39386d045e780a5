package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Meta returns a value that there is one of in the whole database, "" when it
// was never set.
func (r reader) Meta(ctx context.Context, name string) (string, error) {
	var value string
	err := r.q.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = $1", name).Scan(&value)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read meta %s: %w", name, err)
	}
	return value, nil
}

// SetMeta sets such a value.
func (t *Tx) SetMeta(ctx context.Context, name, value string) error {
	err := t.exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	if err != nil {
		return fmt.Errorf("set meta %s: %w", name, err)
	}
	return nil
}

// TakeMeta removes such a value if it is the given one, and tells whether it was.
// Of several takers one succeeds.
func (t *Tx) TakeMeta(ctx context.Context, name, value string) (bool, error) {
	met, err := t.changed(ctx, "DELETE FROM meta WHERE name = $1 AND value = $2", name, value)
	if err != nil {
		return false, fmt.Errorf("take meta %s: %w", name, err)
	}
	return met == 1, nil
}
