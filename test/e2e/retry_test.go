//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestRetries takes away what a backup needs, and gives it back or not.
func TestRetries(t *testing.T) {
	t.Parallel()
	f := startFleet(t, rig.AgentOptions{Policy: "first_contact: 5s\n"})
	// This one has time to find out that a lock, and not the line, keeps it waiting.
	patient, other := f.addHost(t, "patient", rig.AgentOptions{Policy: "first_contact: 8s\n"}), f.addHost(t, "other", rig.AgentOptions{})
	f.API.SetSlots(t, f.box.HostID, 1)
	t.Run("unreachable for a while", func(t *testing.T) { f.comesBack(t) })
	t.Run("unreachable for good", func(t *testing.T) { f.staysAway(t) })
	t.Run("wrong password", func(t *testing.T) { f.passwordIsNotRetried(t) })
	t.Run("locked", func(t *testing.T) { patient.lockedForAWhile(t, other) })
	t.Run("repository away in a backup", func(t *testing.T) { patient.awayInABackup(t, other) })
}

// retried adds a group with rules for retries and asks for its backup.
func (f fleet) retried(t *testing.T, name string, most, backoff int) (rig.Group, job.ID) {
	t.Helper()
	never := 0
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: name, RetryMax: most, RetryBackoff: backoff, RetryLockMinutes: &never,
		Includes: []string{f.host.WriteFiles(t, name, 20, 100)}})
	return group, f.API.BackUp(t, f.host.HostID, group.ID).ID
}

// wantNoMore wants a chain of retries to be over.
func (f fleet) wantNoMore(t *testing.T, group rig.Group, runs int) {
	t.Helper()
	f.waitIdle(t)
	if waiting := f.API.PendingRuns(t, f.host.HostID); len(waiting) > 0 {
		t.Errorf("there still waits %+v", waiting)
	}
	if all := f.API.Jobs(t, f.host.HostID, "source_group_id="+string(group.ID)); len(all) != runs {
		t.Errorf("%s was tried %d times, want %d", group.Name, len(all), runs)
	}
}

func (f fleet) comesBack(t *testing.T) {
	const backoff = 4 * time.Second
	f.box.StopRestServer()
	group, root := f.retried(t, "away", 5, int(backoff.Seconds()))
	failed := f.waitRun(t, root, job.Failed)
	if failed.Trouble != job.TroubleUnreachable {
		t.Errorf("trouble %q, want %q", failed.Trouble, job.TroubleUnreachable)
	}
	first := f.waitPending(t, retryOf(t, root, 1), "backoff")
	if first.Attempt != 1 || first.NextAttemptAt == nil || first.NextAttemptAt.Sub(*failed.FinishedAt) < backoff-time.Second {
		t.Errorf("the retry has %d attempts used up and waits until %v; the first one ended at %s", first.Attempt, first.NextAttemptAt, failed.FinishedAt)
	}
	again := f.waitRun(t, first.ID, job.Failed)
	f.box.StartRestServer(t)
	if wait := again.StartedAt.Sub(*failed.FinishedAt); wait < backoff-time.Second {
		t.Errorf("the first retry began after %s, want %s", wait, backoff)
	}
	// On a machine that has other things to do, five seconds may be too short once more.
	done := again
	for n := 2; done.State != job.Succeeded; n++ {
		if n == 5 {
			t.Fatal("no retry did it")
		}
		before := *done.FinishedAt
		done = f.waitRun(t, retryOf(t, root, n), job.Succeeded, job.Failed)
		if wait, want := done.StartedAt.Sub(before), backoff<<(n-1); wait < want-time.Second {
			t.Errorf("retry %d began after %s, want %s", n, wait, want)
		}
	}
	if done.Origin != job.ByPerson || done.RootID != root {
		t.Errorf("the one that did it: origin %q, root %q", done.Origin, done.RootID)
	}
	f.wantNoMore(t, group, done.Retry+1)
	f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 1)
}

func (f fleet) staysAway(t *testing.T) {
	f.box.StopRestServer()
	group, root := f.retried(t, "gone", 2, 1)
	f.waitRun(t, root, job.Failed)
	last := f.waitRun(t, retryOf(t, root, 1), job.Failed)
	if last.Trouble != job.TroubleUnreachable {
		t.Errorf("trouble %q, want %q", last.Trouble, job.TroubleUnreachable)
	}
	f.wantNoMore(t, group, 2)
	f.box.StartRestServer(t)
}

