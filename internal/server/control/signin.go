package control

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Peer is where a request comes from.
type Peer struct {
	Address string // without port
	Browser string // as it calls itself; "" for programs
}

// Credentials are what a person types to sign in.
type Credentials struct {
	Name     string
	Password crypto.Text
}

// sessionSecretBytes is the size of the random secret in a session's cookie.
const sessionSecretBytes = 32

// maxBrowser bounds what is kept of a browser's own description, in bytes.
const maxBrowser = 200

// SignIn begins a session. Its secret is for the browser's cookie alone. What
// can go wrong for the person is auth.ErrUnauthenticated or *auth.Throttled.
func (c *Control) SignIn(ctx context.Context, who Credentials, peer Peer) (crypto.Text, auth.Session, error) {
	user, hash, err := c.store.UserByName(ctx, who.Name)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return crypto.Text{}, auth.Session{}, err
	}
	proved, err := c.provePassword(ctx, user, hash, who, peer)
	if err != nil {
		return crypto.Text{}, auth.Session{}, err
	}
	return c.beginSession(ctx, user, peer, func(tx *store.Tx) error {
		_, current, err := tx.User(ctx, user.ID)
		if err == nil && current != hash {
			return errWrongPassword // it was changed meanwhile
		}
		return errors.Join(err, proved(tx))
	})
}

var errWrongPassword = &fleet.Problem{Meaning: auth.ErrUnauthenticated, Sentence: "The name or the password is wrong."}

// provePassword counts an attempt and tells whether the password is right. The
// returned step belongs into the transaction of what the proof is for. user and
// hash are zero for a name without a user; that takes as long.
func (c *Control) provePassword(ctx context.Context, user auth.User, hash string, who Credentials, peer Peer) (func(*store.Tx) error, error) {
	familiar := false
	if user.ID != "" {
		var err error
		if familiar, err = c.store.SignedInFrom(ctx, user.ID, peer.Address, c.now()); err != nil {
			return nil, err
		}
	}
	attempt := auth.NewAttempt(who.Name, peer.Address, familiar)
	notable, err := c.countAttempt(ctx, attempt)
	if err != nil {
		return nil, err
	}
	right, err := c.hasher.Verify(ctx, hash, who.Password.Reveal())
	if err != nil {
		return nil, err
	}
	if right {
		return c.forgiveAttempt(ctx, attempt), nil
	}
	if notable {
		// What was typed as a name that no user has may be a password: it is not kept.
		if err := c.store.Write(ctx, func(tx *store.Tx) error {
			return c.audit(ctx, tx, stranger(peer), "session.refused", "user", user.ID, nil)
		}); err != nil {
			return nil, err
		}
	}
	return nil, errWrongPassword
}

// countAttempt counts an attempt as failed before anything of it is looked at,
// so that many at once can't all slip through. notable says that its failure
// deserves an audit entry.
func (c *Control) countAttempt(ctx context.Context, attempt auth.Attempt) (notable bool, err error) {
	now := c.now()
	err = c.store.Write(ctx, func(tx *store.Tx) error {
		rows, err := tx.Throttles(ctx, attempt.Subjects())
		if err != nil {
			return err
		}
		if wait := attempt.Wait(rows, now); wait > 0 {
			return &auth.Throttled{Wait: wait}
		}
		var failed []auth.Throttle
		failed, notable = attempt.Fail(rows, now)
		return tx.SetThrottles(ctx, failed)
	})
	return notable, err
}

// forgiveAttempt takes back what countAttempt counted.
func (c *Control) forgiveAttempt(ctx context.Context, attempt auth.Attempt) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		rows, err := tx.Throttles(ctx, attempt.Subjects())
		if err != nil {
			return err
		}
		return tx.SetThrottles(ctx, attempt.Succeed(rows))
	}
}

// beginSession runs first and begins a session in one transaction.
func (c *Control) beginSession(ctx context.Context, user auth.User, peer Peer, first func(*store.Tx) error) (crypto.Text, auth.Session, error) {
	now := c.now()
	secret := crypto.NewSecret(sessionSecretBytes)
	session := auth.Session{
		SecretHash: crypto.HashSecret(secret), User: user,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(auth.SessionLife),
		Address: peer.Address, Browser: peer.Browser[:min(len(peer.Browser), maxBrowser)],
	}
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := first(tx); err != nil {
			return err
		}
		if err := tx.AddSession(ctx, session); err != nil {
			return err
		}
		return c.audit(ctx, tx, user.Identity(peer.Address), "session.created", "user", user.ID, nil)
	})
	if err != nil {
		return crypto.Text{}, auth.Session{}, err
	}
	return crypto.NewText(secret), session, nil
}

