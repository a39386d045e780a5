//go:build unix

package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/restic-manager/restic-manager/internal/testkit"
)

// Programs are the files that a fleet runs.
type Programs struct {
	Server, Agent string // built from this source, as `make build` does
	Restic        string
}

// Main runs the tests of a package and removes what they shared. A package that
// uses the rig has it in its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
func Main(m *testing.M) int {
	code := testkit.Main(m)
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // a temporary folder
	}
	return code
}

var built struct {
	once sync.Once
	dir  string
	err  error
}

// Build gives the programs; the first call of a test binary builds them.
func Build(t testing.TB) Programs {
	t.Helper()
	restic := testkit.Restic(t)
	root := testkit.ModuleRoot(t)
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "rm-programs-"); built.err != nil { //nolint:usetesting // it outlives the test: all tests share it
			return
		}
		// Open to all: an endpoint may run as another user.
		if built.err = os.Chmod(built.dir, 0o755); built.err != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=test",
			"-o", built.dir+"/", "./cmd/server", "./cmd/agent")
		build.Dir = root
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, output)
			return
		}
		for from, to := range map[string]string{"server": serverName, "agent": agentName} {
			if built.err = os.Rename(filepath.Join(built.dir, from), filepath.Join(built.dir, to)); built.err != nil {
				return
			}
		}
	})
	if built.err != nil {
		t.Fatalf("build the programs: %v", built.err)
	}
	return Programs{filepath.Join(built.dir, serverName), filepath.Join(built.dir, agentName), restic}
}

// Names of the programs, as `make build` gives them; the demo looks for the
// second beside the first.
const (
	serverName = "restic-manager-server"
	agentName  = "restic-manager-agent"
)

// Dir makes a temporary folder that every user may enter, unlike t.TempDir.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rm-rig-") //nolint:usetesting // removed after the processes that work in it have ended
	if err != nil {
		t.Fatalf("make a folder: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove a folder: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatalf("open a folder: %v", err)
	}
	return dir
}

// logFile opens a process's log for appending and shows its end when the test
// fails.
func logFile(t testing.TB, path string) *os.File {
	t.Helper()
	_, err := os.Stat(path)
	fresh := err != nil
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatalf("open a log: %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if fresh {
		t.Cleanup(func() {
			if text, err := os.ReadFile(path); err == nil && t.Failed() {
				t.Logf("%s ends with:\n%s", filepath.Base(path), text[max(0, len(text)-logTail):])
			}
		})
	}
	return file
}

// logTail is how much of a log a failed test shows, in bytes.
const logTail = 4 << 10
