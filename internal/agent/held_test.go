package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func TestWhatBecomesOfAHeldRun(t *testing.T) {
	asked := heldCase{now: noon, moment: noon.Add(-time.Minute), start: noon}
	before, after := noon.Add(-time.Hour), noon.Add(-time.Second)
	cases := []struct {
		name   string
		change func(*heldCase)
		begin  bool
		cause  job.Cause // it ends skipped
		by     job.ID
		until  time.Time // it waits
	}{
		{"nothing in its way", func(*heldCase) {}, true, "", "", time.Time{}},
		{"the server is there", func(c *heldCase) { c.start = time.Time{} }, false, "", "", time.Time{}},
		{"patience", func(c *heldCase) { c.start = noon.Add(1) }, false, "", "", noon.Add(1)},
		{"a copy", func(c *heldCase) { c.muted = true }, false, "", "", time.Time{}},
		{"a copy that nobody asks", func(c *heldCase) { c.muted, c.notAsked = true, "gone" }, false, "", "", time.Time{}},
		{"nobody asks", func(c *heldCase) { c.notAsked = "gone" }, false, job.CauseAbandoned, "", time.Time{}},
		{"nobody asks, and the server is there", func(c *heldCase) { c.notAsked, c.start = "gone", time.Time{} }, false, "", "", time.Time{}},
		{"paused", func(c *heldCase) { c.pausedUntil = noon.Add(5) }, false, "", "", noon.Add(5)},
		{"the pause is over", func(c *heldCase) { c.pausedUntil = noon }, true, "", "", time.Time{}},
		{"a later run is at work", func(c *heldCase) { c.running = groupRun{"r", after, false} }, false, job.CauseSatisfied, "r", time.Time{}},
		{"an earlier run is at work", func(c *heldCase) { c.running = groupRun{"r", before, false} }, false, "", "", time.Time{}},
		{"a run at work from a wrong clock", func(c *heldCase) { c.running = groupRun{"r", noon.Add(time.Hour), false} }, false, "", "", time.Time{}},
		{"a later run ended well", func(c *heldCase) { c.last = groupRun{"r", after, true} }, false, job.CauseSatisfied, "r", time.Time{}},
		{"a later run failed", func(c *heldCase) { c.last = groupRun{"r", after, false} }, true, "", "", time.Time{}},
		{"an earlier run ended well", func(c *heldCase) { c.last = groupRun{"r", before, true} }, true, "", "", time.Time{}},
		{"a run at its very moment ended well", func(c *heldCase) { c.last = groupRun{"r", c.moment, true} }, false, job.CauseSatisfied, "r", time.Time{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			one := asked
			c.change(&one)
			got := one.judge()
			if got.begin != c.begin || !got.until.Equal(c.until) || (got.end != nil) != (c.cause != "") {
				t.Fatalf("%+v", got)
			}
			if waits := !got.begin && got.end == nil; waits != (got.why != "") {
				t.Errorf("why = %q", got.why)
			}
			if got.end != nil && (got.end.State != job.Skipped || got.end.Cause != c.cause || got.end.By != c.by || got.end.Error == "") {
				t.Errorf("ended = %+v", got.end)
			}
		})
	}
}

func TestSinceWhenARunIsHeld(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	cases := []struct {
		name                    string
		written, moment         time.Duration // from noon
		wait                    time.Duration // its backoff; 0 is none
		retry                   int
		started                 time.Duration // of the process
		due, away, notBefore    time.Time
		late                    bool
		startsAlone, afterSleep time.Time // without a server since then
	}{
		{"just now", 0, -1, 0, 0, -time.Hour, at(0), at(0), time.Time{}, false, at(time.Minute), at(time.Minute)},
		{"missed", 0, -time.Hour, 0, 0, -10 * time.Second, at(0), at(0), time.Time{}, true, at(time.Minute), at(time.Minute)},
		{"retry", 0, -time.Hour, 5 * time.Minute, 1, -time.Hour, at(0), at(0), at(5 * time.Minute), false, at(5 * time.Minute), at(5 * time.Minute)},
		{"before a restart", -time.Hour, -time.Hour, 0, 0, -time.Second, at(-time.Hour), at(-time.Second), time.Time{}, false, at(59 * time.Second), at(59 * time.Second)},
		{"by a clock that was ahead", 24 * time.Hour, 24 * time.Hour, time.Minute, 1, 0, at(0), at(0), at(time.Minute), false, at(time.Minute), at(time.Minute)},
		{"in a process that began ahead", 0, 0, 0, 0, time.Hour, at(0), at(0), time.Time{}, false, at(time.Minute), at(time.Minute)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			record := journal.Held{ID: "a", At: at(c.written).UnixMilli(), Due: api.Due{Group: "g",
				Occasion: job.Occasion{Schedule: "s", ScheduledAt: at(c.moment).UnixMilli(), Retry: c.retry}}}
			if c.wait > 0 {
				record.Due.NotBefore = at(c.written + c.wait).UnixMilli()
			}
			got := newHeld(record, noon, at(c.started))
			if !got.DueAt.Equal(c.due) || !got.AwaySince.Equal(c.away) || !got.NotBefore.Equal(c.notBefore) || got.Late != c.late {
				t.Errorf("%+v", got)
			}
			got.AwakeSince = at(c.started)
			if start := got.StartAt(); !start.Equal(c.startsAlone) {
				t.Errorf("starts at %s", start)
			}
			back(&got, time.Hour)
			if start := got.StartAt(); !start.Equal(c.startsAlone.Add(-time.Hour)) && !c.late {
				t.Errorf("after the clock was put back it starts at %s", start)
			}
		})
	}
}

