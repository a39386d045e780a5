package schedule

import (
	"fmt"
	"iter"
	"math"
	"time"
)

// Calendar is a Rule that has been read. It is safe for concurrent use.
//
// Its moments are whole minutes on the clock of its time zone, none of them
// before the rule's EffectiveFrom, 1970 or after the year 9999. Where that clock
// is put forward or back:
//
//   - A rule that names its minutes and hours (30 2 * * *, 0 9-17 * * *, @daily)
//     is due once for each local time it names. A time that is skipped is due at
//     the first instant after the gap; several in one gap, and one right after it,
//     are one moment. A time that comes twice is due at the first.
//   - A rule whose minute or hour field begins with * (*/15 * * * *, 0 * * * *,
//     @hourly, 30 */6 * * *, */10 2 * * *) follows elapsed time. A time that comes
//     twice is due twice. A time that is skipped is due when the old clock would
//     have read it. For every 15 minutes or every hour that is a moment which they
//     have anyway, so that they go on as if no clock had been touched.
//
// The date and the day of the week are those of the local time that is named,
// also when it is skipped. Where both are restricted, a day that fits either is
// due; where one of them begins with *, both have to fit.
type Calendar struct {
	pattern pattern
	zone    *time.Location
	from    int64 // no moment before it; seconds since 1970
}

// Bounds of what is searched, in seconds since 1970.
const (
	lastSecond = 253402300799         // the end of the year 9999
	horizon    = 50 * 366 * 24 * 3600 // 29 February on one day of the week may be 40 years away
	noBound    = int64(math.MaxInt64 / 4)
)

// Parse reads a rule. Its error names the field that Check finds wrong.
func Parse(r Rule) (*Calendar, error) {
	if field, problem := r.Check(); problem != "" {
		return nil, fmt.Errorf("read %s of schedule: %s", field, problem)
	}
	pattern, _ := parsePattern(r.Cron)
	zone, _ := loadZone(r.TimeZone)
	from := -floor(-r.EffectiveFrom, 1000)
	return &Calendar{pattern: pattern, zone: zone, from: max(from, 0)}, nil
}

// Next is the first moment after an instant, in the rule's time zone; zero when
// there is none within 50 years, which only the year 9999 can bring about.
func (c *Calendar) Next(after time.Time) time.Time {
	after = c.since(after)
	for moment := range c.moments(after, after.Add(horizon*time.Second)) {
		return moment
	}
	return time.Time{}
}

// NextTimes are the first n moments after an instant.
func NextTimes(c *Calendar, from time.Time, n int) []time.Time {
	from = c.since(from)
	return c.Between(from, from.Add(horizon*time.Second), n)
}

// Between are the moments after one instant and up to another, that one
// included, oldest first and at most so many.
func (c *Calendar) Between(after, until time.Time, most int) []time.Time {
	if most <= 0 {
		return nil
	}
	var found []time.Time
	for moment := range c.moments(after, until) {
		if found = append(found, moment); len(found) == most {
			break
		}
	}
	return found
}

// FinestGap is the smallest time between two successive moments of any of the
// calendars, looking 2000 moments or 400 days ahead, and further only for a
// second moment; 0 when there are no two. What is kept more often than that, a
// retention rule asks for in vain. A night in which the clock is put forward
// counts: a daily schedule has a gap of 23 hours.
func FinestGap(calendars []*Calendar, from time.Time) time.Duration {
	const mostMoments = 2000
	until := from.AddDate(0, 0, 400)
	next := make([]time.Time, len(calendars))
	for i, c := range calendars {
		next[i] = c.Next(from)
	}
	var last time.Time
	var finest time.Duration
	for range mostMoments {
		var soonest time.Time
		for _, moment := range next {
			if !moment.IsZero() && (soonest.IsZero() || moment.Before(soonest)) {
				soonest = moment
			}
		}
		if soonest.IsZero() || finest > 0 && soonest.After(until) {
			break
		}
		if gap := soonest.Sub(last); !last.IsZero() && (finest == 0 || gap < finest) {
			finest = gap
		}
		last = soonest
		for i, moment := range next {
			if moment.Equal(soonest) {
				next[i] = calendars[i].Next(soonest)
			}
		}
	}
	return finest
}

// since moves an instant up to where moments begin, so that a search from the
// zero time does not stop short of them.
func (c *Calendar) since(after time.Time) time.Time {
	if first := time.Unix(c.from-1, 0); after.Before(first) {
		return first
	}
	return after
}

// moments yields those in (after, until], oldest first.
func (c *Calendar) moments(after, until time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		from := max(after.Unix()+1, c.from)
		end := min(until.Unix(), lastSecond) + 1
		for from < end {
			s := c.stretchAt(from)
			limit := min(end, s.end)
			for from < limit {
				moment, ok := s.next(c.pattern, from, limit)
				if !ok {
					break
				}
				if !yield(time.Unix(moment, 0).In(c.zone)) {
					return
				}
				from = moment + 1
			}
			from = limit
		}
	}
}

// stretch is a time during which a zone's clock is not changed: [start, end) in
// seconds since 1970, the seconds its clock is ahead of UTC, and those before.
type stretch struct {
	start, end     int64
	offset, before int64
}

func (c *Calendar) stretchAt(second int64) stretch {
	at := time.Unix(second, 0).In(c.zone)
	_, offset := at.Zone()
	s := stretch{start: -noBound, end: noBound, offset: int64(offset), before: int64(offset)}
	start, end := at.ZoneBounds()
	if !end.IsZero() {
		s.end = end.Unix()
	}
	if s.end <= second {
		// Go ends every year of a zone's standing rule after 365 days, so that 31
		// December of a leap year lies behind its own end (golang/go#81583). No
		// clock is changed between it and the year's end.
		s.end = time.Date(at.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	}
	if !start.IsZero() {
		s.start = start.Unix()
		_, before := start.Add(-time.Second).Zone()
		s.before = int64(before)
	}
	return s
}

// next is the first moment in [from, limit), which lies within the stretch.
func (s stretch) next(p pattern, from, limit int64) (int64, bool) {
	first := from
	if s.offset < s.before && !p.elapsed {
		first = max(from, s.start+s.before-s.offset) // until then all was there before
	}
	moment, ok := p.next(first+s.offset, limit+s.offset)
	moment -= s.offset
	gap := s.offset - s.before
	switch {
	case gap <= 0:
	case p.elapsed:
		// As the old clock would have read.
		if skipped, found := p.next(from+s.before, min(limit, s.start+gap)+s.before); found {
			if skipped -= s.before; !ok || skipped < moment {
				return skipped, true
			}
		}
	case from <= s.start:
		if _, found := p.next(s.start+s.before, s.start+s.offset); found {
			return s.start, true
		}
	}
	return moment, ok
}
