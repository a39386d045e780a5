package ui

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// noon is a Wednesday in winter.
var noon = time.Date(2026, 1, 14, 12, 0, 0, 0, time.UTC)

func TestEveryReasonToWaitHasALook(t *testing.T) {
	reasons := []fleet.WaitReason{fleet.WaitsForHost, fleet.WaitsForPause, fleet.WaitsForBackoff, fleet.WaitsForRepository, fleet.WaitsForSlot, fleet.WaitsForQuarantine, fleet.WaitsForAgent, fleet.WaitsForTurn}
	if len(waitLooks) != len(reasons) {
		t.Errorf("%d looks for %d reasons", len(waitLooks), len(reasons))
	}
	w := wallClock{noon, time.UTC}
	for _, reason := range reasons {
		run := fleet.PendingRun{Reason: reason, Position: 3, Busy: 4, Slots: 4, Until: noon.Add(time.Hour)}
		state, words := waitState(run, "vault", w), waitWords(run, fleet.Host{Name: "web-1"}, "vault", w)
		if state.Icon == "" || state.Word == string(reason) || !strings.HasSuffix(words, ".") {
			t.Errorf("reason %s looks like %+v and says %q", reason, state, words)
		}
	}
	line := fleet.PendingRun{Reason: fleet.WaitsForSlot, Position: 3, Busy: 4, Slots: 4}
	if got := waitState(line, "vault", w).Word + "; " + waitWords(line, fleet.Host{}, "vault", w); got != "3rd in line for vault; 4 of 4 slots of vault are busy. 2 runs go before it." {
		t.Errorf("in line: %q", got)
	}
}

