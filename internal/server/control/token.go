package control

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// apiTokenPrefix lets people and secret scanners see what a token is.
const apiTokenPrefix = "rm_"

// NewAPIToken describes an API token to be.
type NewAPIToken struct {
	Name      string
	Role      auth.Role // not above that of who makes it
	ExpiresAt time.Time // zero: never
}

// CreateAPIToken makes an API token. Its secret is returned this once.
func (c *Control) CreateAPIToken(ctx context.Context, who auth.Identity, wanted NewAPIToken) (crypto.Text, auth.APIToken, error) {
	if err := require(who, auth.TokensWrite); err != nil {
		return crypto.Text{}, auth.APIToken{}, err
	}
	now := c.now()
	var invalid fleet.Invalid
	if sentence := auth.CheckTokenName(wanted.Name); sentence != "" {
		invalid.Add("name", "%s", sentence)
	}
	switch {
	case !wanted.Role.Valid():
		invalid.Add("role", "A role is viewer, operator or admin.")
	case !who.Role.Covers(wanted.Role):
		invalid.Add("role", "You can't give more than your own role, %s.", who.Role)
	}
	if !wanted.ExpiresAt.IsZero() && !wanted.ExpiresAt.After(now) {
		invalid.Add("expires_at", "This time is past already.")
	}
	if err := invalid.Err(); err != nil {
		return crypto.Text{}, auth.APIToken{}, err
	}
	secret := apiTokenPrefix + crypto.NewSecret(32)
	token := auth.APIToken{
		ID: job.NewULID(now), Name: wanted.Name, Role: wanted.Role,
		CreatedAt: now, CreatedBy: who.Label(), ExpiresAt: wanted.ExpiresAt,
	}
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.AddAPIToken(ctx, token, crypto.HashSecret(secret)); err != nil {
			return err
		}
		return c.auditChange(ctx, tx, who, "api_token.created", "api_token", token.ID, nil, detailOfToken(token))
	})
	if err != nil {
		return crypto.Text{}, auth.APIToken{}, err
	}
	return crypto.NewText(secret), token, nil
}

// tokenDetail is what the audit tells of an API token.
type tokenDetail struct {
	Name string    `json:"name"`
	Role auth.Role `json:"role"`
	// ExpiresAt is nil for never.
	ExpiresAt *time.Time `json:"expires_at"`
}

func detailOfToken(token auth.APIToken) tokenDetail {
	detail := tokenDetail{Name: token.Name, Role: token.Role}
	if !token.ExpiresAt.IsZero() {
		at := token.ExpiresAt.UTC()
		detail.ExpiresAt = &at
	}
	return detail
}

// RevokeAPIToken takes an API token away for ever.
func (c *Control) RevokeAPIToken(ctx context.Context, who auth.Identity, id string) error {
	if err := require(who, auth.TokensWrite); err != nil {
		return err
	}
	return c.store.Write(ctx, func(tx *store.Tx) error {
		token, err := tx.APIToken(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.RemoveAPIToken(ctx, id); err != nil {
			return err
		}
		return c.auditChange(ctx, tx, who, "api_token.revoked", "api_token", id, detailOfToken(token), nil)
	})
}

// IdentityOfToken finds out who shows a bearer token; anything but a live API
// token is auth.ErrUnauthenticated.
func (c *Control) IdentityOfToken(ctx context.Context, bearer, address string) (auth.Identity, error) {
	if !strings.HasPrefix(bearer, apiTokenPrefix) {
		return auth.Identity{}, auth.ErrUnauthenticated
	}
	token, err := c.store.APITokenBySecret(ctx, crypto.HashSecret(bearer))
	now := c.now()
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return auth.Identity{}, auth.ErrUnauthenticated
	case err != nil:
		return auth.Identity{}, err
	case !token.Live(now):
		return auth.Identity{}, auth.ErrUnauthenticated
	}
	if stale(token.LastUsedAt, now) {
		c.touch(ctx, "api_token", func(tx *store.Tx) error { return tx.TouchAPIToken(ctx, token.ID, now) })
	}
	return token.Identity(address), nil
}
