package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestKilledAgentWithResticLeft(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	process := r.spawn()
	id := r.slowBackup(60)
	second := r.peer.ask(job.Backup, r.backupSpec(r.dir+".policy.yaml"), &r.access)
	r.peer.awaitRecord(second, api.RecordAccepted)
	process.Kill()
	if left, err := restic.Machine.FindLeft(string(id)); err != nil || len(left) != 1 {
		t.Fatalf("left = %v, %v", left, err)
	}
	r.start()
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Lost || ended.Cause != job.CauseRestarted {
		t.Errorf("ended = %+v", ended)
	}
	// The one that was accepted and not begun is begun now.
	if other := r.peer.awaitEnded(second); other.State != job.Succeeded {
		t.Errorf("second = %+v", other)
	}
	if list := r.snapshots(); len(list) != 1 {
		t.Errorf("%d snapshots", len(list))
	}
	r.assertClean(id)
}

func TestKilledAgentWhoseResticFinished(t *testing.T) {
	for name, missing := range map[string]bool{"well": false, "with trouble": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "").withRepository()
			r.enrol()
			process := r.spawn()
			paths, want := []string{r.source}, job.Succeeded
			if missing {
				paths, want = append(paths, filepath.Join(r.source, "not-there")), job.Warning
			}
			id := r.slowBackup(3, paths...)
			// A restic whose reader is gone dies of its next line, so the agent is
			// held still, not killed, until restic has finished.
			freeze(t, process.Pid)
			testkit.WaitFor(t, 30*time.Second, "restic to finish alone", func() bool {
				left, err := restic.Machine.FindLeft(string(id))
				return err == nil && len(left) == 0
			})
			process.Kill()
			r.start()
			ended := r.peer.awaitEnded(id)
			list := r.snapshots()
			if len(list) == 0 {
				t.Fatalf("no snapshot; ended = %+v", ended)
			}
			if ended.State != want || len(list) != 1 || ended.Summary.SnapshotID != list[0].ID || ended.Summary.FilesProcessed != 3 {
				t.Errorf("ended = %+v %+v, snapshots %v", ended, ended.Summary, list)
			}
			if kinds := r.peer.kindsOf(id); !slices.Contains(kinds, api.RecordSnapshot) {
				t.Errorf("records = %v", kinds)
			}
			// The next job of the group must not take that snapshot for its own.
			if again := r.backup(); again.Summary.SnapshotID == list[0].ID {
				t.Errorf("second = %+v", again)
			}
			r.assertClean(id)
		})
	}
}

func TestAllKilledWhileTheRepositoryIsAway(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	process := r.spawn()
	id := r.slowBackup(60)
	process.Kill()
	left, err := restic.Machine.FindLeft(string(id))
	if err != nil || len(left) != 1 {
		t.Fatalf("left = %v, %v", left, err)
	}
	if err := restic.Machine.Kill(left[0]); err != nil {
		t.Fatal(err)
	}
	if len(r.lockFiles()) == 0 {
		t.Fatal("a killed restic left no lock")
	}
	r.server.Stop()
	r.start()
	r.peer.awaitPhase(id, job.PhaseFindingOut)
	waiting := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	r.peer.awaitRecord(waiting, api.RecordAccepted)
	if hello := r.peer.hellos[len(r.peer.hellos)-1]; !slices.Contains(hello.Unfinished, id) {
		t.Errorf("hello says nothing of the unfinished job: %v", hello.Unfinished)
	}
	testkit.WaitFor(t, 30*time.Second, "the log to say why", func() bool { return strings.Contains(r.peer.logOf(id), "could not be reached within 8 seconds") })
	if kinds := r.peer.kindsOf(waiting); !slices.Equal(kinds, []api.RecordKind{api.RecordAccepted}) {
		t.Errorf("the group went on: %v", kinds)
	}
	r.server = testkit.StartRestServer(t, testkit.RestServerOptions{AppendOnly: true, PrivateRepos: true, Dir: r.server.Dir, Listen: r.server.Listen})
	if ended := r.peer.awaitEnded(id); ended.State != job.Lost {
		t.Errorf("ended = %+v", ended)
	}
	if ended := r.peer.awaitEnded(waiting); ended.State != job.Succeeded {
		t.Errorf("waiting = %+v", ended)
	}
	r.assertClean(id)
}

func TestCancelOutlivesTheAgent(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	process := r.spawn()
	id := r.slowBackup(60)
	// restic can't act on the signal, so the agent dies between wish and end.
	left, err := restic.Machine.FindLeft(string(id))
	if err != nil || len(left) != 1 {
		t.Fatalf("left = %v, %v", left, err)
	}
	freeze(t, left[0].PID)
	r.peer.cancel(id)
	r.peer.awaitRecord(id, api.RecordCancel)
	process.Kill()
	thaw(t, left[0].PID)
	r.start()
	if ended := r.peer.awaitEnded(id); ended.State != job.Cancelled || ended.Cause != job.CauseOperator {
		t.Errorf("ended = %+v", ended)
	}
	r.assertClean(id)
}