func TestOutcomesAreToldWithTheirEvidence(t *testing.T) {
	at := noon.Add(-6 * time.Hour)
	run := func(change func(*fleet.Job)) fleet.Job {
		one := fleet.Job{ID: job.DueID("S", "G", at), Kind: job.Backup, State: job.Succeeded, Origin: job.BySchedule, Schedule: "S", Group: "G", ScheduledAt: at, CreatedAt: at, SentAt: at.Add(time.Second),
			StartedAt: at.Add(2 * time.Second), FinishedAt: at.Add(time.Minute)}
		change(&one)
		return one
	}
	began := func(after time.Duration) func(*fleet.Job) {
		return func(one *fleet.Job) { one.SentAt, one.StartedAt = at.Add(after), at.Add(after) }
	}
	skipped := func(cause job.Cause, moments int) Occurrence {
		return Occurrence{run(func(one *fleet.Job) {
			one.State, one.Cause, one.Moments, one.SentAt, one.StartedAt = job.Skipped, cause, moments, time.Time{}, time.Time{}
		})}
	}
	failed := run(func(one *fleet.Job) { one.State, one.Error = job.Failed, "The repository does not answer." })
	retry := func(n int, state job.State) fleet.Job {
		return run(func(one *fleet.Job) { one.Root, one.Retry, one.Attempt, one.State = failed.ID, n, n, state })
	}
	for _, test := range []struct {
		name  string
		chain Occurrence
		words string
		by    string
		fits  string // the values of outcomes that it passes
	}{
		{"well", Occurrence{run(func(*fleet.Job) {})}, "It did its work.", "the schedule", "ran"},
		{"by hand", Occurrence{run(func(one *fleet.Job) { one.AskedBy = "ann" })}, "It did its work.", "ann", "ran"},
		{"late for its turn", Occurrence{run(began(3 * time.Minute))}, "It did its work, 3 minutes late: it waited for its turn.", "the schedule", "ran late"},
		{"late for the machine", Occurrence{run(func(one *fleet.Job) { began(5 * time.Hour)(one); one.CreatedAt = at.Add(5 * time.Hour) })},
			"It did its work, 5 hours late: its machine was off or out of contact at its moment.", "the schedule", "ran late"},
		{"late for a refusal", Occurrence{run(func(one *fleet.Job) { began(4 * time.Minute)(one); one.Attempt = 2 })},
			"It did its work, 4 minutes late: the agent did not take it at first.", "the schedule", "ran late"},
		{"alone", Occurrence{run(func(one *fleet.Job) { one.SentAt = time.Time{} })}, "It did its work; the agent began it by itself while the server was away.", "the agent itself", "ran alone"},
		{"alone and late", Occurrence{run(func(one *fleet.Job) { began(6 * time.Minute)(one); one.SentAt = time.Time{} })},
			"It did its work, 6 minutes late: the agent began it by itself while the server was away.", "the agent itself", "ran late alone"},
		{"retried", Occurrence{failed, retry(1, job.Failed), retry(2, job.Succeeded)}, "It did its work, after 2 retries.", "the schedule", "ran retried"},
		{"failed at last", Occurrence{failed, run(func(one *fleet.Job) {
			one.State, one.Retry, one.Error = job.Failed, 1, "The repository does not answer."
		})},
			"It failed, after 1 retry. The repository does not answer.", "the schedule", "failed retried"},
		{"to be retried", Occurrence{failed, retry(1, job.Queued)}, "The 1st retry waits for its turn.", "the schedule", "retried open"},
		{"lost", Occurrence{run(func(one *fleet.Job) { one.State, one.Cause = job.Lost, job.CauseNoContact })}, "It was lost. The host was out of contact for too long.", "the schedule", "failed"},
		{"runs", Occurrence{run(func(one *fleet.Job) { one.State = job.Running })}, "It runs now.", "the schedule", "open"},
		{"overlapped", skipped(job.CauseOverlapped, 0), "Another run of its source group was still at work at its moment.", "the schedule", "overlapped"},
		{"coalesced", skipped(job.CauseCoalesced, 14), "14 moments were coalesced into one run: the machine was off or busy.", "the schedule", "coalesced"},
		{"missed", skipped(job.CauseMissed, 3), "3 moments were missed: the machine was off, and this schedule catches nothing up.", "the schedule", "missed"},
		{"paused", skipped(job.CausePaused, 1), "Scheduled runs were paused at its moment.", "the schedule", "paused"},
		{"satisfied", skipped(job.CauseSatisfied, 0), "A later backup of its source group has done its work.", "the server", "satisfied"},
		{"dropped", skipped(job.CauseDropped, 0), "A person took it out of the line.", "a person", "given-up"},
		{"abandoned", Occurrence{run(func(one *fleet.Job) {
			one.State, one.Cause, one.Error = job.Skipped, job.CauseAbandoned, "Its schedule was disabled before it could start."
			one.SentAt, one.StartedAt = time.Time{}, time.Time{}
		})}, "Its schedule was disabled before it could start.", "the server", "given-up"},
	} {
		if got := test.chain.words(); got != test.words {
			t.Errorf("%s says %q, want %q", test.name, got, test.words)
		}
		if got := test.chain.byWords(); got != test.by {
			t.Errorf("%s was by %q, want %q", test.name, got, test.by)
		}
		var fits []string
		for _, outcome := range outcomes {
			if fitsOutcome(test.chain, outcome.Value) {
				fits = append(fits, outcome.Value)
			}
		}
		slices.Sort(fits)
		want := strings.Fields(test.fits)
		slices.Sort(want)
		if !slices.Equal(fits, want) {
			t.Errorf("%s is found as %v, want %v", test.name, fits, want)
		}
		if state := occurrenceState(test.chain); state.Icon == "" || state.Word == "" {
			t.Errorf("%s looks like %+v", test.name, state)
		}
	}
	// Runs and retries come in any order and are put together.
	list := occurrences([]fleet.Job{retry(2, job.Succeeded), run(func(one *fleet.Job) { one.ID, one.ScheduledAt = job.DueID("S", "G", noon), noon }), failed, retry(1, job.Failed)})
	if len(list) != 2 || !list[0].until().Equal(noon) || len(list[1]) != 3 || list[1].last().Retry != 2 {
		t.Errorf("occurrences: %v", list)
	}
}

