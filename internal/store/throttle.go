package store

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
)

// Throttles reads the counts of subjects and holds them until the transaction
// ends, so that attempts at the same time are counted one after the other. The
// order of subjects must be the same for all callers.
func (t *Tx) Throttles(ctx context.Context, subjects []string) (map[string]auth.Throttle, error) {
	rows := map[string]auth.Throttle{}
	for _, subject := range subjects {
		row := auth.Throttle{Subject: subject}
		// The update that changes nothing is the lock, on both engines.
		err := t.tx.QueryRowContext(ctx, `INSERT INTO throttles (subject, failures, last_at) VALUES ($1, 0, 0)
			ON CONFLICT (subject) DO UPDATE SET failures = throttles.failures RETURNING failures, last_at`, subject).
			Scan(&row.Failures, instant{&row.LastAt})
		if err != nil {
			return nil, fmt.Errorf("read throttle: %w", err)
		}
		rows[subject] = row
	}
	return rows, nil
}

// SetThrottles stores counts.
func (t *Tx) SetThrottles(ctx context.Context, rows []auth.Throttle) error {
	for _, row := range rows {
		err := t.exec(ctx, "UPDATE throttles SET failures = $1, last_at = $2 WHERE subject = $3", row.Failures, millis(row.LastAt), row.Subject)
		if err != nil {
			return fmt.Errorf("set throttle: %w", err)
		}
	}
	return nil
}

// ForgetThrottles removes the counts that no longer matter.
func (t *Tx) ForgetThrottles(ctx context.Context, now time.Time) error {
	err := t.exec(ctx, "DELETE FROM throttles WHERE failures = 0 OR last_at <= $1", millis(now.Add(-auth.ThrottleForget)))
	if err != nil {
		return fmt.Errorf("forget throttles: %w", err)
	}
	return nil
}
