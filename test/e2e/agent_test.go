//go:build unix

package e2e

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

// longBackup adds a group whose backup takes half a minute unless it is ended, and
// then is not tried again.
func (f fleet) longBackup(t *testing.T, name string) rig.Group {
	t.Helper()
	return f.API.AddGroup(t, f.host.HostID, rig.Group{Name: name, LimitUploadKiB: 1 << 10, RetryMax: 1,
		Includes: []string{f.host.WriteFiles(t, name, 500, 64<<10)}})
}

// TestAgentKilled kills the agent (-9) at the moments of the recovery table and
// wants the truth of each job afterwards.
func TestAgentKilled(t *testing.T) {
	parallelBusy(t)
	f := startFleet(t, rig.AgentOptions{})
	access := f.Access(t, f.host.HostID)
	visitor := f.SignIn(t)

	t.Run("during a backup, and before the next one began", func(t *testing.T) {
		long := f.longBackup(t, "long")
		short := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "waits", Includes: []string{f.host.WriteFiles(t, "waits", 20, 100)}})
		cut := f.API.BackUp(t, f.host.HostID, long.ID)
		f.waitAtWork(t, cut.ID)
		// One writing job at a time: this one waits.
		waits := f.API.BackUp(t, f.host.HostID, short.ID)
		if waits.State != job.Queued {
			t.Errorf("the second backup is %s beside the first one, want queued", waits.State)
		}
		// Without its agent restic would end at its next line of progress, which is not
		// due right after one. Stopped, it is surely still there when the agent is back;
		// stopped before the agent is killed, it would get the kernel's SIGHUP.
		left := f.host.Children(t)
		before := f.API.Job(t, cut.ID).Progress.ElapsedSeconds
		wait(t, "a line of progress", func() bool { return f.API.Job(t, cut.ID).Progress.ElapsedSeconds != before })
		f.host.Kill()
		signalAll(t, left, syscall.SIGSTOP)
		f.host.Start(t)
		wait(t, "the agent to find the process that is left", func() bool {
			return strings.Contains(f.API.Log(t, cut.ID), "still at work")
		})
		if progress := f.API.Job(t, cut.ID).Progress; progress == nil || progress.Phase != job.PhaseFindingOut {
			t.Errorf("the job shows %+v, want the phase %s", progress, job.PhaseFindingOut)
		}
		signalAll(t, left, syscall.SIGCONT)
		lost := f.API.WaitJob(t, cut.ID, job.Lost)
		if lost.Cause != job.CauseRestarted {
			t.Errorf("cause %q, want %q", lost.Cause, job.CauseRestarted)
		}
		wantSays(t, lost.Error, "agent was restarted", "no snapshot")
		f.API.WaitJob(t, waits.ID, job.Succeeded)
		f.wantSnapshots(t, access, long, 0)
		f.wantSnapshots(t, access, short, 1)
		f.wantNoRemains(t, f.host)
		page := visitor.Page(t, "/jobs/"+string(cut.ID))
		wantSays(t, page, `action="/jobs/`+string(cut.ID)+`/again"`, "run again")
	})

	t.Run("between the end of restic and the record of it", func(t *testing.T) {
		group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "alone", LimitUploadKiB: 4 << 10,
			Includes: []string{f.host.WriteFiles(t, "alone", 200, 64<<10)}})
		created := f.API.BackUp(t, f.host.HostID, group.ID)
		f.waitAtWork(t, created.ID)
		f.host.Signal(t, syscall.SIGSTOP) // restic goes on and ends; nobody writes it down
		waitNoChild(t, f.host)
		f.host.Kill()
		f.host.Start(t)
		found := f.API.WaitJob(t, created.ID, job.Succeeded)
		if found.Cause != job.CauseRestarted || found.Summary == nil || found.Summary.FilesNew != 200 {
			t.Errorf("cause %q and summary %+v, want %q and 200 new files", found.Cause, found.Summary, job.CauseRestarted)
		}
		f.wantSnapshots(t, access, group, 1)
		f.wantNoRemains(t, f.host)
		f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, job.Succeeded)
		f.wantSnapshots(t, access, group, 2)
	})

	t.Run("restic ended but the server had not heard", func(t *testing.T) {
		group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "unheard", LimitUploadKiB: 4 << 10,
			Includes: []string{f.host.WriteFiles(t, "unheard", 200, 64<<10)}})
		created := f.API.BackUp(t, f.host.HostID, group.ID)
		f.waitAtWork(t, created.ID)
		f.Kill()
		wait(t, "the agent to end the job", func() bool { return len(f.unfinished(t)) == 0 })
		f.host.Kill()
		f.host.Start(t)
		f.Start(t)
		heard := f.API.WaitJob(t, created.ID, job.Succeeded)
		if heard.Cause != "" || heard.ExitCode == nil || *heard.ExitCode != 0 {
			t.Errorf("cause %q and exit code %v: the end was in the journal already", heard.Cause, heard.ExitCode)
		}
		f.wantSnapshots(t, access, group, 1)
		checkLog(t, f.Server, heard)
	})

	t.Run("stopped politely", func(t *testing.T) {
		group := f.longBackup(t, "polite")
		created := f.API.BackUp(t, f.host.HostID, group.ID)
		f.waitAtWork(t, created.ID)
		f.host.Stop()
		ended := f.API.WaitJob(t, created.ID, job.Cancelled)
		if ended.Cause != job.CauseAgentStopped {
			t.Errorf("cause %q, want %q", ended.Cause, job.CauseAgentStopped)
		}
		f.wantSnapshots(t, access, group, 0)
		f.wantNoRemains(t, f.host)
		f.host.Start(t)
		f.host.WaitOnline(t)
	})
}

func signalAll(t *testing.T, pids []int, signal syscall.Signal) {
	t.Helper()
	if len(pids) == 0 {
		t.Fatal("there is no process to signal")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatalf("signal process %d: %v", pid, err)
		}
	}
}

// unfinished asks the agent itself for its jobs.
func (f fleet) unfinished(t *testing.T) []job.ID {
	t.Helper()
	ids := []job.ID{}
	for _, one := range f.status(t).Jobs {
		ids = append(ids, one.ID)
	}
	return ids
}

var cancels = flag.Int("e2e.cancels", 12, "how many backups are cancelled at random moments")

// TestCancels cancels backups at random moments of their life.
func TestCancels(t *testing.T) {
	parallelBusy(t)
	f := startFleet(t, rig.AgentOptions{})
	group := f.longBackup(t, "long")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range *cancels {
		created := f.API.BackUp(t, f.host.HostID, group.ID)
		moment := time.Duration(random.Int64N(int64(1500 * time.Millisecond)))
		<-time.After(moment)
		f.API.Cancel(t, created.ID)
		ended := f.API.WaitJob(t, created.ID, job.Cancelled)
		if ended.Cause != job.CauseOperator || ended.Error == "" {
			t.Errorf("cancelled after %s: cause %q, error %q", moment, ended.Cause, ended.Error)
		}
		if left := f.host.Children(t); len(left) > 0 {
			t.Errorf("cancelled after %s: processes %v are left", moment, left)
		}
	}
	f.wantNoRemains(t, f.host)
	f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 0)
	answer, err := f.API.Ask(t.Context(), http.MethodPost, "/jobs/"+string(f.API.Jobs(t, f.host.HostID, "")[0].ID)+"/cancel", nil)
	if err != nil || answer.Status != http.StatusConflict {
		t.Errorf("cancel of a job that has ended: %d %v, want 409", answer.Status, err)
	}
}