func lineFor(cron string, names ...string) lineHost {
	one := lineHost{host: fleet.Host{ID: "H", Name: "web-1", Online: true, Tags: []string{"web"}}, storage: map[job.RepositoryID]job.HostID{"R": "BOX"}}
	planned := fleet.Schedule{ID: "S", Host: "H", Enabled: true, Rule: schedule.Rule{Cron: cron, TimeZone: "UTC", Missed: schedule.RunOnce}}
	for _, name := range names {
		one.groups = append(one.groups, fleet.SourceGroup{ID: job.GroupID(name), Host: "H", Name: name, Repository: "R"})
		planned.Groups = append(planned.Groups, job.GroupID(name))
	}
	one.schedules = []fleet.Schedule{planned}
	return one
}

func (h *lineHost) ran(group job.GroupID, at time.Time, state job.State, took time.Duration) *fleet.Job {
	h.runs = append(h.runs, fleet.Job{ID: job.DueID("S", group, at), Host: "H", Kind: job.Backup, State: state, Origin: job.BySchedule, Schedule: "S", Group: group, Repository: "R", ScheduledAt: at, CreatedAt: at,
		SentAt: at, StartedAt: at, FinishedAt: at.Add(took)})
	return &h.runs[len(h.runs)-1]
}

// told is what a row shows: kind, word and where, of each mark.
func told(row LineRow) string {
	var words []string
	for _, mark := range row.Marks {
		words = append(words, fmt.Sprintf("%s %s %s+%s/%d", mark.Kind, mark.State.Word, mark.X, mark.Width, (mark.Y-6)/laneHeight))
	}
	return strings.Join(words, "; ")
}

func TestTheTimeLineShowsWhatWasAndWhatComes(t *testing.T) {
	w := wallClock{noon, time.UTC}
	one := lineFor("0 0 * * *", "docs")
	one.ran("docs", noon.Add(-12*time.Hour), job.Succeeded, 4*time.Hour+48*time.Minute)
	if got := told(timeLine([]lineHost{one}, nil, nil, w).Rows[0]); got != "run succeeded 25.00%+10.00%/0; expected expected 75.00%+10.00%/0" {
		t.Errorf("a daily backup shows %s", got)
	}
	// Nothing was reported of last midnight.
	silent := lineFor("0 0 * * *", "docs")
	silent.host.Online, silent.host.LastSeenAt = false, noon.Add(-20*time.Hour)
	row := timeLine([]lineHost{silent}, nil, nil, w).Rows[0]
	if got := told(row); got != "silent not reported 25.00%+1.50%/0; expected expected 75.00%+1.50%/0" || !strings.Contains(row.Marks[0].Text, "out of contact since yesterday 16:00") {
		t.Errorf("silence shows %s: %s", got, row.Marks[0].Text)
	}
	// A range of skipped moments stands for each of them.
	gap := lineFor("0 * * * *", "docs")
	skip := gap.ran("docs", noon.Add(-24*time.Hour), job.Skipped, 0)
	skip.ScheduledTo, skip.Moments, skip.Cause, skip.StartedAt = noon.Add(-time.Hour), 24, job.CauseMissed, time.Time{}
	gap.ran("docs", noon, job.Running, 0)
	row = timeLine([]lineHost{gap}, nil, nil, w).Rows[0]
	if got := told(row); strings.Contains(got, "silent") || !strings.HasPrefix(got, "skip missed 0.00%+47.92%/0; run running 48.50%+1.50%/0; expected") {
		t.Errorf("a range shows %s", got)
	}
	// A pause makes violet what comes within it.
	pauses := []fleet.Pause{{ID: "P", Scope: fleet.PauseTag, Subject: "web", CreatedAt: noon.Add(-time.Hour), Until: noon.Add(6 * time.Hour), CreatedBy: "ann"}}
	paused := lineFor("0 */6 * * *", "docs")
	row = timeLine([]lineHost{paused}, nil, pauses, w).Rows[0]
	if got := told(row); !strings.Contains(got, "will be skipped") && !strings.Contains(got, "expected expected 62.50%") || row.Paused == nil || len(row.Bands) != 1 || row.Bands[0].Width != "14.58%" {
		t.Errorf("a pause shows %s, %+v", got, row.Bands)
	}
	off := lineFor("0 0 * * *", "docs")
	off.schedules[0].Enabled = false
	weekly := lineFor("0 3 * * 0", "docs")
	none := lineHost{host: off.host}
	rows := timeLine([]lineHost{off, weekly, none}, nil, nil, w).Rows
	if rows[0].Note != "disabled" || rows[1].Note != "next Sun 18 Jan, 03:00" || rows[2].Note != "no schedule" {
		t.Errorf("notes %q, %q, %q", rows[0].Note, rows[1].Note, rows[2].Note)
	}
}

