package control

import (
	"net/http"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
)

// The cookie of a session. With the prefix a browser takes it only over TLS, for
// this one host; without, as on plain loopback, it could be set by a neighbour.
const (
	cookieSecure = "__Host-rm_session"
	cookiePlain  = "rm_session"
)

// SessionCookie is the cookie that carries a session's secret. secure says that
// the browser speaks TLS to us or to the proxy in front.
func SessionCookie(secret crypto.Text, session auth.Session, secure bool) *http.Cookie {
	cookie := emptyCookie(secure)
	cookie.Value, cookie.Expires = secret.Reveal(), session.ExpiresAt
	return cookie
}

// NoSessionCookie takes the cookie away.
func NoSessionCookie(secure bool) *http.Cookie {
	cookie := emptyCookie(secure)
	cookie.MaxAge = -1
	return cookie
}

// SessionSecret is what the request's cookie carries, "" for none.
func SessionSecret(r *http.Request, secure bool) string {
	cookie, err := r.Cookie(emptyCookie(secure).Name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

func emptyCookie(secure bool) *http.Cookie {
	cookie := &http.Cookie{Name: cookiePlain, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode}
	if secure {
		cookie.Name = cookieSecure
	}
	return cookie
}
