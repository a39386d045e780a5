package control_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// hourly adds an enabled schedule to a group's host.
func (r *rig) hourly(groups ...fleet.SourceGroup) fleet.Schedule {
	r.t.Helper()
	planned := fleet.Schedule{Host: groups[0].Host, Enabled: true, Rule: schedule.Rule{Cron: "0 * * * *", TimeZone: "UTC", Missed: schedule.RunOnce}}
	for _, g := range groups {
		planned.Groups = append(planned.Groups, g.ID)
	}
	made, err := r.CreateSchedule(r.t.Context(), auth.Server, planned)
	if err != nil {
		r.t.Fatal(err)
	}
	return made
}

// moment is the nth full hour from now; 0 is the last one.
func moment(n int) time.Time { return time.Now().Truncate(time.Hour).Add(time.Duration(n) * time.Hour) }

// due journals that a moment of a schedule has come.
func (a *agent) due(planned fleet.Schedule, group job.GroupID, at time.Time) job.ID {
	a.t.Helper()
	id := job.DueID(planned.ID, group, at)
	a.append(api.RecordDue, id, api.Due{Group: group, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: at.UnixMilli()}})
	return id
}

func (r *rig) disable(planned fleet.Schedule) {
	r.t.Helper()
	planned.Enabled = false
	if _, err := r.UpdateSchedule(r.t.Context(), auth.Server, planned); err != nil {
		r.t.Fatal(err)
	}
}

// TestADueRunIsSent: the agent asks, the row appears, and the job with the same id
// comes down with its occasion.
func TestADueRunIsSent(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	a.connect()
	if plan := await[*api.Plan](a, 1); len(plan.Schedules) != 1 || plan.Schedules[0].ID != planned.ID || plan.Schedules[0].Cron != "0 * * * *" {
		t.Errorf("plan = %+v", plan.Schedules)
	}
	id := a.due(planned, g.ID, moment(0))
	a.sync()
	order := await[*api.Job](a, 1)
	if order.ID != id || order.Schedule != planned.ID || order.ScheduledAt != moment(0).UnixMilli() || order.Origin != job.BySchedule {
		t.Errorf("order = %+v", order)
	}
	if j := r.job(id); !j.IsOccurrence() || j.Schedule != planned.ID || j.Attempt != 0 || r.audited("pending_run.dispatched", string(id)) != 1 {
		t.Errorf("row = %+v", j)
	}
	a.carryOut(order, job.Succeeded)
	list, _, err := r.store.Occurrences(t.Context(), fleet.OccurrenceFilter{Schedule: planned.ID})
	if err != nil || len(list) != 1 || list[0].State != job.Succeeded {
		t.Errorf("occurrences = %+v, %v", list, err)
	}
}

