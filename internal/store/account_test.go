package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/store"
)

// TestAccounts is the part of the suite about who may come in, for both engines.
func TestAccounts(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, *store.Store){
				"meta": testMeta, "users": testUsers, "sessions": testSessions, "API tokens": testAPITokens, "throttles": testThrottles,
			} {
				t.Run(name, func(t *testing.T) { test(t, open(t, engine)) })
			}
		})
	}
}

func testMeta(t *testing.T, s *store.Store) {
	ctx := t.Context()
	if value, err := s.Meta(ctx, "x"); err != nil || value != "" {
		t.Errorf("before it is set: %q, %v", value, err)
	}
	for _, value := range []string{"one", "two"} {
		write(t, s, func(tx *store.Tx) error { return tx.SetMeta(ctx, "x", value) })
		if got, err := s.Meta(ctx, "x"); err != nil || got != value {
			t.Errorf("meta = %q, %v", got, err)
		}
	}
	for _, row := range []struct {
		value string
		taken bool
	}{{"one", false}, {"two", true}, {"two", false}} {
		write(t, s, func(tx *store.Tx) error {
			if taken, err := tx.TakeMeta(ctx, "x", row.value); err != nil || taken != row.taken {
				t.Errorf("take %q = %v, %v", row.value, taken, err)
			}
			return nil
		})
	}
}

func addUser(t *testing.T, s *store.Store, name string) auth.User {
	t.Helper()
	user := auth.User{ID: "id-" + name, Name: name, Role: auth.Operator, CreatedAt: start}
	write(t, s, func(tx *store.Tx) error { return tx.AddUser(t.Context(), user, "hash of "+name) })
	return user
}

func testUsers(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ann := addUser(t, s, "Ann")
	err := s.Write(ctx, func(tx *store.Tx) error { return tx.AddUser(ctx, auth.User{ID: "other", Name: "aNN"}, "") })
	if !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("same name = %v", err)
	}
	if found, hash, err := s.UserByName(ctx, "ANN"); err != nil || found != ann || hash != "hash of Ann" {
		t.Errorf("by name = %+v %q, %v", found, hash, err)
	}
	for _, name := range []string{"bob", "", "%", "a\x00n", "\xff"} {
		if _, _, err := s.UserByName(ctx, name); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("user %q = %v", name, err)
		}
	}
	write(t, s, func(tx *store.Tx) error { return tx.SetPasswordHash(ctx, ann.ID, "other") })
	if _, hash, err := s.User(ctx, ann.ID); err != nil || hash != "other" {
		t.Errorf("hash = %q, %v", hash, err)
	}
	if err := s.Write(ctx, func(tx *store.Tx) error { return tx.SetPasswordHash(ctx, "nobody", "x") }); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("password of nobody = %v", err)
	}
	if count, err := s.Users(ctx); err != nil || count != 1 {
		t.Errorf("%d users, %v", count, err)
	}
}

func testSessions(t *testing.T, s *store.Store) {
	ctx := t.Context()
	ann := addUser(t, s, "ann")
	add := func(secret string, seen time.Time) auth.Session {
		session := auth.Session{SecretHash: secret, User: ann, CreatedAt: start, LastSeenAt: seen, ExpiresAt: start.Add(auth.SessionLife), Address: "192.0.2.1", Browser: "odd\x00\xff"}
		write(t, s, func(tx *store.Tx) error { return tx.AddSession(ctx, session) })
		session.Browser = "odd\uFFFD\uFFFD"
		return session
	}
	first := add("first", start)
	add("second", start)
	add("old", start.Add(-auth.SessionIdle))
	if found, err := s.Session(ctx, "first"); err != nil || found.User != ann || !found.ExpiresAt.Equal(first.ExpiresAt) {
		t.Errorf("session = %+v, %v", found, err)
	}
	if count, err := s.CountSessions(ctx, ann.ID, start); err != nil || count != 2 {
		t.Errorf("%d sessions live, %v", count, err)
	}
	for address, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false} {
		if from, err := s.SignedInFrom(ctx, ann.ID, address, start); err != nil || from != want {
			t.Errorf("signed in from %s = %v, %v", address, from, err)
		}
	}
	write(t, s, func(tx *store.Tx) error { return tx.TouchSession(ctx, "first", start.Add(time.Hour)) })
	write(t, s, func(tx *store.Tx) error { return tx.ForgetSessions(ctx, start.Add(auth.SessionIdle)) })
	for secret, there := range map[string]bool{"first": true, "second": false, "old": false} {
		if _, err := s.Session(ctx, secret); (err == nil) != there || err != nil && !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("after forgetting, %s = %v", secret, err)
		}
	}
	add("third", start)
	write(t, s, func(tx *store.Tx) error {
		if ended, err := tx.EndOtherSessions(ctx, ann.ID, "first"); err != nil || ended != 1 {
			t.Errorf("ended %d, %v", ended, err)
		}
		for _, want := range []bool{true, false} {
			if ended, err := tx.EndSession(ctx, "first"); err != nil || ended != want {
				t.Errorf("ended = %v, %v", ended, err)
			}
		}
		return nil
	})
}

