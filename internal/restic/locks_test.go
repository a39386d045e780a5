package restic_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/restic"
)

func TestLockedRepository(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, path := newREST(t, true)
	lockID := plantLock(t, path)
	call := restic.Call{Repository: repository}
	options := restic.BackupOptions{Call: call, Host: "h", Includes: []string{newSource(t, map[string]string{"file": "x"})}}

	refused, err := runner.Backup(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, refused.Result, restic.ExitLocked)
	if !strings.Contains(refused.Message, "locked exclusively") {
		t.Errorf("message = %q", refused.Message)
	}
	lock, err := runner.CatLock(t.Context(), call, lockID)
	if err != nil || !lock.Lock.Exclusive {
		t.Errorf("CatLock = %+v, %v, want an exclusive one", lock.Lock, err)
	}
	if _, err := runner.CatLock(t.Context(), call, strings.Repeat("0", 64)); exitOf(t, err) != restic.ExitFatal {
		t.Errorf("a lock that is gone: %v", err)
	}

	// restic waits in silence; the hook finds the lock, counts as contact, and clears the way.
	options.RetryLock = time.Minute
	var looks atomic.Int32
	options.Hooks = restic.Hooks{
		SilenceAfter: 300 * time.Millisecond,
		FirstContact: 10 * time.Second,
		Silence: func(ctx context.Context, silent time.Duration) bool {
			if silent < 300*time.Millisecond {
				t.Errorf("called after %v", silent)
			}
			locks, err := runner.ListLocks(ctx, call)
			if ctx.Err() != nil {
				return false
			}
			if err != nil {
				t.Errorf("list locks: %v", err)
				return false
			}
			if len(locks.IDs) == 1 && locks.IDs[0] == lockID && looks.Add(1) == 2 {
				if err := restic.RemoveLock(ctx, repository, lockID); err != nil {
					t.Error(err)
				}
			}
			return true
		},
	}
	waited, err := runner.Backup(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, waited.Result, restic.ExitOK)
	if looks.Load() < 2 {
		t.Errorf("the hook saw the lock %d times", looks.Load())
	}
	if ids := lockFiles(t, path); len(ids) != 0 {
		t.Errorf("locks %v are left", ids)
	}
}

func TestContactEndsTheDeadline(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, path := newLocal(t)
	plantLock(t, path)
	// Nobody found the repository reachable, so the wait for the lock counts as no contact.
	result, err := runner.Backup(t.Context(), restic.BackupOptions{
		Call: restic.Call{Repository: repository, RetryLock: time.Minute, Hooks: restic.Hooks{FirstContact: 2 * time.Second}},
		Host: "h", Includes: []string{t.TempDir()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(result.Cause, restic.ErrNoContact) || result.Exit == restic.ExitOK {
		t.Errorf("ended %v with cause %v, want no contact", result.Exit, result.Cause)
	}
}

func TestProveAppendOnly(t *testing.T) {
	t.Parallel()
	for _, appendOnly := range []bool{true, false} {
		repository, _ := newREST(t, appendOnly)
		want := restic.DeleteAllowed
		if appendOnly {
			want = restic.DeleteRefused
		}
		if right, err := restic.ProveAppendOnly(t.Context(), repository); right != want || err != nil {
			t.Errorf("append-only %v: ProveAppendOnly = %v, %v", appendOnly, right, err)
		}
		if err := restic.RemoveLock(t.Context(), repository, strings.Repeat("b", 64)); err != nil {
			t.Errorf("append-only %v: remove a lock that is gone: %v", appendOnly, err)
		}
	}
	local, _ := newLocal(t)
	if right, err := restic.ProveAppendOnly(t.Context(), local); right != restic.DeleteUnknown || !errors.Is(err, restic.ErrUnsupportedRepository) {
		t.Errorf("local: ProveAppendOnly = %v, %v", right, err)
	}
	sftp := restic.Repository{URL: "sftp:host:/x", Password: "x"}
	if err := restic.RemoveLock(t.Context(), sftp, strings.Repeat("b", 64)); !errors.Is(err, restic.ErrUnsupportedRepository) {
		t.Errorf("sftp: RemoveLock = %v", err)
	}
	nowhere := restic.Repository{URL: t.TempDir() + "/nowhere", Password: "x"}
	if err := restic.RemoveLock(t.Context(), nowhere, strings.Repeat("b", 64)); err == nil {
		t.Error("a folder that does not exist looks like a lock that is gone")
	}
}

// TestOutageHeals puts a proxy that fails twice before a rest-server.
func TestOutageHeals(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newREST(t, true)
	target, err := url.Parse(strings.TrimPrefix(repository.URL, "rest:"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: target.Host})
	var failures atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if failures.Add(1) <= 2 {
			writer.WriteHeader(http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(writer, request)
	}))
	t.Cleanup(server.Close)
	repository.URL = "rest:" + server.URL + target.Path
	result, err := runner.CatConfig(t.Context(), restic.Call{Repository: repository})
	if err != nil {
		t.Fatal(err)
	}
	if !result.Has(restic.NoticeRetrying) || !result.Has(restic.NoticeReached) {
		t.Errorf("notices = %+v, want retrying and reached", result.Notices)
	}
}