// TestDueRunsThatComeToNothing: each reason is told to the agent that holds the
// run, and to the audit log.
func TestDueRunsThatComeToNothing(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g, other := r.group(a.host, "etc"), r.group(a.host, "srv")
	disabled, left, gone, paused := r.hourly(g), r.hourly(g, other), r.hourly(g), r.hourly(g)
	r.disable(disabled)
	left.Groups = []job.GroupID{other.ID}
	if _, err := r.UpdateSchedule(t.Context(), auth.Server, left); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteSchedule(t.Context(), auth.Server, gone.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CreatePause(t.Context(), auth.Server, fleet.Pause{Scope: fleet.PauseHost, Subject: string(a.host), Until: r.now().Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	a.connect()
	for _, test := range []struct {
		planned fleet.Schedule
		cause   job.Cause
		audited int
		say     string
	}{
		{disabled, job.CauseAbandoned, 1, "disabled"},
		{left, job.CauseAbandoned, 1, "taken out"},
		{gone, job.CauseAbandoned, 1, "removed"},
		{paused, job.CausePaused, 0, "pause"},
	} {
		id := a.due(test.planned, g.ID, moment(1)) // in the pause
		a.sync()
		j := r.awaitState(id, job.Skipped)
		if j.Cause != test.cause || !strings.Contains(j.Error, test.say) || r.audited("pending_run.abandoned", string(id)) != test.audited {
			t.Errorf("%s: %s %s %q", test.say, j.State, j.Cause, j.Error)
		}
		r.await("the cancel", func() bool {
			for _, c := range heardOf[*api.Cancel](a) {
				if c.ID == id {
					return c.State == job.Skipped && c.Cause == test.cause && c.Error == j.Error
				}
			}
			return false
		})
		a.append(api.RecordEnded, id, api.Ended{State: job.Skipped, Cause: test.cause})
		a.sync()
		if again := r.job(id); again.State != job.Skipped || again.Cause != test.cause || again.Error != j.Error {
			t.Errorf("%s: its agent's word changed it to %+v", test.say, again)
		}
	}
	if n := len(heardOf[*api.Job](a)); n != 0 {
		t.Errorf("%d jobs were sent", n)
	}
}

// TestDisabledWhilePending: what waits loses its purpose and is abandoned at once.
func TestDisabledWhilePending(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	a.connect()
	id := a.due(planned, g.ID, moment(0))
	a.sync()
	await[*api.Job](a, 1)
	a.leave(r)
	r.awaitState(id, job.Queued)
	r.disable(planned)
	if j := r.job(id); j.State != job.Skipped || j.Cause != job.CauseAbandoned || r.audited("pending_run.abandoned", string(id)) != 1 {
		t.Errorf("job = %+v", j)
	}
	a.connect()
	a.quiet(r)
	if n := len(heardOf[*api.Job](a)); n != 0 {
		t.Errorf("it was sent %d times", n)
	}
}

// TestTheAgentWasFaster: it began the run by itself while its server was away, and
// what the server had decided meanwhile gives way to what happened.
func TestTheAgentWasFaster(t *testing.T) {
	for _, state := range []string{"nothing", "queued", "abandoned"} {
		r := newRig(t)
		a := r.endpoint("web")
		g := r.group(a.host, "etc")
		planned := r.hourly(g)
		id := job.DueID(planned.ID, g.ID, moment(0))
		if state != "nothing" {
			a.connect()
			a.due(planned, g.ID, moment(0))
			a.sync()
			await[*api.Job](a, 1)
			a.leave(r)
			r.awaitState(id, job.Queued)
		} else {
			a.due(planned, g.ID, moment(0))
		}
		if state == "abandoned" {
			r.disable(planned)
		}
		spec := control.Resolve(r.host(a.host), g)
		a.accept(id, &spec)
		a.records[len(a.records)-1].Body = mustJSON(t, api.Accepted{Kind: job.Backup, Origin: job.BySchedule,
			Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: moment(0).UnixMilli()}, Spec: mustJSON(t, spec)})
		a.end(id, job.Succeeded)
		a.connect()
		a.sync()
		if j := r.job(id); j.State != job.Succeeded || j.Cause != "" || j.Schedule != planned.ID || j.Origin != job.BySchedule {
			t.Errorf("%s: %+v", state, j)
		}
		a.quiet(r)
		if n := len(heardOf[*api.Job](a)); n != 0 {
			t.Errorf("%s: it was sent %d times after its end", state, n)
		}
	}
}

// TestANewerMomentReplacesAnOlder: of one schedule and group one run waits.
func TestANewerMomentReplacesAnOlder(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	a.connect()
	first := a.due(planned, g.ID, moment(-1))
	a.sync()
	await[*api.Job](a, 1)
	second := a.due(planned, g.ID, moment(0)) // into the one that is on its way
	a.sync()
	if j := r.awaitState(second, job.Skipped); j.Cause != job.CauseCoalesced || j.By != first {
		t.Errorf("beside a sent one: %+v", j)
	}
	a.say(&api.Refused{Job: first, Reason: "The disk is full."})
	r.awaitState(first, job.Queued)
	third := a.due(planned, g.ID, moment(1))
	a.sync()
	if j := r.awaitState(first, job.Skipped); j.Cause != job.CauseCoalesced || j.By != third {
		t.Errorf("beside a queued one: %+v", j)
	}
	if j := r.awaitState(third, job.Sent); j.Attempt != 0 {
		t.Errorf("third = %+v", j)
	}
}

// TestARefusalUsesUpAnAttempt, and the last one abandons the run.
func TestARefusalUsesUpAnAttempt(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	g.Options.RetryMax, g.Options.RetryBackoffSeconds = 2, 60
	g, err := r.UpdateGroup(t.Context(), auth.Server, g)
	if err != nil {
		t.Fatal(err)
	}
	planned := r.hourly(g)
	a.connect()
	id := a.due(planned, g.ID, moment(0))
	a.sync()
	await[*api.Job](a, 1)
	a.say(&api.Refused{Job: id, Reason: "The disk is full."})
	j := r.awaitState(id, job.Queued)
	if wait := j.NextAttemptAt.Sub(r.now()); j.Attempt != 1 || wait < 50*time.Second || wait > time.Minute || !strings.Contains(j.Error, "disk is full") {
		t.Errorf("after a refusal: attempt %d in %s, %q", j.Attempt, wait, j.Error)
	}
	if err := r.DrainAllDue(t.Context()); err != nil || r.job(id).State != job.Queued {
		t.Errorf("before its time it is %s, %v", r.job(id).State, err)
	}
	a.leave(r) // a session that ends burns nothing, and one that begins asks no clock
	a.connect()
	r.awaitState(id, job.Sent)
	if j := r.job(id); j.Attempt != 1 {
		t.Errorf("a new session used up an attempt: %d", j.Attempt)
	}
	await[*api.Job](a, 1)
	a.say(&api.Refused{Job: id, Reason: "Still full."})
	j = r.awaitState(id, job.Skipped)
	if j.Cause != job.CauseAbandoned || !strings.Contains(j.Error, "Still full") || r.audited("pending_run.abandoned", string(id)) != 1 {
		t.Errorf("job = %+v", j)
	}
	r.await("the cancel", func() bool { return len(heardOf[*api.Cancel](a)) == 1 })
}

// TestSatisfied: a backup of the group that began after the moment and ended well
// does its work; one that failed, or began before, does not.
func TestSatisfied(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	early, late := r.hourly(g), r.hourly(g)
	a.connect()
	id := a.due(early, g.ID, moment(0))
	a.sync()
	await[*api.Job](a, 1)
	a.say(&api.Refused{Job: id, Reason: "Not now."})
	r.awaitState(id, job.Queued)
	soon := a.due(late, g.ID, time.Now().Add(time.Minute).Truncate(time.Second)) // after all that follows
	a.sync()
	await[*api.Job](a, 2)
	a.say(&api.Refused{Job: soon, Reason: "Not now."})
	r.awaitState(soon, job.Queued)

	failed := r.backup(g, false)
	a.carryOut(await[*api.Job](a, 3), job.Failed)
	if err := r.DrainPending(t.Context(), a.host); err != nil || r.job(id).State != job.Queued {
		t.Fatalf("after %s failed: %s, %v", failed.ID, r.job(id).State, err)
	}
	done := r.backup(g, false)
	a.carryOut(await[*api.Job](a, 4), job.Succeeded)
	if j := r.awaitState(id, job.Skipped); j.Cause != job.CauseSatisfied || j.By != done.ID || r.audited("pending_run.satisfied", string(id)) != 1 {
		t.Errorf("job = %+v", j)
	}
	if j := r.job(soon); j.State != job.Queued {
		t.Errorf("a later moment was satisfied by an earlier backup: %+v", j)
	}
}

// TestRetryIsTheAgentsWord: the due record of a retry makes the same row whoever
// was first, and waits for its time.
func TestRetryIsTheAgentsWord(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	a.connect()
	first := r.backup(g, false)
	order := await[*api.Job](a, 1)
	spec, _ := job.DecodeSpec(order.Kind, order.Spec)
	a.accept(first.ID, spec)
	a.append(api.RecordEnded, first.ID, api.Ended{State: job.Failed, Trouble: job.TroubleUnreachable})
	occasion, id, err := job.Occasion{}.Next(first.ID)
	if err != nil {
		t.Fatal(err)
	}
	a.append(api.RecordDue, id, api.Due{Group: g.ID, Occasion: occasion, NotBefore: time.Now().Add(time.Minute).UnixMilli()})
	a.sync()
	j := r.job(id)
	if wait := j.NextAttemptAt.Sub(r.now()); j.State != job.Queued || j.Root != first.ID || j.Retry != 1 || j.Attempt != 1 || wait < 50*time.Second || wait > 61*time.Second {
		t.Errorf("retry = %+v, in %s", j, wait)
	}
	if j.Origin != job.ByPerson || j.AskedBy != first.AskedBy {
		t.Errorf("it is told as asked for by %s %q", j.Origin, j.AskedBy)
	}
	if r.job(first.ID).Trouble != job.TroubleUnreachable {
		t.Error("why it failed is not kept")
	}
	r.pass(61 * time.Second)
	if err := r.DrainAllDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if order := await[*api.Job](a, 2); order.ID != id || order.Root != first.ID || order.Retry != 1 {
		t.Errorf("order = %+v", order)
	}
}

// TestARetryOfWhatEndedWellIsNotQueued: a copy of the machine has done it, and the true
// one, which failed, asks for its next attempt.
func TestARetryOfWhatEndedWellIsNotQueued(t *testing.T) {
	r, a, g, first := running(t)
	a.end(first, job.Warning)
	occasion, id, err := job.Occasion{}.Next(first)
	if err != nil {
		t.Fatal(err)
	}
	a.append(api.RecordDue, id, api.Due{Group: g.ID, Occasion: occasion})
	a.sync()
	if j := r.job(id); j.State != job.Skipped || j.Cause != job.CauseSatisfied || j.By != first {
		t.Errorf("retry = %+v", j)
	}
	if cancel := await[*api.Cancel](a, 1); cancel.ID != id {
		t.Errorf("the agent, which holds it, is told to let go of %+v", cancel)
	}
}

// TestDueRecordsOfAHostileAgent are rejected, or kept within bounds.
func TestDueRecordsOfAHostileAgent(t *testing.T) {
	r := newRig(t)
	a, other := r.endpoint("web"), r.endpoint("db")
	g, foreign := r.group(a.host, "etc"), r.group(other.host, "etc")
	planned, theirs := r.hourly(g), r.hourly(foreign)
	waiting := r.backup(foreign, true)
	retry, err := job.RetryID(waiting.ID, 1)
	if err != nil {
		t.Fatal(err)
	}
	at := moment(0)
	ms := at.UnixMilli()
	own := job.DueID(planned.ID, g.ID, at)
	early, late := time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC)
	a.connect()
	rejected := 0
	for name, bad := range map[string]struct {
		id   job.ID
		body api.Due
	}{
		"another moment":      {job.DueID(planned.ID, g.ID, at.Add(time.Hour)), api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: ms}}},
		"random":              {job.NewID(at), api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: ms}}},
		"no schedule":         {own, api.Due{Group: g.ID, Occasion: job.Occasion{ScheduledAt: ms}}},
		"another host's":      {job.DueID(theirs.ID, foreign.ID, at), api.Due{Group: foreign.ID, Occasion: job.Occasion{Schedule: theirs.ID, ScheduledAt: ms}}},
		"their retry":         {retry, api.Due{Group: g.ID, Occasion: job.Occasion{Root: waiting.ID, Retry: 1}}},
		"retry of itself":     {own, api.Due{Group: g.ID, Occasion: job.Occasion{Root: own, Retry: 1}}},
		"negative retry":      {own, api.Due{Group: g.ID, Occasion: job.Occasion{Root: own, Retry: -1}}},
		"skipped for nothing": {own, api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: ms}, Skip: job.CauseOperator}},
		"range that runs":     {own, api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: ms}, Until: ms + 1, Moments: 2}},
		"range backwards":     {own, api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: ms}, Until: ms - 1, Moments: 2, Skip: job.CauseMissed}},
		"after the year 9999": {job.DueID(planned.ID, g.ID, late), api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: late.UnixMilli()}}},
		"before 1970":         {job.DueID(planned.ID, g.ID, early), api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: early.UnixMilli()}}},
		"no id of a schedule": {job.DueID("x\x00", g.ID, at), api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: "x\x00", ScheduledAt: ms}}},
		"their schedule":      {job.DueID(theirs.ID, g.ID, at), api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: theirs.ID, ScheduledAt: ms}}},
		"range without end": {job.RangeID(planned.ID, g.ID, at, late), api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: ms},
			Until: late.UnixMilli(), Moments: 2, Skip: job.CauseMissed}},
		"too many moments": {job.RangeID(planned.ID, g.ID, at, at.Add(time.Hour)), api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: ms},
			Until: at.Add(time.Hour).UnixMilli(), Moments: 1 << 40, Skip: job.CauseMissed}},
		"odd proof": {own, api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: ms}, Skip: job.CauseOverlapped, By: "x"}},
	} {
		a.append(api.RecordDue, bad.id, bad.body)
		a.sync()
		rejected++
		n, err := r.store.CountRejected(t.Context(), a.host)
		if err != nil || n != rejected {
			t.Fatalf("%s: %d records rejected, want %d, %v", name, n, rejected, err)
		}
	}
	for name, bad := range map[string]struct {
		id       job.ID
		occasion job.Occasion
	}{
		"accepted of their schedule":      {job.DueID(theirs.ID, g.ID, at), job.Occasion{Schedule: theirs.ID, ScheduledAt: ms}},
		"accepted as their retry":         {retry, job.Occasion{Root: waiting.ID, Retry: 1}},
		"accepted after the year 9999":    {job.DueID(planned.ID, g.ID, late), job.Occasion{Schedule: planned.ID, ScheduledAt: late.UnixMilli()}},
		"accepted with an id in any form": {job.ID(strings.ToLower(string(job.NewID(at)))), job.Occasion{}},
	} {
		a.append(api.RecordAccepted, bad.id, api.Accepted{Kind: job.Backup, Occasion: bad.occasion, Spec: mustJSON(t, control.Resolve(r.host(a.host), g))})
		a.sync()
		rejected++
		n, err := r.store.CountRejected(t.Context(), a.host)
		if err != nil || n != rejected {
			t.Fatalf("%s: %d records rejected, want %d, %v", name, n, rejected, err)
		}
	}
	if r.job(waiting.ID).State != job.Queued {
		t.Error("another host's run was touched")
	}
	unknown := job.ScheduleID(job.NewULID(at))
	id := job.DueID(unknown, g.ID, at)
	a.append(api.RecordDue, id, api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: unknown, ScheduledAt: ms}})
	a.sync()
	if j := r.job(id); j.State != job.Skipped || j.Cause != job.CauseAbandoned || j.Origin != job.ByAccount {
		t.Errorf("of a schedule that never was: %+v", j)
	}
	first, last := at.Add(-3*time.Hour), at.Add(-time.Hour)
	id = job.RangeID(planned.ID, g.ID, first, last)
	a.append(api.RecordDue, id, api.Due{Group: g.ID, Occasion: job.Occasion{Schedule: planned.ID, ScheduledAt: first.UnixMilli()}, Until: last.UnixMilli(), Moments: 3, Skip: job.CauseMissed})
	a.sync()
	if j := r.job(id); j.State != job.Skipped || j.Cause != job.CauseMissed || j.Moments != 3 || !j.ScheduledTo.Equal(last) || !j.ScheduledAt.Equal(first) {
		t.Errorf("range = %+v", j)
	}
}

