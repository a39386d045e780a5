package schedule_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/schedule"
)

const clock = "2006-01-02 15:04 -0700"

func at(t testing.TB, text string) time.Time {
	t.Helper()
	instant, err := time.Parse(clock, text)
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

// TestNightsInWhichTheClockIsChanged lists every moment from 00:00 of the first
// to 06:00 of the second day, both local.
func TestNightsInWhichTheClockIsChanged(t *testing.T) {
	type night struct{ cron, want string }
	for _, zone := range []struct {
		name, from, until string
		nights            []night
	}{
		{"Europe/Berlin", "2026-03-28 20:00 +0100", "2026-03-29 06:00 +0200", []night{ // 02:00 is 03:00
			{"30 2 * * *", "29 03:00+02"},
			{"0 2 * * *", "29 03:00+02"},
			{"59 1 * * *", "29 01:59+01"},
			{"0 3 * * *", "29 03:00+02"},
			{"0 2,3 * * *", "29 03:00+02"},
			{"0,30 2 * * *", "29 03:00+02"},
			{"30 1-4 * * *", "29 01:30+01, 29 03:00+02, 29 03:30+02, 29 04:30+02"},
			{"*/15 2 * * *", "29 03:00+02, 29 03:15+02, 29 03:30+02, 29 03:45+02"},
			{"*/30 * * * 0", "29 00:00+01, 29 00:30+01, 29 01:00+01, 29 01:30+01, 29 03:00+02, 29 03:30+02, 29 04:00+02, 29 04:30+02, 29 05:00+02, 29 05:30+02, 29 06:00+02"},
			{"0 * * * *", "28 21:00+01, 28 22:00+01, 28 23:00+01, 29 00:00+01, 29 01:00+01, 29 03:00+02, 29 04:00+02, 29 05:00+02, 29 06:00+02"},
			{"@hourly", "28 21:00+01, 28 22:00+01, 28 23:00+01, 29 00:00+01, 29 01:00+01, 29 03:00+02, 29 04:00+02, 29 05:00+02, 29 06:00+02"},
			{"20 */2 * * *", "28 20:20+01, 28 22:20+01, 29 00:20+01, 29 03:20+02, 29 04:20+02"},
			{"@daily", "29 00:00+01"},
		}},
		{"Europe/Berlin", "2026-10-24 20:00 +0200", "2026-10-25 06:00 +0100", []night{ // 03:00 is 02:00
			{"30 2 * * *", "25 02:30+02"},
			{"0 2 * * *", "25 02:00+02"},
			{"0 3 * * *", "25 03:00+01"},
			{"0,30 2 * * *", "25 02:00+02, 25 02:30+02"},
			{"30 1-4 * * *", "25 01:30+02, 25 02:30+02, 25 03:30+01, 25 04:30+01"},
			{"*/15 2 * * *", "25 02:00+02, 25 02:15+02, 25 02:30+02, 25 02:45+02, 25 02:00+01, 25 02:15+01, 25 02:30+01, 25 02:45+01"},
			{"*/30 * * * 0", "25 00:00+02, 25 00:30+02, 25 01:00+02, 25 01:30+02, 25 02:00+02, 25 02:30+02, 25 02:00+01, 25 02:30+01, 25 03:00+01, 25 03:30+01, 25 04:00+01, 25 04:30+01, 25 05:00+01, 25 05:30+01, 25 06:00+01"},
			{"0 * * * *", "24 21:00+02, 24 22:00+02, 24 23:00+02, 25 00:00+02, 25 01:00+02, 25 02:00+02, 25 02:00+01, 25 03:00+01, 25 04:00+01, 25 05:00+01, 25 06:00+01"},
			{"20 */2 * * *", "24 20:20+02, 24 22:20+02, 25 00:20+02, 25 02:20+02, 25 02:20+01, 25 04:20+01"},
			{"@daily", "25 00:00+02"},
		}},
		{"Europe/Berlin", "2027-03-27 20:00 +0100", "2027-03-28 06:00 +0200", []night{
			{"30 2 * * *", "28 03:00+02"}, {"0 2 * * *", "28 03:00+02"}, {"30 3 * * *", "28 03:30+02"},
		}},
		{"Europe/Berlin", "2027-10-30 20:00 +0200", "2027-10-31 06:00 +0100", []night{
			{"30 2 * * *", "31 02:30+02"}, {"0 2 * * *", "31 02:00+02"},
		}},
		{"America/New_York", "2026-03-07 20:00 -0500", "2026-03-08 06:00 -0400", []night{ // 02:00 is 03:00
			{"30 2 * * *", "08 03:00-04"},
			{"0 2 * * *", "08 03:00-04"},
			{"*/20 0-3 * * 0", "08 00:00-05, 08 00:20-05, 08 00:40-05, 08 01:00-05, 08 01:20-05, 08 01:40-05, 08 03:00-04, 08 03:20-04, 08 03:40-04"},
			{"0 * * * 0", "08 00:00-05, 08 01:00-05, 08 03:00-04, 08 04:00-04, 08 05:00-04, 08 06:00-04"},
		}},
		{"America/New_York", "2026-10-31 20:00 -0400", "2026-11-01 06:00 -0500", []night{ // 02:00 is 01:00
			{"30 1 * * *", "01 01:30-04"},
			{"30 2 * * *", "01 02:30-05"},
			{"0 2 * * *", "01 02:00-05"},
			{"0 1 * * *", "01 01:00-04"},
			{"*/30 1 * * *", "01 01:00-04, 01 01:30-04, 01 01:00-05, 01 01:30-05"},
			{"0 * 1 * *", "01 00:00-04, 01 01:00-04, 01 01:00-05, 01 02:00-05, 01 03:00-05, 01 04:00-05, 01 05:00-05, 01 06:00-05"},
		}},
		{"America/New_York", "2027-03-13 20:00 -0500", "2027-03-14 06:00 -0400", []night{
			{"30 2 * * *", "14 03:00-04"}, {"0 2 * * *", "14 03:00-04"},
		}},
		{"America/New_York", "2027-11-06 20:00 -0400", "2027-11-07 06:00 -0500", []night{
			{"30 1 * * *", "07 01:30-04"}, {"30 2 * * *", "07 02:30-05"},
		}},
		// Half an hour, in the south.
		{"Australia/Lord_Howe", "2026-10-03 20:00 +1030", "2026-10-04 06:00 +1100", []night{ // 02:00 is 02:30
			{"0 2 * * *", "04 02:30+11"},
			{"15 2 * * *", "04 02:30+11"},
			{"30 2 * * *", "04 02:30+11"},
			{"45 2 * * *", "04 02:45+11"},
			{"*/15 * * * 0", "04 00:00+1030, 04 00:15+1030, 04 00:30+1030, 04 00:45+1030, 04 01:00+1030, 04 01:15+1030, 04 01:30+1030, 04 01:45+1030, " +
				"04 02:30+11, 04 02:45+11, 04 03:00+11, 04 03:15+11, 04 03:30+11, 04 03:45+11, 04 04:00+11, 04 04:15+11, 04 04:30+11, 04 04:45+11, " +
				"04 05:00+11, 04 05:15+11, 04 05:30+11, 04 05:45+11, 04 06:00+11"},
			{"0 * * * 0", "04 00:00+1030, 04 01:00+1030, 04 02:30+11, 04 03:00+11, 04 04:00+11, 04 05:00+11, 04 06:00+11"},
		}},
		{"Australia/Lord_Howe", "2027-04-03 20:00 +1100", "2027-04-04 06:00 +1030", []night{ // 02:00 is 01:30
			{"45 1 * * *", "04 01:45+11"},
			{"0 2 * * *", "04 02:00+1030"},
			{"15,45 * * * 0", "04 00:15+11, 04 00:45+11, 04 01:15+11, 04 01:45+11, 04 01:45+1030, 04 02:15+1030, 04 02:45+1030, 04 03:15+1030, " +
				"04 03:45+1030, 04 04:15+1030, 04 04:45+1030, 04 05:15+1030, 04 05:45+1030"},
		}},
		{"Pacific/Auckland", "2026-09-26 20:00 +1200", "2026-09-27 06:00 +1300", []night{{"30 2 * * *", "27 03:00+13"}}},
		{"Pacific/Auckland", "2027-04-03 20:00 +1300", "2027-04-04 06:00 +1200", []night{{"30 2 * * *", "04 02:30+13"}}},
		// At midnight: a day without its first hour, an evening that comes twice.
		{"America/Santiago", "2026-09-05 20:00 -0400", "2026-09-06 06:00 -0300", []night{ // 00:00 is 01:00
			{"@daily", "06 01:00-03"},
			{"30 0 * * *", "06 01:00-03"},
			{"30 0 * * 0", "06 01:00-03"},
			{"30 0 * * 6", ""},
			{"30 0 6 * *", "06 01:00-03"},
			{"0 */12 * * *", "06 01:00-03"},
			{"30 */12 * * 0", "06 01:30-03"},
			{"59 23 * * *", "05 23:59-04"},
		}},
		{"America/Santiago", "2026-04-04 20:00 -0300", "2026-04-05 06:00 -0400", []night{ // 24:00 is 23:00
			{"30 23 * * *", "04 23:30-03"},
			{"@daily", "05 00:00-04"},
			{"30 */23 * * 6", "04 23:30-03, 04 23:30-04"},
		}},
		{"Africa/Cairo", "2026-04-23 20:00 +0200", "2026-04-24 06:00 +0300", []night{ // 00:00 is 01:00
			{"@daily", "24 01:00+03"}, {"0 0 24 4 *", "24 01:00+03"}, {"0 0 * * 5", "24 01:00+03"}, {"0 0 * * 4", ""},
		}},
		{"Africa/Cairo", "2026-10-29 20:00 +0300", "2026-10-30 06:00 +0200", []night{ // 24:00 is 23:00
			{"@daily", "30 00:00+02"}, {"15 23 * * *", "29 23:15+03"},
		}},
		// A whole day that never was.
		{"Pacific/Apia", "2011-12-29 20:00 -1000", "2011-12-31 06:00 +1400", []night{
			{"30 2 * * *", "31 00:00+14, 31 02:30+14"}, {"0 */8 * * *", "31 00:00+14"}, {"0 12 30 12 *", "31 00:00+14"},
		}},
	} {
		for _, night := range zone.nights {
			t.Run(fmt.Sprintf("%s %s %s", zone.name, zone.until[:10], night.cron), func(t *testing.T) {
				c := calendar(t, night.cron, zone.name)
				var got []string
				for _, moment := range c.Between(at(t, zone.from), at(t, zone.until), 1000) {
					got = append(got, strings.TrimSuffix(moment.Format("02 15:04-0700"), "00"))
				}
				if got := strings.Join(got, ", "); got != night.want {
					t.Errorf("due at\n%s, want\n%s", got, night.want)
				}
			})
		}
	}
}

func TestNextKeepsToTheCalendar(t *testing.T) {
	for _, test := range []struct{ cron, zone, after, want string }{
		{"30 2 * * *", "UTC", "2026-05-05 02:29 +0000", "2026-05-05 02:30 +0000"},
		{"30 2 * * *", "UTC", "2026-05-05 02:30 +0000", "2026-05-06 02:30 +0000"},
		{"0 0 29 2 *", "UTC", "2024-02-29 00:00 +0000", "2028-02-29 00:00 +0000"},
		{"0 0 29 2 *", "Europe/Berlin", "2096-03-01 00:00 +0100", "2104-02-29 00:00 +0100"},
		{"0 0 31 * *", "UTC", "2026-01-31 00:00 +0000", "2026-03-31 00:00 +0000"},
		{"0 0 13 * 5", "UTC", "2026-05-08 00:00 +0000", "2026-05-13 00:00 +0000"},   // a Wednesday: either is enough
		{"0 0 13 * 5", "UTC", "2026-05-13 00:00 +0000", "2026-05-15 00:00 +0000"},   // a Friday
		{"0 0 */13 * 5", "UTC", "2026-05-13 00:00 +0000", "2026-08-14 00:00 +0000"}, // both, beside a *
		{"0 0 29 2 */6", "UTC", "2026-01-01 00:00 +0000", "2032-02-29 00:00 +0000"}, // on a Saturday or Sunday
		{"0 0 * * 7", "UTC", "2026-05-05 00:00 +0000", "2026-05-10 00:00 +0000"},
		{"0 0 * * fri-sun/2", "UTC", "2026-05-08 00:00 +0000", "2026-05-10 00:00 +0000"},
		{"5/20 23 31 12 *", "UTC", "2026-12-31 23:45 +0000", "2027-12-31 23:05 +0000"},
		{"@yearly", "Asia/Kolkata", "2026-06-01 00:00 +0000", "2026-12-31 18:30 +0000"},
		{"@monthly", "America/New_York", "2026-10-31 12:00 -0400", "2026-11-01 00:00 -0400"},
	} {
		got := calendar(t, test.cron, test.zone).Next(at(t, test.after))
		if !got.Equal(at(t, test.want)) {
			t.Errorf("%s in %s after %s: %s, want %s", test.cron, test.zone, test.after, got.Format(clock), test.want)
		}
		if got.Location().String() != test.zone {
			t.Errorf("%s in %s: a moment in %s", test.cron, test.zone, got.Location())
		}
	}
}

func TestNoMomentOutsideOfItsTime(t *testing.T) {
	r := rule("0 12 * * *", "UTC")
	noon := at(t, "2026-05-05 12:00 +0000")
	for _, test := range []struct{ from, want time.Time }{
		{noon, noon},
		{noon.Add(-time.Millisecond), noon},
		{noon.Add(time.Millisecond), noon.AddDate(0, 0, 1)},
	} {
		r.EffectiveFrom = test.from.UnixMilli()
		c, err := schedule.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, after := range []time.Time{{}, noon.AddDate(-200, 0, 0), noon.Add(-time.Hour)} {
			if got := c.Next(after); !got.Equal(test.want) {
				t.Errorf("effective from %s: next after %s is %s", test.from, after, got)
			}
			if got := schedule.NextTimes(c, after, 1); len(got) != 1 || !got[0].Equal(test.want) {
				t.Errorf("effective from %s: next times after %s are %s", test.from, after, got)
			}
			if got := c.Between(after, test.want, 5); len(got) != 1 {
				t.Errorf("effective from %s: between %s and %s lie %s", test.from, after, test.want, got)
			}
		}
	}
	daily := calendar(t, "@daily", "UTC")
	if got := daily.Next(at(t, "9999-12-31 00:00 +0000")); !got.IsZero() {
		t.Errorf("%s is a moment", got)
	}
	if got := daily.Next(at(t, "1600-01-01 00:00 +0000")); got.Unix() != 0 {
		t.Errorf("the first moment is %s", got)
	}
}

func TestNextTimes(t *testing.T) {
	c := calendar(t, "0 0 29 2 *", "UTC")
	from := at(t, "2026-01-01 00:00 +0000")
	var years []int
	for _, moment := range schedule.NextTimes(c, from, 5) {
		years = append(years, moment.Year())
	}
	if !slices.Equal(years, []int{2028, 2032, 2036, 2040, 2044}) {
		t.Errorf("years are %d", years)
	}
	if got := schedule.NextTimes(c, from, 0); len(got) != 0 {
		t.Errorf("no times wanted, got %s", got)
	}
	if got := c.Between(from, from, 5); len(got) != 0 {
		t.Errorf("nothing lies between, got %s", got)
	}
	day := at(t, "2028-02-29 00:00 +0000")
	if got := c.Between(day.Add(-1), day, 5); len(got) != 1 {
		t.Errorf("the end is not included: %s", got)
	}
	if got := c.Between(day, day.AddDate(1, 0, 0), 5); len(got) != 0 {
		t.Errorf("the beginning is included: %s", got)
	}
}

func TestFinestGap(t *testing.T) {
	from := at(t, "2026-01-01 00:00 +0000")
	for _, test := range []struct {
		crons string
		zone  string
		want  time.Duration
	}{
		{"", "UTC", 0},
		{"@hourly", "UTC", time.Hour},
		{"@daily", "UTC", 24 * time.Hour},
		{"30 2 * * *", "Europe/Berlin", 23*time.Hour + 30*time.Minute}, // 03:00 to 02:30
		{"@daily", "Europe/Berlin", 23 * time.Hour},
		{"@weekly", "UTC", 7 * 24 * time.Hour},
		{"@yearly", "UTC", 365 * 24 * time.Hour},
		{"0 0 29 2 *", "UTC", 1461 * 24 * time.Hour},
		{"0 1 * * *; 0 4 * * *", "UTC", 3 * time.Hour},
		{"0 1 * * *; 0 1 * * *", "UTC", 24 * time.Hour},
		{"0 1 * * *; 30 0 1 6 *", "UTC", 30 * time.Minute}, // once a year
		{"0 1-3 * * *", "UTC", time.Hour},
		{"* * * * *; @daily", "UTC", time.Minute},
	} {
		var calendars []*schedule.Calendar
		if test.crons != "" {
			for _, cron := range strings.Split(test.crons, ";") {
				calendars = append(calendars, calendar(t, cron, test.zone))
			}
		}
		if got := schedule.FinestGap(calendars, from); got != test.want {
			t.Errorf("%s in %s: %s, want %s", test.crons, test.zone, got, test.want)
		}
	}
}
