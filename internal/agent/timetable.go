package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// timetable is what a plan says of time, read once for each plan.
type timetable struct {
	taken  time.Time // when the plan came; zero when none did
	digest string    // of the plan
	// pausedUntil is zero when nothing is paused.
	pausedUntil time.Time
	groups      map[job.GroupID]job.BackupSpec
	schedules   []planned
	// problems say in a sentence each what of the plan could not be read. A schedule
	// with a problem is left out; all others go on.
	problems []string
}

// forEver is the last second that can be written as a date, in milliseconds.
const forEver = 253402300799_000

// trouble tells of all problems, the first ones in full; "" is none.
func (t *timetable) trouble() string {
	const most = 5
	said := t.problems[:min(len(t.problems), most)]
	if more := len(t.problems) - len(said); more > 0 {
		said = append(said[:most:most], fmt.Sprintf("So it is with %d more.", more))
	}
	return strings.Join(said, " ")
}

// planned is one schedule of the plan.
type planned struct {
	id       job.ScheduleID
	rule     schedule.Rule
	calendar *schedule.Calendar
	groups   []job.GroupID // those that the plan has, each once
}

// readPlan reads a plan; nil is that none came yet.
func readPlan(plan *api.Plan, taken time.Time) *timetable {
	table := &timetable{taken: taken, groups: map[job.GroupID]job.BackupSpec{}}
	if plan == nil {
		return table
	}
	table.digest = plan.Digest
	if plan.PausedUntil > 0 {
		table.pausedUntil = time.UnixMilli(min(plan.PausedUntil, forEver))
	}
	for _, group := range plan.Groups {
		table.groups[group.Group] = group
	}
	seen := map[job.ScheduleID]bool{}
	for _, one := range plan.Schedules {
		// A rule that counts from later than its own arrival proves that this clock is
		// behind the server's. It counts from the arrival, or nothing would be due here
		// until the clock has caught up.
		if arrived := taken.UnixMilli(); !taken.IsZero() && one.EffectiveFrom > arrived {
			one.EffectiveFrom = arrived
		}
		calendar, err := schedule.Parse(one.Rule)
		switch {
		case err != nil:
			table.problems = append(table.problems, fmt.Sprintf("The schedule %.40q of the plan can't be followed: %v. It starts nothing on this machine.", one.ID, err))
			continue
		case one.ID == "" || seen[one.ID]:
			table.problems = append(table.problems, fmt.Sprintf("The plan names the schedule %.40q more than once, or without its id. It starts nothing twice.", one.ID))
			continue
		}
		seen[one.ID] = true
		groups := slices.DeleteFunc(slices.Clone(one.Groups), func(id job.GroupID) bool { _, ok := table.groups[id]; return !ok })
		slices.Sort(groups)
		table.schedules = append(table.schedules, planned{id: one.ID, rule: one.Rule, calendar: calendar, groups: slices.Compact(groups)})
	}
	return table
}

// find returns the schedule of that id; nil is none.
func (t *timetable) find(id job.ScheduleID) *planned {
	at := slices.IndexFunc(t.schedules, func(one planned) bool { return one.id == id })
	if at < 0 {
		return nil
	}
	return &t.schedules[at]
}

// asks tells whether a run is still asked for: its group is in the plan, and so
// is its schedule, if it has one, and names the group. Why not is a sentence.
func (t *timetable) asks(due api.Due) (why string) {
	if _, ok := t.groups[due.Group]; !ok {
		return "Its source group is no longer in the plan of this machine."
	}
	if due.Schedule == "" {
		return ""
	}
	switch one := t.find(due.Schedule); {
	case one == nil:
		return "Its schedule was switched off or removed."
	case !slices.Contains(one.groups, due.Group):
		return "Its schedule no longer names its source group."
	}
	return ""
}

// jitter spreads the start of a run over a fleet whose server is away. A retry is
// spread over half of its backoff: its chain was spread as it began.
func (t *timetable) jitter(host job.HostID, run journal.Held) time.Duration {
	one := t.find(run.Due.Schedule)
	if one == nil {
		return 0
	}
	instant := time.UnixMilli(run.Due.ScheduledAt)
	gap := time.UnixMilli(run.Due.NotBefore).Sub(time.UnixMilli(run.At))
	if run.Due.Retry == 0 {
		next := one.calendar.Next(instant)
		if next.IsZero() {
			return 0
		}
		gap = next.Sub(instant)
	}
	return schedule.Jitter(string(host), string(one.id), instant, time.Duration(one.rule.JitterSeconds)*time.Second, gap)
}

// nextMoments are the first n moments of all schedules, soonest first.
func (t *timetable) nextMoments(after time.Time, n int) []StatusMoment {
	next := make([]time.Time, len(t.schedules))
	for i, one := range t.schedules {
		next[i] = one.calendar.Next(after)
	}
	var list []StatusMoment
	for len(list) < n {
		soonest := -1
		for i, moment := range next {
			if !moment.IsZero() && (soonest < 0 || moment.Before(next[soonest])) {
				soonest = i
			}
		}
		if soonest < 0 {
			break
		}
		one := t.schedules[soonest]
		moment := StatusMoment{At: next[soonest].UTC(), Schedule: one.id}
		for _, group := range one.groups {
			moment.Groups = append(moment.Groups, t.nameOf(group))
		}
		slices.Sort(moment.Groups)
		list = append(list, moment)
		next[soonest] = one.calendar.Next(next[soonest])
	}
	return list
}

// nameOf is what a person calls a group; its id when the plan does not say.
func (t *timetable) nameOf(id job.GroupID) string {
	if name := t.groups[id].GroupName; name != "" {
		return name
	}
	return string(id)
}
