package agent

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

func ruleOf(cron string) schedule.Rule {
	return schedule.Rule{Cron: cron, TimeZone: "UTC", Missed: schedule.RunOnce}
}

// planOf has the schedules given, each for all of so many groups.
func planOf(groups int, rules ...schedule.Rule) *api.Plan {
	plan := &api.Plan{Digest: fmt.Sprint(groups, rules), ResticHost: resticHost}
	repository := job.RepositoryID(job.NewULID(noon))
	var ids []job.GroupID
	for i := range groups {
		id := job.GroupID(job.NewULID(noon.Add(time.Duration(i))))
		ids = append(ids, id)
		plan.Groups = append(plan.Groups, job.BackupSpec{Group: id, GroupName: fmt.Sprint("group ", i), Repository: repository,
			ResticHost: resticHost, Includes: []string{"/srv"}, RetryMax: 3, RetryBackoffSeconds: 60})
	}
	for _, rule := range rules {
		plan.Schedules = append(plan.Schedules, api.PlanSchedule{ID: job.ScheduleID(job.NewULID(noon)), Rule: rule, Groups: ids})
	}
	return plan
}

func TestAPlanIsReadAsFarAsItCanBe(t *testing.T) {
	plan := planOf(2, ruleOf("0 2 * * *"), ruleOf("61 2 * * *"), ruleOf("0 3 * * *"), ruleOf("0 4 * * *"))
	plan.Schedules[2].ID = plan.Schedules[0].ID
	plan.Schedules[3].Groups = []job.GroupID{plan.Groups[1].Group, "unknown", plan.Groups[0].Group, plan.Groups[1].Group}
	table := readPlan(plan, noon)
	if len(table.schedules) != 2 || len(table.problems) != 2 || !strings.Contains(table.problems[0], string(plan.Schedules[1].ID)) {
		t.Fatalf("%d schedules, problems %q", len(table.schedules), table.problems)
	}
	both := []job.GroupID{plan.Groups[0].Group, plan.Groups[1].Group}
	slices.Sort(both)
	if got := table.schedules[1].groups; !slices.Equal(got, both) {
		t.Errorf("groups = %v", got)
	}
	next := table.nextMoments(noon, 3)
	var hours []int
	for _, one := range next {
		hours = append(hours, one.At.Day()*100+one.At.Hour())
	}
	if !slices.Equal(hours, []int{502, 504, 602}) || !slices.Equal(next[0].Groups, []string{"group 0", "group 1"}) {
		t.Errorf("next = %v", next)
	}
	if empty := readPlan(nil, time.Time{}); len(empty.nextMoments(noon, 5)) != 0 || empty.asks(api.Due{Group: "g"}) == "" {
		t.Error("no plan asks for something")
	}
}

// TestTheSpreadOfARetry is that of its backoff: hours were for the first run.
func TestTheSpreadOfARetry(t *testing.T) {
	rule := ruleOf("0 2 * * *")
	rule.JitterSeconds = 6 * 60 * 60
	table := readPlan(planOf(1, rule), noon)
	first := journal.Held{At: noon.UnixMilli(), Due: api.Due{Occasion: job.Occasion{Schedule: table.schedules[0].id, ScheduledAt: noon.UnixMilli()}}}
	retry := first
	retry.Due.Retry, retry.Due.NotBefore = 1, noon.Add(time.Minute).UnixMilli()
	var longest, longestRetry time.Duration
	for n := range 200 {
		host := job.HostID(fmt.Sprint(n))
		longest = max(longest, table.jitter(host, first))
		longestRetry = max(longestRetry, table.jitter(host, retry))
	}
	if longest < 5*time.Hour || longestRetry < 25*time.Second || longestRetry > 30*time.Second {
		t.Errorf("spread over %s, and retries over %s", longest, longestRetry)
	}
}

