//go:build unix

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

var kills = flag.Int("e2e.kills", 5, "how many backups have their agent or server killed at random moments")

// TestRandomKills kills agent and server at random moments of a backup's life.
// Whatever became of each job, its state is the truth: as many backups ended
// well as there are snapshots, and nothing else is left.
func TestRandomKills(t *testing.T) {
	parallelBusy(t)
	// The other journeys are on SQLite; here a dead node leaves its lease behind.
	f := startFleetOn(t, rig.ServerOptions{Postgres: true}, rig.AgentOptions{})
	access := f.Access(t, f.host.HostID)
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "random", LimitUploadKiB: 8 << 10, RetryMax: 1,
		Includes: []string{f.host.WriteFiles(t, "random", 100, 64<<10)}})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	succeeded := map[string]bool{}
	for round := range *kills {
		f.host.WriteFiles(t, fmt.Sprintf("random/more-%d", round), 100, 64<<10) // so that there is something to send
		created := f.API.BackUp(t, f.host.HostID, group.ID)
		moment := time.Duration(random.Int64N(int64(1800 * time.Millisecond)))
		victim := []string{"agent", "server", "both"}[random.IntN(3)]
		<-time.After(moment)
		if victim != "agent" {
			f.Kill()
		}
		if victim != "server" {
			f.host.Kill()
			f.host.Start(t)
		}
		if victim != "agent" {
			f.Start(t)
		}
		f.host.WaitOnline(t)
		ended := f.API.WaitJob(t, created.ID)
		t.Logf("%s killed after %s: %s, %q", victim, moment.Round(time.Millisecond), ended.State, ended.Error)
		switch ended.State {
		case job.Succeeded:
			if ended.Summary == nil || succeeded[ended.Summary.SnapshotID] {
				t.Errorf("job %s succeeded with the summary %+v: want a snapshot of its own", ended.ID, ended.Summary)
			} else {
				succeeded[ended.Summary.SnapshotID] = true
			}
		case job.Lost:
			if victim == "server" {
				t.Error("a backup was lost with the server")
			}
		default:
			t.Errorf("a backup whose %s was killed ended %s: %q", victim, ended.State, ended.Error)
		}
		f.wantNoRemains(t, f.host)
		f.wantSnapshots(t, access, group, len(succeeded))
	}
	shown := f.API.Snapshots(t, f.host.HostID)
	if slices.ContainsFunc(shown, func(s rig.Snapshot) bool { return !succeeded[s.ID] || s.JobID == "" }) {
		t.Errorf("snapshots %+v, want those of the jobs that succeeded", shown)
	}
	for _, alert := range f.API.Alerts(t, f.host.HostID) {
		t.Errorf("an alert was opened: %+v", alert)
	}
}