func TestWhatBecomesOfMoments(t *testing.T) {
	s, g := job.ScheduleID("s"), job.GroupID("g")
	moment := noon.Add(-time.Second)
	id := job.DueID(s, g, moment)
	first, last := noon.Add(-48*time.Hour), noon.Add(-24*time.Hour)
	gap := job.RangeID(s, g, first, last)
	fired := schedule.Verdict{Fire: moment}
	late := schedule.Verdict{Fire: moment, Late: true}
	many := schedule.Verdict{Fire: moment, Late: true, Skipped: schedule.Skipped{First: first, Last: last, Count: 2}}
	missed := schedule.Verdict{Missed: true, Skipped: schedule.Skipped{First: first, Last: last, Count: 2}}
	due := func(skip job.Cause, by job.ID, notBefore time.Duration) saying {
		body := api.Due{Group: g, Occasion: job.Occasion{Schedule: s, ScheduledAt: moment.UnixMilli()}, Skip: skip, By: by}
		if notBefore > 0 {
			body.NotBefore = noon.Add(notBefore).UnixMilli()
		}
		return saying{api.RecordDue, id, body}
	}
	skipped := func(skip job.Cause, by job.ID) saying {
		return saying{api.RecordDue, gap, api.Due{Group: g, Occasion: job.Occasion{Schedule: s, ScheduledAt: first.UnixMilli()},
			Skip: skip, By: by, Until: last.UnixMilli(), Moments: 2}}
	}
	held := journal.Held{ID: "older", Due: api.Due{Group: g}}
	replaced := saying{api.RecordEnded, "older", api.Ended{State: job.Skipped, Cause: job.CauseCoalesced, By: id,
		Error: "It still waited when the next moment of its schedule came; that run does its work."}}
	running := groupRun{id: "r", since: first}
	cases := []struct {
		name    string
		verdict schedule.Verdict
		awake   time.Duration // before noon
		paused  time.Duration // until after noon; 0 is not
		running groupRun
		held    journal.Held
		want    []saying
	}{
		{"nothing", schedule.Verdict{}, time.Hour, 0, groupRun{}, held, nil},
		{"on time", fired, time.Hour, 0, groupRun{}, journal.Held{}, []saying{due("", "", 0)}},
		{"late after the start", late, 10 * time.Second, 0, groupRun{}, journal.Held{}, []saying{due("", "", 50*time.Second)}},
		{"late, and long awake", late, time.Hour, 0, groupRun{}, journal.Held{}, []saying{due("", "", 0)}},
		{"several", many, time.Hour, 0, groupRun{}, journal.Held{}, []saying{skipped(job.CauseCoalesced, id), due("", "", 0)}},
		{"all missed", missed, time.Hour, 0, groupRun{}, held, []saying{skipped(job.CauseMissed, "")}},
		{"paused", fired, time.Hour, time.Minute, running, held, []saying{due(job.CausePaused, "", 0)}},
		{"paused until its moment", fired, time.Hour, -time.Second, groupRun{}, journal.Held{}, []saying{due("", "", 0)}},
		{"overlapped", fired, time.Hour, 0, running, held, []saying{due(job.CauseOverlapped, "r", 0)}},
		{"replaces one that waits", fired, time.Hour, 0, groupRun{}, held, []saying{replaced, due("", "", 0)}},
		{"several replace one", many, time.Hour, 0, groupRun{}, held, []saying{skipped(job.CauseCoalesced, id), replaced, due("", "", 0)}},
		{"several, overlapped", many, time.Hour, 0, running, held, []saying{skipped(job.CauseCoalesced, id), due(job.CauseOverlapped, "r", 0)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			one := momentCase{pair: pair{s, g}, verdict: c.verdict, now: noon, awake: noon.Add(-c.awake), running: c.running, held: c.held}
			if c.paused != 0 {
				one.pausedUntil = noon.Add(c.paused)
			}
			if got := one.judge(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestARetryOfWhatEndedWellIsNotRun: a copy of this machine has told the server that
// a run failed, and this machine did it meanwhile.
func TestARetryOfWhatEndedWellIsNotRun(t *testing.T) {
	r := newClockRig(t, planOf(1, ruleOf("0 * * * *")))
	spec, err := json.Marshal(r.plan.current.Groups[0])
	if err != nil {
		t.Fatal(err)
	}
	ended := func(id job.ID, state job.State) {
		t.Helper()
		if err := r.append(api.RecordEnded, id, api.Ended{State: state}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		first job.State
		takes bool
	}{{"the first attempt ended well", job.Warning, false}, {"it failed", job.Failed, true}} {
		root := job.NewID(noon)
		ended(root, c.first)
		occasion, second, err := job.Occasion{}.Next(root)
		if err == nil {
			ended(second, job.Failed)
			occasion, second, err = occasion.Next(second)
		}
		if err != nil {
			t.Fatal(err)
		}
		// Nothing is at work here, so what would be accepted is refused.
		err = r.admitJob(&api.Job{ID: second, Kind: job.Backup, Occasion: occasion, Spec: spec})
		if errors.Is(err, errStopping) != c.takes || r.journal.Known(second) == c.takes {
			t.Errorf("%s: %v", c.name, err)
		}
		r.restart(0) // what is known outlasts the process
		if !r.journal.EndedWell(root) != c.takes {
			t.Errorf("%s: after a restart it is known otherwise", c.name)
		}
	}
}
