//go:build unix

package rig

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// Restic prepares the real restic on a repository, as a person with a host's
// credentials would run it.
func Restic(t testing.TB, access api.Access, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(testkit.Restic(t), args...)
	command.Env = []string{"RESTIC_REPOSITORY=" + access.URL, "RESTIC_PASSWORD=" + access.Key,
		"RESTIC_REST_USERNAME=" + access.Username, "RESTIC_REST_PASSWORD=" + access.Password,
		"RESTIC_CACHE_DIR=" + t.TempDir()}
	return command
}

// RunRestic runs restic, which has to succeed, and gives what it printed.
func RunRestic(t testing.TB, access api.Access, args ...string) string {
	t.Helper()
	command := Restic(t, access, args...)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		t.Fatalf("restic %s: %v\n%s", strings.Join(args, " "), err, &complaints)
	}
	return string(output)
}

// RepositorySnapshot is a snapshot as restic prints it.
type RepositorySnapshot struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Hostname string    `json:"hostname"`
	Paths    []string  `json:"paths"`
	Tags     []string  `json:"tags"`
}

// SnapshotsInRepository asks the repository itself.
func SnapshotsInRepository(t testing.TB, access api.Access) (found []RepositorySnapshot) {
	t.Helper()
	if err := json.Unmarshal([]byte(RunRestic(t, access, "snapshots", "--no-lock", "--json")), &found); err != nil {
		t.Fatalf("read the snapshots: %v", err)
	}
	return found
}

// LocksInRepository gives the ids of the locks in a repository.
func LocksInRepository(t testing.TB, access api.Access) []string {
	t.Helper()
	return strings.Fields(RunRestic(t, access, "list", "locks", "--no-lock"))
}
