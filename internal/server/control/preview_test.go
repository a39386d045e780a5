package control_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// TestPreviewIsKeptWithItsJob: it is asked for without any repository, and
// touches no list of snapshots.
func TestPreviewIsKeptWithItsJob(t *testing.T) {
	r, a, g, id := running(t)
	a.append(api.RecordSnapshot, id, api.SnapshotMade{Repository: g.Repository, Snapshot: snapshotOf(1)})
	a.sync()
	spec := &job.PreviewSpec{Includes: []string{"/etc"}, Excludes: []string{"*.bak"}, ExcludeCaches: true}
	ask := func() fleet.Job {
		t.Helper()
		asked := len(heardOf[*api.Job](a))
		j, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Host: a.host, Kind: job.PreviewSources, Preview: spec})
		if err != nil {
			t.Fatal(err)
		}
		await[*api.Job](a, asked+1)
		return j
	}
	j := ask()
	heard := heardOf[*api.Job](a)
	order, got := heard[len(heard)-1], new(job.PreviewSpec)
	if err := json.Unmarshal(order.Spec, got); err != nil || order.Access != nil || !reflect.DeepEqual(got, spec) {
		t.Errorf("order = %+v with %s, %v", order, order.Spec, err)
	}
	preview := &job.Preview{Files: 7, Bytes: 8, Rules: []job.PreviewRule{{Pattern: "*.bak", Files: 1, Bytes: 2, Samples: []job.PreviewSample{{Path: "/etc/x.bak", Bytes: 2}}}}, Seconds: 0.5}
	a.say(&api.Answer{Job: j.ID, Preview: preview, Ended: &api.Ended{State: job.Succeeded}})
	if j = r.awaitState(j.ID, job.Succeeded); j.Summary == nil || !reflect.DeepEqual(j.Summary.Preview, preview) {
		t.Errorf("job = %+v with %+v", j, j.Summary)
	}
	if list := r.snapshotIDs(a.host); len(list) != 1 {
		t.Errorf("snapshots = %v", list)
	}
	j = ask()
	a.say(&api.Answer{Job: j.ID, Ended: &api.Ended{State: job.Succeeded}})
	if j = r.awaitState(j.ID, job.Failed); j.Error == "" {
		t.Error("an answer without a result says nothing")
	}
}

func TestPreviewThatCannotBe(t *testing.T) {
	r, a, _, _ := running(t)
	for name, spec := range map[string]*job.PreviewSpec{
		"nothing": nil, "no path": {}, "half a path": {Includes: []string{"etc"}}, "empty pattern": {Includes: []string{"/etc"}, Excludes: []string{""}},
	} {
		_, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Host: a.host, Kind: job.PreviewSources, Preview: spec})
		if !is[*fleet.Invalid](err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
