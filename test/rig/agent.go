//go:build unix

package rig

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// AgentOptions say which agent a test wants.
type AgentOptions struct {
	// Policy is YAML that is added to its policy file.
	Policy string
	// Nobody runs it as the user nobody where the test itself is root.
	Nobody bool
}

// Agent is a machine: its folders and, while it is started, its agent's process.
type Agent struct {
	*testkit.Process // of the last start

	Name     string
	HostID   job.HostID // after Enrol
	StateDir string
	FilesDir string // for what it backs up
	LogPath  string

	server   *Server
	programs Programs
	policy   string // its file
	user     *syscall.SysProcAttr
	owner    testing.TB // as of the server
}

// NewAgent prepares a machine; Enrol and Start bring it to life.
func NewAgent(t testing.TB, s *Server, name string, options AgentOptions) *Agent {
	t.Helper()
	dir := Dir(t)
	a := &Agent{Name: name, StateDir: filepath.Join(dir, "agent"), FilesDir: filepath.Join(dir, "files"), LogPath: filepath.Join(dir, name+".log"),
		server: s, programs: s.programs, policy: filepath.Join(dir, "policy.yaml"), owner: t}
	// A test may not leave restic behind, whatever it did to the agent.
	t.Cleanup(func() {
		for _, pid := range a.Children(t) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
	})
	for _, folder := range []string{a.StateDir, a.FilesDir} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatalf("make a folder of %s: %v", name, err)
		}
	}
	if err := os.WriteFile(a.policy, fmt.Appendf(nil, "restic: %q\n%s", a.programs.Restic, options.Policy), 0o644); err != nil {
		t.Fatalf("write the policy of %s: %v", name, err)
	}
	if options.Nobody && os.Getuid() == 0 {
		a.user = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		for _, folder := range []string{a.StateDir, a.FilesDir} {
			if err := os.Chown(folder, nobody, nobody); err != nil {
				t.Fatalf("give a folder to nobody: %v", err)
			}
		}
	}
	return a
}

// nobody is the user without rights on every Linux.
const nobody = 65534

// StartEndpoint enrols a machine at the storage box, starts its agent, and waits
// until it is online and its repository is ready.
func StartEndpoint(t testing.TB, s *Server, box *StorageBox, name string, options AgentOptions) *Agent {
	t.Helper()
	a := NewAgent(t, s, name, options)
	a.Enrol(t, Invitation{Name: name, Storage: box.HostID})
	a.Start(t)
	a.WaitOnline(t)
	testkit.WaitFor(t, patience, "the repository of "+name, func() bool { return s.API.Repository(t, a.HostID).Ready })
	return a
}

// patience is how long an ordinary step may take on a busy machine.
const patience = 40 * time.Second

// Enrol joins the server with a new token, as a person would.
func (a *Agent) Enrol(t testing.TB, invitation Invitation) {
	t.Helper()
	token := a.server.API.Invite(t, invitation)
	command := a.Command("enroll", "--server", a.server.URL)
	command.Stdin = strings.NewReader(token.Token)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("enrol %s: %v\n%s", a.Name, err, output)
	}
	a.HostID = a.server.API.Enrollment(t, token.ID).HostID
	if a.HostID == "" {
		t.Fatalf("enrol %s: its token names no host", a.Name)
	}
}

// Command is one call of the agent's program on this machine.
func (a *Agent) Command(args ...string) *exec.Cmd {
	command := exec.Command(a.programs.Agent, append([]string{"--state", a.StateDir, "--policy", a.policy}, args...)...)
	command.SysProcAttr = a.user
	command.Dir = filepath.Dir(a.policy)
	return command
}

// Start starts the agent's process.
func (a *Agent) Start(t testing.TB) {
	t.Helper()
	log := logFile(a.owner, a.LogPath)
	command := a.Command("run")
	command.Stdout, command.Stderr = log, log
	a.Process = testkit.Start(a.owner, command)
}

// Copy makes a second machine from this one's folders, as a cloned disk is.
// The agent must not be running.
func (a *Agent) Copy(t testing.TB, name string) *Agent {
	t.Helper()
	twin := NewAgent(t, a.server, name, AgentOptions{})
	twin.HostID = a.HostID
	if output, err := exec.Command("cp", "-a", a.StateDir+"/.", twin.StateDir).CombinedOutput(); err != nil {
		t.Fatalf("copy the state of %s: %v\n%s", a.Name, err, output)
	}
	return twin
}

// WaitOnline waits until the server holds the agent's session.
func (a *Agent) WaitOnline(t testing.TB) {
	t.Helper()
	testkit.WaitFor(t, patience, a.Name+" to be online", func() bool { return a.server.API.Host(t, a.HostID).Online })
}

// WaitOffline waits until the server knows that the agent is away.
func (a *Agent) WaitOffline(t testing.TB) {
	t.Helper()
	testkit.WaitFor(t, patience, a.Name+" to be offline", func() bool { return !a.server.API.Host(t, a.HostID).Online })
}

// Children gives the processes that jobs of this machine run in.
func (a *Agent) Children(t testing.TB) []int {
	t.Helper()
	return processes(t, func(environment []byte) bool {
		return bytes.Contains(environment, []byte("RM_JOB_ID=")) && bytes.Contains(environment, []byte(a.StateDir+"/"))
	})
}

// WriteFiles makes count files of size bytes below the folder dir of FilesDir,
// a hundred in each folder, and returns the folder's path.
func (a *Agent) WriteFiles(t testing.TB, dir string, count, size int) string {
	t.Helper()
	root := filepath.Join(a.FilesDir, dir)
	WriteFiles(t, root, count, size)
	if a.user != nil {
		if err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, nobody, nobody)
		}); err != nil {
			t.Fatalf("give files to nobody: %v", err)
		}
	}
	return root
}

// Log gives what the agent's process has logged so far, over all its starts.
func (a *Agent) Log(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(a.LogPath)
	if err != nil {
		t.Fatalf("read the log of %s: %v", a.Name, err)
	}
	return string(text)
}
