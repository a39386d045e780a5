package schedule_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/schedule"
)

// knows is a journal that has these moments.
func knows(moments ...time.Time) func(time.Time) bool {
	return func(moment time.Time) bool { return slices.ContainsFunc(moments, moment.Equal) }
}

func TestEvaluate(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 5, n, 2, 30, 0, 0, time.UTC) }
	skipped := func(first, last, count int) schedule.Skipped {
		return schedule.Skipped{First: day(first), Last: day(last), Count: count}
	}
	for _, test := range []struct {
		name       string
		policy     schedule.Missed
		from       time.Time
		after, now time.Time
		known      []time.Time
		want       schedule.Verdict
	}{
		{name: "nothing is due", after: day(4), now: day(5).Add(-1)},
		{name: "due now", after: day(4), now: day(5), want: schedule.Verdict{Fire: day(5)}},
		{name: "due 30 s ago", after: day(4), now: day(5).Add(30 * time.Second), want: schedule.Verdict{Fire: day(5)}},
		{name: "the last instant that is on time", after: day(4), now: day(5).Add(schedule.OnTime), want: schedule.Verdict{Fire: day(5)}},
		{name: "the first that is not", after: day(4), now: day(5).Add(schedule.OnTime + 1), want: schedule.Verdict{Fire: day(5), Late: true}},
		{name: "the window's beginning is not in it", after: day(5), now: day(5).Add(time.Hour)},
		{name: "off over one", after: day(4), now: day(5).Add(time.Hour), want: schedule.Verdict{Fire: day(5), Late: true}},
		{name: "off over three", after: day(4), now: day(7).Add(time.Hour), want: schedule.Verdict{Fire: day(7), Late: true, Skipped: skipped(5, 6, 2)}},
		{name: "back at the third", after: day(4), now: day(7).Add(time.Second), want: schedule.Verdict{Fire: day(7), Skipped: skipped(5, 6, 2)}},
		{name: "skip, on time", policy: schedule.Skip, after: day(4), now: day(5).Add(time.Minute), want: schedule.Verdict{Fire: day(5)}},
		{name: "skip, off over one", policy: schedule.Skip, after: day(4), now: day(5).Add(time.Hour), want: schedule.Verdict{Skipped: skipped(5, 5, 1), Missed: true}},
		{name: "skip, off over three", policy: schedule.Skip, after: day(4), now: day(7).Add(time.Hour), want: schedule.Verdict{Skipped: skipped(5, 7, 3), Missed: true}},
		{name: "skip, back at the third", policy: schedule.Skip, after: day(4), now: day(7), want: schedule.Verdict{Fire: day(7), Skipped: skipped(5, 6, 2), Missed: true}},
		{name: "clock put back", after: day(9), now: day(5).Add(time.Minute)},
		{name: "clock stands still", after: day(5), now: day(5)},
		{name: "clock a year ahead", after: day(4), now: day(5).AddDate(1, 0, 0).Add(time.Hour),
			want: schedule.Verdict{Fire: day(5).AddDate(1, 0, 0), Late: true, Skipped: schedule.Skipped{First: day(5), Last: day(4).AddDate(1, 0, 0), Count: 365}}},
		{name: "and back, with what was recorded then", after: day(5).Add(time.Hour), now: day(6).Add(time.Minute),
			known: []time.Time{day(5).AddDate(1, 0, 0), day(4).AddDate(1, 0, 0)}, want: schedule.Verdict{Fire: day(6)}},
		{name: "again, all recorded", after: day(4), now: day(7).Add(time.Hour), known: []time.Time{day(5), day(6), day(7)}},
		{name: "again, the run recorded", after: day(4), now: day(7).Add(time.Hour), known: []time.Time{day(7)}},
		{name: "again, only the skipped recorded", after: day(4), now: day(7).Add(time.Hour), known: []time.Time{day(6)}, want: schedule.Verdict{Fire: day(7), Late: true}},
		{name: "again, skipped as missed", policy: schedule.Skip, after: day(4), now: day(7).Add(time.Hour), known: []time.Time{day(7)}},
		{name: "known in the middle", after: day(4), now: day(8).Add(time.Hour), known: []time.Time{day(6)}, want: schedule.Verdict{Fire: day(8), Late: true, Skipped: skipped(7, 7, 1)}},
		{name: "known before the window", after: day(4), now: day(5), known: []time.Time{day(3), day(4)}, want: schedule.Verdict{Fire: day(5)}},
		{name: "effective from a moment", from: day(7), after: day(4), now: day(8).Add(time.Hour), want: schedule.Verdict{Fire: day(8), Late: true, Skipped: skipped(7, 7, 1)}},
		{name: "effective from just after it", from: day(7).Add(time.Millisecond), after: day(4), now: day(8).Add(time.Hour), want: schedule.Verdict{Fire: day(8), Late: true}},
		{name: "not yet effective", from: day(9), after: day(4), now: day(8).Add(time.Hour)},
		{name: "never evaluated", from: day(7).Add(time.Millisecond), now: day(8), want: schedule.Verdict{Fire: day(8)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rule("30 2 * * *", "UTC")
			if !test.from.IsZero() {
				r.EffectiveFrom = test.from.UnixMilli()
			}
			c, err := schedule.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			policy := test.policy
			if policy == "" {
				policy = schedule.RunOnce
			}
			if got := c.Evaluate(policy, test.after, test.now, knows(test.known...)); !same(got, test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func same(a, b schedule.Verdict) bool {
	return a.Fire.Equal(b.Fire) && a.Late == b.Late && a.Missed == b.Missed && a.Skipped.Count == b.Skipped.Count &&
		a.Skipped.First.Equal(b.Skipped.First) && a.Skipped.Last.Equal(b.Skipped.Last)
}

// TestEvaluateStaysBounded looks back over years of a schedule that is due each
// minute, asking no more than it must.
func TestEvaluateStaysBounded(t *testing.T) {
	c := calendar(t, "* * * * *", "Europe/Berlin")
	now := time.Date(2026, 5, 5, 12, 0, 10, 0, time.UTC)
	newest := now.Truncate(time.Minute)
	for _, test := range []struct {
		minutes, want int // how long the window is, how many moments of it are skipped
	}{
		{1, 0}, {2, 1}, {50_000, 49_999}, {100_000, 99_999}, {100_001, 100_000}, {100_002, 100_000}, {10 * 366 * 1440, 100_000},
	} {
		asked := 0
		v := c.Evaluate(schedule.RunOnce, newest.Add(-time.Duration(test.minutes)*time.Minute), now, func(time.Time) bool { asked++; return false })
		if !v.Fire.Equal(newest) || v.Skipped.Count != test.want || asked > schedule.MostSkipped+2 {
			t.Errorf("%d minutes: %+v after %d questions, want %d", test.minutes, v, asked, test.want)
		}
		if test.want > 0 {
			first := newest.Add(-time.Duration(test.want) * time.Minute)
			if !v.Skipped.First.Equal(first) || !v.Skipped.Last.Equal(newest.Add(-time.Minute)) {
				t.Errorf("%d minutes: skipped from %s to %s", test.minutes, v.Skipped.First, v.Skipped.Last)
			}
		}
	}
	asked := 0
	if v := c.Evaluate(schedule.RunOnce, time.Time{}, now, func(time.Time) bool { asked++; return true }); v != (schedule.Verdict{}) || asked != 1 {
		t.Errorf("%+v after %d questions", v, asked)
	}
	yearly := calendar(t, "0 0 29 2 *", "Europe/Berlin")
	v := yearly.Evaluate(schedule.Skip, time.Time{}, now, func(time.Time) bool { return false })
	if want := (schedule.Verdict{Missed: true, Skipped: schedule.Skipped{Count: 14,
		First: at(t, "1972-02-29 00:00 +0100"), Last: at(t, "2024-02-29 00:00 +0100")}}); !same(v, want) {
		t.Errorf("%+v, want %+v", v, want)
	}
}

// FuzzEvaluate lets an agent look at random times, be off, crash
// between looking and moving its mark, and have its clock put about. What is left
// in each window is dealt with, and no moment is twice.
func FuzzEvaluate(f *testing.F) {
	f.Add("*/15 * * * *", "Europe/Berlin", true, []byte{1, 30, 2, 200, 60, 3, 9, 255, 0, 128, 4, 17})
	f.Add("30 2 * * *", "America/New_York", false, []byte{255, 254, 250, 4, 8, 15, 16, 23, 42})
	f.Add("0 * * * *", "Africa/Cairo", true, []byte{200, 200, 100, 3, 200, 100, 3, 100, 100})
	f.Fuzz(func(t *testing.T, cron, zone string, once bool, steps []byte) {
		c, err := schedule.Parse(rule(cron, zone))
		if err != nil || len(steps) > 100 {
			return
		}
		policy := schedule.Skip
		if once {
			policy = schedule.RunOnce
		}
		start := time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)
		mark, now, latest := start, start, start
		dealt := map[int64]string{}
		deal := func(moment time.Time, how string) {
			if before := dealt[moment.Unix()]; before != "" {
				t.Fatalf("%s is %s and was %s", moment, how, before)
			}
			dealt[moment.Unix()] = how
		}
		for _, step := range steps {
			now = now.Add(time.Duration(step) * time.Minute)
			if step%16 == 15 {
				now = now.Add(-time.Duration(step) * 100 * time.Minute)
			}
			v := c.Evaluate(policy, mark, now, func(moment time.Time) bool { return dealt[moment.Unix()] != "" })
			left := undealt(c, mark, now, dealt)
			fired := 0
			if !v.Fire.IsZero() {
				fired = 1
			}
			if v.Skipped.Count+fired != len(left) || v.Missed && fired == 1 || v.Missed != (len(left) > 0 && fired == 0) {
				t.Fatalf("%+v of %s", v, left)
			}
			if fired == 1 && (!v.Fire.Equal(left[len(left)-1]) || v.Late != (now.Sub(v.Fire) > schedule.OnTime) || v.Late && !once) {
				t.Fatalf("fires %+v of %s at %s", v, left, now)
			}
			for i, moment := range left {
				if fired == 1 && i == len(left)-1 {
					deal(moment, "run")
				} else {
					deal(moment, "skipped")
				}
			}
			if v.Skipped.Count > 0 && (!v.Skipped.First.Equal(left[0]) || !v.Skipped.Last.Equal(left[v.Skipped.Count-1])) {
				t.Fatalf("skipped %+v of %s", v.Skipped, left)
			}
			if again := c.Evaluate(policy, mark, now, func(moment time.Time) bool { return dealt[moment.Unix()] != "" }); again != (schedule.Verdict{}) {
				t.Fatalf("judged again: %+v", again)
			}
			if step%8 != 7 { // else a crash before the mark was moved
				mark = now
			}
			if now.After(latest) {
				latest = now
			}
		}
	})
}

// undealt are the moments of a window after the last one that was dealt with.
func undealt(c *schedule.Calendar, after, now time.Time, dealt map[int64]string) (left []time.Time) {
	for moment := c.Next(after); !moment.IsZero() && !moment.After(now); moment = c.Next(moment) {
		if left = append(left, moment); dealt[moment.Unix()] != "" {
			left = nil
		}
	}
	return left
}

func BenchmarkEvaluate(b *testing.B) {
	now := time.Date(2026, 5, 5, 12, 0, 10, 0, time.UTC)
	none := func(time.Time) bool { return false }
	for _, window := range []time.Duration{30 * time.Second, 30 * 24 * time.Hour, 10 * 366 * 24 * time.Hour} {
		for _, cron := range []string{"30 2 * * *", "* * * * *"} {
			b.Run(fmt.Sprintf("%s over %s", cron, window), func(b *testing.B) {
				c := calendar(b, cron, "Europe/Berlin")
				for b.Loop() {
					c.Evaluate(schedule.RunOnce, now.Add(-window), now, none)
				}
			})
		}
	}
}
