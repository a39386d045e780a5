package agent

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// groupRun is a backup of a group that is at work, waits for its turn, is being
// recovered, or has ended in this process.
type groupRun struct {
	id    job.ID
	since time.Time // when it was accepted
	// well: it has ended and did its work.
	well bool
}

// lastRuns are the backups that ended last, by group, since this process began.
type lastRuns struct {
	mutex sync.Mutex
	runs  map[job.GroupID]groupRun
}

func (l *lastRuns) note(group job.GroupID, run groupRun) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.runs == nil {
		l.runs = map[job.GroupID]groupRun{}
	}
	l.runs[group] = run
}

func (l *lastRuns) of(group job.GroupID) groupRun {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.runs[group]
}

// heldCase is all that is known of a held run when it is looked at.
type heldCase struct {
	now time.Time
	// moment is what a run must have begun after to do this one's work.
	moment time.Time
	// start is when the run begins by itself; zero is not as long as the server is
	// there.
	start time.Time
	// muted: this agent may be a copy of another.
	muted bool
	// notAsked is why nobody asks for the run any more; "" is that it is asked for.
	notAsked    string
	pausedUntil time.Time
	running     groupRun // of its group; zero is none
	last        groupRun // that ended last, of its group; zero is none
}

// heldVerdict says what becomes of a held run: it begins, it ends, or it waits.
type heldVerdict struct {
	begin bool
	end   *api.Ended
	// why and until say why it waits, and until when that may be; zero is until
	// something else happens.
	why   string
	until time.Time
}

// judge decides about a held run. Without the server it is begun by the same
// rules by which the server would send it.
func (c heldCase) judge() heldVerdict {
	switch {
	case c.muted:
		return heldVerdict{why: "until a person decides which of two agents is the true one"}
	case c.start.IsZero():
		return heldVerdict{why: "for the server's word"}
	case c.start.After(c.now):
		return heldVerdict{why: "for the server, and begins without it at " + clockTime(c.start), until: c.start}
	case c.notAsked != "":
		return heldVerdict{end: &api.Ended{State: job.Skipped, Cause: job.CauseAbandoned, Error: c.notAsked}}
	case c.pausedUntil.After(c.now):
		return heldVerdict{why: "for the end of the pause at " + clockTime(c.pausedUntil), until: c.pausedUntil}
	case c.running.id != "" && schedule.Satisfied(c.moment, c.running.since, c.now):
		return satisfied(c.running.id, "A backup of its source group that began after its moment is at work.")
	case c.running.id != "":
		return heldVerdict{why: "for the run of its source group that is at work"}
	case c.last.well && schedule.Satisfied(c.moment, c.last.since, c.now):
		return satisfied(c.last.id, "A backup of its source group that began after its moment has done its work.")
	}
	return heldVerdict{begin: true}
}

func satisfied(by job.ID, sentence string) heldVerdict {
	return heldVerdict{end: &api.Ended{State: job.Skipped, Cause: job.CauseSatisfied, By: by, Error: sentence}}
}

func clockTime(t time.Time) string { return t.Local().Format(time.DateTime) }

// newHeld says since when a run is held, by this machine's clock as it is now. A
// record may come from a clock that was ahead: then its times count from now on.
func newHeld(record journal.Held, now, started time.Time) schedule.Held {
	at := time.UnixMilli(record.At)
	ahead := max(0, at.Sub(now))
	held := schedule.Held{DueAt: at.Add(-ahead), Late: isLate(record)}
	if record.Due.NotBefore > 0 {
		held.NotBefore = time.UnixMilli(record.Due.NotBefore).Add(-ahead)
	}
	// The server can't have acknowledged it before it was there, and of what was
	// before the start of this process nothing is known.
	held.AwaySince = held.DueAt
	if started.After(held.AwaySince) && !started.After(now) {
		held.AwaySince = started
	}
	return held
}

// isLate tells whether a run is for a moment that was missed.
func isLate(record journal.Held) bool {
	return record.Due.Retry == 0 && record.Due.ScheduledAt > 0 &&
		time.UnixMilli(record.At).Sub(time.UnixMilli(record.Due.ScheduledAt)) > schedule.OnTime
}

// back takes every time of a held run back by as much as the clock was put back.
func back(held *schedule.Held, by time.Duration) {
	for _, at := range []*time.Time{&held.DueAt, &held.NotBefore, &held.AwaySince} {
		if !at.IsZero() {
			*at = at.Add(-by)
		}
	}
}