func TestMarksNeverCoverEachOther(t *testing.T) {
	w := wallClock{noon, time.UTC}
	// Many moments become one mark that says so.
	often := lineFor("*/15 * * * *", "docs")
	for _, at := range s15() {
		often.ran("docs", at, job.Succeeded, time.Minute)
	}
	often.runs[40].State = job.Failed
	row := timeLine([]lineHost{often}, nil, nil, w).Rows[0]
	if len(row.Marks) != 4 || row.Marks[3].Inside != "every 15 minutes" || row.Marks[0].Inside != "40 succeeded" && row.Marks[0].Inside != "41 succeeded" || row.Marks[1].State.Word != "failed" {
		t.Errorf("a dense schedule shows %s; %q", told(row), row.Marks[len(row.Marks)-1].Inside)
	}
	// Runs of several groups at one moment lie under one another, and those that
	// write to one repository are expected one after the other.
	three := lineFor("0 0 * * *", "a", "b", "c")
	for _, group := range []job.GroupID{"a", "b", "c"} {
		three.ran(group, noon.Add(-12*time.Hour), job.Succeeded, 2*time.Hour)
	}
	row = timeLine([]lineHost{three}, nil, nil, w).Rows[0]
	if got := told(row); got != "run succeeded 25.00%+4.17%/0; run succeeded 25.00%+4.17%/1; run succeeded 25.00%+4.17%/2; expected expected 75.00%+4.17%/0; expected expected 79.17%+4.17%/1; expected expected 83.33%+4.17%/0" &&
		got != "run succeeded 25.00%+4.17%/0; run succeeded 25.00%+4.17%/1; run succeeded 25.00%+4.17%/2; expected expected 75.00%+4.17%/0; expected expected 79.17%+4.17%/1; expected expected 83.33%+4.17%/2" {
		t.Errorf("three groups show %s", got)
	}
	// A run that would take longer than the time to the next overlaps it.
	slow := lineFor("0 */2 * * *", "docs")
	slow.ran("docs", noon.Add(-4*time.Hour), job.Succeeded, 3*time.Hour)
	row = timeLine([]lineHost{slow}, nil, nil, w).Rows[0]
	if got := told(row); strings.Count(got, "will overlap") != 6 {
		t.Errorf("a slow backup shows %s", got)
	}
	// No mark covers another of its lane.
	for _, one := range [][]lineHost{sample{noon}.lines(true), sample{noon}.lines(false)} {
		for _, row := range timeLine(one, nil, nil, w).Rows {
			ends := map[int]float64{}
			for _, mark := range row.Marks {
				var x, width float64
				if _, err := fmt.Sscanf(mark.X+" "+mark.Width, "%f%% %f%%", &x, &width); err != nil {
					t.Fatal(err)
				}
				if x < ends[mark.Y]-.01 && mark.Y < (mostLanes-1)*laneHeight {
					t.Errorf("%s: the mark at %s covers another", row.Host.Name, mark.X)
				}
				ends[mark.Y] = x + width
			}
		}
	}
}

