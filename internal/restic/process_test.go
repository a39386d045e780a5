//go:build linux

package restic_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// newScript is a program that takes restic's place where the real one can't be made to misbehave.
func newScript(t *testing.T, body string) restic.Runner {
	t.Helper()
	path := filepath.Join(t.TempDir(), "restic")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return restic.Runner{Binary: restic.Binary{Path: path}, TempDir: t.TempDir(), Grace: 200 * time.Millisecond}
}

func scriptBackup(t *testing.T) restic.BackupOptions {
	return restic.BackupOptions{
		Call: restic.Call{Repository: restic.Repository{URL: t.TempDir(), Password: repositoryPassword, RESTPassword: restPassword, RESTUsername: restUser}},
		Host: "h", Includes: []string{"/a"},
	}
}

// TestEnvironmentAndArguments looks at the real process from outside.
func TestEnvironmentAndArguments(t *testing.T) {
	t.Setenv("RESTIC_PASSWORD_COMMAND", "evil")
	t.Setenv("RESTIC_HOST", "evil")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not for restic")
	t.Setenv("HTTPS_PROXY", "http://proxy.example:3128")
	runner := newRunner(t)
	repository, path := newREST(t, true)
	repository.KeyHint = strings.Repeat("a", 64)
	job := newJobID(t)
	ctx, cancel := context.WithCancel(t.Context())
	process, ended := backgroundBackup(ctx, t, runner, restic.BackupOptions{
		Call: restic.Call{Repository: repository, JobID: job, LimitUploadKiB: 20}, Host: "h", Includes: []string{slowSource(t)},
	})
	testkit.WaitFor(t, patience, "the backup's lock", func() bool { return len(lockFiles(t, path)) == 1 })
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", process.PID))
	if err != nil {
		t.Fatal(err)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.PID))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended

	var names []string
	for variable := range bytes.SplitSeq(bytes.TrimRight(environ, "\x00"), []byte{0}) {
		name, _, _ := strings.Cut(string(variable), "=")
		if !slices.Contains(restic.DefaultPassEnv, name) || name == "HTTPS_PROXY" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	want := []string{
		"HTTPS_PROXY", "RESTIC_CACHE_DIR", "RESTIC_KEY_HINT", "RESTIC_PASSWORD", "RESTIC_PROGRESS_FPS", "RESTIC_REPOSITORY",
		"RESTIC_REST_PASSWORD", "RESTIC_REST_USERNAME", "RM_JOB_ID", "TEMP", "TMP", "TMPDIR",
	}
	if !slices.Equal(names, want) {
		t.Errorf("environment = %v, want %v", names, want)
	}
	if !bytes.Contains(environ, []byte("RM_JOB_ID="+job+"\x00")) {
		t.Error("the job's mark is missing")
	}
	for _, secret := range []string{repositoryPassword, restPassword, restUser + ":"} {
		if bytes.Contains(cmdline, []byte(secret)) {
			t.Errorf("the arguments hold a secret: %q", cmdline)
		}
	}
}

func TestFindLeftFindsAndLoses(t *testing.T) {
	t.Parallel()
	job := newJobID(t)
	// The script's own child carries the mark too, and ignores the interrupt as all that a shell puts into
	// the background does: it has to end with its parent nevertheless.
	runner := newScript(t, "sleep 600 & wait\n")
	options := scriptBackup(t)
	options.JobID = job
	ctx, cancel := context.WithCancel(t.Context())
	process, ended := backgroundBackup(ctx, t, runner, options)
	testkit.WaitFor(t, patience, "both processes", func() bool {
		left, err := restic.Machine.FindLeft(job)
		return err == nil && len(left) == 2 && slices.Contains(left, process)
	})
	if since := time.Since(process.Started); since < -3*time.Second || since > patience {
		t.Errorf("the start is %v ago", since)
	}
	if left, err := restic.Machine.FindLeft(job + "X"); err != nil || len(left) != 0 {
		t.Errorf("FindLeft of another job = %+v, %v", left, err)
	}
	foreign := process
	foreign.JobID = job + "X"
	if err := restic.Machine.Kill(foreign); err != nil {
		t.Errorf("kill under another mark: %v", err)
	}
	var invalid *restic.InvalidError
	if err := restic.Machine.Kill(restic.Process{PID: process.PID}); !errors.As(err, &invalid) {
		t.Errorf("kill without a mark: %v", err)
	}
	if _, err := restic.Machine.FindLeft(""); !errors.As(err, &invalid) {
		t.Errorf("FindLeft without an id: %v", err)
	}
	select {
	case result := <-ended:
		t.Fatalf("it ended: %+v", result.Result)
	default:
	}
	cancel()
	result := <-ended
	if !result.Interrupted || !errors.Is(result.Cause, context.Canceled) {
		t.Errorf("interrupted %v, cause %v", result.Interrupted, result.Cause)
	}
	testkit.WaitFor(t, patience, "the group to be gone", func() bool {
		left, err := restic.Machine.FindLeft(job)
		return err == nil && len(left) == 0
	})
}

