package restic_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestSourcesThatAreMissing(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newLocal(t)
	source := newSource(t, map[string]string{"file": "content"})
	missing := filepath.Join(t.TempDir(), "not there")
	call := restic.Call{Repository: repository}

	some, err := runner.Backup(t.Context(), restic.BackupOptions{Call: call, Host: "h", Includes: []string{source, missing}})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, some.Result, restic.ExitIncomplete)
	if len(some.Notices) != 1 || some.Notices[0].Kind != restic.NoticeSourceMissing || some.Notices[0].Path != missing {
		t.Errorf("notices = %+v, want the missing source", some.Notices)
	}
	if some.Summary == nil || some.Summary.SnapshotID == "" || some.Summary.TotalFilesProcessed != 1 {
		t.Errorf("summary = %+v, want a snapshot of one file", some.Summary)
	}

	none, err := runner.Backup(t.Context(), restic.BackupOptions{Call: call, Host: "h", Includes: []string{missing}})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, none.Result, restic.ExitFatal)
	if !none.Has(restic.NoticeSourceMissing) || none.Summary != nil || none.Message == "" {
		t.Errorf("all missing: notices %+v, summary %+v, message %q", none.Notices, none.Summary, none.Message)
	}
}

func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newLocal(t)
	source := newSource(t, map[string]string{"file": "content", "secret": "nobody reads this"})
	unreadable := filepath.Join(source, "secret")
	if os.Getuid() == 0 {
		// No mode keeps root from reading a file, but the kernel's write-only switches do.
		unreadable = "/proc/sys/vm/compact_memory"
		if _, err := os.Lstat(unreadable); err != nil {
			t.Skip("this system has no file that root can't read")
		}
	} else if err := os.Chmod(unreadable, 0); err != nil {
		t.Fatal(err)
	}
	var watch collector
	result, err := runner.Backup(t.Context(), restic.BackupOptions{
		Call: restic.Call{Repository: repository, Hooks: watch.hooks()}, Host: "h", Includes: []string{source, unreadable},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitIncomplete)
	if result.ItemErrorCount != 1 || len(result.ItemErrors) != 1 || result.ItemErrors[0].Item != unreadable ||
		!strings.Contains(result.ItemErrors[0].Text, "permission denied") || result.ItemErrors[0].During != "archival" {
		t.Errorf("item errors = %+v (%d)", result.ItemErrors, result.ItemErrorCount)
	}
	if result.Summary == nil || result.Summary.SnapshotID == "" {
		t.Errorf("summary = %+v, want a snapshot all the same", result.Summary)
	}
	for _, want := range []string{"error: " + unreadable + ": ", "summary: files: "} {
		if !strings.Contains(watch.text(), want) {
			t.Errorf("the log lacks %q:\n%s", want, watch.text())
		}
	}
}