func testAPITokens(t *testing.T, s *store.Store) {
	ctx := t.Context()
	for n := range 5 {
		token := auth.APIToken{ID: fmt.Sprint("id-", n), Name: fmt.Sprint("name-", n), Role: auth.Viewer, CreatedAt: start, CreatedBy: "ann"}
		write(t, s, func(tx *store.Tx) error { return tx.AddAPIToken(ctx, token, fmt.Sprint("hash-", n)) })
	}
	err := s.Write(ctx, func(tx *store.Tx) error {
		return tx.AddAPIToken(ctx, auth.APIToken{ID: "id-9", Name: "NAME-1"}, "hash-9")
	})
	if !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("same name = %v", err)
	}
	var listed string
	for page := (fleet.Page{Limit: 2}); ; {
		tokens, next, err := s.APITokens(ctx, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens {
			listed += token.Name + " "
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	if listed != "name-4 name-3 name-2 name-1 name-0 " {
		t.Errorf("listed %s", listed)
	}
	write(t, s, func(tx *store.Tx) error { return tx.TouchAPIToken(ctx, "id-3", start.Add(time.Hour)) })
	if token, err := s.APITokenBySecret(ctx, "hash-3"); err != nil || token.ID != "id-3" || !token.LastUsedAt.Equal(start.Add(time.Hour)) || !token.ExpiresAt.IsZero() {
		t.Errorf("by secret = %+v, %v", token, err)
	}
	write(t, s, func(tx *store.Tx) error { return tx.RemoveAPIToken(ctx, "id-3") })
	if err := s.Write(ctx, func(tx *store.Tx) error { return tx.RemoveAPIToken(ctx, "id-3") }); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("removed twice = %v", err)
	}
	if _, err := s.APITokenBySecret(ctx, "hash-3"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("by secret of a removed one = %v", err)
	}
}

// testThrottles counts from many sides at once; none may be lost.
func testThrottles(t *testing.T, s *store.Store) {
	ctx := t.Context()
	attempts := []auth.Attempt{
		auth.NewAttempt("ann", "192.0.2.1", false), auth.NewAttempt("ann", "192.0.2.2", false),
		auth.NewAttempt("bob", "192.0.2.1", false), auth.NewAttempt("bob", "192.0.2.2", false),
	}
	const each = 10
	var wait sync.WaitGroup
	for _, attempt := range attempts {
		for range each {
			wait.Go(func() {
				err := s.Write(ctx, func(tx *store.Tx) error {
					rows, err := tx.Throttles(ctx, attempt.Subjects())
					if err != nil {
						return err
					}
					failed, _ := attempt.Fail(rows, start)
					return tx.SetThrottles(ctx, failed)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	wait.Wait()
	counted := func() (sum int) {
		write(t, s, func(tx *store.Tx) error {
			rows, err := tx.Throttles(ctx, attempts[0].Subjects())
			sum = 0
			for _, row := range rows {
				sum += row.Failures
			}
			return err
		})
		return sum
	}
	if got := counted(); got != each+2*each+2*each { // its pair, its address, its account
		t.Errorf("%d failures are counted", got)
	}
	write(t, s, func(tx *store.Tx) error { return tx.ForgetThrottles(ctx, start.Add(auth.ThrottleForget-time.Second)) })
	if got := counted(); got != 5*each {
		t.Errorf("%d failures are left before they may be forgotten", got)
	}
	write(t, s, func(tx *store.Tx) error { return tx.ForgetThrottles(ctx, start.Add(auth.ThrottleForget)) })
	if got := counted(); got != 0 {
		t.Errorf("%d failures are left after they were forgotten", got)
	}
}
