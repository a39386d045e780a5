package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// clock finds out what is due, and looks after the runs that are held. All but
// what is shown belongs to the one goroutine of keep.
type clock struct {
	agent *Agent
	wake  chan struct{} // holds a token when it should look before its time

	// mark is up to where moments were looked for. It only spares a second look:
	// which moments are dealt with is for the journal to know.
	mark      time.Time
	markSaved time.Time   // by the wall clock; zero is never
	last      time.Time   // when it looked last
	awake     time.Time   // since when this process runs or the machine is awake
	seen      time.Time   // when the plan came whose moments it looked at last; zero is none
	seenPlan  string      // the digest of that one
	table     *timetable  // that it looked at last
	next      []time.Time // the next moment of each schedule of table; nil is not known
	held      map[job.ID]*schedule.Held
	away      map[pair]time.Time // since when the server is away for the run of a pair that is held

	mutex sync.Mutex
	shown []StatusHeld // what waits and why
}

// keepMark is how often the mark is saved though nothing was due: what a crash
// makes the next run look at again.
const keepMark = 10 * time.Minute

// lookBack is how far back moments are looked for at most once the clock proves to
// have been ahead, which is else by as much as it was. The journal knows those that
// are dealt with.
const lookBack = 24 * time.Hour

// afterFailure is how long the clock rests when the journal takes nothing.
const afterFailure = 5 * time.Second

