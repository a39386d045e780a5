package control_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// TestRestoredVoidsWhatMayBeSpent: what was open when the copy was made opens
// nothing any more; what was used stays as it was.
func TestRestoredVoidsWhatMayBeSpent(t *testing.T) {
	r := newRig(t)
	known := r.newAgent()
	used := r.token(brought("known"))
	known.mustEnrol(used)
	open := r.token(brought("late"))
	user := auth.User{ID: job.NewULID(r.now()), Name: "ann", Role: auth.Admin, CreatedAt: r.now()}
	secret := crypto.HashSecret("cookie")
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.AddUser(ctx, user, "hash"); err != nil {
			return err
		}
		return tx.AddSession(ctx, auth.Session{SecretHash: secret, User: user, CreatedAt: r.now(), LastSeenAt: r.now(), ExpiresAt: r.now().Add(time.Hour)})
	})
	if err := r.StartRestored(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused(t, r.newAgent(), open, http.StatusForbidden, "expired")
	if got, _ := known.post(known.request(used)); got != http.StatusOK {
		t.Errorf("a host that asks again for the answer to its own token gets %d", got)
	}
	if n, err := r.store.CountSessions(t.Context(), user.ID, r.now()); err != nil || n != 0 {
		t.Errorf("%d sessions are left, %v", n, err)
	}
	if r.audited("server.restored", "") != 1 {
		t.Error("it is not in the audit log")
	}
	known.connect() // a host that this copy knows is at home here
}
