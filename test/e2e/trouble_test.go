//go:build unix

package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestTroubles takes what goes wrong in the life of a backup through the whole
// chain. A case changes the group's paths; the next one begins from there.
func TestTroubles(t *testing.T) {
	parallelBusy(t)
	// Root can read every file, so the agent is somebody else.
	f := startFleet(t, rig.AgentOptions{Nobody: true, Policy: "first_contact: 4s\nlock_watch: 1s\n"})
	t.Run("sources", func(t *testing.T) { f.sourceTroubles(t) })
	t.Run("wrong password", func(t *testing.T) { f.wrongPassword(t) })
	t.Run("unreachable", func(t *testing.T) { f.unreachable(t) })
	t.Run("locked", func(t *testing.T) { f.locked(t) })
	t.Run("a long log over a killed server", func(t *testing.T) { f.logOverRestart(t) })
	t.Run("cancelled while the server was killed", func(t *testing.T) { f.cancelOverRestart(t) })
}

func (f fleet) sourceTroubles(t *testing.T) {
	good := f.host.WriteFiles(t, "good", 10, 100)
	missing := filepath.Join(f.host.FilesDir, "missing")
	link := filepath.Join(f.host.FilesDir, "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	locked := f.host.WriteFiles(t, "locked", 3, 100)
	secret := filepath.Join(locked, "000", "file-000001")
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	emptied := f.host.WriteFiles(t, "emptied", 3, 100)

	for _, test := range []struct {
		name     string
		includes []string
		before   func(group rig.Group) // after the group was made
		state    job.State
		finding  job.FindingKind
		path     string // of the finding
		says     []string
	}{
		{name: "file that can't be read", includes: []string{locked}, state: job.Warning,
			finding: job.FileUnreadable, path: secret, says: []string{"could not be read", secret}},
		{name: "one source missing", includes: []string{good, missing}, state: job.Warning,
			finding: job.SourceMissing, path: missing, says: []string{missing}},
		{name: "all sources missing", includes: []string{missing, missing + "-too"}, state: job.Failed,
			finding: job.SourceMissing, path: missing, says: []string{"none of the paths", missing}},
		{name: "source is a symbolic link", includes: []string{link}, state: job.Warning,
			finding: job.SourceSymlink, path: link, says: []string{"only a link", link}},
		{name: "folder empty that held files", includes: []string{emptied}, state: job.Warning,
			before: func(group rig.Group) {
				f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, job.Succeeded)
				if err := os.RemoveAll(filepath.Join(emptied, "000")); err != nil {
					t.Fatal(err)
				}
			},
			finding: job.SourceEmpty, path: emptied, says: []string{"empty", emptied}},
	} {
		t.Run(test.name, func(t *testing.T) {
			group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: test.name, Includes: test.includes})
			if test.before != nil {
				test.before(group)
			}
			ended := f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, test.state)
			wantSays(t, ended.Error, test.says...)
			if ended.Summary == nil {
				t.Fatal("the job has no summary")
			}
			if ended.Summary.Advice == "" {
				t.Error("nothing says what to do")
			}
			if !slices.ContainsFunc(ended.Summary.Findings, func(f job.Finding) bool { return f.Kind == test.finding && f.Path == test.path }) {
				t.Errorf("findings %+v, want %s of %s", ended.Summary.Findings, test.finding, test.path)
			}
			recorded := slices.ContainsFunc(f.API.Snapshots(t, f.host.HostID), func(s rig.Snapshot) bool { return s.JobID == ended.ID })
			if wanted := test.state == job.Warning; recorded != wanted {
				t.Errorf("a snapshot is recorded: %t, want %t", recorded, wanted)
			}
		})
	}
}

// wrongPassword brings the first host's repository as an existing one, with a
// key that does not open it.
func (f fleet) wrongPassword(t *testing.T) {
	access := f.Access(t, f.host.HostID)
	stranger := rig.NewAgent(t, f.Server, "brings-its-own", rig.AgentOptions{})
	stranger.Enrol(t, rig.Invitation{Name: stranger.Name, RepositoryURL: access.URL, RepositoryUser: access.Username,
		RepositoryPassword: access.Password, RepositoryKey: "not the key"})
	stranger.Start(t)
	stranger.WaitOnline(t)
	group := f.API.AddGroup(t, stranger.HostID, rig.Group{Name: "home", Includes: []string{stranger.WriteFiles(t, "home", 5, 100)}})
	ended := f.API.WaitJob(t, f.API.BackUp(t, stranger.HostID, group.ID).ID, job.Failed)
	wantSays(t, ended.Error, "password", "does not open", access.URL)
	wantSays(t, ended.Summary.Advice, "add it again")
	for _, secret := range []string{access.Key, access.Password, "not the key"} {
		if strings.Contains(ended.Error+f.API.Log(t, ended.ID), secret) {
			t.Error("error or log hold a secret")
		}
	}
}

func (f fleet) unreachable(t *testing.T) {
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "unreachable", Includes: []string{f.host.WriteFiles(t, "unreachable", 5, 100)}})
	f.box.StopRestServer()
	ended := f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, job.Failed)
	wantSays(t, ended.Error, "could not be reached", f.box.RestServer.Listen)
	wantSays(t, ended.Summary.Advice, "rest-server runs")
	if left := f.host.Children(t); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	f.box.StartRestServer(t)
	f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, job.Succeeded)
}

