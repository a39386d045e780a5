package agent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// agentDirVariable makes this test binary run as an agent on the folder that it
// names, so that tests can kill a real one.
const agentDirVariable = "RM_TEST_AGENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(agentDirVariable); dir != "" {
		os.Exit(beAgent(dir))
	}
	code := m.Run()
	if template.dir != "" {
		_ = os.RemoveAll(template.dir)
	}
	os.Exit(code)
}

func beAgent(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := New(testOptions(dir))
	if err == nil {
		hurry(a)
		err = a.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func testOptions(dir string) Options {
	return Options{Dir: dir, PolicyFile: dir + ".policy.yaml", Version: "test", Log: slog.New(slog.NewTextHandler(logWriter{dir}, nil))}
}

// logWriter appends to a file beside the state folder, so that the log of a
// killed agent can be read.
type logWriter struct{ dir string }

func (w logWriter) Write(text []byte) (int, error) {
	file, err := os.OpenFile(w.dir+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := file.Write(text)
	return n, errors.Join(err, file.Close())
}

// hurry shortens the waits that a test would have to sit through.
func hurry(a *Agent) {
	a.patience.silence = 500 * time.Millisecond
	a.patience.stopGrace = 10 * time.Second
	a.patience.question = 8 * time.Second
	a.patience.retryMin = 100 * time.Millisecond
	a.patience.retryMax = 500 * time.Millisecond
	if os.Getenv("RM_SLOW_TESTS") == "" {
		a.patience.reload = 4 * time.Second
	}
}

// rig is a peer, an agent and a real rest-server with a repository.
type rig struct {
	t      *testing.T
	peer   *peer
	dir    string // the agent's state folder
	source string // a folder with files
	server *testkit.RunningRestServer
	access api.Access
	group  job.GroupID
	// options, if set, changes those of an agent in this process.
	options func(*Options)
}

const (
	repositoryKey = "a password with @:/#% and space"
	restUser      = "h1"
	restPassword  = "p@:/#% w"
	resticHost    = "a-host"
)

func newRig(t *testing.T, policy string) *rig {
	t.Helper()
	t.Parallel()
	binary := testkit.Restic(t)
	base := t.TempDir()
	r := &rig{t: t, peer: newPeer(t), dir: filepath.Join(base, "state"), source: filepath.Join(base, "source")}
	r.group = job.GroupID(job.NewULID(time.Now()))
	r.writePolicy("restic: " + binary + "\nlock_watch: 300ms\n" + policy)
	r.write("source/one.txt", "one")
	r.write("source/two.txt", "two")
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(r.dir + ".log")
			t.Logf("the agent's log:\n%s", text)
		}
	})
	return r
}

// withRepository starts a rest-server and makes a repository on its disk.
func (r *rig) withRepository() *rig {
	r.t.Helper()
	r.server = testkit.StartRestServer(r.t, testkit.RestServerOptions{AppendOnly: true, PrivateRepos: true, Users: map[string]string{restUser: restPassword}})
	r.copyRepository(filepath.Join(r.server.Dir, restUser))
	r.access = api.Access{Repository: job.RepositoryID(job.NewULID(time.Now())), URL: "rest:" + r.server.URL + "/" + restUser + "/",
		Username: restUser, Password: restPassword, Key: repositoryKey}
	r.peer.setPlan(r.plan(r.access))
	return r
}

// template is an empty repository that is made once and copied by each test.
var template struct {
	sync.Mutex
	dir string
}

func (r *rig) copyRepository(to string) {
	r.t.Helper()
	template.Lock()
	defer template.Unlock()
	if template.dir == "" {
		dir, err := os.MkdirTemp("", "rm-template-")
		if err != nil {
			r.t.Fatal(err)
		}
		template.dir = dir
		repository := restic.Repository{URL: filepath.Join(dir, "repository"), Password: repositoryKey}
		if _, err := r.runner().Init(context.Background(), restic.Call{Repository: repository}); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(template.dir, "repository"))); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) plan(access api.Access) *api.Plan {
	digest := sha256.Sum256([]byte(access.URL + access.Key))
	return &api.Plan{Digest: hex.EncodeToString(digest[:]), ResticHost: resticHost, Repositories: []api.Access{access}}
}

