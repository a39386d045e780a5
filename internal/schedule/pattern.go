package schedule

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pattern is what the five fields say, on the clock of the wall: bit n of a set
// is value n. It knows no time zone.
type pattern struct {
	minutes, hours, days, months, weekdays uint64
	// bothDays is whether day of the month and day of the week must both match,
	// as they must where either begins with *; otherwise one of them is enough.
	// So does cron since Vixie's.
	bothDays bool
	// elapsed is whether runs follow elapsed time where a clock is changed.
	elapsed bool
}

// field is one of the five: what it is called and which values it has.
type field struct {
	name      string
	low, high int
	names     []string // of the values from low on
	week      bool     // 7 is another 0
}

var fields = [5]field{
	{name: "minute", high: 59},
	{name: "hour", high: 23},
	{name: "day of the month", low: 1, high: 31},
	{name: "month", low: 1, high: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of the week", high: 6, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, week: true},
}

// shortForms are what may stand for five fields.
var shortForms = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
}

// parsePattern reads the five fields or a short form. What is wrong is a
// sentence for a person; "" when nothing is.
func parsePattern(text string) (p pattern, problem string) {
	const longest = 200
	if len(text) > longest {
		return p, fmt.Sprintf("The rule is longer than %d characters.", longest)
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return p, `Say when it is due, for example "30 2 * * *" for every day at 02:30.`
	}
	if first := words[0]; first[0] == '@' {
		long, ok := shortForms[first]
		if !ok || len(words) > 1 {
			return p, fmt.Sprintf("%.40q is not known. Use @hourly, @daily, @weekly, @monthly, @yearly or five fields.", strings.Join(words, " "))
		}
		words = strings.Fields(long)
	} else if strings.Contains(first, "=") {
		return p, "A rule begins with its minutes. The time zone has a field of its own."
	}
	if len(words) != len(fields) {
		return p, fmt.Sprintf("A rule has five fields: minute, hour, day of the month, month and day of the week. This one has %d.", len(words))
	}
	var sets [len(fields)]uint64
	for i, f := range fields {
		if sets[i], problem = f.parse(words[i]); problem != "" {
			return p, problem
		}
	}
	starred := func(i int) bool { return words[i][0] == '*' }
	p = pattern{
		minutes: sets[0], hours: sets[1], days: sets[2], months: sets[3], weekdays: sets[4],
		bothDays: starred(2) || starred(4),
		elapsed:  starred(0) || starred(1),
	}
	// Every date meets every day of the week within these years.
	from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	until := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	if _, ok := p.next(from, until); !ok {
		return p, "The rule is never due: there is no such day in any year."
	}
	return p, ""
}

// parse reads values, ranges and steps, with commas between them.
func (f field) parse(text string) (set uint64, problem string) {
	for _, part := range strings.Split(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		lowText, highText, ranged := strings.Cut(span, "-")
		low, high := f.low, f.high
		if span != "*" {
			if low, problem = f.value(lowText); problem != "" {
				return 0, problem
			}
			switch {
			case ranged:
				if high, problem = f.value(highText); problem != "" {
					return 0, problem
				}
				if f.week && high == 0 && low > 0 {
					high = 7 // Friday to Sunday
				}
			case !stepped:
				high = low
			}
			if f.week && low == 7 && high != 7 {
				low = 0 // Sunday to Tuesday
			}
		}
		if low > high {
			return 0, fmt.Sprintf("The %s goes from %s back to %s; write it as two ranges with a comma.", f.name, lowText, highText)
		}
		step := 1
		if stepped {
			var ok bool
			if step, ok = number(stepText); !ok || step < 1 || step > f.high {
				return 0, fmt.Sprintf("The step %.20q of the %s must be a number from 1 to %d.", stepText, f.name, f.high)
			}
		}
		for value := low; value <= high; value += step {
			if f.week && value == 7 {
				set |= 1
			} else {
				set |= 1 << value
			}
		}
	}
	return set, ""
}

func (f field) value(text string) (value int, problem string) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.low + i, ""
	}
	value, ok := number(text)
	switch {
	case !ok:
		return 0, fmt.Sprintf("%.20q is no %s.", text, f.name)
	case f.week && value == 7:
		return 7, ""
	case value < f.low || value > f.high:
		return 0, fmt.Sprintf("The %s goes from %d to %d; %d is outside.", f.name, f.low, f.high, value)
	}
	return value, ""
}

// number reads digits only: no sign, no space, and few enough to fit.
func number(text string) (int, bool) {
	if text == "" || len(text) > 4 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	value, err := strconv.Atoi(text)
	return value, err == nil
}

const (
	minutesOfDay = 24 * 60
	secondsOfDay = 60 * minutesOfDay
)

// next is the first whole minute in [from, until) that the pattern names. Both
// are readings of a clock on the wall, in seconds since it read 1970-01-01 00:00.
func (p pattern) next(from, until int64) (int64, bool) {
	minute := -floor(-from, 60)
	day := floor(minute, minutesOfDay)
	ofDay := int(minute - day*minutesOfDay)
	date := time.Unix(day*secondsOfDay, 0).UTC()
	year, month, dom := date.Date()
	weekday := int(date.Weekday())
	for day*secondsOfDay < until {
		step := 1
		switch {
		case p.months>>month&1 == 0:
			step = daysIn(year, month) - dom + 1
		case p.matches(dom, weekday):
			if ofDay, ok := p.nextOfDay(ofDay); ok {
				at := (day*minutesOfDay + int64(ofDay)) * 60
				return at, at < until
			}
		}
		day += int64(step)
		ofDay = 0
		weekday = (weekday + step) % 7
		if dom += step; dom > daysIn(year, month) {
			dom = 1
			if month++; month > time.December {
				year, month = year+1, time.January
			}
		}
	}
	return 0, false
}

func (p pattern) matches(dom, weekday int) bool {
	byDate, byWeek := p.days>>dom&1 == 1, p.weekdays>>weekday&1 == 1
	if p.bothDays {
		return byDate && byWeek
	}
	return byDate || byWeek
}

// nextOfDay is the first minute of a day that the pattern names, from the given
// one on.
func (p pattern) nextOfDay(from int) (int, bool) {
	hour := from / 60
	if p.hours>>hour&1 == 1 {
		if left := p.minutes >> (from % 60); left != 0 {
			return from + bits.TrailingZeros64(left), true
		}
	}
	left := p.hours >> (hour + 1)
	if left == 0 {
		return 0, false
	}
	return (hour+1+bits.TrailingZeros64(left))*60 + bits.TrailingZeros64(p.minutes), true
}

func daysIn(year int, month time.Month) int {
	switch month { //nolint:exhaustive // all others have 31
	case time.April, time.June, time.September, time.November:
		return 30
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// floor divides and rounds down, also below zero.
func floor(a, b int64) int64 {
	quotient := a / b
	if a%b < 0 {
		quotient--
	}
	return quotient
}