// lookAtHeld begins or ends the held runs that are to begin or to end, and
// returns when the next one may be; zero is not known.
func (c *clock) lookAtHeld(now time.Time, table *timetable) (next time.Time) {
	a := c.agent
	a.accepting.Lock()
	defer a.accepting.Unlock()
	records := a.journal.Held()
	held := make(map[job.ID]*schedule.Held, len(records))
	away := map[pair]time.Time{}
	var shown []StatusHeld
	if len(records) > 0 {
		running := a.tasks.backups()
		connected, muted, since := a.status.link()
		if since.After(now) {
			since = now
		}
		acknowledged := a.journal.Acknowledged()
		for _, record := range records {
			one := c.held[record.ID]
			if one == nil {
				fresh := newHeld(record, now, a.started)
				one = &fresh
				// It takes the place of one that has waited for the server already: a
				// schedule of every minute would wait for ever otherwise.
				if since := c.away[pairOf(record)]; record.Due.Schedule != "" && !since.IsZero() && since.Before(one.AwaySince) {
					one.AwaySince = since
				}
			}
			one.AwakeSince, one.Jitter = c.awake, table.jitter(a.identity.Host, record)
			one.SessionSince = time.Time{}
			if connected {
				one.SessionSince = since
			}
			switch {
			case muted, connected && acknowledged >= record.Seq: // it is there, though it may hold this agent back
				one.AwaySince = time.Time{}
			case one.AwaySince.IsZero():
				one.AwaySince = now
			}
			away[pairOf(record)] = one.AwaySince
			verdict := heldCase{
				now: now, moment: momentOf(record), start: one.StartAt(), muted: muted,
				notAsked: table.asks(record.Due), pausedUntil: table.pausedUntil,
				running: running[record.Due.Group], last: a.lastRuns.of(record.Due.Group),
			}.judge()
			if over, why := a.carryOut(verdict, record, table, running); !over {
				held[record.ID] = one
				shown = append(shown, StatusHeld{ID: record.ID, Group: table.nameOf(record.Due.Group), Waits: why})
			}
			if !verdict.until.IsZero() && (next.IsZero() || verdict.until.Before(next)) {
				next = verdict.until
			}
		}
	}
	c.held, c.away = held, away
	c.show(shown)
	return next
}

// carryOut acts on a verdict. It tells whether the run is held no longer, or else
// why it still waits.
func (a *Agent) carryOut(verdict heldVerdict, record journal.Held, table *timetable, running map[job.GroupID]groupRun) (over bool, why string) {
	if verdict.begin {
		spec := table.groups[record.Due.Group]
		err := spec.Validate()
		if err == nil {
			var t *task
			if t, err = a.beginHeld(record, &spec); err != nil {
				a.log.Error("a run that is due could not be begun", "job", record.ID, "error", err)
				return false, "to be written down: " + err.Error()
			}
			running[t.group] = t.asRun()
			return true, ""
		}
		verdict.end = &api.Ended{State: job.Failed, Error: fmt.Sprintf("This agent could not use the order in its plan: %v.", err)}
	}
	if verdict.end == nil {
		return false, verdict.why
	}
	a.log.Info("a run that was due is not begun", "job", record.ID, "cause", verdict.end.Cause, "reason", verdict.end.Error)
	if err := a.append(api.RecordEnded, record.ID, *verdict.end); err != nil {
		a.log.Error("the end of a run could not be written down", "job", record.ID, "error", err)
		return false, "to be written down: " + err.Error()
	}
	return true, ""
}

// beginHeld accepts a held run from the plan, as if the server had sent it.
func (a *Agent) beginHeld(record journal.Held, spec *job.BackupSpec) (*task, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	origin := job.BySchedule
	if record.Due.Schedule == "" {
		origin = job.ByPerson // of runs without a schedule, only what a person asked for has retries
	}
	a.log.Info("a run that is due begins without the server", "job", record.ID)
	return a.accept(record.ID, spec, nil, api.Accepted{Kind: job.Backup, Origin: origin, Occasion: record.Due.Occasion, Spec: raw})
}

func pairOf(record journal.Held) pair { return pair{record.Due.Schedule, record.Due.Group} }

// momentOf is the moment of a run's schedule, or else when it fell due.
func momentOf(record journal.Held) time.Time {
	if record.Due.ScheduledAt > 0 {
		return time.UnixMilli(record.Due.ScheduledAt)
	}
	return time.UnixMilli(record.At)
}
