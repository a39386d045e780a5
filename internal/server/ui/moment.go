package ui

import (
	"net/http"
	"regexp"
	"time"
)

// zoneCookie tells the time zone of the browser; app.js sets it. Without it
// times are UTC, and say so.
const zoneCookie = "rm_zone"

// zoneText keeps out what would be looked for elsewhere than among the zones.
var zoneText = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)

// zoneOf is the time zone of whoever asks.
func zoneOf(r *http.Request) *time.Location {
	cookie, err := r.Cookie(zoneCookie)
	if err != nil || len(cookie.Value) > 64 || !zoneText.MatchString(cookie.Value) || cookie.Value == "Local" {
		return time.UTC
	}
	zone, err := time.LoadLocation(cookie.Value)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Moment is an instant as the clock on somebody's wall shows it. The zero value
// is none.
type Moment struct {
	At   time.Time
	Text string // such as "today 02:30" or "Tue 14 Apr, 02:30"
	Full string // with year and zone, for the title
}

// ISO is the instant for the attribute of a <time>.
func (m Moment) ISO() string { return m.At.UTC().Format("2006-01-02T15:04:05.000Z") }

// moment tells an instant by the clock of a zone.
func moment(at, now time.Time, zone *time.Location) Moment {
	if at.IsZero() {
		return Moment{}
	}
	local := at.In(zone)
	return Moment{At: at, Text: dayWord(local, now.In(zone)) + " " + local.Format("15:04"), Full: local.Format("Monday, 2 January 2006, 15:04:05 MST")}
}

// dayWord names the day of a local time as seen from now.
func dayWord(at, now time.Time) string {
	switch days := dayNumber(at) - dayNumber(now); {
	case days == 0:
		return "today"
	case days == 1:
		return "tomorrow"
	case days == -1:
		return "yesterday"
	case at.Year() == now.Year():
		return at.Format("Mon 2 Jan,")
	}
	return at.Format("2 Jan 2006,")
}

// dayNumber counts days by the calendar of a local time.
func dayNumber(at time.Time) int64 {
	year, month, day := at.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / (24 * 3600)
}

// spanText is a span of time as a person says it: its largest unit, and the next
// one below ten.
func spanText(span time.Duration) string {
	switch {
	case span < time.Minute:
		return plural(int64(max(span, 0).Seconds()), "second", "seconds")
	case span < time.Hour:
		return plural(int64(span.Minutes()), "minute", "minutes")
	case span < 10*time.Hour && span%time.Hour >= time.Minute:
		return plural(int64(span.Hours()), "hour", "hours") + " " + plural(int64(span.Minutes())%60, "minute", "minutes")
	case span < 48*time.Hour:
		return plural(int64(span.Hours()), "hour", "hours")
	}
	return plural(int64(span.Hours())/24, "day", "days")
}
