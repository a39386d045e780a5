package control_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// accounts is a Control on a real store, for what concerns accounts only.
type accounts struct {
	*control.Control
	t     *testing.T
	store *store.Store
	log   *bytes.Buffer
	dir   string
}

// withAccounts runs test in a bubble, on a store that lives in it.
func withAccounts(t *testing.T, test func(*testing.T, *accounts)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := openAccounts(t, dir)
		test(t, a)
		a.Shutdown()
		if err := a.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func openAccounts(t *testing.T, dir string) *accounts {
	s, err := store.Open(t.Context(), filepath.Join(dir, "server.db"))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := crypto.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	return &accounts{control.New(control.Options{Store: s, Sealer: sealer, Identity: key, Log: slog.New(slog.NewTextHandler(log, nil))}), t, s, log, dir}
}

const right = "correct horse battery"

var home = control.Peer{Address: "192.0.2.1", Browser: "Firefox"}

// setUp makes the first user, ann, with her first session.
func (a *accounts) setUp() (secret string) {
	a.t.Helper()
	token, err := a.OpenSetup(a.t.Context(), a.setupFile())
	if err != nil {
		a.t.Fatal(err)
	}
	text, _, err := a.Setup(a.t.Context(), control.FirstUser{Token: token, Name: "ann", Password: crypto.NewText(right)}, home)
	if err != nil {
		a.t.Fatal(err)
	}
	return text.Reveal()
}

func (a *accounts) setupFile() string { return filepath.Join(a.dir, "setup-token") }

func (a *accounts) signIn(name, password string, from control.Peer) (string, error) {
	secret, _, err := a.SignIn(a.t.Context(), control.Credentials{Name: name, Password: crypto.NewText(password)}, from)
	return secret.Reveal(), err
}

// pass lets time go by in the bubble.
func pass(span time.Duration) { <-time.After(span) }

// alive checks whether a secret's session lives.
func (a *accounts) alive(what, secret string, want bool) auth.Session {
	a.t.Helper()
	session, err := a.SessionOf(a.t.Context(), secret)
	if want && err != nil || !want && !errors.Is(err, auth.ErrUnauthenticated) {
		a.t.Errorf("%s: session lives = %v, %v", what, err == nil, err)
	}
	return session
}

// audited lists the actions in the audit table, newest first, and their text.
func (a *accounts) audited() (actions []string, text string) {
	a.t.Helper()
	entries, _, err := a.store.AuditEntries(a.t.Context(), store.AuditFilter{Page: fleet.Page{Limit: 500}})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, entry := range entries {
		actions = append(actions, entry.Action)
		text += strings.Join([]string{entry.Actor, entry.Action, entry.Noun, entry.Subject, entry.Detail, entry.Address}, " ") + "\n"
	}
	return actions, text
}

func TestSessionLivesAsLongAsItIsUsed(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		secret := a.setUp()
		a.alive("at once", secret, true)
		a.alive("another secret", secret+"x", false)
		a.alive("no secret", "", false)
		for day := range 29 {
			pass(24 * time.Hour)
			a.alive("used daily, day "+time.Duration(day).String(), secret, true)
		}
		pass(24 * time.Hour)
		a.alive("used daily for 30 days", secret, false)

		secret, err := a.signIn("Ann", right, home)
		if err != nil {
			t.Fatal(err)
		}
		pass(auth.SessionIdle - time.Second)
		a.alive("just before it is idle too long", secret, true)
		pass(auth.SessionIdle)
		a.alive("idle too long", secret, false)
		if err := a.ForgetSignIns(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.store.Session(t.Context(), crypto.HashSecret(secret)); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("the dead session is still stored: %v", err)
		}
	})
}

func TestLastUseIsWrittenOnceAMinute(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		secret := a.setUp()
		seen := func() time.Time {
			session, err := a.store.Session(t.Context(), crypto.HashSecret(secret))
			if err != nil {
				t.Fatal(err)
			}
			return session.LastSeenAt
		}
		first := seen()
		pass(59 * time.Second)
		a.alive("before a minute", secret, true)
		if !seen().Equal(first) {
			t.Error("written before a minute was over")
		}
		pass(time.Second)
		a.alive("after a minute", secret, true)
		if got := seen().Sub(first); got != time.Minute {
			t.Errorf("last use is %s after the first", got)
		}
	})
}

