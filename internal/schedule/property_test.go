package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/restic-manager/restic-manager/internal/schedule"
)

// zonesThatChange are those with a clock that is put forward and back.
var zonesThatChange = []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo",
	"Europe/Dublin", "Asia/Beirut", "America/Nuuk", "Antarctica/Troll", "Pacific/Chatham", "Africa/Casablanca"}

// randomField is a field of cron: a star, a step, values, ranges.
func randomField(random *rand.Rand, low, high int) string {
	value := func() int { return low + random.IntN(high-low+1) }
	switch random.IntN(6) {
	case 0, 1:
		return "*"
	case 2:
		return fmt.Sprintf("*/%d", 1+random.IntN(high))
	case 3:
		from, to := value(), value()
		return fmt.Sprintf("%d-%d/%d", min(from, to), max(from, to), 1+random.IntN(4))
	case 4:
		return fmt.Sprintf("%d,%d", value(), value())
	}
	return fmt.Sprint(value())
}

// randomCron is a rule that is sometimes due, with the same meaning to robfig's
// parser, which takes */2 in a day's field for a restriction.
func randomCron(random *rand.Rand) string {
	for {
		fields := []string{randomField(random, 0, 59), randomField(random, 0, 23), randomField(random, 1, 31), "*", randomField(random, 0, 6)}
		if random.IntN(3) == 0 {
			fields[3] = randomField(random, 1, 12)
		}
		for _, day := range []int{2, 4} {
			if strings.HasPrefix(fields[day], "*/") {
				fields[6-day] = "*"
			}
		}
		text := strings.Join(fields, " ")
		if _, problem := rule(text, "UTC").Check(); problem == "" {
			return text
		}
	}
}

func TestNextAgreesWithCronWhereNoClockIsChanged(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, zone := range []string{"UTC", "Asia/Kolkata", "America/Phoenix", "Asia/Tokyo", "Pacific/Kiritimati"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for range 400 {
			text := randomCron(random)
			c := calendar(t, text, zone)
			model, err := cron.ParseStandard(text)
			if err != nil {
				t.Fatal(err)
			}
			moment := time.Unix(946684800+random.Int64N(40*365*86400), random.Int64N(1e9)).In(location)
			for range 20 {
				want := model.Next(moment)
				got := c.Next(moment)
				if want.IsZero() { // it looks five years ahead
					if got.Before(moment.AddDate(5, 0, 0)) {
						t.Errorf("%s in %s after %s: %s, want none", text, zone, moment, got)
					}
					break
				}
				if !got.Equal(want) {
					t.Errorf("%s in %s after %s: %s, want %s", text, zone, moment, got, want)
					break
				}
				moment = got
			}
		}
	}
}

// TestMomentsAreTheOnesDefined holds every moment around random changes of clocks
// against the definition, minute by minute.
func TestMomentsAreTheOnesDefined(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, zone := range zonesThatChange {
		changes := changesOf(t, zone)
		for range 40 {
			text := randomCron(random)
			change := changes[random.IntN(len(changes))]
			from, until := change.Add(-30*time.Hour), change.Add(30*time.Hour)
			got := calendar(t, text, zone).Between(from, until, 10_000)
			want := defined(t, text, from, until)
			if !slices.EqualFunc(got, want, time.Time.Equal) {
				t.Errorf("%s in %s around %s:\n%s, want\n%s", text, zone, change, got, want)
			}
		}
	}
}

// changesOf finds when a zone's clock is changed, without asking for its bounds.
func changesOf(t *testing.T, zone string) (changes []time.Time) {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	offset := func(at time.Time) int { _, offset := at.Zone(); return offset }
	for day := time.Date(2024, 1, 1, 0, 0, 0, 0, location); day.Year() < 2045; day = day.Add(24 * time.Hour) {
		if offset(day) == offset(day.Add(24*time.Hour)) {
			continue
		}
		at := day.Add(15 * time.Minute)
		for offset(at) == offset(day) {
			at = at.Add(15 * time.Minute)
		}
		changes = append(changes, at)
	}
	if len(changes) < 20 {
		t.Fatalf("%s is changed %d times", zone, len(changes))
	}
	return changes
}