func TestSymlinkAsSourceIsGreenAndEmpty(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newLocal(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(newSource(t, map[string]string{"file": "content"}), link); err != nil {
		t.Fatal(err)
	}
	result, err := runner.Backup(t.Context(), restic.BackupOptions{
		Call: restic.Call{Repository: repository}, Host: "h", Includes: []string{link + "/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitOK)
	if result.Summary == nil || result.Summary.TotalFilesProcessed != 0 {
		t.Errorf("summary = %+v, want one that tells that no file was read", result.Summary)
	}
}

func TestAbsentRepositoryAndWrongPassword(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, path := newLocal(t)

	config, err := runner.CatConfig(t.Context(), restic.Call{Repository: repository})
	if err != nil || config.Config.Version != 2 || len(config.Config.ID) != 64 {
		t.Errorf("CatConfig = %+v, %v", config.Config, err)
	}
	wrong := repository
	wrong.Password = "something else"
	result, err := runner.CatConfig(t.Context(), restic.Call{Repository: wrong})
	if exitOf(t, err) != restic.ExitWrongPassword || result.Message == "" {
		t.Errorf("wrong password: %v, message %q", err, result.Message)
	}
	absent := repository
	absent.URL = path + "-absent"
	result, err = runner.CatConfig(t.Context(), restic.Call{Repository: absent})
	if exitOf(t, err) != restic.ExitNoRepository || !strings.Contains(result.Message, absent.URL) {
		t.Errorf("absent repository: %v, message %q", err, result.Message)
	}
	if _, err := runner.Init(t.Context(), restic.Call{Repository: repository}); exitOf(t, err) != restic.ExitFatal {
		t.Errorf("init over a repository: %v", err)
	}
}

func TestWrongServerPassword(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newREST(t, true)
	repository.RESTPassword = "something else"
	result, err := runner.CatConfig(t.Context(), restic.Call{Repository: repository})
	if exitOf(t, err) != restic.ExitFatal || !result.Has(restic.NoticeUnauthorized) {
		t.Errorf("wrong server password: %v, notices %+v", err, result.Notices)
	}
	var answer *restic.HTTPError
	if err := restic.RemoveLock(t.Context(), repository, strings.Repeat("a", 64)); !errors.As(err, &answer) || answer.Status != 401 {
		t.Errorf("RemoveLock = %v, want 401", err)
	}
	if right, err := restic.ProveAppendOnly(t.Context(), repository); right != restic.DeleteUnknown || !errors.As(err, &answer) {
		t.Errorf("ProveAppendOnly = %v, %v, want unknown and the status", right, err)
	}
}

func TestUnreachableRepository(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository := restic.Repository{URL: "rest:http://127.0.0.1:1/x/", Password: repositoryPassword}
	var watch collector
	hooks := watch.hooks()
	hooks.FirstContact = time.Second
	result, err := runner.Backup(t.Context(), restic.BackupOptions{
		Call: restic.Call{Repository: repository, Hooks: hooks}, Host: "h", Includes: []string{t.TempDir()},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitInterrupted)
	if !errors.Is(result.Cause, restic.ErrNoContact) || !result.Interrupted || result.Killed || !result.Has(restic.NoticeRetrying) {
		t.Errorf("cause %v, interrupted %v, killed %v, notices %+v", result.Cause, result.Interrupted, result.Killed, result.Notices)
	}
}

func TestInterruptLeavesNoLock(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, path := newREST(t, true)
	operator := errors.New("an operator said so")
	ctx, cancel := context.WithCancelCause(t.Context())
	// The first progress proves that restic knows of its own lock; a lock file alone does not.
	hooks := restic.Hooks{Progress: func(restic.Progress) {
		if len(lockFiles(t, path)) != 1 {
			t.Error("the backup runs without a lock")
		}
		cancel(operator)
	}}
	process, ended := backgroundBackup(ctx, t, runner, restic.BackupOptions{
		Call: restic.Call{Repository: repository, JobID: newJobID(t), LimitUploadKiB: 20, Hooks: hooks},
		Host: "h", Includes: []string{slowSource(t)},
	})
	result := <-ended
	wantExit(t, result.Result, restic.ExitInterrupted)
	if !errors.Is(result.Cause, operator) || !result.Interrupted || result.Killed {
		t.Errorf("cause %v, interrupted %v, killed %v", result.Cause, result.Interrupted, result.Killed)
	}
	if ids := lockFiles(t, path); len(ids) != 0 {
		t.Errorf("locks %v are left", ids)
	}
	if result.Process != process || result.Ended.Before(process.Started) {
		t.Errorf("the result is of %+v, ended %v; %+v was started", result.Process, result.Ended, process)
	}
}

func TestKillLeavesALockThatCanBeRemoved(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, path := newLocal(t)
	job := newJobID(t)
	process, ended := backgroundBackup(t.Context(), t, runner, restic.BackupOptions{
		Call: restic.Call{Repository: repository, JobID: job, LimitUploadKiB: 20},
		Host: "h", Includes: []string{slowSource(t)},
	})
	testkit.WaitFor(t, patience, "the backup's lock", func() bool { return len(lockFiles(t, path)) == 1 })
	left, err := restic.Machine.FindLeft(job)
	if err != nil || len(left) != 1 || left[0] != process {
		t.Fatalf("FindLeft = %+v, %v, want %+v", left, err, process)
	}
	if err := restic.Machine.Kill(left[0]); err != nil {
		t.Fatal(err)
	}
	result := <-ended
	wantExit(t, result.Result, restic.ExitKilled)
	if result.Cause != nil || result.Interrupted || result.Killed || result.Summary != nil {
		t.Errorf("cause %v, interrupted %v, killed %v, summary %v; it was killed from outside",
			result.Cause, result.Interrupted, result.Killed, result.Summary)
	}
	if again, err := restic.Machine.FindLeft(job); err != nil || len(again) != 0 {
		t.Errorf("FindLeft = %+v, %v, want nothing", again, err)
	}
	if err := restic.Machine.Kill(left[0]); err != nil {
		t.Errorf("kill what is gone: %v", err)
	}

	call := restic.Call{Repository: repository}
	locks, err := runner.ListLocks(t.Context(), call)
	if err != nil || len(locks.IDs) != 1 {
		t.Fatalf("ListLocks = %v, %v, want one", locks.IDs, err)
	}
	lock, err := runner.CatLock(t.Context(), call, locks.IDs[0])
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	if lock.Lock.PID != process.PID || lock.Lock.Exclusive || lock.Lock.Hostname != host || lock.Lock.Username == "" ||
		lock.Lock.Time.Before(process.Started.Add(-2*time.Second)) || lock.Lock.Time.After(result.Ended) {
		t.Errorf("lock = %+v, want that of %+v on %s", lock.Lock, process, host)
	}
	for range 2 { // the second time it is gone already
		if err := restic.RemoveLock(t.Context(), repository, locks.IDs[0]); err != nil {
			t.Fatal(err)
		}
	}
	if ids := lockFiles(t, path); len(ids) != 0 {
		t.Errorf("locks %v are left", ids)
	}
}
