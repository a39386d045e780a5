package schedule

import (
	"iter"
	"time"
)

// MostSkipped is how many skipped moments are counted at most: every minute of
// 69 days.
const MostSkipped = 100_000

// Skipped are adjoining moments at which nothing is run. The zero value is none.
type Skipped struct {
	First, Last time.Time
	// Count is exact up to MostSkipped. A longer row ends there: First is then the
	// oldest that was counted, and nothing is said of those before.
	Count int
}

// Verdict is what becomes of the moments of a window. The zero value is that
// nothing is to be done.
type Verdict struct {
	// Fire is the moment to run; zero is none.
	Fire time.Time
	// Late is whether Fire was missed, so that its run waits for Settle.
	Late bool
	// Skipped are the moments to write off: coalesced into Fire, or missed.
	Skipped Skipped
	// Missed is whether the skipped ones end as missed, since the policy catches
	// nothing up, rather than as coalesced into Fire.
	Missed bool
}

// Evaluate judges the moments after one instant and up to now, that one
// included, of a schedule for one group. known tells that there is a record of
// that very moment: it and all before it in the window are dealt with, whatever
// clock they were written by. So a window may be judged again, after a crash or
// with a clock that was put back, as long as skipped moments are recorded before
// or together with the one that is run. Known is asked about the newest first,
// and about no more than it needs to be.
//
// Of what is left the newest is run if it is no older than OnTime, or else, late,
// if the policy is RunOnce; all others are coalesced into it. With policy Skip
// all others are missed, and so is the newest when it is older than OnTime.
//
// When now is before after there is nothing to do, and the caller goes on from
// now: its clock was wrong then or is now.
func (c *Calendar) Evaluate(policy Missed, after, now time.Time, known func(time.Time) bool) Verdict {
	var v Verdict
	judged := false // the newest
	for moment := range c.backwards(after, now) {
		if known(moment) {
			break
		}
		late := now.Sub(moment) > OnTime
		if !judged {
			judged = true
			if !late || policy == RunOnce {
				v.Fire, v.Late = moment, late
				continue
			}
		}
		v.Missed = policy == Skip
		if v.Skipped.Count == MostSkipped {
			break
		}
		if v.Skipped.Count == 0 {
			v.Skipped.Last = moment
		}
		v.Skipped.First = moment
		v.Skipped.Count++
	}
	return v
}

// backwards yields the moments in (after, until], newest first. It looks at a
// month at a time, so that a long window costs only as much as is asked of it.
func (c *Calendar) backwards(after, until time.Time) iter.Seq[time.Time] {
	const month = 31 * 24 * time.Hour
	return func(yield func(time.Time) bool) {
		after = c.since(after)
		for until.After(after) {
			start := until.Add(-month)
			if start.Before(after) {
				start = after
			}
			found := c.Between(start, until, int(month/time.Second))
			for i := len(found) - 1; i >= 0; i-- {
				if !yield(found[i]) {
					return
				}
			}
			until = start
		}
	}
}
