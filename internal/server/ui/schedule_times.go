package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/schedule"
)

// shownTimes is how many moments ahead are shown.
const shownTimes = 5

// nextTimes tells the moments that a rule has ahead, by its own clock and that of
// who looks.
func nextTimes(rule schedule.Rule, w wallClock) NextTimes {
	rule.EffectiveFrom = 0
	calendar, err := schedule.Parse(rule)
	if err != nil {
		_, problem := rule.Check()
		return NextTimes{Problem: problem}
	}
	shown := NextTimes{Sentence: sentenceOf(rule), Zone: rule.TimeZone}
	times := schedule.NextTimes(calendar, w.now, shownTimes)
	for _, at := range times {
		row := NextTime{At: at, There: wallText(at)}
		if yours := at.In(w.zone); yours.Format(time.DateTime) != at.Format(time.DateTime) {
			row.Yours, shown.Yours = wallText(yours), w.zone.String()
		}
		shown.Rows = append(shown.Rows, row)
	}
	if len(times) > 0 {
		shown.Change = clockChange(rule, times[0].Location(), w.now, times[len(times)-1])
	}
	return shown
}

func wallText(at time.Time) string { return at.Format("Mon 2 Jan 2006, 15:04 MST") }

// sentenceOf is a rule in words, with its zone.
func sentenceOf(rule schedule.Rule) string { return schedule.Describe(rule) + ", " + rule.TimeZone }

// clockChange says what the first change of a zone's clock between two instants
// does to a rule; "" when there is none.
func clockChange(rule schedule.Rule, zone *time.Location, from, to time.Time) string {
	_, change := from.In(zone).ZoneBounds()
	if change.IsZero() || change.After(to.AddDate(0, 0, 1)) {
		return ""
	}
	before, after := change.Add(-time.Second).In(zone), change.In(zone)
	_, old := before.Zone()
	_, offset := after.Zone()
	span := spanText(time.Duration(max(offset-old, old-offset)) * time.Second)
	local := change.Add(time.Duration(old) * time.Second).UTC() // as the old clock would have read
	switch {
	case offset == old:
		return ""
	case followsElapsed(rule.Cron) && offset > old:
		return fmt.Sprintf("On %s at %s the clock there goes forward by %s. This rule follows elapsed time, so no run is lost.", after.Format("Monday, 2 January"), local.Format("15:04"), span)
	case followsElapsed(rule.Cron):
		return fmt.Sprintf("On %s at %s the clock there goes back by %s. This rule follows elapsed time, so the hour that comes twice has its runs twice.", before.Format("Monday, 2 January"), local.Format("15:04"), span)
	case offset > old:
		return fmt.Sprintf("On %s at %s the clock there goes forward by %s. A time that is skipped runs at the first moment after it.", after.Format("Monday, 2 January"), local.Format("15:04"), span)
	}
	return fmt.Sprintf("On %s at %s the clock there goes back by %s. A time that comes twice runs once, at the first.", before.Format("Monday, 2 January"), local.Format("15:04"), span)
}

// followsElapsed tells rules that go by elapsed time from those that name times of
// the day; see schedule.Calendar.
func followsElapsed(cron string) bool {
	fields := strings.Fields(cron)
	if len(fields) == 1 {
		return fields[0] == "@hourly"
	}
	return len(fields) > 1 && (strings.HasPrefix(fields[0], "*") || strings.HasPrefix(fields[1], "*"))
}