// SignOut ends a session.
func (c *Control) SignOut(ctx context.Context, session auth.Session, address string) error {
	return c.store.Write(ctx, func(tx *store.Tx) error {
		ended, err := tx.EndSession(ctx, session.SecretHash)
		if err != nil || !ended {
			return err
		}
		return c.audit(ctx, tx, session.User.Identity(address), "session.ended", "user", session.User.ID, nil)
	})
}

// SessionOf finds the live session of a cookie's secret; anything else is
// auth.ErrUnauthenticated.
func (c *Control) SessionOf(ctx context.Context, secret string) (auth.Session, error) {
	session, err := c.store.Session(ctx, crypto.HashSecret(secret))
	now := c.now()
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return auth.Session{}, auth.ErrUnauthenticated
	case err != nil:
		return auth.Session{}, err
	case !session.Live(now):
		return auth.Session{}, auth.ErrUnauthenticated
	}
	if stale(session.LastSeenAt, now) {
		c.touch(ctx, "session", func(tx *store.Tx) error { return tx.TouchSession(ctx, session.SecretHash, now) })
		session.LastSeenAt = now
	}
	return session, nil
}

// stale tells whether a time of last use is old enough to be written again.
func stale(last, now time.Time) bool { return now.Sub(last) >= auth.SessionTouch }

// touch writes a time of last use. Reading must go on when the disk is full, so
// a failure is logged only.
func (c *Control) touch(ctx context.Context, noun string, change func(*store.Tx) error) {
	if err := c.store.Write(ctx, change); err != nil {
		c.log.WarnContext(ctx, "time of last use not written", "noun", noun, "error", err)
	}
}

// NewPassword is what a person types to change the password.
type NewPassword struct{ Old, New crypto.Text }

// ChangePassword replaces the password of the session's user and ends all other
// sessions of that user.
func (c *Control) ChangePassword(ctx context.Context, session auth.Session, change NewPassword, peer Peer) error {
	var invalid fleet.Invalid
	if sentence := auth.CheckPassword(session.User.Name, change.New.Reveal()); sentence != "" {
		invalid.Add("new_password", "%s", sentence)
		return invalid.Err()
	}
	user, hash, err := c.store.User(ctx, session.User.ID)
	if err != nil {
		return err
	}
	proved, err := c.provePassword(ctx, user, hash, Credentials{user.Name, change.Old}, peer)
	if errors.Is(err, auth.ErrUnauthenticated) {
		invalid.Add("old_password", "This is not the present password.")
		return invalid.Err()
	}
	if err != nil {
		return err
	}
	replacement, err := c.hasher.Hash(ctx, change.New.Reveal())
	if err != nil {
		return err
	}
	return c.store.Write(ctx, func(tx *store.Tx) error {
		if err := proved(tx); err != nil {
			return err
		}
		if err := tx.SetPasswordHash(ctx, user.ID, replacement); err != nil {
			return err
		}
		ended, err := tx.EndOtherSessions(ctx, user.ID, session.SecretHash)
		if err != nil {
			return err
		}
		return c.audit(ctx, tx, user.Identity(peer.Address), "user.password_changed", "user", user.ID, sessionsEnded{ended})
	})
}

// EndOtherSessions ends all sessions of the session's user but that one.
func (c *Control) EndOtherSessions(ctx context.Context, session auth.Session, address string) error {
	return c.store.Write(ctx, func(tx *store.Tx) error {
		ended, err := tx.EndOtherSessions(ctx, session.User.ID, session.SecretHash)
		if err != nil || ended == 0 {
			return err
		}
		return c.audit(ctx, tx, session.User.Identity(address), "session.others_ended", "user", session.User.ID, sessionsEnded{ended})
	})
}

// sessionsEnded is the detail of what ended sessions of a user.
type sessionsEnded struct {
	Number int64 `json:"sessions_ended"`
}

// ForgetSignIns removes sessions that are over and failures that no longer
// matter.
func (c *Control) ForgetSignIns(ctx context.Context) error {
	now := c.now()
	return c.store.Write(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.ForgetSessions(ctx, now), tx.ForgetThrottles(ctx, now))
	})
}

// stranger stands in audit entries for whoever did not prove to be anybody.
func stranger(peer Peer) auth.Identity {
	return auth.Identity{Kind: auth.ByUser, Name: "(not signed in)", Address: peer.Address}
}