func TestAliveJudgesByName(t *testing.T) {
	t.Parallel()
	copied := func(name string) string {
		path := filepath.Join(t.TempDir(), name)
		program, err := os.ReadFile("/bin/sleep")
		if err == nil {
			err = os.WriteFile(path, program, 0o700)
		}
		if err != nil {
			t.Skip(err)
		}
		return path
	}
	for name, alive := range map[string]bool{"restic": true, "restic-manager-a": false, "sleep": false} {
		process := testkit.Start(t, exec.Command(copied(name), "600"))
		// Between fork and exec it still has the name of this test.
		testkit.WaitFor(t, patience, name+" to be judged by its name", func() bool { return restic.Machine.Alive(process.Pid) == alive })
		process.Kill()
		if restic.Machine.Alive(process.Pid) {
			t.Errorf("%s is gone and counts as alive", name)
		}
	}
}

func TestStopOfALeftProcessIsPolite(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, path := newREST(t, true)
	working := make(chan struct{})
	once := sync.OnceFunc(func() { close(working) })
	hooks := restic.Hooks{Progress: func(restic.Progress) { once() }}
	process, ended := backgroundBackup(t.Context(), t, runner, restic.BackupOptions{
		Call: restic.Call{Repository: repository, JobID: newJobID(t), LimitUploadKiB: 20, Hooks: hooks},
		Host: "h", Includes: []string{slowSource(t)},
	})
	select {
	case <-working:
	case <-time.After(patience):
		t.Fatal("the backup makes no progress")
	}
	if err := restic.Machine.Stop(process); err != nil {
		t.Fatal(err)
	}
	result := <-ended
	wantExit(t, result.Result, restic.ExitInterrupted)
	if result.Interrupted || result.Cause != nil || len(lockFiles(t, path)) != 0 {
		t.Errorf("interrupted %v by us, cause %v, locks %v", result.Interrupted, result.Cause, lockFiles(t, path))
	}
}

func TestDeafProcessIsKilledWithItsGroup(t *testing.T) {
	t.Parallel()
	job := newJobID(t)
	runner := newScript(t, "trap '' INT\nsleep 600 &\necho ready >&2\nwhile :; do wait; done\n")
	options := scriptBackup(t)
	options.JobID = job
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errors.New("never"))
	ready := make(chan struct{})
	options.Hooks.Notice = func(restic.Notice) { close(ready) }
	operator := errors.New("operator")
	ctx, stop := context.WithCancelCause(ctx)
	defer cancel()
	go func() { <-ready; stop(operator) }()
	result, err := runner.Backup(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitKilled)
	if !result.Interrupted || !result.Killed || !errors.Is(result.Cause, operator) {
		t.Errorf("interrupted %v, killed %v, cause %v", result.Interrupted, result.Killed, result.Cause)
	}
	testkit.WaitFor(t, patience, "the group to be gone", func() bool {
		left, err := restic.Machine.FindLeft(job)
		return err == nil && len(left) == 0
	})
}