func s15() []time.Time {
	var list []time.Time
	for n := 96; n > 0; n-- {
		list = append(list, noon.Add(-time.Duration(n)*15*time.Minute))
	}
	return list
}

func TestCrowdsAreToldBeforeTheyCome(t *testing.T) {
	w := wallClock{noon, time.UTC}
	box := fleet.Host{ID: "BOX", Name: "vault", Storage: &fleet.Storage{Slots: 4}}
	var hosts []lineHost
	for range 7 {
		one := lineFor("0 1 * * *", "docs")
		one.ran("docs", noon.Add(-11*time.Hour), job.Succeeded, 30*time.Minute)
		hosts = append(hosts, one)
	}
	crowds := timeLine(hosts, []fleet.Host{box}, nil, w).Crowds
	if len(crowds) != 1 || crowds[0].Runs != 7 || crowds[0].Waiting() != 3 || crowds[0].When.Text != "tomorrow 01:00" {
		t.Errorf("crowds: %+v", crowds)
	}
	if crowds := timeLine(hosts[:4], []fleet.Host{box}, nil, w).Crowds; len(crowds) != 0 {
		t.Errorf("4 runs for 4 slots are a crowd: %+v", crowds)
	}
	// Runs that a pause skips want no slot.
	pauses := []fleet.Pause{{ID: "P", Scope: fleet.PauseFleet, Until: noon.Add(14 * time.Hour)}}
	if crowds := timeLine(hosts, []fleet.Host{box}, pauses, w).Crowds; len(crowds) != 0 {
		t.Errorf("runs that are skipped are a crowd: %+v", crowds)
	}
}

// TestNextIsNoMomentThatAPauseSkips: the first that is run, also at the very end.
func TestNextIsNoMomentThatAPauseSkips(t *testing.T) {
	w := wallClock{noon, time.UTC}
	one := lineFor("0 * * * *", "docs")
	for until, want := range map[time.Duration]string{0: "today 13:00", 90 * time.Minute: "today 14:00", 2 * time.Hour: "today 14:00", -time.Hour: "today 13:00"} {
		pauses := []fleet.Pause{{ID: "P", Scope: fleet.PauseTag, Subject: "web", Until: noon.Add(until)}, {ID: "Q", Scope: fleet.PauseTag, Subject: "other", Until: noon.Add(24 * time.Hour)}}
		after := w.runsAfter(pauses, one.host)
		card := w.moment(linesOf(one.schedules, "docs", after)[0].Next)
		if row := scheduleRow(one.schedules[0], one, pauses, w); row.Next.Text != want || card.Text != want || nextTimes(one.schedules[0].Rule, wallClock{after, time.UTC}).Rows[0].At != card.At {
			t.Errorf("paused for %s: next is %s, on the card %s; want %s", until, row.Next.Text, card.Text, want)
		}
	}
}