func TestSignOutEndsTheSession(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		secret := a.setUp()
		session := a.alive("before", secret, true)
		for range 2 {
			if err := a.SignOut(t.Context(), session, home.Address); err != nil {
				t.Fatal(err)
			}
		}
		a.alive("after", secret, false)
		if actions, _ := a.audited(); strings.Join(actions, " ") != "session.ended session.created user.created" {
			t.Errorf("audit = %v", actions)
		}
	})
}

func TestWrongSignInsLookAlikeAndAreSlowedDown(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		a.setUp()
		for _, name := range []string{"ann", "nobody"} {
			for n := range 5 {
				if _, err := a.signIn(name, "wrong", control.Peer{Address: "203.0.113.9"}); !errors.Is(err, auth.ErrUnauthenticated) || err.Error() != "The name or the password is wrong." {
					t.Fatalf("attempt %d as %s = %v", n+1, name, err)
				}
			}
			_, err := a.signIn(name, "wrong", control.Peer{Address: "203.0.113.9"})
			throttled, ok := errors.AsType[*auth.Throttled](err)
			if !ok || throttled.Wait != time.Second {
				t.Fatalf("sixth attempt as %s = %v", name, err)
			}
		}
		if _, err := a.signIn("ann", right, control.Peer{Address: "203.0.113.9"}); !strings.Contains(err.Error(), "Try again in 1s") {
			t.Errorf("the right password while throttled = %v", err)
		}
		if _, err := a.signIn("ann", right, control.Peer{Address: "198.51.100.4"}); err != nil {
			t.Errorf("the owner elsewhere = %v", err)
		}
		pass(time.Second)
		if _, err := a.signIn("ann", right, control.Peer{Address: "203.0.113.9"}); err != nil {
			t.Errorf("after the wait = %v", err)
		}
		for range 5 {
			if _, err := a.signIn("ann", "wrong", control.Peer{Address: "203.0.113.9"}); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("after a success = %v", err)
			}
		}
	})
}

func TestManySignInsAtOnceAreCountedBeforeTheyAreChecked(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		a.setUp()
		var (
			wait              sync.WaitGroup
			mu                sync.Mutex
			checked, throttle int
		)
		for range 30 {
			wait.Go(func() {
				_, err := a.signIn("ann", "wrong", control.Peer{Address: "203.0.113.9"})
				mu.Lock()
				defer mu.Unlock()
				if _, ok := errors.AsType[*auth.Throttled](err); ok {
					throttle++
				} else if errors.Is(err, auth.ErrUnauthenticated) {
					checked++
				}
			})
		}
		wait.Wait()
		if checked != 5 || throttle != 25 {
			t.Errorf("%d passwords were checked and %d attempts refused", checked, throttle)
		}
	})
}

func TestAuditOfRefusalsIsBoundedAndHoldsNoName(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		a.setUp()
		for range 60 {
			_, err := a.signIn("my secret password", "wrong", control.Peer{Address: "203.0.113.9"})
			if throttled, ok := errors.AsType[*auth.Throttled](err); ok {
				pass(throttled.Wait)
			}
		}
		actions, text := a.audited()
		refused := strings.Count(strings.Join(actions, " "), "session.refused")
		if refused < 5 || refused > 10 {
			t.Errorf("%d refusals are in the audit", refused)
		}
		if strings.Contains(text, "secret password") || !strings.Contains(text, "(not signed in) session.refused user  ") || !strings.Contains(text, "203.0.113.9") {
			t.Errorf("audit:\n%s", text)
		}
	})
}