// TestLostIsTriedAgain: what the server gave up has its retry in the line, and a
// good end that comes after all takes it out again.
func TestLostIsTriedAgain(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	a.connect()
	j := r.backup(g, false)
	order := await[*api.Job](a, 1)
	spec, _ := job.DecodeSpec(order.Kind, order.Spec)
	a.accept(j.ID, spec)
	a.sync()
	a.leave(r)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		moved, err := tx.MoveJob(ctx, j.ID, job.Running, job.Lost, job.ByServer, r.now())
		if err != nil || !moved {
			t.Fatalf("moved %v, %v", moved, err)
		}
		return nil
	})
	// The agent proves the good end of what was lost.
	retry, err := job.RetryID(j.ID, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertJob(ctx, fleet.Job{ID: retry, Host: a.host, Kind: job.Backup, State: job.Queued, Origin: job.ByPerson, Group: g.ID, Repository: g.Repository,
			Root: j.ID, Retry: 1, Attempt: 1, CreatedAt: r.now(), NextAttemptAt: r.now().Add(time.Hour)})
	})
	a.end(j.ID, job.Succeeded)
	a.onHello = func(h *api.Hello) { h.Held = []job.ID{retry} }
	a.connect()
	a.sync()
	if now := r.awaitState(retry, job.Skipped); now.Cause != job.CauseSatisfied || now.By != j.ID {
		t.Errorf("retry = %+v", now)
	}
	if r.job(j.ID).State != job.Succeeded {
		t.Errorf("job = %+v", r.job(j.ID))
	}
}

func mustJSON(t *testing.T, body any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
