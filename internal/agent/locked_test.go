package agent

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// lockExclusively holds the repository by a real restic that is frozen while it
// has an exclusive lock.
func (r *rig) lockExclusively() *testkit.Process {
	r.t.Helper()
	// A check of the repository takes the exclusive lock; a pipe that nobody reads
	// to its end and a stop keep it.
	command := exec.Command(testkit.Restic(r.t), "check", "--read-data", "--limit-download", "1", "--no-cache", "-r", filepath.Join(r.server.Dir, restUser))
	command.Env = append(os.Environ(), "RESTIC_PASSWORD="+repositoryKey)
	process := testkit.Start(r.t, command)
	testkit.WaitFor(r.t, 20*time.Second, "the exclusive lock", func() bool { return len(r.lockFiles()) > 0 })
	freeze(r.t, process.Pid)
	return process
}

func TestLockedRepository(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	if first := r.backup(); first.State != job.Succeeded { // data that a check has to read
		t.Fatalf("first = %+v", first)
	}
	holder := r.lockExclusively()
	lock := r.lockFiles()[0]

	spec := r.backupSpec()
	spec.RetryLockSeconds = 6
	id := r.peer.ask(job.Backup, spec, &r.access)
	r.peer.awaitPhase(id, job.PhaseWaitingLock)
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Failed || len(ended.Summary.Locks) != 1 || ended.Summary.Locks[0].ID != lock || ended.Summary.Locks[0].PID != holder.Pid {
		t.Errorf("ended = %+v %+v", ended, ended.Summary)
	}
	hostname, err := os.Hostname()
	if err != nil || !strings.Contains(ended.Error, hostname) {
		t.Errorf("error = %s, %v", ended.Error, err)
	}

	unlock := func() api.Ended {
		return r.peer.awaitEnded(r.peer.ask(job.Unlock, &job.UnlockSpec{Repository: r.access.Repository, LockID: lock}, &r.access))
	}
	if alive := unlock(); alive.State != job.Failed || !strings.Contains(alive.Error, "is alive") || len(r.lockFiles()) != 1 {
		t.Errorf("unlock of a live lock = %+v", alive)
	}
	holder.Kill()
	if len(r.lockFiles()) != 1 {
		t.Fatal("the killed restic left no lock")
	}
	if dead := unlock(); dead.State != job.Succeeded || len(r.lockFiles()) != 0 {
		t.Errorf("unlock of a dead lock = %+v", dead)
	}
	if gone := unlock(); gone.State != job.Succeeded || gone.Summary.Advice == "" {
		t.Errorf("unlock of a lock that is gone = %+v", gone)
	}
	if after := r.backup(); after.State != job.Succeeded {
		t.Errorf("after it = %+v", after)
	}
}

func TestWhyALockStays(t *testing.T) {
	alive := func(pid int) bool { return pid == 7 }
	for name, test := range map[string]struct {
		lock job.Lock
		says string
	}{
		"dead here":  {job.Lock{Host: "me", PID: 8}, ""},
		"alive here": {job.Lock{Host: "me", PID: 7}, "alive"},
		"elsewhere":  {job.Lock{Host: "you", PID: 8}, "only the agent on you"},
	} {
		if why := whyNotRemovable(test.lock, "me", alive); (why == "") != (test.says == "") || !strings.Contains(why, test.says) {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// TestKilledResticLosesItsLock has restic killed from outside: the job says so
// and the agent removes the lock that stays.
func TestKilledResticLosesItsLock(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	id := r.slowBackup(60)
	left, err := restic.Machine.FindLeft(string(id))
	if err != nil || len(left) != 1 {
		t.Fatalf("left = %v, %v", left, err)
	}
	r.server.Stop() // so that the removal has to be tried again
	if err := restic.Machine.Kill(left[0]); err != nil {
		t.Fatal(err)
	}
	if ended := r.peer.awaitEnded(id); ended.State != job.Failed || ended.Cause != job.CauseKilled {
		t.Errorf("ended = %+v", ended)
	}
	testkit.WaitFor(t, 20*time.Second, "the report of a lock left", func() bool { return len(r.peer.reports(api.ReportLockLeft)) == 1 })
	r.server = testkit.StartRestServer(t, testkit.RestServerOptions{AppendOnly: true, PrivateRepos: true, Dir: r.server.Dir, Listen: r.server.Listen})
	testkit.WaitFor(t, 20*time.Second, "the report of its removal", func() bool { return len(r.peer.reports(api.ReportLockRemoved)) == 1 })
	r.assertClean(id)
}

// TestRefusedStopIsAKill has a restic that can't react to the polite signal.
func TestRefusedStopIsAKill(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	running := r.start()
	running.tasks.mutex.Lock()
	running.patience.stopGrace = 500 * time.Millisecond
	running.tasks.mutex.Unlock()
	id := r.slowBackup(60)
	left, err := restic.Machine.FindLeft(string(id))
	if err != nil || len(left) != 1 {
		t.Fatalf("left = %v, %v", left, err)
	}
	freeze(t, left[0].PID)
	r.peer.cancel(id)
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Cancelled || ended.Cause != job.CauseOperator || !strings.Contains(ended.Error, "had to be killed") {
		t.Errorf("ended = %+v", ended)
	}
	r.assertClean(id)
}

func TestCancelsAtRandomMoments(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	r.writeRandom("source/big", 4<<20)
	count := 10
	if os.Getenv("RM_SLOW_TESTS") != "" {
		count = 100
	}
	for range count {
		spec := r.backupSpec()
		spec.LimitUploadKiB = 1024
		id := r.peer.ask(job.Backup, spec, &r.access)
		moment := time.After(rand.N(1500 * time.Millisecond))
		<-moment
		r.peer.cancel(id)
		ended := r.peer.awaitEnded(id)
		if ended.State != job.Cancelled && ended.State != job.Succeeded || ended.State == job.Cancelled && ended.Cause != job.CauseOperator {
			t.Errorf("ended = %+v", ended)
		}
		if left, err := restic.Machine.FindLeft(string(id)); err != nil || len(left) > 0 {
			t.Errorf("left = %v, %v", left, err)
		}
	}
	if locks := r.lockFiles(); len(locks) != 0 {
		t.Errorf("locks left: %v", locks)
	}
}

func TestWaitingJobIsCancelledAtOnce(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	first := r.slowBackup(60)
	second := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	r.peer.awaitRecord(second, api.RecordAccepted)
	r.peer.cancel(second)
	if ended := r.peer.awaitEnded(second); ended.State != job.Cancelled {
		t.Errorf("second = %+v", ended)
	}
	if kinds := r.peer.kindsOf(second); slices.Contains(kinds, api.RecordStarted) {
		t.Errorf("records = %v", kinds)
	}
	r.peer.cancel(first)
	if ended := r.peer.awaitEnded(first); ended.State != job.Cancelled {
		t.Errorf("first = %+v", ended)
	}
	r.assertClean(first)
}
