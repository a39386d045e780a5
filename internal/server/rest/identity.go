package rest

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

type identityKey struct{}

// identityOf is who asks, as guard found out.
func identityOf(ctx context.Context) auth.Identity {
	who, _ := ctx.Value(identityKey{}).(auth.Identity)
	return who
}

// guard lets through only who may take the route. It stands before anything of
// the body is read.
func (a *API) guard(route Route) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		who, err := a.admit(r, route)
		if err != nil {
			a.write(w, a.problem(r.Context(), err))
			return
		}
		next(huma.WithValue(ctx, identityKey{}, who))
	}
}

func (a *API) admit(r *http.Request, route Route) (auth.Identity, error) {
	who, byCookie, err := a.identify(r)
	if err != nil {
		return auth.Identity{}, err
	}
	if !who.Allows(route.Permission) {
		return auth.Identity{}, fleet.Forbidden("The role %s does not allow this; it takes the permission %s.", who.Role, route.Permission)
	}
	if byCookie {
		if err := a.CrossOrigin.Check(r); err != nil {
			return auth.Identity{}, fleet.Forbidden("Another site sent this request. Changes are taken only from our own pages, or with an API token.")
		}
	}
	return who, nil
}

// identify finds out who asks: by a bearer token or, without one, by the session
// of a browser. A bearer token that is not good is never overlooked.
func (a *API) identify(r *http.Request) (who auth.Identity, byCookie bool, err error) {
	address := a.PeerAddress(r)
	if header := r.Header.Get("Authorization"); header != "" {
		who, err = a.Control.IdentityOfToken(r.Context(), bearer(header), address)
		return who, false, err
	}
	secret := control.SessionSecret(r, a.Secure(r))
	if secret == "" {
		return auth.Identity{}, false, auth.ErrUnauthenticated
	}
	session, err := a.Control.SessionOf(r.Context(), secret)
	if err != nil {
		return auth.Identity{}, false, err
	}
	return session.User.Identity(address), true, nil
}

// bearer is the token in an Authorization header, "" when it is of another
// scheme.
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