func TestNothingStartsAfterTheEnd(t *testing.T) {
	t.Parallel()
	runner := newScript(t, "exit 0\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("too late")
	cancel(reason)
	if _, err := runner.Backup(ctx, scriptBackup(t)); !errors.Is(err, reason) {
		t.Errorf("Backup = %v, want the cause", err)
	}
}

func TestHugeLinesAndSecretsInOutput(t *testing.T) {
	t.Parallel()
	runner := newScript(t, `
head -c 3000000 /dev/zero | tr '\0' x; echo
echo '{"message_type":"status","percent_done":0.5,"total_files":2,"files_done":1}'
head -c 3000000 /dev/zero | tr '\0' y >&2; echo >&2
printf '%s\n' "repository opened with $RESTIC_PASSWORD" >&2
printf '%s\n' "server opened with $RESTIC_REST_PASSWORD" >&2
i=0; while [ $i -lt 300 ]; do i=$((i+1))
echo '{"message_type":"error","error":{"message":"denied"},"during":"scan","item":"/f"}' >&2
echo "odd line" >&2
done
printf '%s\n' '{"message_type":"exit_error","code":3,"message":"first\nsecond"}' >&2
exit 3
`)
	var watch collector
	options := scriptBackup(t)
	options.Hooks = watch.hooks()
	result, err := runner.Backup(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitIncomplete)
	if result.CutLines != 2 || len(watch.progress) != 1 || watch.progress[0].Done != 0.5 {
		t.Errorf("%d lines cut, progress %+v", result.CutLines, watch.progress)
	}
	if result.ItemErrorCount != 300 || len(result.ItemErrors) != restic.MaxItemErrors ||
		result.NoticeCount != 304 || len(result.Notices) != restic.MaxNotices {
		t.Errorf("%d of %d item errors, %d of %d notices", len(result.ItemErrors), result.ItemErrorCount, len(result.Notices), result.NoticeCount)
	}
	if result.Message != "first\nsecond" || len(result.StderrTail) > restic.MaxStderrTail || !strings.HasSuffix(result.StderrTail, "first\nsecond\n") {
		t.Errorf("message %q, tail of %d bytes", result.Message, len(result.StderrTail))
	}
	log := watch.text()
	if strings.Contains(log, repositoryPassword) || strings.Contains(log, restPassword) {
		t.Error("the log holds a secret")
	}
	for _, want := range []string{"repository opened with [redacted]\n", "server opened with [redacted]\n", "error: first\nerror: second\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	for _, line := range watch.lines {
		if len(line.Text) > restic.MaxText+100 {
			t.Errorf("a line of %d bytes was handed on", len(line.Text))
		}
	}
}

// TestForgottenPipe has a grandchild that leaves the group and keeps the output open.
func TestForgottenPipe(t *testing.T) {
	t.Parallel()
	testkit.Restic(t) // the same condition as everywhere: a complete test machine has setsid
	pidFile := filepath.Join(t.TempDir(), "pid")
	runner := newScript(t, "setsid sh -c 'echo $$ > "+pidFile+"; exec sleep 600' &\nwhile [ ! -s "+pidFile+" ]; do :; done\nexit 0\n")
	options := scriptBackup(t)
	options.JobID = newJobID(t)
	result, err := runner.Backup(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitOK)
	left, err := restic.Machine.FindLeft(options.JobID)
	if err != nil || len(left) != 1 {
		t.Fatalf("FindLeft = %+v, %v, want the grandchild", left, err)
	}
	if err := restic.Machine.Kill(left[0]); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, patience, "the grandchild to be gone", func() bool {
		left, err := restic.Machine.FindLeft(options.JobID)
		return err == nil && len(left) == 0
	})
}

func TestFindRefuses(t *testing.T) {
	script := func(body string) string {
		path := filepath.Join(t.TempDir(), "restic")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := restic.Find(t.Context(), restic.Machine, filepath.Join(t.TempDir(), "restic")); !errors.Is(err, restic.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	var old *restic.TooOldError
	_, err := restic.Find(t.Context(), restic.Machine, script(`echo '{"message_type":"version","version":"0.18.0"}'`))
	if !errors.As(err, &old) || old.Binary.Version != "0.18.0" || !strings.Contains(err.Error(), restic.MinimumVersion) {
		t.Errorf("old: %v", err)
	}
	for _, body := range []string{"echo hello", "exit 1", "echo '{}'", `echo '{"version":"odd"}'`} {
		if _, err := restic.Find(t.Context(), restic.Machine, script(body)); err == nil || errors.Is(err, restic.ErrNotFound) {
			t.Errorf("%s: %v", body, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := restic.Find(context.Background(), restic.Machine, ""); !errors.Is(err, restic.ErrNotFound) || !strings.Contains(err.Error(), "PATH") {
		t.Errorf("not in PATH: %v", err)
	}
	path := script(`echo '{"message_type":"version","version":"0.19.1"}'`)
	t.Setenv("PATH", filepath.Dir(path))
	if binary, err := restic.Find(context.Background(), restic.Machine, ""); err != nil || binary.Path != path || binary.Version != "0.19.1" {
		t.Errorf("in PATH: %+v, %v", binary, err)
	}
}