func TestAScheduleComesBackFromItsForm(t *testing.T) {
	for _, test := range []struct{ cron, repeat, at, days, every, minute string }{
		{"30 2 * * *", repeatDaily, "02:30", "", "", ""},
		{"@daily", repeatDaily, "00:00", "", "", ""},
		{"5 22 * * 1,4", repeatWeekly, "22:05", "1 4", "", ""},
		{"0 3 * * 7", repeatWeekly, "03:00", "0", "", ""},
		{"15 */6 * * *", repeatHourly, "", "", "6", "15"},
		{"@hourly", repeatHourly, "", "", "1", "0"},
		{"7 */5 * * *", repeatCustom, "", "", "", ""},
		{"0 2 1 * *", repeatCustom, "", "", "", ""},
		{"*/15 * * * *", repeatCustom, "", "", "", ""},
	} {
		planned := fleet.Schedule{ID: "S", Host: "H", Enabled: true, Groups: []job.GroupID{"G"}, Rule: schedule.Rule{Cron: test.cron, TimeZone: "Europe/Berlin", JitterSeconds: 90, Missed: schedule.Skip, EffectiveFrom: 7}}
		form := scheduleFormOf(planned)
		if form.Repeat != test.repeat || test.at != "" && form.At != test.at || test.days != "" && strings.Join(form.Days, " ") != test.days || test.every != "" && (form.Every != test.every || form.Minute != test.minute) {
			t.Errorf("%s is the form %+v", test.cron, form)
		}
		back := fleet.Schedule{ID: "S", Host: "H", Rule: schedule.Rule{EffectiveFrom: 7}}
		if err := form.fill(&back); err != nil {
			t.Fatalf("%s: %v", test.cron, err)
		}
		one, err := schedule.Parse(planned.Rule)
		other, err2 := schedule.Parse(back.Rule)
		if err != nil || err2 != nil || !slices.EqualFunc(schedule.NextTimes(one, noon, 9), schedule.NextTimes(other, noon, 9), time.Time.Equal) {
			t.Errorf("%s comes back as %s", test.cron, back.Cron)
		}
		back.Cron = planned.Cron
		if back.Rule != planned.Rule || !back.Enabled || !slices.Equal(back.Groups, planned.Groups) {
			t.Errorf("%s comes back as %+v", test.cron, back)
		}
	}
}

func TestAScheduleFormTellsAllThatIsWrong(t *testing.T) {
	good := url.Values{"repeat": {"daily"}, "at": {"02:30"}, "time_zone": {"UTC"}, "missed_policy": {"run-once"}, "group": {"G"}, "jitter": {"5"}}
	for _, test := range []struct{ field, value, want string }{
		{"", "", ""},
		{"at", "25:00", "at"},
		{"repeat", "weekly", "days"},
		{"repeat", "sometimes", "repeat"},
		{"repeat", "custom", "cron"},
		{"repeat", "hourly", "every minute"},
		{"time_zone", "Mars/Olympus", "time_zone"},
		{"jitter", "NaN", "jitter"},
		{"jitter", "361", "jitter"},
		{"group", "", "groups"},
		{"missed_policy", "", "missed_policy"},
	} {
		values := url.Values{}
		for field, value := range good {
			values[field] = value
		}
		if test.field != "" {
			values[test.field] = []string{test.value}
		}
		if test.field == "group" {
			values.Del("group")
		}
		form := readScheduleForm(values)
		var planned fleet.Schedule
		fields, _ := fieldErrors(form.fill(&planned))
		var got []string
		for _, one := range form.formErrors(fields) {
			got = append(got, one.Field)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s %q: wrong are %v, want %q", test.field, test.value, got, test.want)
		}
	}
}