// defined are the moments in (from, until] by Calendar's own words. There is one
// change between, at least a day from either end, on a quarter of an hour.
func defined(t *testing.T, text string, from, until time.Time) (moments []time.Time) {
	t.Helper()
	parsed, err := cron.ParseStandard(text)
	if err != nil {
		t.Fatal(err)
	}
	spec := parsed.(*cron.SpecSchedule)
	fields := strings.Fields(text)
	reading := func(at time.Time) time.Time { // the wall's, as though it were UTC's
		_, offset := at.Zone()
		return at.UTC().Add(time.Duration(offset) * time.Second)
	}
	has := func(set uint64, value int) bool { return set>>value&1 == 1 }
	named := func(r time.Time) bool {
		dom, dow := has(spec.Dom, r.Day()), has(spec.Dow, int(r.Weekday()))
		day := dom || dow
		if strings.HasPrefix(fields[2], "*") || strings.HasPrefix(fields[4], "*") {
			day = dom && dow
		}
		return day && has(spec.Minute, r.Minute()) && has(spec.Hour, r.Hour()) && has(spec.Month, int(r.Month()))
	}
	elapsed := fields[0][0] == '*' || fields[1][0] == '*'
	seen := map[time.Time]bool{}
	var skipped []time.Time // readings, as the old clock goes on
	for at := from.Add(time.Minute); !at.After(until); at = at.Add(time.Minute) {
		now, before := reading(at), reading(at.Add(-time.Minute))
		due := named(now) && (elapsed || !seen[now])
		seen[now] = true
		for gap := before.Add(time.Minute); gap.Before(now); gap = gap.Add(time.Minute) {
			skipped = append(skipped, gap)
			if !elapsed && named(gap) {
				due = true
			}
		}
		if len(skipped) > 0 {
			if elapsed && named(skipped[0]) {
				due = true
			}
			skipped = skipped[1:]
		}
		if due {
			moments = append(moments, at)
		}
	}
	return moments
}

func TestNextGoesForwardAndBetweenAgrees(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, zone := range append([]string{"UTC", "Africa/Monrovia", "Pacific/Apia"}, zonesThatChange...) {
		for range 60 {
			text := randomCron(random)
			c := calendar(t, text, zone)
			from := time.Unix(random.Int64N(100*365*86400), random.Int64N(1e9))
			last := from
			var all []time.Time
			for range 200 {
				next := c.Next(last)
				if !next.After(last) {
					t.Fatalf("%s in %s: after %s comes %s", text, zone, last, next)
				}
				if again := c.Next(next.Add(-time.Nanosecond)); !again.Equal(next) {
					t.Fatalf("%s in %s: %s is not found from just before it, but %s", text, zone, next, again)
				}
				all, last = append(all, next), next
			}
			if got := c.Between(from, last, 1000); !slices.Equal(got, all) {
				t.Fatalf("%s in %s from %s: Between and Next differ", text, zone, from)
			}
			if got := schedule.NextTimes(c, from, 200); !slices.Equal(got, all) {
				t.Fatalf("%s in %s from %s: NextTimes and Next differ", text, zone, from)
			}
		}
	}
}