func TestNewPasswordEndsOtherSessions(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		secret := a.setUp()
		other, err := a.signIn("ann", right, control.Peer{Address: "198.51.100.4"})
		if err != nil {
			t.Fatal(err)
		}
		session := a.alive("mine", secret, true)
		change := func(old, fresh string) error {
			return a.ChangePassword(t.Context(), session, control.NewPassword{Old: crypto.NewText(old), New: crypto.NewText(fresh)}, home)
		}
		for _, row := range []struct{ old, fresh, field string }{
			{"wrong", "a new password of hers", "old_password"}, {right, "short", "new_password"}, {right, "ANN", "new_password"},
		} {
			invalid, ok := errors.AsType[*fleet.Invalid](change(row.old, row.fresh))
			if !ok || len(invalid.Fields) != 1 || invalid.Fields[0].Field != row.field {
				t.Errorf("from %q to %q: %v", row.old, row.fresh, invalid)
			}
		}
		a.alive("the other, before", other, true)
		if err := change(right, "a new password of hers"); err != nil {
			t.Fatal(err)
		}
		a.alive("mine, after", secret, true)
		a.alive("the other, after", other, false)
		if _, err := a.signIn("ann", right, home); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("the old password = %v", err)
		}
		if _, err := a.signIn("ann", "a new password of hers", home); err != nil {
			t.Errorf("the new password = %v", err)
		}
		if _, text := a.audited(); !strings.Contains(text, `ann user.password_changed user `) || !strings.Contains(text, `{"sessions_ended":1}`) || strings.Contains(text, "hers") {
			t.Errorf("audit:\n%s", text)
		}
	})
}

func TestSetupTakesTheTokenOnce(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		old, err := a.OpenSetup(t.Context(), a.setupFile())
		if err != nil {
			t.Fatal(err)
		}
		token, err := a.OpenSetup(t.Context(), a.setupFile()) // the next start
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(a.setupFile())
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("setup token file: %v, %v", info, err)
		}
		if text, err := os.ReadFile(a.setupFile()); err != nil || strings.TrimSpace(string(text)) != token.Reveal() {
			t.Errorf("file holds %q, %v", text, err)
		}
		setup := func(token crypto.Text, name, password string) error {
			_, _, err := a.Setup(t.Context(), control.FirstUser{Token: token, Name: name, Password: crypto.NewText(password)}, home)
			return err
		}
		for _, row := range []struct {
			token          crypto.Text
			name, password string
			field          string
		}{
			{old, "ann", right, "token"}, {crypto.Text{}, "ann", right, "token"},
			{token, "", right, "name"}, {token, "server", right, "name"}, {token, "ann", "short", "password"},
		} {
			invalid, ok := errors.AsType[*fleet.Invalid](setup(row.token, row.name, row.password))
			if !ok || invalid.Fields[0].Field != row.field {
				t.Errorf("setup as %q = %v", row.name, invalid)
			}
		}
		// Two at once: one wins.
		results := make(chan error, 2)
		for _, name := range []string{"ann", "bob"} {
			go func() { results <- setup(token, name, right) }()
		}
		if first, second := <-results, <-results; (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), fleet.ErrConflict) {
			t.Errorf("two setups at once = %v and %v", first, second)
		}
		if users, err := a.store.Users(t.Context()); err != nil || users != 1 {
			t.Errorf("%d users, %v", users, err)
		}
		if token, err := a.OpenSetup(t.Context(), a.setupFile()); err != nil || !token.Empty() {
			t.Errorf("a token after the setup: %v", err)
		}
		if _, err := os.Stat(a.setupFile()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	})
}

