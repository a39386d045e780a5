package restic_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// patience bounds every wait for a real process.
const patience = 30 * time.Second

// The credentials of the tests hold every character that once broke somebody's URL or shell.
const (
	repositoryPassword = `pass word:"/#%@'$HOME\`
	restUser           = "host-1@example.org"
	restPassword       = `se cret@:/#%?&+"`
)

// template is a repository that is made once, since restic spends seconds on a new key, and then copied.
// Its lock is an exclusive one of a process that was killed.
var template struct {
	once   sync.Once
	folder string
	lockID string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if template.folder != "" {
		_ = os.RemoveAll(template.folder)
	}
	os.Exit(code)
}

func newRunner(t *testing.T) restic.Runner {
	t.Helper()
	binary, err := restic.Find(t.Context(), restic.Machine, testkit.Restic(t))
	if err != nil {
		t.Fatal(err)
	}
	return restic.Runner{Binary: binary, CacheDir: t.TempDir(), TempDir: t.TempDir()}
}

func makeTemplate(t *testing.T) {
	t.Helper()
	runner := newRunner(t)
	template.once.Do(func() {
		template.err = func() error {
			var err error
			if template.folder, err = os.MkdirTemp("", "restic-template-*"); err != nil { //nolint:usetesting // it outlives the test that makes it
				return err
			}
			path := filepath.Join(template.folder, "repository")
			repository := restic.Repository{URL: path, Password: repositoryPassword}
			made, err := runner.Init(t.Context(), restic.Call{Repository: repository})
			if err != nil {
				return err
			}
			if len(made.RepositoryID) != 64 {
				return fmt.Errorf("init named the repository %q", made.RepositoryID)
			}
			template.lockID, err = killWithLock(t, runner, path)
			return err
		}()
	})
	if template.err != nil {
		t.Fatalf("make a repository: %v", template.err)
	}
}

// killWithLock kills a check that holds the repository's exclusive lock and takes that lock aside.
func killWithLock(t *testing.T, runner restic.Runner, path string) (string, error) {
	data := filepath.Join(template.folder, "data")
	if err := os.WriteFile(data, randomBytes(200<<10), 0o600); err != nil {
		return "", err
	}
	env := []string{"RESTIC_PASSWORD=" + repositoryPassword, "RESTIC_REPOSITORY=" + path}
	backup := exec.Command(runner.Binary.Path, "backup", "--no-cache", "--quiet", "--tag=data", data)
	backup.Env = env
	if output, err := backup.CombinedOutput(); err != nil {
		return "", fmt.Errorf("backup: %w: %s", err, output)
	}
	check := exec.Command(runner.Binary.Path, "check", "--no-cache", "--read-data", "--limit-download=1")
	check.Env = env
	process := testkit.Start(t, check)
	var ids []string
	testkit.WaitFor(t, patience, "the lock of a check", func() bool {
		ids = lockFiles(t, path)
		return len(ids) == 1
	})
	process.Kill()
	return ids[0], os.Rename(filepath.Join(path, "locks", ids[0]), filepath.Join(template.folder, "lock"))
}

func randomBytes(count int) []byte {
	data := make([]byte, count)
	_, _ = rand.Read(data)
	return data
}

// lockFiles lists the locks in a repository's folder, leaving out files that are still being written.
func lockFiles(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(path, "locks"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, entry := range entries {
		if len(entry.Name()) == 64 {
			ids = append(ids, entry.Name())
		}
	}
	return ids
}

// copyTemplate puts a copy of the repository into the folder.
func copyTemplate(t *testing.T, folder string) {
	t.Helper()
	makeTemplate(t)
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(template.folder, "repository"))); err != nil {
		t.Fatal(err)
	}
}

// newLocal is a repository in a folder, with one snapshot of 200 KiB in it.
func newLocal(t *testing.T) (restic.Repository, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "repository")
	copyTemplate(t, path)
	return restic.Repository{URL: path, Password: repositoryPassword}, path
}

