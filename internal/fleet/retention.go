package fleet

import (
	"fmt"
	"time"
)

// Lengths by which restic sorts snapshots, each the longest that its calendar
// has, so that a schedule which is as fine as its rule is never complained of.
const (
	hourOf  = time.Hour
	dayOf   = 25 * time.Hour // the night in which the clock is put back
	weekOf  = 7*24*time.Hour + time.Hour
	monthOf = 31*24*time.Hour + time.Hour
	yearOf  = 366*24*time.Hour + time.Hour
)

// Notes points out, in one sentence each, what of the rule no schedule can ever
// fill. The gap is the smallest time between two runs of the group, as
// schedule.FinestGap tells it; 0 means that no schedule runs it.
//
// restic's keep-hourly N keeps the last snapshot of each of the last N hours
// that have one, so with a daily backup 48 hourly ones reach back 48 days.
func (r Retention) Notes(gap time.Duration) []string {
	if gap <= 0 {
		return []string{"No schedule runs this group: nothing is backed up by itself, and the rule counts only what you start by hand."}
	}
	var notes []string
	for _, rule := range []struct {
		number       int
		word, plural string
		length       time.Duration
	}{
		{r.KeepHourly, "hourly", "hours", hourOf},
		{r.KeepDaily, "daily", "days", dayOf},
		{r.KeepWeekly, "weekly", "weeks", weekOf},
		{r.KeepMonthly, "monthly", "months", monthOf},
		{r.KeepYearly, "yearly", "years", yearOf},
	} {
		if rule.number < 2 || gap <= rule.length {
			continue // one is the newest backup, whatever the gap
		}
		notes = append(notes, fmt.Sprintf("%d %s can't be filled: backups are at least %s apart. The rule keeps the last %d of them, which reach back %s or more instead of %d %s.",
			rule.number, rule.word, apart(gap), rule.number, reach(gap, rule.number), rule.number, rule.plural))
	}
	if within := time.Duration(r.KeepWithinDays) * day; within > 0 && within < gap-time.Hour {
		notes = append(notes, fmt.Sprintf("All of %s keeps the newest backup only: they are at least %s apart.", count(int64(r.KeepWithinDays), "day"), apart(gap)))
	}
	return notes
}

const day = 24 * time.Hour

// wholeDays is a gap without the hour that the clock was put forward in it, and
// whether it is one of whole days then.
func wholeDays(gap time.Duration) (time.Duration, bool) {
	days := (gap + time.Hour) / day * day
	return days, days > 0 && gap-days < 2*time.Hour
}

// apart is a gap in words, rounded down.
func apart(gap time.Duration) string {
	if days, whole := wholeDays(gap); whole || days >= 2*day {
		return count(int64(days/day), "day")
	}
	if gap >= 2*time.Hour || gap == time.Hour {
		return count(int64(gap/time.Hour), "hour")
	}
	return count(int64(gap/time.Minute), "minute")
}

// reach is how far back a number of backups goes that are a gap apart.
func reach(gap time.Duration, number int) string {
	if days, whole := wholeDays(gap); whole {
		gap = days
	}
	hours := gap.Hours() * float64(number) // a Duration ends after 292 years
	if hours < 48 {
		return count(int64(hours), "hour")
	}
	return count(int64(hours/24), "day")
}

func count(number int64, noun string) string {
	if number == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", number, noun)
}
