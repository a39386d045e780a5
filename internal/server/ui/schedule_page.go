package ui

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// SchedulesPage shows a day back and a day forth of the fleet's schedules.
type SchedulesPage struct {
	Frame    Frame
	Filter   FleetFilter
	States   []Choice
	Tags     []string
	Line     TimeLine
	Rows     []ScheduleRow
	Pauses   []PauseNote
	MayPause bool
	Live     string
	Next     string
}

// ScheduleRow is one schedule in a list.
type ScheduleRow struct {
	Schedule   fleet.Schedule
	Host       fleet.Host
	GroupNames []string
	When       string // its rule in words
	Next       Moment // the first that no pause skips; zero while it is disabled
	Paused     *State
	Last       State // what became of its newest moment
	MayChange  bool
	OfHost     bool // all of one host: the host is not shown
}

// Spread is how much later its runs may begin while the server is away.
func (r ScheduleRow) Spread() string {
	return spanText(time.Duration(r.Schedule.JitterSeconds) * time.Second)
}

// What are its groups, as a sentence names them.
func (r ScheduleRow) What() string { return listText(r.GroupNames) }

// Title is its name or, without one, its rule.
func (r ScheduleRow) Title() string { return scheduleTitle(r.Schedule) }

// scheduleTitle is the name of a schedule or, without one, its rule.
func scheduleTitle(s fleet.Schedule) string {
	if s.Name != "" {
		return s.Name
	}
	return schedule.Describe(s.Rule)
}

// SchedulePage is one schedule with its history.
type SchedulePage struct {
	Frame     Frame
	Row       ScheduleRow
	Sentence  string // what it does, in full
	Missed    string // what becomes of missed moments
	Times     NextTimes
	Groups    []fleet.SourceGroup
	Filter    string // a value of outcomes
	Outcomes  []Choice
	Entries   []OccurrenceRow
	Untold    string // why there is no entry, when nothing was ever told
	Silent    string // moments of the last day without a word; "" is none
	MayChange bool
	Live      string
	Next      string
}

// OccurrenceRow is what became of one moment for one group.
type OccurrenceRow struct {
	Moment    Moment
	To        Moment // of a range of skipped ones; zero otherwise
	GroupName string
	State     State
	Words     string
	By        string
	Job       job.ID // the last of its runs; "" when there is nothing to see
	Chain     []ChainLink
	Other     job.ID // the job that stands for it
	Took      string
}

// ChainLink is one of several runs of one moment.
type ChainLink struct {
	Job  job.ID
	Word string // "first run", "1st retry"
}

// occurrenceRow tells an occurrence by a clock.
func occurrenceRow(o Occurrence, w wallClock) OccurrenceRow {
	one := o.last()
	row := OccurrenceRow{Moment: w.moment(o.first().ScheduledAt), GroupName: groupNameOf(one), State: occurrenceState(o), Words: o.words(), By: o.byWords(), Other: one.By}
	if to := o.first().ScheduledTo; !to.IsZero() && to.After(o.first().ScheduledAt) {
		row.To = w.moment(to)
	}
	row.Job = one.ID
	if !one.StartedAt.IsZero() && one.FinishedAt.After(one.StartedAt) {
		row.Took = durationText(one.FinishedAt.Sub(one.StartedAt))
	}
	if len(o) > 1 {
		row.Chain = chainLinks(o)
	}
	return row
}

func chainLinks(o Occurrence) []ChainLink {
	var links []ChainLink
	for _, run := range o {
		word := "first run"
		if run.Retry > 0 {
			word = ordinalText(run.Retry) + " retry"
		}
		links = append(links, ChainLink{run.ID, word})
	}
	return links
}

// HostSchedulesPage lists the schedules of one host.
type HostSchedulesPage struct {
	Frame     Frame
	Head      HostHead
	Line      TimeLine
	Rows      []ScheduleRow
	HasGroups bool
	Unplanned []fleet.SourceGroup // groups that no enabled schedule runs
	Pauses    []PauseNote         // that cover it, but those of the whole fleet
	MayChange bool
	Live      string
}

// ScheduleFormPage makes or changes one schedule.
type ScheduleFormPage struct {
	Frame    Frame
	Head     HostHead
	Schedule job.ScheduleID // "" for a new one
	Form     ScheduleForm
	Groups   []fleet.SourceGroup
	Times    NextTimes
	Zones    []string // that are offered without a script
	Errors   FieldErrors
}

// NextTimes are the moments that a rule has ahead, or what is wrong with it.
type NextTimes struct {
	Sentence string // "every day at 02:30, Europe/Berlin"
	Problem  string
	Rows     []NextTime
	Zone     string
	Yours    string // the zone of who looks; "" when it is the same clock
	Change   string // what a change of the clock within them does; "" is none
}

// NextTime is one moment ahead.
type NextTime struct {
	At    time.Time
	There string // by the clock of the schedule
	Yours string // by the clock of who looks
}
