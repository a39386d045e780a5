package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
)

// Session finds a browser's session, whether or not it still lives.
func (r reader) Session(ctx context.Context, secretHash string) (auth.Session, error) {
	session := auth.Session{SecretHash: secretHash}
	err := r.q.QueryRowContext(ctx, `
		SELECT s.created_at, s.last_seen_at, s.expires_at, s.address, s.browser, u.id, u.name, u.role, u.created_at
		FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.secret_hash = $1`, secretHash).
		Scan(instant{&session.CreatedAt}, instant{&session.LastSeenAt}, instant{&session.ExpiresAt}, &session.Address, &session.Browser,
			&session.User.ID, &session.User.Name, &session.User.Role, instant{&session.User.CreatedAt})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return auth.Session{}, fleet.NotFound("session", "")
	case err != nil:
		return auth.Session{}, fmt.Errorf("read session: %w", err)
	}
	return session, nil
}

// SignedInFrom tells whether a user has a session that was begun from address
// and has not reached its latest end.
func (r reader) SignedInFrom(ctx context.Context, userID, address string, now time.Time) (bool, error) {
	var count int
	err := r.q.QueryRowContext(ctx, "SELECT count(*) FROM sessions WHERE user_id = $1 AND address = $2 AND expires_at > $3",
		userID, address, millis(now)).Scan(&count)
	if err != nil {
		return false, fmt.Errorf("look for sessions of an address: %w", err)
	}
	return count > 0, nil
}

// CountSessions counts a user's sessions that live.
func (r reader) CountSessions(ctx context.Context, userID string, now time.Time) (count int, err error) {
	err = r.q.QueryRowContext(ctx, "SELECT count(*) FROM sessions WHERE user_id = $1 AND expires_at > $2 AND last_seen_at > $3",
		userID, millis(now), millis(now.Add(-auth.SessionIdle))).Scan(&count)
	if err != nil {
		return 0, fmt.Errorf("count sessions: %w", err)
	}
	return count, nil
}

// AddSession adds a session.
func (t *Tx) AddSession(ctx context.Context, session auth.Session) error {
	err := t.exec(ctx, `INSERT INTO sessions (secret_hash, user_id, created_at, last_seen_at, expires_at, address, browser)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, session.SecretHash, session.User.ID, millis(session.CreatedAt),
		millis(session.LastSeenAt), millis(session.ExpiresAt), session.Address, plain(session.Browser))
	if err != nil {
		return fmt.Errorf("add session: %w", err)
	}
	return nil
}

// TouchSession notes a request of a session.
func (t *Tx) TouchSession(ctx context.Context, secretHash string, at time.Time) error {
	if err := t.exec(ctx, "UPDATE sessions SET last_seen_at = $1 WHERE secret_hash = $2", millis(at), secretHash); err != nil {
		return fmt.Errorf("touch session: %w", err)
	}
	return nil
}

// EndSession removes a session and tells whether there was one.
func (t *Tx) EndSession(ctx context.Context, secretHash string) (bool, error) {
	met, err := t.changed(ctx, "DELETE FROM sessions WHERE secret_hash = $1", secretHash)
	if err != nil {
		return false, fmt.Errorf("end session: %w", err)
	}
	return met == 1, nil
}

// EndOtherSessions removes a user's sessions but the one to keep, and tells how
// many there were.
func (t *Tx) EndOtherSessions(ctx context.Context, userID, keepHash string) (int64, error) {
	met, err := t.changed(ctx, "DELETE FROM sessions WHERE user_id = $1 AND secret_hash <> $2", userID, keepHash)
	if err != nil {
		return 0, fmt.Errorf("end other sessions: %w", err)
	}
	return met, nil
}

// ForgetSessions removes the sessions that are over.
func (t *Tx) ForgetSessions(ctx context.Context, now time.Time) error {
	err := t.exec(ctx, "DELETE FROM sessions WHERE expires_at <= $1 OR last_seen_at <= $2", millis(now), millis(now.Add(-auth.SessionIdle)))
	if err != nil {
		return fmt.Errorf("forget sessions: %w", err)
	}
	return nil
}