func TestNextTimesTellOfBothClocks(t *testing.T) {
	rule := schedule.Rule{Cron: "30 2 * * *", TimeZone: "Europe/Berlin", Missed: schedule.RunOnce}
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	spring := nextTimes(rule, wallClock{time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC), newYork})
	if len(spring.Rows) != shownTimes || spring.Rows[1].There != "Sun 29 Mar 2026, 03:00 CEST" || spring.Rows[1].Yours != "Sat 28 Mar 2026, 21:00 EDT" || spring.Sentence != "every day at 02:30, Europe/Berlin" {
		t.Errorf("in spring: %+v", spring)
	}
	for _, test := range []struct {
		cron, zone string
		month      time.Month
		want       string
	}{
		{"30 2 * * *", "Europe/Berlin", time.March, "On Sunday, 29 March at 02:00 the clock there goes forward by 1 hour. A time that is skipped runs at the first moment after it."},
		{"30 2 * * *", "Europe/Berlin", time.October, "On Sunday, 25 October at 03:00 the clock there goes back by 1 hour. A time that comes twice runs once, at the first."},
		{"0 * * * *", "Europe/Berlin", time.March, "elapsed time, so no run is lost"},
		{"0 */6 * * *", "America/New_York", time.March, ""},
		{"30 2 * * *", "UTC", time.March, ""},
	} {
		day := 27
		if test.month == time.October {
			day = 23
		}
		now := time.Date(2026, test.month, day, 12, 0, 0, 0, time.UTC)
		if test.cron == "0 * * * *" {
			now = time.Date(2026, test.month, 29, 0, 10, 0, 0, time.UTC)
		}
		got := nextTimes(schedule.Rule{Cron: test.cron, TimeZone: test.zone, Missed: schedule.RunOnce}, wallClock{now, time.UTC}).Change
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s in %s, %s: %q", test.cron, test.zone, test.month, got)
		}
	}
	if wrong := nextTimes(schedule.Rule{Cron: "70 2 * * *", TimeZone: "UTC"}, wallClock{noon, time.UTC}); wrong.Problem == "" || wrong.Rows != nil {
		t.Errorf("a wrong rule: %+v", wrong)
	}
}

func TestMomentsAreToldByTheClockOfWhoLooks(t *testing.T) {
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	for span, want := range map[time.Duration]string{0: "tomorrow 01:00", -13 * time.Hour: "today 12:00", 11 * time.Hour: "tomorrow 12:00", -26 * time.Hour: "yesterday 23:00", 96 * time.Hour: "Mon 19 Jan, 01:00", 400 * 24 * time.Hour: "19 Feb 2027, 01:00"} {
		now := noon.Add(-2 * time.Hour)
		if got := moment(noon.Add(span), now, auckland).Text; got != want {
			t.Errorf("%s from then is %q, want %q", span, got, want)
		}
	}
	for span, want := range map[time.Duration]string{30 * time.Second: "30 seconds", time.Minute: "1 minute", 59 * time.Minute: "59 minutes", 74 * time.Minute: "1 hour 14 minutes", 3 * time.Hour: "3 hours", 26 * time.Hour: "26 hours", 50 * time.Hour: "2 days"} {
		if got := spanText(span); got != want {
			t.Errorf("%s is %q, want %q", span, got, want)
		}
	}
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 112: "112th"} {
		if got := ordinalText(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}

func TestPausesEndWhenPeopleMean(t *testing.T) {
	for hour, want := range map[int]string{9: "hour tonight tomorrow week exact", 21: "hour tomorrow week exact", 23: "hour tomorrow week exact"} {
		w := wallClock{time.Date(2026, 3, 28, hour, 30, 0, 0, berlin), berlin}
		var values []string
		for _, end := range pauseEnds(w) {
			values = append(values, end.Value)
			if end.Value == "tomorrow" && end.until.In(berlin).Format(time.DateTime) != "2026-03-29 08:00:00" {
				t.Errorf("tomorrow morning is %s", end.until)
			}
		}
		if got := strings.Join(values, " "); got != want {
			t.Errorf("at %d o'clock: %s", hour, got)
		}
	}
	var invalid fleet.Invalid
	w := wallClock{noon, berlin}
	if at := (PauseForm{End: endExact, Exact: "2026-01-15T07:30"}).until(w, &invalid); !at.Equal(time.Date(2026, 1, 15, 6, 30, 0, 0, time.UTC)) || invalid.Err() != nil {
		t.Errorf("an exact end is %s, %v", at, invalid.Fields)
	}
	(PauseForm{End: endExact}).until(w, &invalid)
	(PauseForm{}).until(w, &invalid)
	if len(invalid.Fields) != 2 {
		t.Errorf("wrong ends: %v", invalid.Fields)
	}
}
