package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/schedule"
)

func gapOf(t *testing.T, crons ...string) time.Duration {
	t.Helper()
	var calendars []*schedule.Calendar
	for _, cron := range crons {
		calendar, err := schedule.Parse(schedule.Rule{Cron: cron, TimeZone: "Europe/Berlin", Missed: schedule.RunOnce})
		if err != nil {
			t.Fatal(err)
		}
		calendars = append(calendars, calendar)
	}
	return schedule.FinestGap(calendars, time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC))
}

func TestRetentionNotes(t *testing.T) {
	everything := Retention{KeepLast: 10, KeepHourly: 48, KeepDaily: 30, KeepWeekly: 12, KeepMonthly: 24, KeepYearly: 5, KeepWithinDays: 2}
	ones := Retention{KeepLast: 1, KeepHourly: 1, KeepDaily: 1, KeepWeekly: 1, KeepMonthly: 1, KeepYearly: 1}
	for _, test := range []struct {
		name  string
		rule  Retention
		crons []string
		want  []string // how each note begins
		say   string   // what one of them says
	}{
		{"no schedule", everything, nil, []string{"No schedule runs this group"}, "start by hand"},
		{"every ten minutes", everything, []string{"*/10 * * * *"}, nil, ""},
		{"hourly", everything, []string{"@hourly"}, nil, ""},
		{"every 90 minutes", everything, []string{"0 9,12 * * *", "30 10 * * *"}, []string{"48 hourly"}, "at least 90 minutes apart. The rule keeps the last 48 of them, which reach back 3 days or more instead of 48 hours."},
		{"every 6 hours, 5 in one night", Retention{KeepHourly: 4}, []string{"0 */6 * * *"}, []string{"4 hourly"}, "at least 5 hours apart. The rule keeps the last 4 of them, which reach back 20 hours or more"},
		{"daily, with its night of 23 hours", everything, []string{"30 4 * * *"}, []string{"48 hourly"}, "at least 1 day apart. The rule keeps the last 48 of them, which reach back 48 days or more instead of 48 hours."},
		{"daily beside hourly", everything, []string{"@daily", "@hourly"}, nil, ""},
		{"Mondays and Thursdays", everything, []string{"0 1 * * 1,4"}, []string{"48 hourly", "30 daily", "All of 2 days"}, "30 daily can't be filled: backups are at least 3 days apart. The rule keeps the last 30 of them, which reach back 90 days"},
		{"weekly", everything, []string{"0 1 * * 0"}, []string{"48 hourly", "30 daily", "All of 2 days"}, "All of 2 days keeps the newest backup only: they are at least 7 days apart."},
		{"monthly", everything, []string{"@monthly"}, []string{"48 hourly", "30 daily", "12 weekly", "All of 2 days"}, ""},
		{"yearly", everything, []string{"@yearly"}, []string{"48 hourly", "30 daily", "12 weekly", "24 monthly", "All of 2 days"}, "reach back 8760 days or more instead of 24 months"},
		{"one of each is the newest", ones, []string{"@yearly"}, nil, ""},
		{"what is longer than a Duration", Retention{KeepHourly: 100000}, []string{"@yearly"}, []string{"100000 hourly"}, "36500000 days"},
	} {
		t.Run(test.name, func(t *testing.T) {
			notes := test.rule.Notes(gapOf(t, test.crons...))
			if !slices.EqualFunc(notes, test.want, strings.HasPrefix) {
				t.Errorf("notes %q, want %q", notes, test.want)
			}
			if !strings.Contains(strings.Join(notes, "\n"), test.say) {
				t.Errorf("%q does not say %q", notes, test.say)
			}
		})
	}
}
