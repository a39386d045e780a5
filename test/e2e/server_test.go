//go:build unix

package e2e

import (
	"bytes"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestSecondServerIsRefused starts a second server on the data of a running one.
func TestSecondServerIsRefused(t *testing.T) {
	parallelBusy(t)
	s := rig.StartServer(t, rig.ServerOptions{})
	second := exec.Command(rig.Build(t).Server, "serve", "--data-dir", s.Dir, "--listen", freeAddress(t))
	said := new(bytes.Buffer)
	second.Stderr = said
	if err := testkit.Start(t, second).Wait(); err == nil {
		t.Error("the second server ended with 0")
	}
	wantSays(t, said.String(), "another server is running on it", "--data-dir")
}

// TestServerStopsPolitely asks the server to end while an agent works and
// somebody watches.
func TestServerStopsPolitely(t *testing.T) {
	parallelBusy(t)
	f := startFleet(t, rig.AgentOptions{})
	created := f.API.BackUp(t, f.host.HostID, f.longBackup(t, "long").ID)
	f.waitAtWork(t, created.ID)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+"/api/v1/jobs/"+string(created.ID)+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+f.API.Token)
	watched, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watched.Body.Close() }()

	begun := time.Now()
	f.Stop()
	took := time.Since(begun)
	t.Logf("the server ended after %s", took.Round(time.Millisecond))
	if err := f.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if took > 5*time.Second {
		t.Errorf("the server took %s to end", took)
	}
	f.Start(t)
	f.host.WaitOnline(t)
	if now := f.API.Job(t, created.ID); now.State != job.Running {
		t.Errorf("the job is %s after a restart of the server, want running", now.State)
	}
	f.API.Cancel(t, created.ID)
	f.API.WaitJob(t, created.ID, job.Cancelled)
	f.wantNoRemains(t, f.host)
}
