package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// flipABit damages the largest pack of a repository and returns its name.
func flipABit(t *testing.T, folder string) string {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(folder, "data", "*", "*"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("packs %q, %v", packs, err)
	}
	var largest []byte
	var at string
	for _, pack := range packs {
		content, err := os.ReadFile(pack)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > len(largest) {
			largest, at = content, pack
		}
	}
	largest[len(largest)/2] ^= 1
	if err := os.Chmod(at, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, largest, 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(at)
}

// startBackedUp starts the agent and makes a first snapshot.
func (r *rig) startBackedUp() {
	r.t.Helper()
	r.enrol()
	r.start()
	if first := r.backup(); first.State != job.Succeeded {
		r.t.Fatalf("backup = %+v", first)
	}
}

func (r *rig) check(spec job.CheckSpec) api.Ended {
	r.t.Helper()
	spec.Repository = r.access.Repository
	if spec.MostSeconds == 0 {
		spec.MostSeconds = 60
	}
	return r.peer.awaitEnded(r.peer.ask(job.Check, &spec, &r.access))
}

func TestCheckThroughRESTAndOnTheDisk(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.startBackedUp()
	if sound := r.check(job.CheckSpec{ReadMiB: 1}); sound.State != job.Succeeded || sound.Summary.Check == nil || sound.Summary.Check.Errors != 0 || sound.Summary.Check.ReadMiB != 1 {
		t.Fatalf("check = %+v %+v", sound, sound.Summary)
	}
	if len(r.lockFiles()) != 0 {
		t.Error("a lock is left")
	}
	broken := flipABit(t, filepath.Join(r.server.Dir, restUser))
	damaged := r.check(job.CheckSpec{ReadAll: true})
	if damaged.State != job.Failed || damaged.Trouble != job.TroubleDamaged || damaged.Summary.Check == nil || damaged.Summary.Check.Errors == 0 ||
		!slices.Equal(damaged.Summary.Check.BrokenPacks, []string{broken}) || !strings.Contains(damaged.Error, "1 of its packs") {
		t.Errorf("a damaged one = %+v %+v", damaged, damaged.Summary)
	}
	if refused := r.check(job.CheckSpec{User: restUser}); refused.State != job.Failed || !strings.Contains(refused.Error, "no storage box") {
		t.Errorf("an endpoint asked about a storage box's files = %+v", refused)
	}
}

// TestACheckHasItsTime: its lock keeps backups waiting.
func TestACheckHasItsTime(t *testing.T) {
	r := newRig(t, "limits:\n  download_kib: 1\n").withRepository()
	r.writeRandom("source/big", 100<<10)
	r.startBackedUp()
	ended := r.check(job.CheckSpec{ReadAll: true, MostSeconds: 3})
	if ended.State != job.Failed || ended.Cause != job.CauseTimeout || !strings.Contains(ended.Error, "was ended after 3 s") || len(r.lockFiles()) != 0 {
		t.Errorf("ended = %+v, locks %q", ended, r.lockFiles())
	}
}

func TestCheckOfALockedRepository(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.startBackedUp()
	holder := r.lockExclusively()
	ended := r.check(job.CheckSpec{RetryLockSeconds: 2})
	if ended.State != job.Failed || ended.Trouble != job.TroubleLocked || len(ended.Summary.Locks) != 1 || ended.Summary.Locks[0].PID != holder.Pid {
		t.Errorf("ended = %+v %+v", ended, ended.Summary)
	}
}

func TestStorageAgentChecksAndCounts(t *testing.T) {
	r := newStorageRig(t, true)
	if ended := r.provision(restUser, restPassword); ended.State != job.Succeeded {
		t.Fatalf("provision = %+v", ended)
	}
	if none := r.check(job.CheckSpec{User: restUser}); none.State != job.Failed || !strings.Contains(none.Error, "There is no repository in the folder of "+restUser) {
		t.Errorf("before there is one = %+v", none)
	}
	if ended := r.peer.awaitEnded(r.peer.ask(job.Init, &job.InitSpec{Repository: r.access.Repository, User: restUser}, &r.access)); ended.State != job.Succeeded {
		t.Fatalf("init = %+v", ended)
	}
	if sound := r.check(job.CheckSpec{User: restUser, ReadAll: true}); sound.State != job.Succeeded || sound.Summary.Check == nil {
		t.Errorf("check = %+v %+v", sound, sound.Summary)
	}
	answer := r.look(job.Stats, &job.StatsSpec{Repository: r.access.Repository, User: restUser, Groups: []job.GroupID{r.group}}, &r.access)
	if answer.Ended == nil || answer.Ended.State != job.Succeeded || answer.Ended.Summary.Stats == nil || len(answer.Ended.Summary.Stats.Groups) != 1 {
		t.Errorf("stats = %+v", answer.Ended)
	}
}

// TestACountMayTakeItsTime counts for longer than a repository may take to answer: restic
// says nothing before its end.
func TestACountMayTakeItsTime(t *testing.T) {
	r := newRig(t, "").withRepository()
	slow := r.write("slow-restic", "#!/bin/sh\ncase \"$*\" in *stats*) /bin/sleep 4;; esac\nexec "+testkit.Restic(t)+" \"$@\"\n")
	if err := os.Chmod(slow, 0o700); err != nil {
		t.Fatal(err)
	}
	r.writePolicy("restic: " + slow + "\nfirst_contact: 3s\n")
	r.enrol()
	r.start()
	answer := r.look(job.Stats, &job.StatsSpec{Repository: r.access.Repository}, &r.access)
	if answer.Ended == nil || answer.Ended.State != job.Succeeded {
		t.Fatalf("stats = %+v", answer.Ended)
	}
}

// TestTheTimeOfACheckBeginsWithItsLock waits twenty minutes for a lock.
func TestTheTimeOfACheckBeginsWithItsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{}
		ctx, stop := w.within(t.Context(), 25*time.Minute, errCheckTime)
		defer stop()
		<-time.After(20 * time.Minute)
		w.mutex.Lock()
		w.lockedAt = time.Now()
		w.mutex.Unlock()
		<-time.After(25*time.Minute - time.Second)
		if err := context.Cause(ctx); err != nil {
			t.Errorf("after 25 min without a lock of another, a second short: %v", err)
		}
		<-time.After(2 * time.Second)
		if err := context.Cause(ctx); !errors.Is(err, errCheckTime) {
			t.Errorf("after 25 min without a lock of another: %v", err)
		}
	})
}

