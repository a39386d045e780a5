package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// herd is a storage box with one slot, and hosts that back up to it.
func (r *rig) herd(slots, hosts int) (agents []*agent, groups []fleet.SourceGroup) {
	r.t.Helper()
	box := r.box()
	if _, err := r.UpdateHost(r.t.Context(), auth.Server, box.host, control.HostChange{Slots: &slots}); err != nil {
		r.t.Fatal(err)
	}
	box.connect()
	for i := range hosts {
		a := r.kept(box, fmt.Sprintf("web%d", i))
		box.ended(box.next(2*i+1, job.Provision), well)
		box.ended(box.next(2*i+2, job.Init), well)
		agents, groups = append(agents, a), append(groups, r.group(a.host, "etc"))
		a.connect()
	}
	return agents, groups
}

func (r *rig) pending(id job.ID) fleet.PendingRun {
	r.t.Helper()
	run, ok, err := r.WhyWaiting(r.t.Context(), r.job(id))
	if err != nil || !ok {
		r.t.Fatalf("why %s waits: %v, %v", id, ok, err)
	}
	return run
}

// TestSlots: of one rest-server no more jobs are out than it has slots, the end of
// one lets the next go at once, and what a person asks for now goes first.
func TestSlots(t *testing.T) {
	r := newRig(t)
	agents, groups := r.herd(1, 3)
	first := r.backup(groups[0], false)
	order := await[*api.Job](agents[0], 1)
	planned := r.hourly(groups[1])
	second := agents[1].due(planned, groups[1].ID, moment(0))
	agents[1].sync()
	third := r.backup(groups[2], false)
	if got := r.pending(second); got.Reason != fleet.WaitsForSlot || got.Position != 2 || got.Busy != 1 || got.Slots != 1 {
		t.Errorf("second = %s, place %d, %d of %d", got.Reason, got.Position, got.Busy, got.Slots)
	}
	if got := r.pending(third.ID); got.Reason != fleet.WaitsForSlot || got.Position != 1 {
		t.Errorf("third = %s, place %d", got.Reason, got.Position)
	}
	list, _, err := r.PendingRuns(t.Context(), control.PendingFilter{})
	if err != nil || len(list) != 3 {
		t.Errorf("pending = %v, %v", list, err)
	}
	agents[0].carryOut(order, job.Succeeded)
	r.awaitState(third.ID, job.Sent)
	order = await[*api.Job](agents[2], 1)
	if r.job(second).State != job.Queued {
		t.Error("two have the one slot")
	}

	// A job that waits for its repository gives its slot back, and takes it again
	// though the box is then fuller than it should be.
	agents[2].accept(third.ID, spec(t, order))
	agents[2].sync()
	agents[2].say(&job.Progress{Job: third.ID, Phase: job.PhaseWaitingRepository})
	r.awaitState(second, job.Sent)
	agents[2].say(&job.Progress{Job: third.ID})
	r.await("the phase to end", func() bool { return r.job(third.ID).Phase == "" })
	if r.job(first.ID).State != job.Succeeded {
		t.Error("first is not what it was")
	}
}

