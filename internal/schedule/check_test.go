package schedule_test

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/schedule"
)

// rule is one that is right, with these fields.
func rule(cron, zone string) schedule.Rule {
	return schedule.Rule{Cron: cron, TimeZone: zone, JitterSeconds: 300, Missed: schedule.RunOnce}
}

func calendar(t testing.TB, cron, zone string) *schedule.Calendar {
	t.Helper()
	c, err := schedule.Parse(rule(cron, zone))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRulesThatAreRight(t *testing.T) {
	for _, cron := range []string{
		"* * * * *", "30 2 * * *", " 30\t2 * * * ", "*/15 * * * *", "5/15 * * * *", "0-30/10,45 * * * *", "0 0 29 2 *",
		"0 0 31 1,3 *", "0 22 * * mon-FRI", "0 22 * jan,Dec *", "0 0 * * 7", "0 0 * * 0-7", "0 0 * * fri-sun", "0 0 29 2 */6",
		"0 0 30 2 1", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually",
	} {
		if field, problem := rule(cron, "Europe/Berlin").Check(); field != "" || problem != "" {
			t.Errorf("%q: %s: %s", cron, field, problem)
		}
	}
	for _, zone := range []string{"UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "EST5EDT", "Asia/Kolkata"} {
		if _, problem := rule("@daily", zone).Check(); problem != "" {
			t.Errorf("%q: %s", zone, problem)
		}
	}
	right := rule("@daily", "UTC")
	right.JitterSeconds, right.Missed = 6*3600, schedule.Skip
	if _, problem := right.Check(); problem != "" {
		t.Error(problem)
	}
}

func TestRulesThatAreWrong(t *testing.T) {
	for _, cron := range []string{
		"", " ", "* * * *", "* * * * * *", "0 30 2 * * *", "@every 1h", "@reboot", "@Daily", "@daily 5", "@", "CRON_TZ=UTC 0 2 * * *",
		"TZ=UTC 0 2 * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8", "* * * * -1",
		"+1 * * * *", "1.5 * * * *", "a * * * *", "mon * * * *", "* * * mon *", ", * * * *", "1, * * * *", "1,,2 * * * *", "/5 * * * *",
		"*/0 * * * *", "*/60 * * * *", "*/ * * * *", "*/5/5 * * * *", "*-5 * * * *", "5- * * * *", "-5 * * * *", "1-2-3 * * * *",
		"30-10 * * * *", "* 22-2 * * *", "* * * * sat-mon", "? * * * *", "* * L * *", "* * * * 5#2", "0 0 15W * *", "١ * * * *",
		"0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 */2", "99999999999999999999 * * * *", strings.Repeat("1,", 150) + "1 * * * *",
	} {
		field, problem := rule(cron, "UTC").Check()
		sentence(t, cron, field, "cron", problem)
	}
	for _, zone := range []string{
		"", "Local", "local", "localtime", "Factory", "Europe/Berlin ", "europe/berlin", "Berlin", "Mars/Olympus", "right/Europe/Berlin",
		"../etc/passwd", "/usr/share/zoneinfo/UTC", "Europe//Berlin", "Europe/", "UTC\x00", "+02:00", strings.Repeat("A", 5000),
	} {
		field, problem := rule("@daily", zone).Check()
		sentence(t, zone, field, "time_zone", problem)
	}
	for _, seconds := range []int{-1, 6*3600 + 1} {
		wrong := rule("@daily", "UTC")
		wrong.JitterSeconds = seconds
		field, problem := wrong.Check()
		sentence(t, seconds, field, "jitter_seconds", problem)
	}
	for _, policy := range []schedule.Missed{"", "run", "Skip"} {
		wrong := rule("@daily", "UTC")
		wrong.Missed = policy
		field, problem := wrong.Check()
		sentence(t, policy, field, "missed_policy", problem)
		if _, err := schedule.Parse(wrong); err == nil || !strings.Contains(err.Error(), "missed_policy") {
			t.Errorf("Parse with policy %q: %v", policy, err)
		}
	}
}

// sentence checks that a field is refused, and in a form that a person can read.
func sentence(t *testing.T, value any, field, want, problem string) {
	t.Helper()
	if field != want {
		t.Errorf("%.60q: field %q, want %q", value, field, want)
		return
	}
	if len(problem) > 160 || !strings.HasSuffix(problem, ".") || strings.ContainsAny(problem, "\x00\n\t") {
		t.Errorf("%.60q: %q is no plain sentence", value, problem)
	}
}

func TestProblemsNameWhatIsWrong(t *testing.T) {
	for cron, want := range map[string]string{
		"0 30 2 * * *":          "This one has 6.",
		"75 * * * *":            "The minute goes from 0 to 59; 75 is outside.",
		"0 22-2 * * *":          "The hour goes from 22 back to 2; write it as two ranges with a comma.",
		"0 0 * * lundi":         `"lundi" is no day of the week.`,
		"0 0 30 2 *":            "The rule is never due: there is no such day in any year.",
		"@every 1h":             `"@every 1h" is not known.`,
		"CRON_TZ=UTC 0 2 * * *": "The time zone has a field of its own.",
	} {
		if _, problem := rule(cron, "UTC").Check(); !strings.Contains(problem, want) {
			t.Errorf("%q: %q, want %q", cron, problem, want)
		}
	}
}

func TestRulesAreDescribed(t *testing.T) {
	for cron, want := range map[string]string{
		"30 2 * * *":            "every day at 02:30",
		"@daily":                "every day at 00:00",
		"0 1,13 * * *":          "every day at 01:00 and 13:00",
		"0,30 8,9 * * *":        "every day at 08:00, 08:30, 09:00 and 09:30",
		"15 * * * *":            "every hour at minute 15",
		"@hourly":               "every hour",
		"5,35 * * * *":          "every hour at minutes 5 and 35",
		"*/15 * * * *":          "every 15 minutes",
		"0,30 * * * *":          "every 30 minutes",
		"* * * * *":             "every minute",
		"*/7 * * * *":           "*/7 * * * *",
		"*/25 * * * *":          "every hour at minutes 0, 25 and 50",
		"0 */2 * * *":           "every 2 hours",
		"15 */4 * * *":          "every 4 hours at minute 15",
		"15 */6 * * *":          "every day at 00:15, 06:15, 12:15 and 18:15",
		"0 */5 * * *":           "0 */5 * * *",
		"0 1 * * mon,thu":       "Mondays and Thursdays at 01:00",
		"0 1 * * 1-5":           "Monday to Friday at 01:00",
		"0 1 * * 6,0":           "Saturdays and Sundays at 01:00",
		"@weekly":               "Sundays at 00:00",
		"0 3 1 * *":             "on the 1st of the month at 03:00",
		"0 3 2,3,11,22 * *":     "on the 2nd, 3rd, 11th and 22nd of the month at 03:00",
		"@yearly":               "every year on 1 January at 00:00",
		"0 3 1 1,7 *":           "0 3 1 1,7 *",
		"0 3 1 * 1":             "0 3 1 * 1",
		"0 3 1-31 * 1":          "0 3 1-31 * 1",
		"0 3 * 6 *":             "0 3 * 6 *",
		"*/15 * * * 1":          "*/15 * * * 1",
		"*/15 9-17 * * 1-5":     "*/15 9-17 * * 1-5",
		"  what   is this ":     "what is this",
		"0 0 30 2 *":            "0 0 30 2 *",
		"0 12 */2 * *":          "0 12 */2 * *",
		"0 0 * 1-12 0-7":        "every day at 00:00",
		"0 9,10,11,12,13 * * *": "0 9,10,11,12,13 * * *",
	} {
		if got := schedule.Describe(rule(cron, "UTC")); got != want {
			t.Errorf("%q is %q, want %q", cron, got, want)
		}
	}
}