// keep looks at the wall clock until ctx ends. It never trusts a timer: a
// machine that sleeps stops them, and a clock that is set does not move them.
func (c *clock) keep(ctx context.Context) {
	c.begin()
	for {
		changed := c.agent.plan.next()
		wait := schedule.Wake
		now := c.agent.options.Now().Round(0) // all that follows is about the wall clock
		if next := c.look(now); !next.IsZero() {
			wait = min(wait, max(next.Sub(now), time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-c.wake:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

func newClock(a *Agent) *clock { return &clock{agent: a, wake: make(chan struct{}, 1)} }

func (c *clock) begin() {
	c.awake = c.agent.started
	mark, err := c.agent.state.clockMark()
	if err != nil {
		c.agent.log.Warn("when schedules were looked at last is not known; moments before now are not caught up", "error", err)
	}
	if mark.Looked > 0 {
		c.mark = time.UnixMilli(mark.Looked)
	}
	if mark.Plan > 0 {
		c.seen, c.seenPlan = time.UnixMilli(mark.Plan), mark.Digest
	}
}

// look does all that is due by now and returns when to look again at the latest;
// zero is not known.
func (c *clock) look(now time.Time) (next time.Time) {
	c.noticeJump(now)
	table := c.agent.plan.timetable()
	moment := c.lookAtMoments(now, table)
	held := c.lookAtHeld(now, table)
	if held.IsZero() || !moment.IsZero() && moment.Before(held) {
		return moment
	}
	return held
}

// noticeJump finds out whether the machine slept, or its clock was set.
func (c *clock) noticeJump(now time.Time) {
	switch {
	case c.last.IsZero():
	case now.Before(c.last):
		by := c.last.Sub(now)
		c.awake = c.awake.Add(-by)
		for _, one := range c.held {
			back(one, by)
		}
		for pair, since := range c.away {
			if !since.IsZero() {
				c.away[pair] = since.Add(-by)
			}
		}
	case now.Sub(c.last) > 2*schedule.Wake:
		c.awake = now
	}
	if c.awake.After(now) {
		c.awake = now // the clock was set back before the first look
	}
	c.last = now
}

// lookAtMoments journals what fell due since the last look and returns the next
// moment.
func (c *clock) lookAtMoments(now time.Time, table *timetable) (next time.Time) {
	fresh := c.table != table || c.next == nil
	switch {
	case c.mark.IsZero():
		c.mark, fresh = now, true
	case now.Before(c.mark): // the clock was ahead, and what was due by the right one may have passed unseen
		c.mark, fresh = now.Add(-min(c.mark.Sub(now), lookBack)), true
		if c.seen.After(c.mark) {
			c.seen = c.mark // so it is with a schedule that is new here
		}
	}
	if fresh {
		c.next = make([]time.Time, len(table.schedules))
		for i, one := range table.schedules {
			c.next[i] = one.calendar.Next(c.since(one, table))
		}
	}
	due := slices.ContainsFunc(c.next, func(moment time.Time) bool { return !moment.IsZero() && !moment.After(now) })
	if due {
		if err := c.judgeMoments(now, table); err != nil {
			c.agent.log.Error("what is due could not be written down; trying again", "error", err)
			return now.Add(afterFailure)
		}
		for i, one := range table.schedules {
			if moment := c.next[i]; !moment.IsZero() && !moment.After(now) {
				c.next[i] = one.calendar.Next(now)
			}
		}
	}
	c.table, c.mark = table, now
	if c.seen.IsZero() || c.seenPlan != table.digest {
		c.seen, c.seenPlan = table.taken, table.digest
	}
	if c.seen.After(now) {
		c.seen = now // the plan came while the clock was ahead
	}
	if due || c.markSaved.IsZero() || now.Before(c.markSaved) || now.Sub(c.markSaved) >= keepMark {
		c.saveMark(now)
	}
	for _, moment := range c.next {
		if !moment.IsZero() && (next.IsZero() || moment.Before(next)) {
			next = moment
		}
	}
	return next
}

// since is from where on the moments of a schedule are looked for. One that comes
// with another plan, and counts from a time after the plan before had come, is
// looked at from there: this agent could not know what it was due at meanwhile.
func (c *clock) since(one planned, table *timetable) time.Time {
	from := time.UnixMilli(one.rule.EffectiveFrom - 1)
	if !c.seen.IsZero() && c.seenPlan != table.digest && from.After(c.seen) && from.Before(c.mark) {
		return from
	}
	return c.mark
}

// millisOf is a time as it is stored; 0 for the zero time.
func millisOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func (c *clock) saveMark(now time.Time) {
	if err := c.agent.state.setClockMark(clockMark{c.mark.UnixMilli(), millisOf(c.seen), c.seenPlan}); err != nil {
		c.agent.log.Warn("when schedules were looked at last could not be stored", "error", err)
	}
	c.markSaved = now
}

// mostTogether is about how many records are written at once.
const mostTogether = 500

// judgeMoments journals what became of the moments up to now.
func (c *clock) judgeMoments(now time.Time, table *timetable) error {
	// After a long absence there is much to look through, and the server's word
	// must not wait for that.
	var cases []momentCase
	for i, one := range table.schedules {
		if moment := c.next[i]; moment.IsZero() || moment.After(now) {
			continue
		}
		since := c.since(one, table)
		for _, group := range one.groups {
			verdict := one.calendar.Evaluate(one.rule.Missed, since, now, func(moment time.Time) bool {
				return c.agent.journal.Noted(job.DueID(one.id, group, moment))
			})
			cases = append(cases, momentCase{pair: pair{one.id, group}, verdict: verdict, now: now, awake: c.awake, pausedUntil: table.pausedUntil})
		}
	}
	return c.agent.recordMoments(cases)
}

// recordMoments journals what became of moments as things stand. All records of
// one case go into the journal together.
func (a *Agent) recordMoments(cases []momentCase) error {
	a.accepting.Lock()
	defer a.accepting.Unlock()
	running := a.tasks.backups()
	held := map[pair]journal.Held{}
	for _, one := range a.journal.Held() {
		held[pairOf(one)] = one
	}
	var records []api.Record
	for i, one := range cases {
		one.running, one.held = running[one.group], held[one.pair]
		said, err := a.momentRecords(one)
		if err != nil {
			return err
		}
		records = append(records, said...)
		if len(records) > 0 && (len(records) >= mostTogether || i == len(cases)-1) {
			if _, err := a.journal.Append(records...); err != nil {
				return err
			}
			records = records[:0]
		}
	}
	// A moment can be known from an append whose sync failed; the mark must not go
	// past what the disk does not have.
	return a.journal.Sync()
}

// momentRecords turns what became of a schedule's moments for a group into records.
func (a *Agent) momentRecords(c momentCase) ([]api.Record, error) {
	var records []api.Record
	for _, said := range c.judge() {
		if due, ok := said.body.(api.Due); ok {
			if due.Moments > 0 && a.journal.Noted(said.id) {
				continue // it was written before a crash, and what follows was not
			}
			a.log.Info("a backup is due", "job", said.id, "schedule", due.Schedule, "group", due.Group,
				"moment", time.UnixMilli(due.ScheduledAt).UTC(), "skip", due.Skip, "moments", max(1, due.Moments))
		}
		record, err := api.NewRecord(said.kind, said.id, c.now.UnixMilli(), said.body)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// show keeps what waits, for whoever asks for the status.
func (c *clock) show(held []StatusHeld) {
	c.mutex.Lock()
	news := !slices.Equal(c.shown, held)
	c.shown = held
	c.mutex.Unlock()
	if news {
		poke(c.agent.status.changed)
	}
}

// waiting lists the held runs and why each waits.
func (c *clock) waiting() []StatusHeld {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.shown
}

// clockMark is how far schedules were looked at, as it is stored. The zero value
// is never.
type clockMark struct {
	// Looked is up to when, Plan when the plan came whose schedules they were; both
	// in milliseconds since 1970, UTC, by this machine's clock. Digest is that plan's.
	Looked int64  `json:"looked_at"`
	Plan   int64  `json:"plan_taken_at"`
	Digest string `json:"plan_digest"`
}

func (s *state) clockMark() (clockMark, error) {
	var mark clockMark
	_, err := s.readJSON(clockFile, &mark)
	return mark, err
}

func (s *state) setClockMark(mark clockMark) error { return s.writeJSON(clockFile, mark) }
