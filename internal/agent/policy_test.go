package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

func TestLoadPolicy(t *testing.T) {
	endpoint := []job.Kind{job.Backup, job.Snapshots, job.PreviewSources, job.Check, job.Stats, job.Unlock}
	storage := []job.Kind{job.Check, job.Stats, job.Provision, job.Init}
	tests := []struct {
		name, text string
		allow      []job.Kind
		says       string // an error
	}{
		{"empty", "", endpoint, ""},
		{"fewer kinds", "allow: [snapshots]\n", []job.Kind{job.Snapshots}, ""},
		{"storage", "storage:\n  path: /srv/restic\n  url: https://box:8000/\n", storage, ""},
		{"both", "allow: [backup, provision]\nstorage: {path: /srv/restic, url: 'https://box:8000'}\n", []job.Kind{job.Backup, job.Provision}, ""},
		{"unknown field", "allow: [backup]\nalow: []\n", nil, "line 2"},
		{"unknown kind", "allow: [backup, fly]\n", nil, `"fly" is not known`},
		{"storage job without storage", "allow: [provision]\n", nil, "storage section"},
		{"relative path", "storage: {path: srv, url: 'https://box'}\n", nil, "storage.path"},
		{"credentials in the URL", "storage: {path: /srv, url: 'https://a:b@box'}\n", nil, "without credentials"},
		{"negative", "first_contact: -1s\n", nil, "negative"},
		{"relative script", "hooks: {scripts: {a: bin/a}}\n", nil, "absolute path"},
		{"no script", "hooks: {scripts: {a: []}}\n", nil, "absolute path"},
		{"script without a name", "hooks: {scripts: {'': /a}}\n", nil, "name"},
		{"script of another form", "hooks: {scripts: {a: {b: c}}}\n", nil, "line 1"},
		{"negative limit", "limits: {download_kib: -1}\n", nil, "negative"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "policy.yaml")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			policy, err := LoadPolicy(path)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
					t.Errorf("err = %v", err)
				}
				return
			}
			if err != nil || !slices.Equal(policy.Allow, test.allow) || policy.FirstContact != defaultFirstContact {
				t.Errorf("policy = %+v, %v", policy, err)
			}
		})
	}
	policy, err := LoadPolicy(filepath.Join(t.TempDir(), "absent"))
	if err != nil || !slices.Equal(policy.Allow, endpoint) || policy.refusal(job.Backup) != "" || !strings.Contains(policy.refusal(job.Init), policy.File) {
		t.Errorf("absent = %+v, %v", policy, err)
	}
	for _, c := range []struct{ own, asked, want int }{{100, 0, 100}, {100, 50, 50}, {100, 200, 100}, {0, 50, 50}, {0, 0, 0}} {
		if got := stricter(c.own, c.asked); got != c.want {
			t.Errorf("stricter(%d, %d) = %d, want %d", c.own, c.asked, got, c.want)
		}
	}
}

func TestPolicyOfHooks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	script := filepath.Join(filepath.Dir(path), "a script")
	text := fmt.Sprintf("hooks:\n  sent: true\n  scripts: {two: [%q, -x], one: %q}\n", script, script)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	policy, err := LoadPolicy(path)
	if err != nil || !slices.Equal(policy.Hooks.Scripts["one"], Script{script}) || !slices.Equal(policy.Hooks.Scripts["two"], Script{script, "-x"}) {
		t.Fatalf("policy = %+v, %v", policy.Hooks, err)
	}
	facts := describe(Options{Log: slog.New(slog.DiscardHandler)}, policy, restic.Binary{})
	if !slices.Equal(facts.Hooks.Names, []string{"one", "two"}) || !facts.Hooks.Sent {
		t.Errorf("facts = %+v", facts.Hooks)
	}
}

func TestJitterIsFull(t *testing.T) {
	longest := time.Duration(0)
	for range 1000 {
		wait := jitter(2, time.Second, 30*time.Second)
		if wait < 0 || wait >= 4*time.Second {
			t.Fatalf("wait = %s", wait)
		}
		longest = max(longest, wait)
	}
	if longest < 3*time.Second {
		t.Errorf("longest of 1000 = %s", longest)
	}
	if wait := jitter(60, time.Second, 30*time.Second); wait >= 30*time.Second {
		t.Errorf("late wait = %s", wait)
	}
}
