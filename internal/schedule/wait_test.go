package schedule_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/schedule"
)

func TestJitterSpreadsAFleet(t *testing.T) {
	instant := time.Date(2026, 5, 5, 1, 0, 0, 0, time.UTC)
	const most = 10 * time.Minute
	var buckets [10]int
	for n := range 10_000 {
		jitter := schedule.Jitter(fmt.Sprintf("host-%d", n), "schedule", instant, most, 24*time.Hour)
		if jitter < 0 || jitter >= most || jitter%time.Millisecond != 0 {
			t.Fatalf("host %d waits for %s", n, jitter)
		}
		buckets[jitter/(most/10)]++
	}
	for i, n := range buckets {
		if n < 850 || n > 1150 {
			t.Errorf("%d of 10000 hosts begin in minute %d", n, i)
		}
	}
	same := schedule.Jitter("a", "b", instant, most, time.Hour)
	if again := schedule.Jitter("a", "b", instant.In(time.FixedZone("", 3600)), most, time.Hour); again != same {
		t.Errorf("%s, then %s", same, again)
	}
	for name, other := range map[string]time.Duration{
		"host":     schedule.Jitter("c", "b", instant, most, time.Hour),
		"schedule": schedule.Jitter("a", "c", instant, most, time.Hour),
		"instant":  schedule.Jitter("a", "b", instant.Add(time.Hour), most, time.Hour),
		"parts":    schedule.Jitter("ab", "", instant, most, time.Hour),
	} {
		if other == same {
			t.Errorf("another %s has the same jitter", name)
		}
	}
}

func TestJitterKeepsClearOfTheNextMoment(t *testing.T) {
	instant := time.Date(2026, 5, 5, 1, 0, 0, 0, time.UTC)
	for _, test := range []struct{ most, gap, below time.Duration }{
		{10 * time.Minute, 15 * time.Minute, 7*time.Minute + 30*time.Second},
		{10 * time.Minute, 24 * time.Hour, 10 * time.Minute},
		{6 * time.Hour, time.Minute, 30 * time.Second},
		{0, time.Hour, 1}, {-time.Hour, time.Hour, 1}, {time.Hour, 0, 1}, {time.Hour, -time.Hour, 1}, {time.Hour, time.Millisecond, 1},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64},
	} {
		for n := range 200 {
			if got := schedule.Jitter(fmt.Sprint(n), "s", instant, test.most, test.gap); got < 0 || got >= test.below {
				t.Fatalf("%s in a gap of %s: %s", test.most, test.gap, got)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		base    time.Duration
		attempt int
		want    time.Duration
	}{
		{time.Minute, 0, 0}, {time.Minute, -1, 0}, {0, 3, 0}, {-time.Minute, 3, 0},
		{time.Minute, 1, time.Minute}, {time.Minute, 2, 2 * time.Minute}, {time.Minute, 3, 4 * time.Minute}, {time.Minute, 5, 16 * time.Minute},
		{time.Minute, 6, schedule.MaxBackoff}, {time.Minute, 10, schedule.MaxBackoff}, {time.Minute, math.MaxInt, schedule.MaxBackoff},
		{time.Hour, 1, schedule.MaxBackoff}, {math.MaxInt64, 2, schedule.MaxBackoff}, {1, 100, schedule.MaxBackoff}, {1, 3, 4},
	} {
		if got := schedule.Backoff(test.base, test.attempt); got != test.want {
			t.Errorf("attempt %d from %s: %s, want %s", test.attempt, test.base, got, test.want)
		}
	}
}

func TestSatisfied(t *testing.T) {
	due := time.Date(2026, 5, 5, 2, 30, 0, 0, time.UTC)
	now := due.Add(time.Hour)
	for _, test := range []struct {
		name    string
		started time.Time
		want    bool
	}{
		{"never", time.Time{}, false},
		{"just before", due.Add(-time.Millisecond), false},
		{"at it", due, true},
		{"after it", due.Add(time.Minute), true},
		{"just now", now, true},
		{"in what is yet to come", now.Add(time.Millisecond), false},
	} {
		if got := schedule.Satisfied(due, test.started, now); got != test.want {
			t.Errorf("started %s: %t", test.name, got)
		}
	}
	if schedule.Satisfied(time.Time{}, time.Time{}, now) {
		t.Error("a backup that never started satisfies")
	}
}

func TestAHeldRunStartsByItself(t *testing.T) {
	due := time.Date(2026, 5, 5, 2, 30, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		held  schedule.Held
		ready time.Duration // after due
		want  time.Duration // after due; -1 is never
	}{
		{"the server is there", schedule.Held{}, 0, -1},
		{"it went away just now", schedule.Held{AwaySince: due}, 0, time.Minute},
		{"30 s ago", schedule.Held{AwaySince: due.Add(-30 * time.Second)}, 0, 30 * time.Second},
		{"days ago", schedule.Held{AwaySince: due.AddDate(0, 0, -3)}, 0, 0},
		{"days ago, with jitter", schedule.Held{AwaySince: due.AddDate(0, 0, -3), Jitter: 5 * time.Minute}, 0, 5 * time.Minute},
		{"just now, with jitter", schedule.Held{AwaySince: due, Jitter: 5 * time.Minute}, 0, 6 * time.Minute},
		{"while it was held", schedule.Held{AwaySince: due.Add(time.Hour), Jitter: time.Second}, 0, time.Hour + time.Minute + time.Second},
		{"a retry", schedule.Held{AwaySince: due.AddDate(0, 0, -3), NotBefore: due.Add(4 * time.Minute)}, 4 * time.Minute, 4 * time.Minute},
		{"a retry whose patience ends later", schedule.Held{AwaySince: due.Add(4 * time.Minute), NotBefore: due.Add(4 * time.Minute)}, 4 * time.Minute, 5 * time.Minute},
		{"a missed one after a start", schedule.Held{AwaySince: due.Add(-10 * time.Minute), Late: true, AwakeSince: due.Add(-10 * time.Second)}, 50 * time.Second, 50 * time.Second},
		{"a missed one long after a start", schedule.Held{AwaySince: due.Add(-time.Hour), Late: true, AwakeSince: due.Add(-time.Hour)}, 0, 0},
		{"one on time after a start", schedule.Held{AwaySince: due.Add(-time.Hour), AwakeSince: due}, 0, 0},
		{"days ago, and a session begins", schedule.Held{AwaySince: due.AddDate(0, 0, -3), SessionSince: due.Add(time.Minute)}, 0, time.Minute + schedule.AnswerPatience},
		{"days ago, with a session that gives no answer", schedule.Held{AwaySince: due.AddDate(0, 0, -3), SessionSince: due.AddDate(0, 0, -1)}, 0, 0},
		{"the server is there since now", schedule.Held{SessionSince: due}, 0, -1},
		{"a missed one, the server is there", schedule.Held{Late: true, AwakeSince: due}, schedule.Settle, -1},
	} {
		test.held.DueAt = due
		if got := test.held.Ready(); !got.Equal(due.Add(test.ready)) {
			t.Errorf("%s: ready at %s", test.name, got)
		}
		got := test.held.StartAt()
		if test.want < 0 && !got.IsZero() || test.want >= 0 && !got.Equal(due.Add(test.want)) {
			t.Errorf("%s: starts at %s", test.name, got)
		}
	}
}