func (r *rig) runner() restic.Runner {
	r.t.Helper()
	binary, err := restic.Find(context.Background(), restic.Machine, testkit.Restic(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	return restic.Runner{Binary: binary, CacheDir: filepath.Join(filepath.Dir(r.dir), "test-cache")}
}

func (r *rig) call() restic.Call { return restic.Call{Repository: repositoryOf(r.access)} }

func (r *rig) writePolicy(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.dir+".policy.yaml", []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// write makes a file below the rig's base folder.
func (r *rig) write(name, content string) string {
	r.t.Helper()
	path := filepath.Join(filepath.Dir(r.dir), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// writeRandom makes a file that can't be compressed.
func (r *rig) writeRandom(name string, size int) string {
	r.t.Helper()
	content := make([]byte, size)
	_, _ = rand.Read(content)
	return r.write(name, string(content))
}

func (r *rig) enrol() Identity {
	r.t.Helper()
	identity, err := Enrol(r.t.Context(), testOptions(r.dir), EnrolOptions{Server: r.peer.web.URL, Token: r.peer.token.String(), Timeout: 10 * time.Second})
	if err != nil {
		r.t.Fatal(err)
	}
	return identity
}

// runningAgent is an agent in this process.
type runningAgent struct {
	*Agent
	end func() error // politely; may be repeated
}

// start runs the rig's agent in this process until the test ends.
func (r *rig) start() *runningAgent {
	r.t.Helper()
	options := testOptions(r.dir)
	if r.options != nil {
		r.options(&options)
	}
	a, err := New(options)
	if err != nil {
		r.t.Fatal(err)
	}
	hurry(a)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var result error
	go func() { defer close(ended); result = a.Run(ctx) }()
	running := &runningAgent{Agent: a, end: func() error { cancel(); <-ended; return result }}
	r.t.Cleanup(func() {
		if err := running.end(); err != nil && !errors.Is(err, ErrRemoved) {
			r.t.Errorf("the agent ended with %v", err)
		}
	})
	return running
}

// spawn runs the rig's agent as a process of its own.
func (r *rig) spawn() *testkit.Process {
	r.t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), agentDirVariable+"="+r.dir)
	command.Stderr = logWriter{r.dir}
	return testkit.Start(r.t, command)
}

// backupSpec orders a backup of the given paths, or of the rig's source.
func (r *rig) backupSpec(paths ...string) *job.BackupSpec {
	if len(paths) == 0 {
		paths = []string{r.source}
	}
	return &job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: r.group, GroupName: "docs", Repository: r.access.Repository, ResticHost: resticHost, Includes: paths}
}

func (r *rig) backup(paths ...string) api.Ended {
	r.t.Helper()
	return r.peer.awaitEnded(r.peer.ask(job.Backup, r.backupSpec(paths...), &r.access))
}

// slowBackup asks for a backup that takes about that many seconds, and waits
// until restic is at work.
func (r *rig) slowBackup(seconds int, paths ...string) job.ID {
	r.t.Helper()
	const rate = 512
	r.writeRandom("source/big", seconds*rate<<10)
	spec := r.backupSpec(paths...)
	spec.LimitUploadKiB = rate
	id := r.peer.ask(job.Backup, spec, &r.access)
	r.peer.awaitRecord(id, api.RecordStarted)
	testkit.WaitFor(r.t, 20*time.Second, "the lock of the backup", func() bool { return len(r.lockFiles()) > 0 })
	return id
}

func (r *rig) lockFiles() []string {
	entries, err := os.ReadDir(filepath.Join(r.server.Dir, restUser, "locks"))
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.Contains(entry.Name(), ".") && len(entry.Name()) == 64 {
			names = append(names, entry.Name())
		}
	}
	return names
}

func (r *rig) snapshots() []restic.Snapshot {
	r.t.Helper()
	list, err := r.runner().Snapshots(context.Background(), restic.SnapshotsOptions{Call: r.call()})
	if err != nil {
		r.t.Fatal(err)
	}
	return list.Snapshots
}

// assertClean fails when a lock or a process of a job is left.
func (r *rig) assertClean(id job.ID) {
	r.t.Helper()
	testkit.WaitFor(r.t, 10*time.Second, "no lock to be left", func() bool { return len(r.lockFiles()) == 0 })
	if left, err := restic.Machine.FindLeft(string(id)); err != nil || len(left) > 0 {
		r.t.Errorf("processes left: %v, %v", left, err)
	}
}

func mustJSON(t *testing.T, value any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
