//go:build unix

package e2e

import (
	"net/http"
	"testing"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestOfflineHost asks for backups of a host that is away.
func TestOfflineHost(t *testing.T) {
	parallelBusy(t)
	f := startFleet(t, rig.AgentOptions{})
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "home", Includes: []string{f.host.WriteFiles(t, "home", 50, 100)}})
	f.host.Stop()
	f.host.WaitOffline(t)

	path := "/hosts/" + string(f.host.HostID) + "/jobs"
	body := map[string]any{"kind": "backup", "source_group_id": group.ID}
	refused, err := f.API.Ask(t.Context(), http.MethodPost, path, body)
	if err != nil || refused.Status != http.StatusConflict {
		t.Fatalf("run now on an offline host: %d %v, want 409", refused.Status, err)
	}
	wantSays(t, refused.Detail(), "offline since", "start its agent", "wait until it is back")

	body["when_back"] = true
	var first job.ID
	for range 3 {
		var created rig.Job
		f.API.Do(t, http.StatusAccepted, http.MethodPost, path, body, &created)
		if created.State != job.Queued {
			t.Errorf("a run that waits for its host is %s, want queued", created.State)
		}
		if first == "" {
			first = created.ID
		}
		if created.ID != first {
			t.Errorf("asked again, a second run %s waits beside %s", created.ID, first)
		}
	}
	if waiting := f.API.Jobs(t, f.host.HostID, "kind=backup"); len(waiting) != 1 {
		t.Errorf("%d runs wait, want one", len(waiting))
	}
	f.host.Start(t)
	f.API.WaitJob(t, first, job.Succeeded)
	if all := f.API.Jobs(t, f.host.HostID, "kind=backup"); len(all) != 1 {
		t.Errorf("%d backups ran, want one", len(all))
	}
	f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 1)
}
