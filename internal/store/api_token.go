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

const apiTokenColumns = "id, name, role, created_at, created_by, expires_at, last_used_at"

func scanAPIToken(row scanner) (token auth.APIToken, err error) {
	err = row.Scan(&token.ID, &token.Name, &token.Role, instant{&token.CreatedAt}, &token.CreatedBy, instant{&token.ExpiresAt}, instant{&token.LastUsedAt})
	return token, err
}

// APITokens lists API tokens, newest first, and the cursor of the next page.
func (r reader) APITokens(ctx context.Context, page fleet.Page) ([]auth.APIToken, string, error) {
	var filter where
	if page.Cursor != "" {
		before, err := after(page.Cursor)
		if err != nil {
			return nil, "", err
		}
		filter.add("id < ?", plain(before))
	}
	query := "SELECT " + apiTokenColumns + " FROM api_tokens" + filter.String() + " ORDER BY id DESC" + filter.limit(page.Size()+1)
	tokens, err := collect(ctx, r.q, scanAPIToken, query, filter.args...)
	if err != nil {
		return nil, "", fmt.Errorf("list API tokens: %w", err)
	}
	tokens, next := cut(tokens, page.Size(), func(token auth.APIToken) string { return token.ID })
	return tokens, next, nil
}

// APITokenBySecret finds an API token by the hash of its secret, whether or not
// it still lives.
func (r reader) APITokenBySecret(ctx context.Context, secretHash string) (auth.APIToken, error) {
	return r.apiToken(ctx, "secret_hash = $1", secretHash, "")
}

// APIToken finds an API token by its id.
func (r reader) APIToken(ctx context.Context, id string) (auth.APIToken, error) {
	return r.apiToken(ctx, "id = $1", plain(id), id)
}

func (r reader) apiToken(ctx context.Context, condition, key, shown string) (auth.APIToken, error) {
	token, err := scanAPIToken(r.q.QueryRowContext(ctx, "SELECT "+apiTokenColumns+" FROM api_tokens WHERE "+condition, key))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return auth.APIToken{}, fleet.NotFound("API token", shown)
	case err != nil:
		return auth.APIToken{}, fmt.Errorf("read API token: %w", err)
	}
	return token, nil
}

// AddAPIToken adds an API token whose name no other has.
func (t *Tx) AddAPIToken(ctx context.Context, token auth.APIToken, secretHash string) error {
	err := t.exec(ctx, `INSERT INTO api_tokens (id, name, role, secret_hash, created_at, created_by, expires_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`, token.ID, token.Name, token.Role, secretHash,
		millis(token.CreatedAt), token.CreatedBy, millis(token.ExpiresAt))
	switch {
	case t.engine.uniqueViolation(err):
		return fleet.Conflict("There is an API token %q already; revoke it or choose another name.", token.Name)
	case err != nil:
		return fmt.Errorf("add API token: %w", err)
	}
	return nil
}

// TouchAPIToken notes that a token was used.
func (t *Tx) TouchAPIToken(ctx context.Context, id string, at time.Time) error {
	if err := t.exec(ctx, "UPDATE api_tokens SET last_used_at = $1 WHERE id = $2", millis(at), id); err != nil {
		return fmt.Errorf("touch API token: %w", err)
	}
	return nil
}

// RemoveAPIToken removes an API token.
func (t *Tx) RemoveAPIToken(ctx context.Context, id string) error {
	met, err := t.changed(ctx, "DELETE FROM api_tokens WHERE id = $1", plain(id))
	switch {
	case err != nil:
		return fmt.Errorf("remove API token: %w", err)
	case met == 0:
		return fleet.NotFound("API token", id)
	}
	return nil
}
