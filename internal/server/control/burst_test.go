package control_test

import (
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// TestATickVisitsWhatCouldGo: neither who stands in line behind others, nor who is
// paused.
func TestATickVisitsWhatCouldGo(t *testing.T) {
	r := newRig(t)
	agents, groups := r.herd(1, 4)
	first := r.backup(groups[0], false)
	await[*api.Job](agents[0], 1)
	for i := 1; i < 4; i++ {
		r.backup(groups[i], false)
	}
	visits := func(want ...job.HostID) {
		t.Helper()
		got, err := r.HostsToDrain(t.Context())
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("visits %v, not %v: %v", got, want, err)
		}
	}
	visits()
	for _, a := range agents[1:] {
		// What waits is judged as before when it is asked about.
		if err := r.DrainPending(t.Context(), a.host); err != nil {
			t.Fatal(err)
		}
	}
	r.pass(3 * time.Minute) // the host of the first has not been seen since
	visits(agents[1].host)
	if _, err := r.CreatePause(t.Context(), auth.Server, fleet.Pause{Scope: fleet.PauseHost, Subject: string(agents[1].host), Until: r.now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	visits(agents[2].host)
	if err := r.DrainAllDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	await[*api.Job](agents[2], 1)
	if r.job(first.ID).State != job.Sent {
		t.Errorf("first is %s", r.job(first.ID).State)
	}
}

// TestANodeThatIsKeptFromWritingIsNotDead: its own sweep must not end its sessions
// because its lease ran out meanwhile.
func TestANodeThatIsKeptFromWritingIsNotDead(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	a.connect()
	r.pass(time.Hour)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := a.due(planned, g.ID, moment(0))
	a.sync()
	if order := await[*api.Job](a, 1); order.ID != id {
		t.Errorf("order = %+v", order)
	}
}
