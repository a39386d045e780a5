package schedule

import (
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// Describe says in words when a rule is due, in its time zone and without naming
// it: "every day at 02:30", "Mondays and Thursdays at 01:00". What has no usual
// form, or is wrong, is its own text.
func Describe(r Rule) string {
	text := strings.Join(strings.Fields(r.Cron), " ")
	p, problem := parsePattern(text)
	if problem != "" {
		return text
	}
	days, ok := p.describeDays()
	if !ok {
		return text
	}
	hours, ok := p.describeHours()
	switch {
	case !ok:
		return text
	case strings.HasPrefix(hours, "at "):
		return days + " " + hours
	case days == "every day":
		return hours
	}
	return text
}

// Sets that hold every value of their field.
const (
	everyMinute  = uint64(1)<<60 - 1
	everyHour    = uint64(1)<<24 - 1
	everyDay     = uint64(1)<<32 - 2
	everyMonth   = uint64(1)<<13 - 2
	everyWeekday = uint64(1)<<7 - 1
	workdays     = uint64(0b0111110)
)

func (p pattern) describeDays() (string, bool) {
	dates, weekdays := p.days != everyDay, p.weekdays != everyWeekday
	switch {
	case dates && weekdays || !p.bothDays && dates != weekdays:
		return "", false
	case !dates && !weekdays && p.months == everyMonth:
		return "every day", true
	case weekdays && p.months == everyMonth:
		if p.weekdays == workdays {
			return "Monday to Friday", true
		}
		var names []string
		for _, day := range values(p.weekdays&^1 | p.weekdays&1<<7) { // a week ends with its Sunday
			names = append(names, time.Weekday(day%7).String()+"s")
		}
		return list(names), true
	case dates && bits.OnesCount64(p.days) <= 5:
		var names []string
		for _, day := range values(p.days) {
			names = append(names, ordinal(day))
		}
		if p.months == everyMonth {
			return "on the " + list(names) + " of the month", true
		}
		if months := values(p.months); len(months) == 1 && len(names) == 1 {
			return fmt.Sprintf("every year on %d %s", values(p.days)[0], time.Month(months[0])), true
		}
	}
	return "", false
}

// describeHours begins with "at " when it names times of a day.
func (p pattern) describeHours() (string, bool) {
	const mostTimes = 4
	minutes, hours := values(p.minutes), values(p.hours)
	hourStep, evenHours := evenly(hours, 24)
	minuteStep, evenMinutes := evenly(minutes, 60)
	switch {
	case p.hours == everyHour && p.minutes == everyMinute:
		return "every minute", true
	case p.hours == everyHour && evenMinutes && minutes[0] == 0:
		return fmt.Sprintf("every %d minutes", minuteStep), true
	case p.hours == everyHour && len(minutes) == 1:
		return "every hour" + atMinute(minutes[0]), true
	case p.hours == everyHour && len(minutes) <= mostTimes:
		var names []string
		for _, minute := range minutes {
			names = append(names, fmt.Sprint(minute))
		}
		return "every hour at minutes " + list(names), true
	case len(hours)*len(minutes) <= mostTimes:
		var times []string
		for _, hour := range hours {
			for _, minute := range minutes {
				times = append(times, fmt.Sprintf("%02d:%02d", hour, minute))
			}
		}
		return "at " + list(times), true
	case evenHours && hours[0] == 0 && len(minutes) == 1:
		return fmt.Sprintf("every %d hours%s", hourStep, atMinute(minutes[0])), true
	}
	return "", false
}

func atMinute(minute int) string {
	if minute == 0 {
		return ""
	}
	return fmt.Sprintf(" at minute %d", minute)
}

// evenly is the step between values that go round a whole, if it is always the
// same.
func evenly(values []int, whole int) (step int, ok bool) {
	if len(values) < 2 {
		return 0, false
	}
	step = values[1] - values[0]
	for i := range values {
		if values[i] != values[0]+i*step {
			return 0, false
		}
	}
	return step, step*len(values) == whole
}

// values are the bits that are set, in order.
func values(set uint64) []int {
	var all []int
	for ; set != 0; set &= set - 1 {
		all = append(all, bits.TrailingZeros64(set))
	}
	return all
}

func list(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func ordinal(n int) string {
	suffix := "th"
	if n/10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n, suffix)
}
