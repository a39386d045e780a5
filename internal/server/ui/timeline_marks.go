package ui

import (
	"cmp"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// mostExpected is how many moments of one schedule are looked at: more than a day
// has minutes.
const mostExpected = 2000

// groupName is the name of a group, or what its runs were called.
func (h lineHost) groupName(id job.GroupID) string {
	for _, group := range h.groups {
		if group.ID == id {
			return group.Name
		}
	}
	return "a removed group"
}

func (h lineHost) repository(id job.GroupID) job.RepositoryID {
	for _, group := range h.groups {
		if group.ID == id {
			return group.Repository
		}
	}
	return ""
}

// expectedSpan is how long the last run of a group took that did its work; 0 is
// not known.
func (h lineHost) expectedSpan(id job.GroupID) time.Duration {
	var newest fleet.Job
	for _, one := range h.runs {
		if one.Group == id && one.State.EndedWell() && one.FinishedAt.After(newest.FinishedAt) {
			newest = one
		}
	}
	if newest.StartedAt.IsZero() {
		return 0
	}
	return newest.FinishedAt.Sub(newest.StartedAt)
}

// past are the marks of what was done, and of moments that nothing is known of.
func (w wallClock) past(one lineHost) []LineMark {
	var marks []LineMark
	for _, chain := range occurrences(one.runs) {
		for _, run := range chain {
			mark := w.runMark(one, chain, run)
			if mark.end.After(w.from()) {
				marks = append(marks, mark)
			}
		}
	}
	for _, planned := range one.schedules {
		for _, silence := range silentMoments(planned, one, w) {
			marks = append(marks, LineMark{Kind: "silent", State: stateSilent, Title: "Backup of " + one.groupName(silence.group), Text: silentWords(one.host, w),
				When: w.moment(silence.at), Link: "/schedules/" + string(planned.ID), start: silence.at, end: silence.at, moment: silence.at, schedule: planned.ID, group: silence.group, count: 1})
		}
	}
	return marks
}

// runMark shows one run of a chain.
func (w wallClock) runMark(one lineHost, chain Occurrence, run fleet.Job) LineMark {
	mark := LineMark{Kind: "run", State: jobState(run), Title: "Backup of " + cmp.Or(groupNameOf(run), one.groupName(run.Group)), Link: "/jobs/" + string(run.ID),
		schedule: run.Schedule, group: run.Group, count: max(run.Moments, 1), moment: run.ScheduledAt}
	if run.ID == chain.last().ID {
		mark.State, mark.Text = occurrenceState(chain), chain.words()
	} else if run.Error != "" {
		mark.Text = run.Error
	}
	switch {
	case run.State == job.Skipped:
		mark.Kind, mark.start, mark.end = "skip", run.ScheduledAt, run.ScheduledAt
		if !run.ScheduledTo.IsZero() {
			mark.end = run.ScheduledTo
		}
		if run.ScheduledAt.IsZero() {
			mark.start, mark.end = run.CreatedAt, run.CreatedAt
		}
	case run.StartedAt.IsZero() && !run.State.Ended():
		mark.Kind, mark.start, mark.end = "wait", run.CreatedAt, w.now
		if run.IsOccurrence() && run.Retry == 0 {
			mark.start = run.ScheduledAt
		}
	case run.StartedAt.IsZero(): // it ended before it began
		mark.start, mark.end = run.FinishedAt, run.FinishedAt
	default:
		mark.start, mark.end = run.StartedAt, run.FinishedAt
		if run.State == job.Running {
			mark.end = w.now
		}
		mark.Text += " It took " + spanText(mark.end.Sub(mark.start)) + "."
		if run.State == job.Running {
			mark.Text = "It has run for " + spanText(mark.end.Sub(mark.start)) + "."
		}
	}
	mark.When = w.moment(mark.start)
	if late := chain.late(); late > 0 && run.ID == chain.first().ID {
		from := w.place(run.ScheduledAt)
		mark.LeadX, mark.LeadWidth = percent(from), percent(w.place(mark.start)-from)
	}
	return mark
}

// coming are the moments that the schedules of a host have ahead.
func (w wallClock) coming(one lineHost, pauses []fleet.Pause) []LineMark {
	var marks []LineMark
	paused := fleet.PausedUntil(pauses, one.host.ID, one.host.Tags, w.now)
	for _, planned := range one.schedules {
		calendar, err := schedule.Parse(planned.Rule)
		if err != nil || !planned.Enabled {
			continue // control lets no rule in that can't be read
		}
		for _, at := range calendar.Between(w.now, w.to(), mostExpected) {
			for _, group := range planned.Groups {
				mark := LineMark{Kind: "expected", State: stateExpected, Title: "Backup of " + one.groupName(group), When: w.moment(at),
					Link: "/schedules/" + string(planned.ID), start: at, end: at, moment: at, schedule: planned.ID, group: group, rule: schedule.Describe(planned.Rule), count: 1}
				if span := one.expectedSpan(group); span > 0 {
					mark.end, mark.Text = at.Add(span), "Its last run took "+spanText(span)+"."
				}
				if at.Before(paused) {
					mark.State, mark.Text, mark.end = stateWillSkip, "Scheduled runs of "+one.host.Name+" are paused until "+w.moment(paused).Text+".", at
				}
				marks = append(marks, mark)
			}
		}
	}
	slices.SortStableFunc(marks, func(a, b LineMark) int { return a.start.Compare(b.start) })
	one.queue(marks)
	return marks
}

// What may become of a moment ahead, and what of one that nothing is known of.
var (
	stateSilent      = State{Tone: ToneUnknown, Icon: "help-circle", Word: "not reported"}
	stateExpected    = State{Tone: ToneNone, Icon: "circle-dashed", Word: "expected"}
	stateWillSkip    = State{Tone: ToneHeld, Icon: "player-pause", Word: "will be skipped"}
	stateWillOverlap = State{Tone: ToneWarn, Icon: "alert-triangle", Word: "will overlap"}
)

// queue moves expected runs, the earliest first, to where they can begin: on one
// host only one at a time writes to a repository. One whose group would still be
// at work is skipped by then.
func (h lineHost) queue(marks []LineMark) {
	free := map[job.RepositoryID]time.Time{}
	busy := map[job.GroupID]time.Time{}
	for i := range marks {
		mark := &marks[i]
		if mark.State == stateWillSkip {
			continue
		}
		if mark.moment.Before(busy[mark.group]) {
			mark.State, mark.end = stateWillOverlap, mark.start
			mark.Text = "The run before it would still be at work, as long as the last one took; this one would be skipped."
			continue
		}
		repository := h.repository(mark.group)
		if from := free[repository]; mark.start.Before(from) {
			mark.end = mark.end.Add(from.Sub(mark.start))
			mark.start = from
			mark.Text += " It waits until another run is done with its repository."
		}
		free[repository], busy[mark.group] = mark.end, mark.end
	}
}

// silence is a moment of which the host has said nothing.
type silence struct {
	at    time.Time
	group job.GroupID
}

// silentMoments are those of the last day that no run and no skipped range
// stands for.
func silentMoments(planned fleet.Schedule, one lineHost, w wallClock) []silence {
	if !planned.Enabled {
		return nil
	}
	calendar, err := schedule.Parse(planned.Rule)
	if err != nil {
		return nil
	}
	from := w.from()
	if one.since.After(from) {
		from = one.since
	}
	known := map[job.ID]bool{}
	var ranges []fleet.Job
	for _, run := range one.runs {
		if run.Schedule == planned.ID {
			known[run.Occasion().RootOf(run.ID)] = true
			if !run.ScheduledTo.IsZero() {
				ranges = append(ranges, run)
			}
		}
	}
	var list []silence
	for _, at := range calendar.Between(from, w.now.Add(-schedule.OnTime), mostExpected) {
		for _, group := range planned.Groups {
			if known[job.DueID(planned.ID, group, at)] || slices.ContainsFunc(ranges, func(run fleet.Job) bool {
				return run.Group == group && !at.Before(run.ScheduledAt) && !at.After(run.ScheduledTo)
			}) {
				continue
			}
			list = append(list, silence{at, group})
		}
	}
	return list
}

// silentWords say why nothing is known of a moment that is over.
func silentWords(host fleet.Host, w wallClock) string {
	switch {
	case host.Online:
		return "Its agent has not told yet what became of it."
	case host.LastSeenAt.IsZero():
		return host.Name + " has not been in contact yet."
	case host.Presence == fleet.Intermittent:
		return host.Name + " is asleep or away since " + w.moment(host.LastSeenAt).Text + ". Its agent tells when it is back."
	}
	return host.Name + " has been out of contact since " + w.moment(host.LastSeenAt).Text + ". Its agent goes on by its schedule and tells when it is back."
}