// newREST is the same behind a rest-server.
func newREST(t *testing.T, appendOnly bool) (restic.Repository, string) {
	t.Helper()
	server := testkit.StartRestServer(t, testkit.RestServerOptions{
		AppendOnly: appendOnly, PrivateRepos: true, Users: map[string]string{restUser: restPassword},
	})
	path := filepath.Join(server.Dir, restUser)
	copyTemplate(t, path)
	return restic.Repository{
		URL:          server.RepositoryURL("", "", restUser),
		RESTUsername: restUser, RESTPassword: restPassword, Password: repositoryPassword,
	}, path
}

// plantLock puts the dead check's exclusive lock into a copy of the template.
func plantLock(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(template.folder, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "locks", template.lockID), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return template.lockID
}

// newSource is a folder with small files named like the keys.
func newSource(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// slowSource is a file that takes minutes at 20 KiB per second.
func slowSource(t *testing.T) string {
	t.Helper()
	return newSource(t, map[string]string{"large": string(randomBytes(4 << 20))})
}

func wantExit(t *testing.T, result restic.Result, want restic.ExitCode) {
	t.Helper()
	if result.Exit != want {
		t.Fatalf("restic ended %v, want %v; it said %q and\n%s", result.Exit, want, result.Message, result.StderrTail)
	}
}

// exitOf takes the exit code out of the error of a query.
func exitOf(t *testing.T, err error) restic.ExitCode {
	t.Helper()
	var exit *restic.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the error is %v, want an *ExitError", err)
	}
	return exit.Result.Exit
}

// collector gathers what the hooks get.
type collector struct {
	mutex    sync.Mutex
	started  chan restic.Process
	lines    []restic.Line
	notices  []restic.Notice
	progress []restic.Progress
}

func (c *collector) hooks() restic.Hooks {
	c.started = make(chan restic.Process, 4) // as many runs as a test makes with one collector
	return restic.Hooks{
		Started:  func(process restic.Process, _ []string) { c.started <- process },
		Line:     func(line restic.Line) { c.mutex.Lock(); c.lines = append(c.lines, line); c.mutex.Unlock() },
		Notice:   func(notice restic.Notice) { c.mutex.Lock(); c.notices = append(c.notices, notice); c.mutex.Unlock() },
		Progress: func(state restic.Progress) { c.mutex.Lock(); c.progress = append(c.progress, state); c.mutex.Unlock() },
	}
}

func (c *collector) text() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var text strings.Builder
	for _, line := range c.lines {
		fmt.Fprintf(&text, "%s: %s\n", line.Source, line.Text)
	}
	return text.String()
}

// newJobID is an id that no other run of the tests has used; what is left of it ends with the test.
func newJobID(t *testing.T) string {
	t.Helper()
	jobID := "TEST" + rand.Text()
	t.Cleanup(func() {
		left, err := restic.Machine.FindLeft(jobID)
		if err != nil {
			t.Error(err)
		}
		for _, process := range left {
			if err := restic.Machine.Kill(process); err != nil {
				t.Error(err)
			}
		}
	})
	return jobID
}

// backgroundBackup starts a backup and returns its process once it is there, and a channel with its end.
func backgroundBackup(ctx context.Context, t *testing.T, runner restic.Runner, options restic.BackupOptions) (restic.Process, <-chan restic.BackupResult) {
	t.Helper()
	var watch collector
	hooks := watch.hooks()
	hooks.Progress = options.Hooks.Progress
	options.Hooks = hooks
	ended := make(chan restic.BackupResult, 1)
	var running sync.WaitGroup
	running.Go(func() {
		result, err := runner.Backup(ctx, options)
		if err != nil {
			t.Errorf("run a backup: %v", err)
		}
		ended <- result
	})
	t.Cleanup(running.Wait)
	select {
	case process := <-watch.started:
		return process, ended
	case result := <-ended:
		t.Fatalf("the backup ended at once: %+v", result.Result)
	case <-time.After(patience):
		t.Fatal("the backup did not start")
	}
	return restic.Process{}, nil
}
