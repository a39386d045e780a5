package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Restic gives the path of the restic binary that `make deps` provided, or of
// the one in PATH. Without either the test is skipped, or failed under CI=true.
func Restic(t testing.TB) string {
	t.Helper()
	return find(t, "run `make deps`", "restic")
}

// RestServer gives the path of the rest-server binary that `make deps`
// provided, or of the one in PATH (Debian names it restic-rest-server).
// Without either the test is skipped, or failed under CI=true.
func RestServer(t testing.TB) string {
	t.Helper()
	return find(t, "run `make deps`", "rest-server", "restic-rest-server")
}

// ModuleRoot gives the folder that holds go.mod, above the folder the test
// runs in.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatalf("find the module root: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			t.Fatal("find the module root: no go.mod above the test's folder")
		}
		folder = parent
	}
}

// find looks for the first of the names, in .deps/bin of the module before
// PATH: what `make deps` left there has a checked version.
func find(t testing.TB, remedy string, names ...string) string {
	t.Helper()
	bin := filepath.Join(ModuleRoot(t), ".deps", "bin")
	for _, name := range names {
		if path, err := exec.LookPath(filepath.Join(bin, name)); err == nil {
			return path
		}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "%s is not here: %s", names[0], remedy)
	return ""
}

// missing skips the test on a laptop and fails it in CI, where every program
// has to be there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