// TestANewerMomentKeepsThePlace: whoever ends the older run, the newer one stands
// where that stood.
func TestANewerMomentKeepsThePlace(t *testing.T) {
	r := newRig(t)
	agents, groups := r.herd(1, 3)
	r.backup(groups[0], false)
	for _, agentEnds := range []bool{false, true} {
		planned := r.hourly(groups[1])
		a := agents[1]
		older := a.due(planned, groups[1].ID, moment(-1))
		a.sync()
		behind := agents[2].due(r.hourly(groups[2]), groups[2].ID, moment(0))
		agents[2].sync()
		newer := job.DueID(planned.ID, groups[1].ID, moment(0))
		if agentEnds {
			a.append(api.RecordEnded, older, api.Ended{State: job.Skipped, Cause: job.CauseCoalesced, By: newer})
		}
		a.due(planned, groups[1].ID, moment(0))
		a.sync()
		if got := r.job(older); got.State != job.Skipped || got.By != newer {
			t.Fatalf("older = %+v", got)
		}
		if before, after := r.pending(newer).Position, r.pending(behind).Position; before >= after {
			t.Errorf("the agent ended it: %v; newer is at %d, who came later at %d", agentEnds, before, after)
		}
		for _, id := range []job.ID{newer, behind} {
			if err := r.DropPending(t.Context(), auth.Server, id); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestASlotOfAHostThatVanished is given back after two minutes.
func TestASlotOfAHostThatVanished(t *testing.T) {
	r := newRig(t)
	agents, groups := r.herd(1, 2)
	running := r.backup(groups[0], false)
	order := await[*api.Job](agents[0], 1)
	agents[0].accept(running.ID, spec(t, order))
	agents[0].sync()
	agents[0].leave(r)
	waiting := r.backup(groups[1], false)
	if waiting.State != job.Queued {
		t.Fatalf("it is %s", waiting.State)
	}
	r.pass(3 * time.Minute)
	if err := r.DrainAllDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.awaitState(waiting.ID, job.Sent)
	if r.job(running.ID).State != job.Running {
		t.Error("what runs was given up")
	}
}

// TestPausedRunsWait: but not what a person asks for during the pause.
func TestPausedRunsWait(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	before := r.backup(g, true)
	id := a.due(planned, g.ID, moment(0))
	pause, err := r.CreatePause(t.Context(), auth.Server, fleet.Pause{Scope: fleet.PauseFleet, Until: r.now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	a.connect()
	a.sync()
	if got := r.pending(before.ID); got.Reason != fleet.WaitsForPause || got.Until.Sub(pause.Until).Abs() > time.Millisecond || got.Attempt != 0 {
		t.Errorf("asked for before the pause: %+v", got)
	}
	if got := r.pending(id); got.Reason != fleet.WaitsForPause {
		t.Errorf("due before the pause: %+v", got)
	}
	if _, err := r.RunPending(t.Context(), auth.Server, before.ID); err != nil {
		t.Fatal(err)
	}
	order := await[*api.Job](a, 1)
	if order.ID != before.ID || r.audited("pending_run.hurried", string(before.ID)) != 1 {
		t.Errorf("order = %+v", order)
	}
	if got := r.pending(id); got.Reason != fleet.WaitsForPause {
		t.Errorf("it no longer waits: %+v", got)
	}
	a.carryOut(order, job.Failed)
	if err := r.DropPending(t.Context(), auth.Server, id); err != nil {
		t.Fatal(err)
	}
	if j := r.job(id); j.State != job.Skipped || j.Cause != job.CauseDropped || r.audited("pending_run.dropped", string(id)) != 1 {
		t.Errorf("dropped = %+v", j)
	}
	if c := await[*api.Cancel](a, 1); c.ID != id || c.State != job.Skipped || c.Cause != job.CauseDropped {
		t.Errorf("cancel = %+v", c)
	}
	if err := r.DropPending(t.Context(), auth.Server, id); !is[*fleet.Problem](err) {
		t.Errorf("dropped twice: %v", err)
	}
}

// TestOneWriterPerRepository: a host's second group waits for the end of the first
// and uses up no attempt.
func TestOneWriterPerRepository(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	etc, srv := r.group(a.host, "etc"), r.group(a.host, "srv")
	a.connect()
	first, second := r.backup(etc, false), r.backup(srv, false)
	order := await[*api.Job](a, 1)
	if got := r.pending(second.ID); got.Reason != fleet.WaitsForRepository || got.Blocker != first.ID {
		t.Errorf("second = %+v", got)
	}
	a.carryOut(order, job.Succeeded)
	if order := await[*api.Job](a, 2); order.ID != second.ID || r.job(second.ID).Attempt != 0 {
		t.Errorf("order = %+v", order)
	}
}

func spec(t *testing.T, order *api.Job) job.Spec {
	t.Helper()
	decoded, err := job.DecodeSpec(order.Kind, order.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}
