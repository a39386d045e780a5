package control_test

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// TestAClockThatIsBehind: the moments of such a machine are long past here, and the
// backup of the moment before does not do their work.
func TestAClockThatIsBehind(t *testing.T) {
	for _, behind := range []time.Duration{90 * time.Minute, 365 * 24 * time.Hour} {
		r := newRig(t)
		a := r.endpoint("web")
		g := r.group(a.host, "etc")
		planned := r.hourly(g)
		a.skew = -behind
		a.connect()
		due := func() job.ID { return a.due(planned, g.ID, time.Now().Add(a.skew).Truncate(time.Millisecond)) }
		due()
		a.sync()
		a.carryOut(await[*api.Job](a, 1), job.Succeeded)
		r.pass(time.Hour)
		a.skew += time.Hour
		second := due()
		a.sync()
		if order := await[*api.Job](a, 2); order.ID != second {
			t.Errorf("%s behind: order = %+v", behind, order)
		}
		a.carryOut(await[*api.Job](a, 2), job.Succeeded)
	}
}

// TestAPauseOfAClockThatIsBehind: a moment lies in it by the server's clock.
func TestAPauseOfAClockThatIsBehind(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	a.skew = -90 * time.Minute
	a.connect()
	if _, err := r.CreatePause(t.Context(), auth.Server, fleet.Pause{Scope: fleet.PauseHost, Subject: string(a.host), Until: r.now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	id := a.due(planned, g.ID, time.Now().Add(a.skew+time.Minute).Truncate(time.Millisecond))
	a.sync()
	if j := r.job(id); j.State != job.Skipped || j.Cause != job.CausePaused {
		t.Errorf("job = %+v", j)
	}
}

// TestWhoHasNotToldItsJournalHoldsNobodyUp: its run can't go yet, so its place in
// the line is not before those that can.
func TestWhoHasNotToldItsJournalHoldsNobodyUp(t *testing.T) {
	r := newRig(t)
	agents, groups := r.herd(1, 2)
	late, other := agents[0], agents[1]
	late.leave(r)
	first := r.backup(groups[0], true)
	late.onHello = func(h *api.Hello) { h.LastSeq += 5 } // and never sends them
	late.connect()
	second := r.backup(groups[1], false)
	if order := await[*api.Job](other, 1); order.ID != second.ID {
		t.Errorf("order = %+v", order)
	}
	if j := r.job(first.ID); j.State != job.Queued {
		t.Errorf("what can't go yet is %s", j.State)
	}
}

// TestACancelIsNoReasonToTryAgain, though nobody heard how the job took it.
func TestACancelIsNoReasonToTryAgain(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	a.connect()
	j := r.backup(g, false)
	a.accept(j.ID, spec(t, await[*api.Job](a, 1)))
	a.sync()
	a.leave(r)
	if _, err := r.CancelJob(t.Context(), auth.Server, j.ID); err != nil {
		t.Fatal(err)
	}
	r.pass(25 * time.Hour)
	r.Tick(t.Context())
	if now := r.job(j.ID); now.State != job.Lost {
		t.Fatalf("job = %+v", now)
	}
	if waiting := r.active(a.host); len(waiting) != 0 {
		t.Errorf("it is tried again: %+v", waiting)
	}
}

// TestAskingAgainIsAudited: it puts the run that waits in front of its line.
func TestAskingAgainIsAudited(t *testing.T) {
	r := newRig(t)
	g := r.group(r.endpoint("web").host, "etc")
	first := r.backup(g, true)
	again := r.backup(g, true)
	if again.ID != first.ID || r.audited("pending_run.hurried", string(first.ID)) != 1 {
		t.Errorf("again = %+v, audited %d times", again, r.audited("pending_run.hurried", string(first.ID)))
	}
}

// TestMoreSlotsLetTheNextGo at once.
func TestMoreSlotsLetTheNextGo(t *testing.T) {
	r := newRig(t)
	agents, groups := r.herd(1, 2)
	first := r.backup(groups[0], false)
	await[*api.Job](agents[0], 1)
	second := r.backup(groups[1], false)
	if second.State != job.Queued {
		t.Fatalf("second = %+v", second)
	}
	slots := 2
	if _, err := r.UpdateHost(t.Context(), auth.Server, r.repository(agents[0].host).Storage, control.HostChange{Slots: &slots}); err != nil {
		t.Fatal(err)
	}
	if await[*api.Job](agents[1], 1); r.job(first.ID).State != job.Sent {
		t.Error("the next went only when the first was taken back")
	}
}

// TestDroppingTwiceIsOneDecision of one person.
func TestDroppingTwiceIsOneDecision(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	a.connect()
	j := r.backup(g, false)
	await[*api.Job](a, 1)
	for range 2 {
		if err := r.DropPending(t.Context(), auth.Server, j.ID); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.audited("pending_run.dropped", string(j.ID)); n != 1 {
		t.Errorf("audited %d times", n)
	}
}

// TestARetryGivesWayToANewerMoment: what the server gives up when the agent comes
// back without its old state does not take the place of what is due there now.
func TestARetryGivesWayToANewerMoment(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	a.connect()
	older := a.due(planned, g.ID, moment(-1))
	a.sync()
	order := await[*api.Job](a, 1)
	a.accept(older, spec(t, order))
	a.sync()
	a.leave(r)
	a.journal, a.records, a.acked = "another", nil, 0
	newer := a.due(planned, g.ID, moment(0))
	a.connect()
	a.sync()
	r.awaitState(older, job.Lost)
	if order := await[*api.Job](a, 1); order.ID != newer || order.Retry != 0 {
		t.Errorf("order = %+v", order)
	}
	retry, err := job.RetryID(older, 1)
	if err != nil {
		t.Fatal(err)
	}
	if j := r.job(retry); j.State != job.Skipped || j.Cause != job.CauseCoalesced || j.By != newer {
		t.Errorf("retry = %+v", j)
	}
}

// TestOddWordsOfAnAgent: what PostgreSQL can't keep as text holds no record up.
func TestOddWordsOfAnAgent(t *testing.T) {
	r := newNode(t, testkit.Postgres(t), false)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	a.connect()
	j := r.backup(g, false)
	a.accept(j.ID, spec(t, await[*api.Job](a, 1)))
	a.sync()
	a.say(&job.Progress{Job: j.ID, Phase: "odd\x00"})
	a.append(api.RecordEnded, j.ID, api.Ended{State: job.Failed, Cause: "odd\x00", Trouble: "odd\x00", By: "odd\x00", Error: "odd\x00"})
	a.sync()
	if now := r.job(j.ID); now.State != job.Failed {
		t.Errorf("job = %+v", now)
	}
}

// TestWhatASwitchedOffScheduleAskedFor is still its own: the agent had not heard.
func TestWhatASwitchedOffScheduleAskedFor(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	r.disable(planned)
	a.connect()
	id := a.due(planned, g.ID, moment(0))
	a.sync()
	if j := r.job(id); j.Cause != job.CauseAbandoned || j.Origin != job.BySchedule {
		t.Errorf("job = %+v", j)
	}
}
