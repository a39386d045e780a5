package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// look asks for the list of snapshots and waits until the agent was asked.
func (r *rig) look(a *agent) fleet.Job {
	r.t.Helper()
	asked := len(heardOf[*api.Job](a))
	j, err := r.CreateJob(r.t.Context(), auth.Server, control.NewJob{Host: a.host, Kind: job.Snapshots})
	if err != nil {
		r.t.Fatal(err)
	}
	await[*api.Job](a, asked+1)
	return j
}

func (r *rig) snapshotIDs(host job.HostID) (ids []string) {
	r.t.Helper()
	list, _, err := r.store.Snapshots(r.t.Context(), store.SnapshotFilter{Host: host, Page: fleet.Page{Limit: 500}})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}

func snapshotOf(n byte) job.Snapshot {
	return job.Snapshot{ID: snapshotID(n), Time: time.Now(), Host: "web", Paths: []string{"/etc"}}
}

// TestLookReplacesTheList: in parts; what vanished goes, what a backup reported
// meanwhile stays, and what is not an id is left out.
func TestLookReplacesTheList(t *testing.T) {
	r, a, g, id := running(t)
	report := func(n byte) {
		a.append(api.RecordSnapshot, id, api.SnapshotMade{Repository: g.Repository, Snapshot: snapshotOf(n)})
		a.sync()
	}
	report(1)
	report(2)
	r.pass(time.Second)
	j := r.look(a)
	a.say(&api.Answer{Job: j.ID, More: true, Snapshots: []job.Snapshot{snapshotOf(1), snapshotOf(3)}})
	report(4)
	a.say(&api.Answer{Job: j.ID, Snapshots: []job.Snapshot{snapshotOf(5), {ID: "../../etc"}, {ID: strings.Repeat("Z", 64)}}, Ended: &api.Ended{State: job.Succeeded, Summary: &job.Summary{Snapshots: 3}}})
	if j = r.awaitState(j.ID, job.Succeeded); j.Summary == nil || j.Summary.Snapshots != 3 {
		t.Errorf("look = %+v", j)
	}
	want := []string{snapshotID(1), snapshotID(3), snapshotID(4), snapshotID(5)}
	slices.Sort(want)
	if got := r.snapshotIDs(a.host); !slices.Equal(got, want) {
		t.Errorf("snapshots = %v, want %v", got, want)
	}
	if repository := r.repository(a.host); repository.ListedAt.IsZero() || repository.SnapshotCount != 4 {
		t.Errorf("repository = %+v", repository)
	}
	list, _, err := r.store.Snapshots(t.Context(), store.SnapshotFilter{Host: a.host})
	if err != nil || !slices.ContainsFunc(list, func(s fleet.Snapshot) bool { return s.ID == snapshotID(1) && s.Job == id }) {
		t.Errorf("a list forgot which job made a snapshot: %v", err)
	}
}

// TestALongListIsWhole: more snapshots than one transaction takes.
func TestALongListIsWhole(t *testing.T) {
	r, a, _, _ := running(t)
	j := r.look(a)
	var list []job.Snapshot
	for n := range 2*control.MaxApplied + 3 {
		list = append(list, job.Snapshot{ID: fmt.Sprintf("%064x", n), Time: time.Now()})
	}
	a.say(&api.Answer{Job: j.ID, Snapshots: list, Ended: &api.Ended{State: job.Succeeded}})
	r.awaitState(j.ID, job.Succeeded)
	if repository := r.repository(a.host); repository.SnapshotCount != len(list) {
		t.Errorf("%d snapshots", repository.SnapshotCount)
	}
}

// TestAFailedLookKeepsTheList: no answer is no empty repository.
func TestAFailedLookKeepsTheList(t *testing.T) {
	r, a, g, id := running(t)
	a.append(api.RecordSnapshot, id, api.SnapshotMade{Repository: g.Repository, Snapshot: snapshotOf(1)})
	a.sync()
	r.pass(time.Second)
	j := r.look(a)
	a.say(&api.Answer{Job: j.ID, Ended: &api.Ended{State: job.Failed, Error: strings.Repeat("e", 10_000)}})
	if j = r.awaitState(j.ID, job.Failed); len(j.Error) > 5000 {
		t.Errorf("the error has %d bytes", len(j.Error))
	}
	if got := r.snapshotIDs(a.host); len(got) != 1 {
		t.Errorf("snapshots = %v", got)
	}
	j = r.look(a)
	a.say(&api.Answer{Job: j.ID, Ended: &api.Ended{State: job.Running}}) // is no end
	a.quiet(r)
	if j = r.job(j.ID); j.State != job.Sent {
		t.Errorf("the look is %s", j.State)
	}
}

// TestAnswersOfStrangersAreIgnored: to another host's look, to a backup, to
// nothing.
func TestAnswersOfStrangersAreIgnored(t *testing.T) {
	r, a, _, backup := running(t)
	other := r.endpoint("other")
	other.connect()
	theirs := r.look(other)
	for _, id := range []job.ID{theirs.ID, backup, "nonsense"} {
		a.say(&api.Answer{Job: id, Snapshots: []job.Snapshot{snapshotOf(1)}, Ended: &api.Ended{State: job.Succeeded}})
	}
	a.append(api.RecordLog, backup, api.Log{})
	a.sync() // the answers were read before
	if r.job(theirs.ID).State != job.Sent || r.job(backup).State != job.Running || len(r.snapshotIDs(other.host)) != 0 {
		t.Errorf("a stranger's answer counts: %s, %s", r.job(theirs.ID).State, r.job(backup).State)
	}
}

// TestTooLongAnAnswerFails: it is not gathered without end, and says why.
func TestTooLongAnAnswerFails(t *testing.T) {
	r := newRig(t)
	r.SetMaxAnswers(10_000)
	a := r.endpoint("web")
	a.connect()
	j := r.look(a)
	for range 5 {
		a.say(&api.Answer{Job: j.ID, More: true, Snapshots: []job.Snapshot{{ID: snapshotID(1), Time: time.Now(), Paths: []string{strings.Repeat("p", 3000)}}}})
	}
	a.say(&api.Answer{Job: j.ID, Ended: &api.Ended{State: job.Succeeded}})
	if j = r.awaitState(j.ID, job.Failed); !strings.Contains(j.Error, "more snapshots") {
		t.Errorf("look = %+v", j)
	}
	if got := r.snapshotIDs(a.host); len(got) != 0 {
		t.Errorf("%d snapshots", len(got))
	}
	next := r.look(a) // and room is there again
	a.say(&api.Answer{Job: next.ID, Snapshots: []job.Snapshot{snapshotOf(1)}, Ended: &api.Ended{State: job.Succeeded}})
	r.awaitState(next.ID, job.Succeeded)
}