func (f fleet) passwordIsNotRetried(t *testing.T) {
	access := f.Access(t, f.host.HostID)
	stranger := f.with(rig.NewAgent(t, f.Server, "brings-its-own", rig.AgentOptions{}))
	stranger.host.Enrol(t, rig.Invitation{Name: stranger.host.Name, RepositoryURL: access.URL, RepositoryUser: access.Username,
		RepositoryPassword: access.Password, RepositoryKey: "not the key"})
	stranger.host.Start(t)
	stranger.host.WaitOnline(t)
	group, root := stranger.retried(t, "home", 5, 1)
	if failed := stranger.waitRun(t, root, job.Failed); failed.Trouble != job.TroublePassword {
		t.Errorf("trouble %q, want %q", failed.Trouble, job.TroublePassword)
	}
	stranger.wantNoMore(t, group, 1)
	stranger.host.Stop()
}

// lockedForAWhile lets two groups meet a lock that a stranger left: one that does
// not wait for locks and is tried again, and one that waits and gives its slot to
// another host meanwhile.
func (f fleet) lockedForAWhile(t *testing.T, other fleet) {
	access := f.Access(t, f.host.HostID)
	command := rig.Restic(t, access, "check", "--limit-download=1")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check := testkit.Start(t, command)
	locks := filepath.Join(f.box.RestServer.Dir, access.Username, "locks")
	var left []os.DirEntry
	wait(t, "restic check to lock the repository", func() (held bool) {
		var err error
		left, err = os.ReadDir(locks)
		return err == nil && len(left) == 1 && len(left[0].Name()) == 64 // else it is being written
	})
	check.Signal(t, syscall.SIGSTOP)

	group, root := f.retried(t, "does not wait", 5, 1)
	if failed := f.waitRun(t, root, job.Failed); failed.Trouble != job.TroubleLocked {
		t.Errorf("trouble %q, want %q", failed.Trouble, job.TroubleLocked)
	}
	f.waitPending(t, retryOf(t, root, 1), "backoff")
	minutes := 5
	waits := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "waits", RetryLockMinutes: &minutes, Includes: []string{f.host.WriteFiles(t, "waits", 20, 100)}})
	patient := f.API.BackUp(t, f.host.HostID, waits.ID)
	f.waitPhase(t, patient.ID, job.PhaseWaitingLock)
	// The one slot is free again, though the job goes on.
	small := other.smallGroup(t, "beside")
	f.API.WaitJob(t, f.API.BackUp(t, other.host.HostID, small.ID).ID, job.Succeeded)
	if now := f.API.Job(t, patient.ID); now.State != job.Running {
		t.Errorf("the job that waits for the lock is %s", now.State)
	}

	check.Kill()
	if err := os.Remove(filepath.Join(locks, left[0].Name())); err != nil {
		t.Fatal(err)
	}
	if done := f.waitRun(t, patient.ID, job.Succeeded); done.Retry != 0 || done.Attempt != 0 {
		t.Errorf("the one that waited: retry %d, attempt %d", done.Retry, done.Attempt)
	}
	for n := 1; f.waitRun(t, retryOf(t, root, n), job.Succeeded, job.Failed).State == job.Failed; n++ {
		if n == 4 {
			t.Fatal("no retry did it")
		}
	}
	f.waitIdle(t)
	f.wantSnapshots(t, access, group, 1)
	f.wantSnapshots(t, access, waits, 1)
}

// awayInABackup stops rest-server in the middle of a backup.
func (f fleet) awayInABackup(t *testing.T, other fleet) {
	group := f.slowGroup(t, "cut off", 12)
	created := f.API.BackUp(t, f.host.HostID, group.ID)
	f.waitAtWork(t, created.ID)
	small := other.smallGroup(t, "comes later")
	waiting := f.API.BackUp(t, other.host.HostID, small.ID)
	other.waitPending(t, waiting.ID, "slot")
	f.box.StopRestServer()
	f.waitPhase(t, created.ID, job.PhaseWaitingRepository)
	// Its slot was given back: the other one goes, and waits in its turn.
	other.waitRun(t, waiting.ID, job.Running)
	if now := f.API.Job(t, created.ID); now.State != job.Running {
		t.Errorf("the job whose repository is away is %s", now.State)
	}
	f.box.StartRestServer(t)
	for id, one := range map[job.ID]fleet{created.ID: f, waiting.ID: other} {
		if done := one.waitRun(t, id, job.Succeeded); done.Attempt != 0 || done.Phase != "" {
			t.Errorf("%s: attempt %d, phase %q", one.host.Name, done.Attempt, done.Phase)
		}
	}
	f.wantNoMore(t, group, 1)
	other.wantNoMore(t, small, 1)
	f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 1)
	f.wantNoRemains(t, f.host)
}

// waitPhase waits until a running job waits for something.
func (f fleet) waitPhase(t *testing.T, id job.ID, phase job.Phase) {
	t.Helper()
	waitLong(t, "job "+string(id)+" to be "+string(phase), func() bool {
		now, ok := f.run(t, id)
		if !ok || now.State.Ended() {
			t.Fatalf("the job is over already: %s, %q", now.State, now.Error)
		}
		return now.Phase == phase
	})
}
