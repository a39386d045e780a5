package control_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// fill writes n audit entries.
func (r *rig) fill(n int) {
	r.t.Helper()
	r.write(func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			if err := tx.Audit(ctx, fleet.AuditEntry{At: r.now(), Actor: "ann", Action: "a.b", Noun: "host", Subject: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *rig) verify() control.AuditReport {
	r.t.Helper()
	report, err := r.VerifyAudit(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

func (r *rig) last(action, subject string) fleet.AuditEntry {
	r.t.Helper()
	entries, _, err := r.store.AuditEntries(r.t.Context(), store.AuditFilter{Action: action, Subject: subject})
	if err != nil || len(entries) == 0 {
		r.t.Fatalf("no %s of %s is audited: %v", action, subject, err)
	}
	return entries[0]
}

func TestChangesSayWhatTheyChanged(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	name, tags := "web-1", []string{"prod"}
	if _, err := r.UpdateHost(t.Context(), auth.Server, a.host, control.HostChange{Name: &name}); err != nil {
		t.Fatal(err)
	}
	renamed := r.last("host.changed", string(a.host))
	if renamed.Detail != `{"before":{"name":"web"},"after":{"name":"web-1"}}` || renamed.Actor != "server" {
		t.Errorf("renamed: %+v", renamed)
	}
	if _, err := r.UpdateHost(t.Context(), auth.Server, a.host, control.HostChange{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if again := r.last("host.changed", string(a.host)); again.ID != renamed.ID {
		t.Errorf("what changed nothing is audited: %s", again.Detail)
	}
	if _, err := r.UpdateHost(t.Context(), auth.Server, a.host, control.HostChange{Tags: &tags}); err != nil {
		t.Fatal(err)
	}
	if got := r.last("host.changed", string(a.host)).Detail; got != `{"before":{"tags":[]},"after":{"tags":["prod"]}}` {
		t.Errorf("tagged: %s", got)
	}
	g := r.group(a.host, "etc")
	g.Excludes, g.Options.LimitUploadKiB = []string{"*.tmp"}, 512
	g, err := r.UpdateGroup(t.Context(), auth.Server, g)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.last("source_group.changed", string(g.ID)).Detail; got != `{"before":{"excludes":[],"options":{"limit_upload_kib":0}},"after":{"excludes":["*.tmp"],"options":{"limit_upload_kib":512}}}` {
		t.Errorf("group changed: %s", got)
	}
	if err := r.DeleteGroup(t.Context(), auth.Server, g.ID); err != nil {
		t.Fatal(err)
	}
	if got := r.last("source_group.removed", string(g.ID)).Detail; !strings.HasPrefix(got, `{"before":{`) || strings.Contains(got, `"after"`) || !strings.Contains(got, `"*.tmp"`) {
		t.Errorf("group removed: %s", got)
	}
}

func TestTheAuditIsSealedAsItGrows(t *testing.T) {
	url := filepath.Join(t.TempDir(), "server.db")
	r := newNode(t, url, true)
	if got := r.verify(); got.Break != "" || got.Seals != 0 || got.Head.Number != 0 {
		t.Errorf("before the first seal: %+v", got)
	}
	r.fill(600) // more than one batch
	if got := r.verify(); got.Break != "" || got.Unsealed != 600 {
		t.Errorf("unsealed: %+v", got)
	}
	r.Tick(t.Context())
	if got := r.verify(); got.Break != "" || got.Entries != 600 || got.Seals != 3 || got.Unsealed != 0 || got.From.After(got.To) {
		t.Errorf("after a tick: %+v", got)
	}
	r.Tick(t.Context())
	if got := r.verify(); got.Seals != 3 {
		t.Errorf("a seal was made over nothing: %+v", got)
	}
	r.fill(2)
	r.stop() // seals the rest
	again := newNode(t, url, true)
	if got := again.verify(); got.Break != "" || got.Entries != 602 || got.Seals != 4 || got.Unsealed != 0 {
		t.Errorf("after a shutdown: %+v", got)
	}
	again.fill(1)
	again.Tick(t.Context()) // the lease of the node that has ended is in nobody's way
	if got := again.verify(); got.Break != "" || got.Seals != 5 || got.Unsealed != 0 {
		t.Errorf("after a restart: %+v", got)
	}
}

func TestTwoNodesMakeOneChain(t *testing.T) {
	url := testkit.Postgres(t)
	one, two := newNode(t, url, false), newNode(t, url, false)
	var both sync.WaitGroup
	for _, node := range []*rig{one, two} {
		both.Go(func() {
			for range 20 {
				node.fill(30)
				node.Tick(t.Context())
			}
		})
	}
	both.Wait()
	if got := one.verify(); got.Break != "" || got.Entries+int64(got.Unsealed) != 1200 || got.Seals == 0 {
		t.Errorf("together: %+v", got)
	}
	for _, node := range []*rig{one, two} {
		if strings.Contains(node.log.String(), "not sealed") {
			t.Errorf("log: %s", node.log)
		}
	}
	one.fill(1)
	// Only one of them has the lease; when it ends, the other goes on at once.
	one.Tick(t.Context())
	one.stop()
	two.Tick(t.Context())
	if got := two.verify(); got.Break != "" || got.Unsealed != 0 || got.Entries != 1201 {
		t.Errorf("one left: %+v", got)
	}
}

func TestOldEntriesGoAndTheChainStands(t *testing.T) {
	r := newRig(t)
	r.fill(300)
	r.Tick(t.Context())
	r.pass(2 * 365 * 24 * time.Hour)
	r.fill(5)
	r.Tick(t.Context())
	if got := r.verify(); got.Break != "" || got.Entries != 305 || got.Expired != 0 {
		t.Errorf("after two years: %+v", got)
	}
	r.pass(366 * 24 * time.Hour)
	r.fill(1)
	r.Tick(t.Context())
	got := r.verify()
	if got.Break != "" || got.Entries != 6 || got.Expired != 2 || got.Seals != 4 || !got.From.After(time.Now().Add(365*24*time.Hour)) {
		t.Errorf("after three years: %+v", got)
	}
	// Without its time being over, the same is a loss.
	r.pass(-366 * 24 * time.Hour)
	if got := r.verify(); !strings.Contains(got.Break, "of seal 1 (250 entries") || !strings.Contains(got.Break, "removed") {
		t.Errorf("removed too early: %q", got.Break)
	}
}

// TestWhatIsForgedInTheChainIsFound: what the store itself can do to a chain.
// Changed and removed rows are tested where the SQL is, in package store.
func TestWhatIsForgedInTheChainIsFound(t *testing.T) {
	for name, forge := range map[string]func(ctx context.Context, tx *store.Tx, earlier string) error{
		"entries put under an old seal": func(ctx context.Context, tx *store.Tx, _ string) error {
			_, err := tx.CloseAudit(ctx, 1, 10)
			return err
		},
		"a seal of another key": func(ctx context.Context, tx *store.Tx, _ string) error {
			head, err := tx.AuditHead(ctx)
			if err != nil {
				return err
			}
			head.Previous, head.Number = head.Hash, head.Number+1
			head.Signature = ed25519.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)), head.Hash)
			return tx.AddAuditSeal(ctx, head)
		},
		"a note that is none": func(ctx context.Context, tx *store.Tx, _ string) error {
			return tx.SetMeta(ctx, "audit_head", "bm9uZQ==")
		},
		"an earlier note": func(ctx context.Context, tx *store.Tx, earlier string) error {
			return tx.SetMeta(ctx, "audit_head", earlier)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fill(3)
			r.Tick(t.Context())
			earlier, err := r.store.Meta(t.Context(), "audit_head")
			if err != nil {
				t.Fatal(err)
			}
			r.fill(3)
			r.Tick(t.Context())
			r.fill(3)
			if got := r.verify(); got.Break != "" {
				t.Fatalf("broken before: %s", got.Break)
			}
			r.write(func(ctx context.Context, tx *store.Tx) error { return forge(ctx, tx, earlier) })
			if got := r.verify(); got.Break == "" {
				t.Errorf("not found: %+v", got)
			}
		})
	}
}

// TestAgentsHoldTheHead: what a host was told of the audit log is compared with
// what the log says now.
func TestAgentsHoldTheHead(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	if w := a.connect(); w.AuditHead.Number != 0 {
		t.Errorf("before the first seal: %+v", w.AuditHead)
	}
	a.leave(r)
	r.Tick(t.Context())
	told := a.connect().AuditHead
	head := r.verify().Head
	if told.Number != uint64(head.Number) || !bytes.Equal(told.Hash, head.Hash) || told.Number == 0 {
		t.Fatalf("told %+v, the head is %+v", told, head)
	}
	for _, test := range []struct {
		name string
		head api.AuditHead
		want string
	}{
		{"nothing", api.AuditHead{}, ""},
		{"the same", told, ""},
		{"another hash", api.AuditHead{Number: told.Number, Hash: bytes.Repeat([]byte{1}, 32)}, "it has another one"},
		{"more seals", api.AuditHead{Number: told.Number + 7, Hash: told.Hash}, "it has none of that number"},
	} {
		a.leave(r)
		a.onHello = func(h *api.Hello) { h.AuditHead = test.head }
		a.connect()
		alert := r.alert(a.host, fleet.AlertAudit, "")
		if (alert != nil) != (test.want != "") || alert != nil && !strings.Contains(alert.Sentence, test.want) {
			t.Errorf("%s: alert %+v", test.name, alert)
		}
	}
}

// TestAuditNeverHoldsASecret runs what takes secrets and looks for them.
func TestAuditNeverHoldsASecret(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web") // its repository's secrets are rest and restic
	n := brought("db")
	n.Access = &fleet.RepositorySecrets{Password: crypto.NewText("s3cret-rest"), Key: crypto.NewText("s3cret-restic")}
	token := r.token(n)
	secret, made, err := r.CreateAPIToken(t.Context(), auth.Server, control.NewAPIToken{Name: "ci", Role: auth.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.RevokeAPIToken(t.Context(), auth.Server, made.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveHost(t.Context(), auth.Server, a.host); err != nil {
		t.Fatal(err)
	}
	entries := 0
	err = r.store.EachAuditEntry(t.Context(), store.AuditFilter{}, func(some []fleet.AuditEntry) error {
		for _, e := range some {
			entries++
			for _, secret := range []string{"s3cret", token, secret.Reveal()} {
				if strings.Contains(strings.Join(e.Cells(), " "), secret) {
					t.Errorf("%s holds a secret: %s", e.Action, e.Detail)
				}
			}
		}
		return nil
	})
	if err != nil || entries < 5 {
		t.Errorf("%d entries, %v", entries, err)
	}
}