// locked lets a real restic hold an exclusive lock, alive and then dead.
func (f fleet) locked(t *testing.T) {
	access := f.Access(t, f.host.HostID)
	never := 0
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "locked", RetryLockMinutes: &never,
		Includes: []string{f.host.WriteFiles(t, "behind", 5, 100)}})
	// The limit stretches the check until it is stopped.
	command := rig.Restic(t, access, "check", "--limit-download=1")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check := testkit.Start(t, command)
	locks := filepath.Join(f.box.RestServer.Dir, access.Username, "locks")
	wait(t, "restic check to lock the repository", func() bool {
		held, err := os.ReadDir(locks)
		return err == nil && len(held) > 0
	})
	check.Signal(t, syscall.SIGSTOP)

	refused := f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, job.Failed)
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	wantSays(t, refused.Error, "locked", "process "+strconv.Itoa(check.Pid), hostname)
	wantSays(t, refused.Summary.Advice, "remove this one lock")
	if len(refused.Summary.Locks) != 1 || refused.Summary.Locks[0].PID != check.Pid || !refused.Summary.Locks[0].Exclusive {
		t.Fatalf("locks %+v, want the exclusive one of process %d", refused.Summary.Locks, check.Pid)
	}
	lock := refused.Summary.Locks[0].ID
	visitor := f.SignIn(t)
	page := "/jobs/" + string(refused.ID)
	wantSays(t, visitor.Page(t, page), `action="`+page+`/unlock"`, `value="`+lock+`"`)

	visitor.Post(t, page+"/unlock", url.Values{"lock": {lock}})
	live := f.newest(t, job.Unlock, job.Failed)
	wantSays(t, live.Error, "not removed", "process "+strconv.Itoa(check.Pid), "alive")
	if left := rig.LocksInRepository(t, access); len(left) != 1 {
		t.Fatalf("locks after a refused removal: %v, want %s", left, lock)
	}

	check.Kill()
	wantSays(t, visitor.Page(t, page), `action="`+page+`/unlock"`) // still, or again
	visitor.Post(t, page+"/unlock", url.Values{"lock": {lock}})
	f.newest(t, job.Unlock, job.Succeeded)
	if left := rig.LocksInRepository(t, access); len(left) != 0 {
		t.Errorf("locks after the removal: %v", left)
	}
	wantSays(t, visitor.Page(t, page), `action="`+page+`/again"`)
	visitor.Post(t, page+"/again", nil)
	// The next attempt waits already; it goes now, and there is no other beside it.
	f.waitRun(t, retryOf(t, refused.ID, 1), job.Succeeded)
	if all := f.API.Jobs(t, f.host.HostID, "source_group_id="+string(group.ID)); len(all) != 2 {
		t.Errorf("there are the jobs %+v, want the refused one and the next attempt", all)
	}
}

// newest waits for the newest job of a kind.
func (f fleet) newest(t *testing.T, kind job.Kind, want job.State) rig.Job {
	t.Helper()
	return f.API.WaitJob(t, f.API.Jobs(t, f.host.HostID, "kind="+string(kind))[0].ID, want)
}

// logOverRestart wants each of many lines once in the log of a job during which
// the server was killed.
func (f fleet) logOverRestart(t *testing.T) {
	const lines = 400
	root := f.host.WriteFiles(t, "many-locked", lines, 16<<10)
	entries, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil || len(entries) != lines {
		t.Fatalf("%d files: %v", len(entries), err)
	}
	for i, path := range entries {
		if i%2 == 0 {
			if err := os.Chmod(path, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "many-locked", Includes: []string{root}, LimitUploadKiB: 1 << 10})
	created := f.API.BackUp(t, f.host.HostID, group.ID)
	wait(t, "the log to begin", func() bool { return f.API.Job(t, created.ID).LogLines > 0 })
	f.Kill()
	f.Start(t)
	ended := f.API.WaitJob(t, created.ID, job.Warning)
	naming := map[string][]string{}
	for line := range strings.Lines(f.API.Log(t, created.ID)) {
		if at := strings.Index(line, root); at >= 0 {
			path, _, _ := strings.Cut(line[at:], ":")
			naming[path] = append(naming[path], line)
		}
	}
	for i, path := range entries {
		if i%2 == 0 && len(naming[path]) != 1 {
			t.Fatalf("the log has the lines %q for %s, want one", naming[path], path)
		}
	}
	checkLog(t, f.Server, ended)
	if len(ended.Summary.Findings)+ended.Summary.FindingsOmitted != lines/2 {
		t.Errorf("%d findings and %d left out, want %d in all", len(ended.Summary.Findings), ended.Summary.FindingsOmitted, lines/2)
	}
}

// cancelOverRestart kills the server between a cancel and the agent's word.
func (f fleet) cancelOverRestart(t *testing.T) {
	created := f.API.BackUp(t, f.host.HostID, f.longBackup(t, "long").ID)
	f.waitAtWork(t, created.ID)
	f.host.Signal(t, syscall.SIGSTOP)
	f.API.Cancel(t, created.ID)
	f.Kill()
	f.host.Signal(t, syscall.SIGCONT)
	f.Start(t)
	ended := f.API.WaitJob(t, created.ID, job.Cancelled)
	if ended.Cause != job.CauseOperator {
		t.Errorf("cause %q, want %q", ended.Cause, job.CauseOperator)
	}
	f.wantNoRemains(t, f.host)
}
