package auth

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrUnauthenticated means that nobody is signed in, or that what was shown as a
// proof is not one (any more).
var ErrUnauthenticated = errors.New("not signed in")

// User is a person with an account.
type User struct {
	ID        string
	Name      string // unique, without regard to case
	Role      Role
	CreatedAt time.Time
}

// Identity is the user asking from address.
func (u User) Identity(address string) Identity {
	return Identity{Kind: ByUser, ID: u.ID, Name: u.Name, Role: u.Role, Address: address}
}

// How long a session lives.
const (
	SessionIdle = 7 * 24 * time.Hour  // without a request
	SessionLife = 30 * 24 * time.Hour // in all
	// SessionTouch is how exactly the last request is remembered.
	SessionTouch = time.Minute
)

// Session is one browser that is signed in. Its secret is only in the browser;
// the server keeps the hash.
type Session struct {
	SecretHash string
	User       User
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time // the latest possible end
	Address    string    // of the peer that signed in
	Browser    string    // as it called itself
}

// Live tells whether the session may still be used.
func (s Session) Live(now time.Time) bool {
	return now.Before(s.ExpiresAt) && now.Sub(s.LastSeenAt) < SessionIdle
}

// APIToken lets a program in. Its secret is shown once; the server keeps the
// hash. A token that is revoked is gone.
type APIToken struct {
	ID         string
	Name       string // unique, without regard to case
	Role       Role
	CreatedAt  time.Time
	CreatedBy  string    // label of who made it
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // zero: never; exact to a minute
}

// Live tells whether the token may still be used.
func (t APIToken) Live(now time.Time) bool {
	return t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt)
}

// Identity is the token asking from address.
func (t APIToken) Identity(address string) Identity {
	return Identity{Kind: ByToken, ID: t.ID, Name: t.Name, Role: t.Role, Address: address}
}

// maxName bounds names of users and API tokens, in bytes.
const maxName = 64

// CheckUserName says in one sentence what is wrong with a user's name; "" is
// nothing. There is no space in it, so that no user can be taken for "token x"
// or "agent x" in the audit.
func CheckUserName(name string) string {
	switch {
	case name == "":
		return "Give a name."
	case len(name) > maxName:
		return "A name has at most 64 bytes."
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }):
		return "A name has no spaces and no control characters."
	case strings.EqualFold(name, string(ByServer)):
		return "This name is the server's own; choose another."
	}
	return ""
}

// CheckTokenName says in one sentence what is wrong with an API token's name; ""
// is nothing.
func CheckTokenName(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "Give a name, such as what will use the token."
	case len(name) > maxName:
		return "A name has at most 64 bytes."
	case strings.TrimSpace(name) != name || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return "A name has no control characters and no space around it."
	}
	return ""
}