func TestStatsThroughREST(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.startBackedUp()
	answer := r.look(job.Stats, &job.StatsSpec{Repository: r.access.Repository, Groups: []job.GroupID{r.group, job.GroupID(job.NewULID(noon))}}, &r.access)
	if answer.Ended == nil || answer.Ended.State != job.Succeeded || answer.Ended.Summary.Stats == nil {
		t.Fatalf("stats = %+v", answer.Ended)
	}
	s := answer.Ended.Summary.Stats
	if s.Snapshots != 1 || s.StoredBytes == 0 || s.RestoredBytes == 0 || s.Files == 0 || len(s.Groups) != 2 || s.Groups[0].Bytes != s.RestoredBytes || s.Groups[0].Snapshots != 1 || s.Groups[1].Snapshots != 0 {
		t.Errorf("stats = %+v", s)
	}
}

// TestACheckThatIsKilledLeavesNoLock: on a storage box, which keeps nothing that opens
// the repository, the next one takes it away.
func TestACheckThatIsKilledLeavesNoLock(t *testing.T) {
	for name, user := range map[string]string{"endpoint": "", "storage": restUser} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "limits:\n  download_kib: 1\n").withRepository()
			if user != "" {
				r.writePolicy(fmt.Sprintf("limits:\n  download_kib: 1\nrestic: %s\nstorage:\n  path: %s\n  url: %s\nallow: [backup, check]\n", testkit.Restic(t), r.server.Dir, r.server.URL))
			}
			r.writeRandom("source/big", 100<<10)
			r.enrol()
			agent := r.spawn()
			if first := r.backup(); first.State != job.Succeeded { // data that a check has to read
				t.Fatalf("backup = %+v", first)
			}
			spec := &job.CheckSpec{Repository: r.access.Repository, User: user, ReadAll: true, MostSeconds: 600}
			id := r.peer.ask(job.Check, spec, &r.access)
			started := r.peer.awaitRecord(id, api.RecordStarted)
			testkit.WaitFor(t, 20*time.Second, "the lock of the check", func() bool { return len(r.lockFiles()) == 1 })
			var body api.Started
			if err := json.Unmarshal(started.Body, &body); err != nil {
				t.Fatal(err)
			}
			agent.Kill()
			process, err := os.FindProcess(body.PID)
			if err == nil {
				err = process.Kill()
			}
			if err != nil {
				t.Fatal(err)
			}
			agent = r.spawn()
			if ended := r.peer.awaitEnded(id); ended.State != job.Lost || ended.Cause != job.CauseRestarted {
				t.Errorf("ended = %+v", ended)
			}
			if user == "" {
				r.peer.setPlan(r.plan(r.access))
			} else {
				spec.ReadAll = false
				if next := r.peer.awaitEnded(r.peer.ask(job.Check, spec, &r.access)); next.State != job.Succeeded {
					t.Errorf("the next one = %+v", next)
				}
			}
			testkit.WaitFor(t, 20*time.Second, "the removal of the lock", func() bool { return len(r.lockFiles()) == 0 })
			agent.Kill()
		})
	}
}
