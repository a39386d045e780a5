//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// testPatience is for one step on a machine that has other things to do; an
// agent may wait 30 s before it connects again.
const testPatience = 60 * time.Second

func wait(t *testing.T, name string, condition func() bool) {
	t.Helper()
	testkit.WaitFor(t, testPatience, name, condition)
}

// waitAtWork waits until a backup has sent something.
func (f fleet) waitAtWork(t *testing.T, id job.ID) {
	t.Helper()
	wait(t, "the backup to be at work", func() bool {
		now := f.API.Job(t, id)
		if now.State.Ended() {
			t.Fatalf("the job is over already: %s, %q", now.State, now.Error)
		}
		return now.Progress != nil && now.Progress.FilesDone > 0 && len(f.host.Children(t)) > 0
	})
}

// waitNoChild waits until no process of a job is left on the host.
func waitNoChild(t *testing.T, host *rig.Agent) {
	t.Helper()
	wait(t, "the processes of jobs to end", func() bool { return len(host.Children(t)) == 0 })
}

// wantNoRemains wants no process on the host and no lock in its repository.
func (f fleet) wantNoRemains(t *testing.T, host *rig.Agent) {
	t.Helper()
	waitNoChild(t, host)
	access := f.Access(t, host.HostID)
	var locks []string
	for range 2 { // a question to the repository may hold one for a moment
		if locks = rig.LocksInRepository(t, access); len(locks) == 0 {
			return
		}
	}
	t.Errorf("locks are left: %v", locks)
}

// wantSays wants a sentence to hold each of the parts, whatever their case.
func wantSays(t *testing.T, sentence string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(strings.ToLower(sentence), strings.ToLower(part)) {
			t.Errorf("%q does not say %q", sentence, part)
		}
	}
}

// wantSnapshots wants the repository to hold so many snapshots of the group, and
// the API to show the same ones.
func (f fleet) wantSnapshots(t *testing.T, access api.Access, group rig.Group, count int) {
	t.Helper()
	real := map[string]bool{}
	for _, snapshot := range rig.SnapshotsInRepository(t, access) {
		if job.GroupOfTags(snapshot.Tags) == group.ID {
			real[snapshot.ID] = true
		}
	}
	shown := 0
	for _, snapshot := range f.API.Snapshots(t, f.host.HostID) {
		if snapshot.GroupID == group.ID {
			shown++
			if !real[snapshot.ID] {
				t.Errorf("the API shows the snapshot %s, which the repository does not hold", snapshot.ID)
			}
		}
	}
	if len(real) != count || shown != count {
		t.Errorf("the repository holds %d snapshots of the group and the API shows %d, want %d", len(real), shown, count)
	}
}