func TestWhetherARunIsStillAskedFor(t *testing.T) {
	plan := planOf(2, ruleOf("0 2 * * *"))
	plan.Schedules[0].Groups = plan.Schedules[0].Groups[:1]
	table := readPlan(plan, noon)
	named, other, id := plan.Groups[0].Group, plan.Groups[1].Group, plan.Schedules[0].ID
	for name, c := range map[string]struct {
		due  api.Due
		asks bool
	}{
		"scheduled":                   {api.Due{Group: named, Occasion: job.Occasion{Schedule: id}}, true},
		"group out of the schedule":   {api.Due{Group: other, Occasion: job.Occasion{Schedule: id}}, false},
		"schedule gone":               {api.Due{Group: named, Occasion: job.Occasion{Schedule: "x"}}, false},
		"group gone":                  {api.Due{Group: "x", Occasion: job.Occasion{Schedule: id}}, false},
		"asked for by a person":       {api.Due{Group: other}, true},
		"asked for, and a group gone": {api.Due{Group: "x"}, false},
	} {
		if why := table.asks(c.due); (why == "") != c.asks {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// clockRig is an agent that is not running, and whose clock is moved by hand.
type clockRig struct {
	*Agent
	t    testing.TB
	now  time.Time
	disk journal.Files
}

func newClockRig(t testing.TB, plan *api.Plan) *clockRig {
	t.Helper()
	return newClockRigOn(t, plan, nil)
}

// newClockRigOn keeps the journal on a disk of the test; nil is the real one.
func newClockRigOn(t testing.TB, plan *api.Plan, disk journal.Files) *clockRig {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	r := &clockRig{t: t, now: noon, disk: disk}
	s, err := openState(dir)
	if err == nil {
		err = s.writeJSON(identityFile, Identity{Host: job.HostID(job.NewULID(noon)), Name: "a", Server: "http://127.0.0.1:1"})
	}
	if err != nil {
		t.Fatal(err)
	}
	r.open(dir)
	if plan != nil {
		if err := r.takePlan(plan); err != nil {
			t.Fatal(err)
		}
	}
	r.look()
	return r
}

func (r *clockRig) open(dir string) {
	r.t.Helper()
	a, err := New(Options{Dir: dir, PolicyFile: dir + ".policy.yaml", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return r.now }, Journal: journal.Options{Files: r.disk}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Agent = a
	a.clock.begin()
	r.t.Cleanup(func() { _ = a.Close() })
}

// restart closes the agent and opens it again after a while.
func (r *clockRig) restart(off time.Duration) {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.now = r.now.Add(off)
	r.open(r.options.Dir)
	r.look()
}

func (r *clockRig) look() time.Time { return r.clock.look(r.now) }

// pass lets time go by, looking as often as a running clock does.
func (r *clockRig) pass(d time.Duration) {
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(min(schedule.Wake, end.Sub(r.now)))
		r.look()
	}
}

// take gives the clock another plan and lets it look.
func (r *clockRig) take(plan *api.Plan) {
	r.t.Helper()
	if err := r.takePlan(plan); err != nil {
		r.t.Fatal(err)
	}
	r.look()
}

// madeWhileCutOff is a plan whose schedule was made at twenty past noon.
func madeWhileCutOff() *api.Plan {
	plan := planOf(1, ruleOf("30 * * * *"))
	plan.Digest, plan.Schedules[0].EffectiveFrom = "made while the agent was cut off", noon.Add(20*time.Minute).UnixMilli()
	return plan
}

// said lists the journal in short: what a schedule's moments came to.
func (r *clockRig) said() []string {
	r.t.Helper()
	records, err := r.journal.Read(0, 8<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	var list []string
	for _, record := range records {
		body, err := record.Decode()
		if err != nil {
			r.t.Fatal(err)
		}
		switch body := body.(type) {
		case *api.Due:
			text := "due " + time.UnixMilli(body.ScheduledAt).UTC().Format("02 15:04")
			if body.Moments > 0 {
				text += fmt.Sprintf(" to %s (%d)", time.UnixMilli(body.Until).UTC().Format("02 15:04"), body.Moments)
			}
			list = append(list, strings.TrimSpace(text+" "+string(body.Skip)))
		case *api.Ended:
			list = append(list, fmt.Sprintf("ended %s %s", body.State, body.Cause))
		default:
			list = append(list, string(record.Kind))
		}
	}
	return list
}

func (r *clockRig) expect(want ...string) {
	r.t.Helper()
	if got := r.said(); !slices.Equal(got, want) {
		r.t.Errorf("journal %q, want %q", got, want)
	}
}

func TestTheClockThroughADay(t *testing.T) {
	hourly := ruleOf("0 * * * *")
	skipping := hourly
	skipping.Missed = schedule.Skip
	day := 24 * time.Hour
	cases := []struct {
		name string
		rule schedule.Rule
		live func(*clockRig)
		want []string
	}{
		{"awake", hourly, func(r *clockRig) { r.pass(2*time.Hour + time.Minute) },
			[]string{"due 04 13:00", "ended skipped coalesced", "due 04 14:00"}},
		{"off over one", hourly, func(r *clockRig) { r.restart(90 * time.Minute) }, []string{"due 04 13:00"}},
		{"off over four", hourly, func(r *clockRig) { r.restart(4*time.Hour + 30*time.Minute) },
			[]string{"due 04 13:00 to 04 15:00 (3) coalesced", "due 04 16:00"}},
		{"off over four, skipping", skipping, func(r *clockRig) { r.restart(4*time.Hour + 30*time.Minute) },
			[]string{"due 04 13:00 to 04 16:00 (4) missed"}},
		{"off, and back in time for the last", skipping, func(r *clockRig) { r.restart(2*time.Hour + time.Minute) },
			[]string{"due 04 13:00 to 04 13:00 (1) missed", "due 04 14:00"}},
		{"asleep over four", hourly, func(r *clockRig) { r.now = r.now.Add(4*time.Hour + 30*time.Minute); r.look() },
			[]string{"due 04 13:00 to 04 15:00 (3) coalesced", "due 04 16:00"}},
		{"off twice", hourly, func(r *clockRig) { r.restart(2 * time.Hour); r.restart(time.Second); r.restart(time.Hour) },
			[]string{"due 04 13:00 to 04 13:00 (1) coalesced", "due 04 14:00", "ended skipped coalesced", "due 04 15:00"}},
		{"put back over a moment", hourly, func(r *clockRig) {
			r.pass(61 * time.Minute)
			r.now = r.now.Add(-30 * time.Minute)
			r.look()
			r.pass(60 * time.Minute)
		}, []string{"due 04 13:00"}},
		{"a year ahead and back", hourly, func(r *clockRig) {
			r.now = r.now.Add(365 * day)
			r.look()
			r.now = noon.Add(time.Minute)
			r.look()
			r.pass(time.Hour)
		}, []string{"due 04 13:00 to 04 11:00 (8759) coalesced", "due 04 12:00", // of the next year
			"due 03 13:00 to 04 11:00 (23) coalesced", "ended skipped coalesced", "due 04 12:00", "ended skipped coalesced", "due 04 13:00"}},
		{"a schedule that was made after a clock that was ahead is right again", hourly, func(r *clockRig) {
			r.now = noon.Add(65 * time.Minute)
			r.take(&api.Plan{Digest: "ahead", ResticHost: resticHost, Groups: r.plan.current.Groups})
			r.now = noon.Add(10 * time.Minute)
			r.look()
			r.pass(40 * time.Minute)
			r.take(madeWhileCutOff())
		}, []string{"due 04 12:30"}},
		{"the same, and the agent was off when its clock was set right", hourly, func(r *clockRig) {
			r.now = noon.Add(24 * time.Hour)
			r.take(&api.Plan{Digest: "ahead", ResticHost: resticHost, Groups: r.plan.current.Groups})
			r.now = noon
			r.restart(50 * time.Minute)
			r.take(madeWhileCutOff())
		}, []string{"due 04 12:30"}},
		{"a mark from the future", hourly, func(r *clockRig) {
			if err := r.state.setClockMark(clockMark{Looked: noon.Add(365 * day).UnixMilli()}); err != nil {
				r.t.Fatal(err)
			}
			r.restart(time.Second)
			r.pass(time.Hour)
		}, []string{"due 03 13:00 to 04 11:00 (23) coalesced", "due 04 12:00", "ended skipped coalesced", "due 04 13:00"}},
		{"without its mark", hourly, func(r *clockRig) {
			if err := r.state.setClockMark(clockMark{}); err != nil {
				r.t.Fatal(err)
			}
			r.restart(90 * time.Minute)
			r.pass(time.Hour)
		}, []string{"due 04 14:00"}},
		{"paused", hourly, func(r *clockRig) {
			plan := *r.plan.current
			plan.Digest, plan.PausedUntil = "paused", noon.Add(90*time.Minute).UnixMilli()
			if err := r.takePlan(&plan); err != nil {
				r.t.Fatal(err)
			}
			r.pass(2*time.Hour + time.Minute)
		}, []string{"due 04 13:00 paused", "due 04 14:00"}},
		{"a schedule that was made while the agent was away", hourly, func(r *clockRig) {
			r.pass(30 * time.Minute)
			r.now = noon.Add(5*time.Hour + 30*time.Minute)
			plan := *r.plan.current
			made := plan.Schedules[0]
			made.ID, made.EffectiveFrom, made.Cron = job.ScheduleID(job.NewULID(noon)), noon.Add(3*time.Hour+15*time.Minute).UnixMilli(), "30 * * * *"
			plan.Digest, plan.Schedules = "another", []api.PlanSchedule{made}
			if err := r.takePlan(&plan); err != nil {
				r.t.Fatal(err)
			}
			r.pass(10 * time.Minute)
		}, []string{"due 04 15:30 to 04 16:30 (2) coalesced", "due 04 17:30"}},
		{"the same, and the agent is cut off before it has looked", hourly, func(r *clockRig) {
			r.pass(30 * time.Minute)
			r.now = noon.Add(5*time.Hour + 25*time.Minute)
			r.look() // by the old plan
			plan := *r.plan.current
			made := plan.Schedules[0]
			made.ID, made.EffectiveFrom, made.Cron = job.ScheduleID(job.NewULID(noon)), noon.Add(3*time.Hour+15*time.Minute).UnixMilli(), "30 * * * *"
			plan.Digest, plan.Schedules = "another", append(slices.Clone(plan.Schedules), made)
			if err := r.takePlan(&plan); err != nil {
				r.t.Fatal(err)
			}
			r.restart(time.Second)
			r.restart(time.Second) // and is not told twice
		}, []string{"due 04 13:00 to 04 16:00 (4) coalesced", "due 04 17:00", "due 04 15:30 to 04 15:30 (1) coalesced", "due 04 16:30"}},
		{"a group that joins an old schedule", hourly, func(r *clockRig) {
			plan := *r.plan.current
			plan.Digest = "another"
			plan.Groups = append(slices.Clone(plan.Groups), plan.Groups[0])
			plan.Groups[1].Group = job.GroupID(job.NewULID(noon.Add(time.Hour)))
			plan.Schedules = slices.Clone(plan.Schedules)
			plan.Schedules[0].Groups = []job.GroupID{plan.Groups[1].Group}
			r.pass(90 * time.Minute)
			if err := r.takePlan(&plan); err != nil {
				r.t.Fatal(err)
			}
			r.pass(time.Hour)
		}, []string{"due 04 13:00", "ended skipped abandoned", "due 04 14:00"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newClockRig(t, planOf(1, c.rule))
			c.live(r)
			r.expect(c.want...)
		})
	}
}

// TestAClockBehindTheServers: a rule that counts from this machine's future is due
// all the same.
func TestAClockBehindTheServers(t *testing.T) {
	rule := ruleOf("0 * * * *")
	rule.EffectiveFrom = noon.AddDate(1, 0, 0).UnixMilli()
	r := newClockRig(t, planOf(1, rule))
	r.pass(61 * time.Minute)
	r.expect("due 04 13:00")
}

// TestAScheduleOfEveryMinuteIsNotStarved: while the server is away, each moment
// takes the place of the one before it, and inherits how long that has waited.
func TestAScheduleOfEveryMinuteIsNotStarved(t *testing.T) {
	r := newClockRig(t, planOf(1, ruleOf("* * * * *")))
	r.tasks.open(t.Context())
	r.pass(3*time.Minute + time.Second)
	if n := len(r.journal.Unfinished()) + len(r.lastRuns.runs); n == 0 {
		t.Errorf("nothing was begun in three minutes: %q", r.said())
	}
	r.tasks.stop(stopError{causeStopped})
}

func TestALateRunWaitsForTheMachineToSettle(t *testing.T) {
	r := newClockRig(t, planOf(1, ruleOf("0 * * * *")))
	r.restart(90 * time.Minute)
	held := r.journal.Held()
	if len(held) != 1 || held[0].Due.NotBefore != r.now.Add(schedule.Settle).UnixMilli() {
		t.Errorf("held = %+v", held)
	}
}

func TestTheMarkIsSavedNowAndThen(t *testing.T) {
	r := newClockRig(t, planOf(1, ruleOf("0 3 * * *")))
	saved := func() time.Duration {
		mark, err := r.state.clockMark()
		if err != nil {
			t.Fatal(err)
		}
		return time.UnixMilli(mark.Looked).Sub(noon)
	}
	for passed, want := range map[time.Duration]time.Duration{0: 0, 9 * time.Minute: 0, 10 * time.Minute: 10 * time.Minute} {
		r.now = noon
		r.clock.markSaved = time.Time{}
		r.clock.mark = noon
		r.look()
		r.pass(passed)
		if got := saved(); got != want {
			t.Errorf("after %s the mark is at %s", passed, got)
		}
	}
	if next := r.look(); !next.Equal(time.Date(2026, 5, 5, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("next = %s", next)
	}
}

// largest is the plan that the figures are for: 50 schedules, 200 groups.
func largest() *api.Plan {
	rules := make([]schedule.Rule, 50)
	for i := range rules {
		rules[i] = schedule.Rule{Cron: fmt.Sprintf("%d %d * * *", i, i%24), TimeZone: "Europe/Berlin", JitterSeconds: 300, Missed: schedule.RunOnce}
	}
	return planOf(200, rules...)
}

func BenchmarkTakePlan(b *testing.B) {
	r := newClockRig(b, nil)
	plan := largest()
	for b.Loop() {
		if err := r.takePlan(plan); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleLook is what an agent does every 30 s: 0.1 % of that is 30 ms.
func BenchmarkIdleLook(b *testing.B) {
	r := newClockRig(b, largest())
	r.clock.markSaved = noon.Add(time.Hour)
	for b.Loop() {
		r.look()
		r.addTimes(new(Status))
	}
}

// BenchmarkDueLook is a moment of one schedule for 200 groups.
func BenchmarkDueLook(b *testing.B) {
	r := newClockRig(b, largest())
	for b.Loop() {
		r.now = r.now.Add(time.Hour)
		r.look()
	}
}