func TestAPITokens(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *accounts) {
		a.setUp()
		operator := auth.Identity{Kind: auth.ByToken, Name: "ci", Role: auth.Operator}
		make := func(who auth.Identity, wanted control.NewAPIToken) (string, auth.APIToken, error) {
			secret, token, err := a.CreateAPIToken(t.Context(), who, wanted)
			return secret.Reveal(), token, err
		}
		if _, _, err := make(operator, control.NewAPIToken{Name: "x", Role: auth.Viewer}); !errors.Is(err, fleet.ErrForbidden) {
			t.Errorf("made by an operator = %v", err)
		}
		secret, token, err := make(auth.Server, control.NewAPIToken{Name: "nightly", Role: auth.Operator, ExpiresAt: time.Now().Add(time.Hour)})
		if err != nil || !strings.HasPrefix(secret, "rm_") || len(secret) < 40 {
			t.Fatalf("token %.3s of %d bytes, %v", secret, len(secret), err)
		}
		if _, _, err := make(auth.Server, control.NewAPIToken{Name: "NIGHTLY", Role: auth.Admin}); !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("same name = %v", err)
		}
		who, err := a.IdentityOfToken(t.Context(), secret, "192.0.2.9")
		if err != nil || who.Label() != "token nightly" || who.Role != auth.Operator || who.Address != "192.0.2.9" {
			t.Errorf("identity = %+v, %v", who, err)
		}
		if used, err := a.store.APIToken(t.Context(), token.ID); err != nil || used.LastUsedAt.IsZero() {
			t.Errorf("last use = %v, %v", used.LastUsedAt, err)
		}
		pass(time.Hour)
		if _, err := a.IdentityOfToken(t.Context(), secret, ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("expired = %v", err)
		}
		secret, token, err = make(auth.Server, control.NewAPIToken{Name: "forever", Role: auth.Admin})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.RevokeAPIToken(t.Context(), operator, token.ID); !errors.Is(err, fleet.ErrForbidden) {
			t.Errorf("revoked by an operator = %v", err)
		}
		if err := a.RevokeAPIToken(t.Context(), auth.Server, token.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := a.IdentityOfToken(t.Context(), secret, ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("revoked = %v", err)
		}
		_, text := a.audited()
		if !strings.Contains(text, `server api_token.revoked api_token `+token.ID+` {"before":{"expires_at":null,"name":"forever","role":"admin"}}`) || strings.Contains(text, secret) {
			t.Errorf("audit:\n%s", text)
		}
		if tokens, _, err := a.store.APITokens(t.Context(), fleet.Page{}); err != nil || len(tokens) != 1 || tokens[0].Name != "nightly" {
			t.Errorf("tokens = %+v, %v", tokens, err)
		}
	})
}

func TestCookie(t *testing.T) {
	session := auth.Session{ExpiresAt: time.Now().Add(time.Hour)}
	for secure, name := range map[bool]string{true: "__Host-rm_session", false: "rm_session"} {
		cookie := control.SessionCookie(crypto.NewText("s3cret"), session, secure)
		if cookie.Name != name || cookie.Secure != secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
			t.Errorf("cookie = %+v", cookie)
		}
		request := &http.Request{Header: http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}}}
		if got := control.SessionSecret(request, secure); got != "s3cret" {
			t.Errorf("secret = %q", got)
		}
		// A plain cookie, which a neighbour could set, is not taken over TLS.
		if got := control.SessionSecret(request, !secure); got != "" {
			t.Errorf("the other way the secret is %q", got)
		}
		if gone := control.NoSessionCookie(secure); gone.MaxAge >= 0 || gone.Name != name || gone.Value != "" {
			t.Errorf("no cookie = %+v", gone)
		}
	}
}

// FuzzStrangersStayOut: whatever is in a header, nobody gets in by it and it is
// no internal error.
func FuzzStrangersStayOut(f *testing.F) {
	f.Add("rm_session=x", "rm_")
	f.Add("rm_session=\"a b\"; rm_session=", "rm_\x00")
	f.Add("__Host-rm_session=é\xff", "rm_"+strings.Repeat("a", 10000))
	dir := f.TempDir()
	var (
		once sync.Once
		a    *accounts
	)
	f.Fuzz(func(t *testing.T, cookie, token string) {
		once.Do(func() { a = openAccounts(t, dir) })
		ctx := context.Background()
		if _, err := a.IdentityOfToken(ctx, token, ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("token %q: %v", token, err)
		}
		for _, secure := range []bool{true, false} {
			secret := control.SessionSecret(&http.Request{Header: http.Header{"Cookie": {cookie}}}, secure)
			if _, err := a.SessionOf(ctx, secret); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("cookie %q: %v", cookie, err)
			}
		}
	})
}
