package rest

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// Me is who asks.
type Me struct {
	Kind auth.IdentityKind `json:"kind" enum:"user,token"`
	ID   string            `json:"id"`
	Name string            `json:"name"`
	Role auth.Role         `json:"role" enum:"viewer,operator,admin"`
}

func (a *API) me(_ context.Context, who auth.Identity, _ *struct{}) (*only[Me], error) {
	return &only[Me]{Me{who.Kind, who.ID, who.Name, who.Role}}, nil
}

// APIToken is an API token in JSON, without its secret.
type APIToken struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Role       auth.Role  `json:"role" enum:"viewer,operator,admin"`
	CreatedAt  *time.Time `json:"created_at"`
	CreatedBy  string     `json:"created_by"`
	ExpiresAt  *time.Time `json:"expires_at" doc:"Null: never."`
	LastUsedAt *time.Time `json:"last_used_at"`
}

func showAPIToken(t auth.APIToken) APIToken {
	return APIToken{t.ID, t.Name, t.Role, at(t.CreatedAt), t.CreatedBy, at(t.ExpiresAt), at(t.LastUsedAt)}
}

func (a *API) apiTokens(ctx context.Context, _ auth.Identity, in *Paged) (*list[APIToken], error) {
	tokens, next, err := a.Store.APITokens(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return listOf(tokens, next, showAPIToken), nil
}

type newAPITokenInput struct {
	Body struct {
		Name      string     `json:"name"`
		Role      auth.Role  `json:"role" enum:"viewer,operator,admin"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Without it the token never expires."`
	}
}

// NewAPIToken is an API token with its secret, which is shown this once.
type NewAPIToken struct {
	APIToken
	Token string `json:"token" doc:"Shown this once; the server keeps only a hash."`
}

func (a *API) createAPIToken(ctx context.Context, who auth.Identity, in *newAPITokenInput) (*only[NewAPIToken], error) {
	wanted := control.NewAPIToken{Name: in.Body.Name, Role: in.Body.Role}
	if in.Body.ExpiresAt != nil {
		wanted.ExpiresAt = *in.Body.ExpiresAt
	}
	secret, token, err := a.Control.CreateAPIToken(ctx, who, wanted)
	if err != nil {
		return nil, err
	}
	return &only[NewAPIToken]{NewAPIToken{showAPIToken(token), secret.Reveal()}}, nil
}

func (a *API) revokeAPIToken(ctx context.Context, who auth.Identity, in *ByID) (*nothing, error) {
	return &nothing{}, a.Control.RevokeAPIToken(ctx, who, in.ID)
}