// TestRecoveryWithoutASnapshot covers the kinds that leave no proof, from a
// journal as a killed agent leaves it.
func TestRecoveryWithoutASnapshot(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	begun, cancelled := job.NewID(time.Now()), job.NewID(time.Now())
	spec := mustJSON(t, &job.UnlockSpec{Repository: r.access.Repository, LockID: strings.Repeat("a", 64)})
	r.leaveJournal([]left{
		{api.RecordAccepted, begun, api.Accepted{Kind: job.Unlock, Spec: spec}},
		{api.RecordStarted, begun, api.Started{}},
		{api.RecordAccepted, cancelled, api.Accepted{Kind: job.Unlock, Spec: spec}},
		{api.RecordCancel, cancelled, api.CancelAsked{Cause: job.CauseOperator}},
	})
	r.start()
	if ended := r.peer.awaitEnded(begun); ended.State != job.Lost || ended.Cause != job.CauseRestarted {
		t.Errorf("begun = %+v", ended)
	}
	if ended := r.peer.awaitEnded(cancelled); ended.State != job.Cancelled || ended.Cause != job.CauseOperator {
		t.Errorf("cancelled = %+v", ended)
	}
}

// left is one record that a killed agent left behind.
type left struct {
	kind api.RecordKind
	id   job.ID
	body any
}

// leaveJournal writes a journal as a killed agent leaves it.
func (r *rig) leaveJournal(records []left) {
	r.t.Helper()
	book, err := journal.Open(filepath.Join(r.dir, "journal"), journal.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, one := range records {
		record, err := api.NewRecord(one.kind, one.id, time.Now().UnixMilli(), one.body)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := book.Append(record); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := book.Close(); err != nil {
		r.t.Fatal(err)
	}
}

func TestRecoveredSnapshotWithoutAFileIsNotGreen(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	id := job.NewID(time.Now())
	empty := filepath.Join(r.dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	r.leaveJournal([]left{{api.RecordAccepted, id, api.Accepted{Kind: job.Backup, Spec: mustJSON(t, r.backupSpec(empty))}}, {api.RecordStarted, id, api.Started{}}})
	made, err := r.runner().Backup(t.Context(), restic.BackupOptions{Call: r.call(), Host: resticHost, Tags: []string{job.GroupTag(r.group)}, Includes: []string{empty}})
	if err != nil || made.Summary == nil {
		t.Fatalf("%+v, %v", made, err)
	}
	r.start()
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Warning || ended.Summary.SnapshotID != made.Summary.SnapshotID || !strings.Contains(ended.Error, "no file at all") {
		t.Errorf("ended = %+v %+v", ended, ended.Summary)
	}
	if !slices.ContainsFunc(ended.Summary.Findings, func(f job.Finding) bool { return f.Kind == job.NothingSaved }) {
		t.Errorf("findings = %v", ended.Summary.Findings)
	}
}

func TestPolicyIsAskedAgainAfterARestart(t *testing.T) {
	r := newRig(t, "allow: [snapshots]\n").withRepository()
	r.enrol()
	id := job.NewID(time.Now())
	r.leaveJournal([]left{{api.RecordAccepted, id, api.Accepted{Kind: job.Backup, Spec: mustJSON(t, r.backupSpec())}}})
	r.start()
	if ended := r.peer.awaitEnded(id); ended.State != job.Failed || !strings.Contains(ended.Error, "policy") {
		t.Errorf("ended = %+v", ended)
	}
	if list := r.snapshots(); len(list) != 0 {
		t.Errorf("%d snapshots were made", len(list))
	}
}

func TestPickSnapshot(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	after := func(id string, d time.Duration) restic.Snapshot { return restic.Snapshot{ID: id, Time: at.Add(d)} }
	accepted := &journal.Unfinished{At: at.UnixMilli()}
	setBack := &journal.Unfinished{At: at.Add(24 * time.Hour).UnixMilli()}
	// It waited for its turn for an hour, while the clock was put back by two.
	begun := &journal.Unfinished{At: at.UnixMilli(), Started: &api.Started{PID: 1, ProcessStart: at.Add(-time.Hour).UnixMilli()}}
	for name, test := range map[string]struct {
		job  *journal.Unfinished
		list []restic.Snapshot
		want string
	}{
		"none":              {accepted, nil, ""},
		"only earlier ones": {accepted, []restic.Snapshot{after("old", -2*time.Second)}, ""},
		"its own":           {accepted, []restic.Snapshot{after("old", -2*time.Second), after("mine", time.Second)}, "mine"},
		"known as another job's within the tolerance": {accepted, []restic.Snapshot{after("other", -500*time.Millisecond)}, ""},
		"both": {accepted, []restic.Snapshot{after("other", -500*time.Millisecond), after("mine", time.Second)}, "mine"},
		"one that a clock that was ahead has dated, and its own": {accepted, []restic.Snapshot{after("ahead", 9000*time.Hour), after("mine", time.Second)}, "mine"},
		"only one that a clock that was ahead has dated":         {accepted, []restic.Snapshot{after("ahead", 24*time.Hour)}, ""},
		"its own, from before its clock was set back by a day":   {setBack, []restic.Snapshot{after("mine", 25*time.Hour)}, "mine"},
		"by its process": {begun, []restic.Snapshot{after("later", time.Minute), after("mine", -time.Hour), after("old", -2*time.Hour)}, "mine"},
		"its process left none, though there are later ones": {begun, []restic.Snapshot{after("later", time.Minute), after("old", -2*time.Hour)}, ""},
		"another job's process began within the same minute": {begun, []restic.Snapshot{after("other", -time.Hour+time.Second), after("mine", -time.Hour)}, "mine"},
		"another job's alone began within the same minute":   {begun, []restic.Snapshot{after("other", -time.Hour+time.Second)}, ""},
	} {
		got := ""
		if found := pickSnapshot(test.list, test.job, at.Add(time.Hour), func(id string) bool { return id == "other" }); found != nil {
			got = found.ID
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
