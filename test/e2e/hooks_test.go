//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestHooks runs local scripts beside backups: a dump before, and what undoes it
// after, whatever came between.
func TestHooks(t *testing.T) {
	parallelBusy(t)
	dir := rig.Dir(t)
	account := filepath.Join(dir, "account")
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := fmt.Sprintf("hooks:\n  scripts:\n    dump: %q\n    fail: %q\n    undo: %q\n",
		script("dump", fmt.Sprintf("echo dumping; echo dump >>%q; echo data >%q\n", account, filepath.Join(dir, "dump.sql"))),
		script("fail", fmt.Sprintf("echo the disk is on fire; echo fail >>%q; exit 3\n", account)),
		script("undo", fmt.Sprintf("echo \"undo $RM_STATE\" >>%q; rm -f %q\n", account, filepath.Join(dir, "dump.sql"))))
	f := startFleet(t, rig.AgentOptions{Policy: policy})
	access := f.Access(t, f.host.HostID)
	wantAccount := func(t *testing.T, want ...string) {
		t.Helper()
		text, err := os.ReadFile(account)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(text)); got != strings.Join(want, "\n") {
			t.Errorf("the scripts wrote %q, want %q", got, want)
		}
		_ = os.Remove(account) // the next case begins anew
	}
	group := func(name, pre string, seconds int) rig.Group {
		return f.API.AddGroup(t, f.host.HostID, rig.Group{Name: name, LimitUploadKiB: 512, RetryMax: 5, RetryBackoff: 1,
			Includes: []string{f.host.WriteFiles(t, name, 8*seconds, 64<<10), dir},
			PreHook:  &job.Hook{Name: pre, TimeoutSeconds: 20}, PostHook: &job.Hook{Name: "undo", TimeoutSeconds: 20}})
	}

	t.Run("both", func(t *testing.T) {
		dumped := group("dumped", "dump", 1)
		done := f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, dumped.ID).ID, job.Succeeded)
		wantAccount(t, "dump", "undo succeeded")
		wantSays(t, f.API.Log(t, done.ID), "dumping")
		if files := rig.RunRestic(t, access, "ls", "--no-lock", done.Summary.SnapshotID); !strings.Contains(files, filepath.Join(dir, "dump.sql")) {
			t.Errorf("the dump is not in the snapshot, which holds\n%s", files)
		}
	})
	t.Run("failing pre-hook", func(t *testing.T) {
		failing := group("failing", "fail", 1)
		created := f.API.BackUp(t, f.host.HostID, failing.ID)
		failed := f.waitRun(t, created.ID, job.Failed)
		wantSays(t, failed.Error, `"fail"`, "exit code 3", "nothing was backed up")
		wantSays(t, f.API.Log(t, created.ID), "the disk is on fire")
		if failed.Trouble != job.TroubleHook {
			t.Errorf("trouble %q, want %q", failed.Trouble, job.TroubleHook)
		}
		wantAccount(t, "fail", "undo failed")
		f.wantSnapshots(t, access, failing, 0)
		f.wantNoMore(t, failing, 1)
	})
	t.Run("a script that the policy does not name", func(t *testing.T) {
		strange := group("strange", "format", 1)
		failed := f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, strange.ID).ID, job.Failed)
		wantSays(t, failed.Error, `"format"`, "policy", "names no such script")
		wantAccount(t)
		f.wantSnapshots(t, access, strange, 0)
	})
	t.Run("agent killed between them", func(t *testing.T) {
		cut := group("cut", "dump", 10)
		created := f.API.BackUp(t, f.host.HostID, cut.ID)
		f.waitAtWork(t, created.ID)
		f.host.Kill()
		f.host.Start(t)
		f.waitRun(t, created.ID, job.Lost)
		f.waitRun(t, retryOf(t, created.ID, 1), job.Succeeded)
		wantAccount(t, "dump", "undo lost", "dump", "undo succeeded")
		f.wantSnapshots(t, access, cut, 1)
		f.wantNoRemains(t, f.host)
	})
}