// TestEveryDayHasItsMoments counts them per local day through 12 years, three leap years among them: whatever
// a day's length, a daily schedule is due once in it.
func TestEveryDayHasItsMoments(t *testing.T) {
	for _, zone := range append([]string{"UTC", "Asia/Kolkata"}, zonesThatChange...) {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		daily := []string{"@daily", "30 0 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "15 23 * * *", "59 23 * * *"}
		for _, text := range daily {
			c := calendar(t, text, zone)
			moment := time.Date(2026, 1, 1, 0, 0, -1, 0, location)
			for day := 0; day < 12*365; day++ {
				moment = c.Next(moment)
				date := time.Date(2026, 1, 1+day, 12, 0, 0, 0, location)
				within := moment
				if zone == "America/Nuuk" && strings.Contains(text, " 23 ") {
					within = moment.Add(-time.Minute) // 23:00 is 24:00 there, once a year
				}
				if within.YearDay() != date.YearDay() || within.Year() != date.Year() {
					t.Fatalf("%s in %s: the moment of %s is %s", text, zone, date.Format(time.DateOnly), moment)
				}
			}
		}
		quarters, hours := calendar(t, "*/15 * * * *", zone), calendar(t, "@hourly", zone)
		for day := range 6 * 365 {
			start := firstOf(2026, day, location)
			end := firstOf(2026, day+1, location)
			got := len(quarters.Between(start.Add(-1), end.Add(-1), 1000))
			if want := int(end.Sub(start) / (15 * time.Minute)); got != want {
				t.Fatalf("%s in %s: %d quarters, want %d", start, zone, got, want)
			}
			longest := time.Hour + 1
			if zone == "Australia/Lord_Howe" {
				longest += 30 * time.Minute // 01:00, half an hour back, 02:00
			}
			last := start.Add(-1)
			for _, moment := range hours.Between(start.Add(-1), end.Add(-1), 1000) {
				if gap := moment.Sub(last); gap > longest {
					t.Fatalf("%s in %s: %s without a moment", moment, zone, gap)
				}
				last = moment
			}
		}
	}
}

// firstOf is the first instant of a day, which is not always 00:00.
func firstOf(year, day int, zone *time.Location) time.Time {
	at := time.Date(year, 1, 1+day, 12, 0, 0, 0, zone)
	for date := at.Day(); at.Add(-15*time.Minute).Day() == date; {
		at = at.Add(-15 * time.Minute)
	}
	return at
}

func FuzzRule(f *testing.F) {
	for _, cron := range []string{"30 2 * * *", "*/15 * * * *", "0 0 29 2 *", "@weekly", "5-59/10 1,2,3 * jan-mar 5-7", "0 0 31 2 */2", "* * * * 0-7"} {
		f.Add(cron, "Europe/Berlin", int64(1774746000))
		f.Add(cron, "Australia/Lord_Howe", int64(1861833600)) // 31 December 2028
	}
	f.Add("@daily", "Pacific/Apia", int64(1325239200))
	f.Add("@daily", "UTC", int64(-1<<62))
	f.Add("0 0 * * *", "../../etc/passwd", int64(1<<62))
	f.Fuzz(func(t *testing.T, cron, zone string, second int64) {
		r := rule(cron, zone)
		field, problem := r.Check()
		c, err := schedule.Parse(r)
		if (err == nil) != (problem == "") || (field == "") != (problem == "") {
			t.Fatalf("Check says %q %q, Parse %v", field, problem, err)
		}
		if text := schedule.Describe(r); field != "cron" && text == "" {
			t.Error("no description")
		}
		if err != nil {
			return
		}
		last := time.Unix(second, 0)
		for range 10 {
			next := c.Next(last)
			if next.IsZero() {
				if year := last.UTC().Year(); year < 9900 {
					t.Fatalf("no moment after %s", last)
				}
				return
			}
			if !next.After(last) || next.Second() != 0 && next.Year() > 1972 {
				t.Fatalf("after %s comes %s", last, next)
			}
			last = next
		}
	})
}

func BenchmarkNext(b *testing.B) {
	after := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, cron := range []string{"* * * * *", "30 2 * * *", "0 0 1 1 *", "0 0 29 2 *", "0 0 29 2 */6"} {
		for _, zone := range []string{"UTC", "Europe/Berlin"} {
			b.Run(strings.ReplaceAll(cron, " ", "_")+" "+zone, func(b *testing.B) {
				c := calendar(b, cron, zone)
				for b.Loop() {
					c.Next(after)
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		calendar(b, "30 2 * * 1-5", "Europe/Berlin")
	}
}
