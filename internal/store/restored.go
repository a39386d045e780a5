package store

import (
	"context"
	"fmt"
	"time"
)

// Void makes worthless what may have been spent or withdrawn after a copy of this
// database was made: enrolment tokens that nobody has used here, and the sessions
// of browsers.
func (t *Tx) Void(ctx context.Context, now time.Time) error {
	if err := t.exec(ctx, "UPDATE enrollment_tokens SET expires_at = $1, sealed = '' WHERE used_at = 0 AND expires_at > $1", millis(now)); err != nil {
		return fmt.Errorf("void enrolment tokens: %w", err)
	}
	if err := t.exec(ctx, "DELETE FROM sessions"); err != nil {
		return fmt.Errorf("end all sessions: %w", err)
	}
	return nil
}
