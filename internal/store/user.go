package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
)

// Users counts the accounts.
func (r reader) Users(ctx context.Context) (count int, err error) {
	if err := r.q.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&count); err != nil {
		return 0, fmt.Errorf("count users: %w", err)
	}
	return count, nil
}

// UserByName finds a user, without regard to case, with the hash of the
// password.
func (r reader) UserByName(ctx context.Context, name string) (user auth.User, passwordHash string, err error) {
	return r.user(ctx, name, "lower(name) = lower($1)")
}

// User finds a user by id, with the hash of the password.
func (r reader) User(ctx context.Context, id string) (user auth.User, passwordHash string, err error) {
	return r.user(ctx, id, "id = $1")
}

func (r reader) user(ctx context.Context, key, condition string) (user auth.User, passwordHash string, err error) {
	err = r.q.QueryRowContext(ctx, "SELECT id, name, role, password_hash, created_at FROM users WHERE "+condition, plain(key)).
		Scan(&user.ID, &user.Name, &user.Role, &passwordHash, instant{&user.CreatedAt})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return auth.User{}, "", fleet.NotFound("user", key)
	case err != nil:
		return auth.User{}, "", fmt.Errorf("read user: %w", err)
	}
	return user, passwordHash, nil
}

// AddUser adds a user whose name nobody has.
func (t *Tx) AddUser(ctx context.Context, user auth.User, passwordHash string) error {
	err := t.exec(ctx, "INSERT INTO users (id, name, role, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
		user.ID, user.Name, user.Role, passwordHash, millis(user.CreatedAt))
	switch {
	case t.engine.uniqueViolation(err):
		return fleet.Conflict("There is a user %q already.", user.Name)
	case err != nil:
		return fmt.Errorf("add user: %w", err)
	}
	return nil
}

// SetPasswordHash replaces the hash of a user's password.
func (t *Tx) SetPasswordHash(ctx context.Context, id, passwordHash string) error {
	met, err := t.changed(ctx, "UPDATE users SET password_hash = $1 WHERE id = $2", passwordHash, id)
	switch {
	case err != nil:
		return fmt.Errorf("set password: %w", err)
	case met == 0:
		return fleet.NotFound("user", id)
	}
	return nil
}
