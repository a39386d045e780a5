package ui

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// What the time line shows: a day back and a day forth.
const (
	lineBack  = 24 * time.Hour
	lineForth = 24 * time.Hour
)

// Sizes of a row. Narrower marks could be neither seen nor met; a row of more
// lanes would be a page of its own.
const (
	laneHeight = 20  // px
	markHeight = 16  // px
	narrowest  = 1.5 // percent of the line: 43 min
	roomy      = 16  // percent: a mark that words fit into
	mostLanes  = 5
)

// TimeLine is what was done and what is expected, one row for each host.
type TimeLine struct {
	Zone  string // whose clock the axis shows
	Ticks []Tick
	Rows  []LineRow
	// Crowds tell where more runs are expected at once than a storage box has
	// slots for.
	Crowds []Crowd
}

// Tick is one mark of the axis.
type Tick struct {
	X     string // percent
	Label string
	Day   bool // a day begins
}

// LineRow is one host.
type LineRow struct {
	Host   fleet.Host
	Paused *State
	// Note is told instead of marks: no schedule, or nothing to see.
	Note   string
	Height int // px
	Bands  []LineBand
	Marks  []LineMark
	// Brief is told where there is no room for a line: the last runs and the
	// next, oldest first.
	Brief []LineMark
}

// LineBand lies behind the marks of a row.
type LineBand struct {
	X, Width string // percent
	Kind     string // "paused", or "untold": more runs than are read
	Text     string
}

// LineMark is one run or expected moment, or several that look alike and stand
// too close to be told apart.
type LineMark struct {
	X, Width string // percent
	Y        int    // px
	// Lead is the wait between the moment and the beginning; "" is none.
	LeadX, LeadWidth string
	Kind             string // "run", "skip", "wait", "expected" or "silent"
	State            State
	// Inside is told in a wide mark instead of its icon, at Middle.
	Inside, Middle string
	Title          string // what it is
	Text           string // what became of it
	When           Moment
	Link           string

	start, end, moment time.Time
	newest             time.Time // the last start of several
	schedule           job.ScheduleID
	group              job.GroupID
	rule               string // of its schedule, in words
	count              int
}

// Icon is in it; "" for what is merely expected.
func (m LineMark) Icon() string {
	if m.State == stateExpected {
		return ""
	}
	return m.State.Icon
}

// TextY is the line of the words in it.
func (m LineMark) TextY() int { return m.Y + 12 }

// IconY is where its icon stands.
func (m LineMark) IconY() int { return m.Y + 2 }

// LeadY is where the wait before it stands.
func (m LineMark) LeadY() int { return m.Y + markHeight/2 - 1 }

// Label is the whole of it in one line.
func (m LineMark) Label() string {
	return m.Title + ", " + m.When.Text + ": " + m.State.Word + ". " + m.Text
}

// Crowd is a time at which a storage box has fewer slots than runs.
type Crowd struct {
	Host        fleet.Host
	When        Moment
	Runs, Slots int
}

// Waiting is how many of them wait in line.
func (c Crowd) Waiting() int { return c.Runs - c.Slots }

// lineHost is what one row is made of.
type lineHost struct {
	host      fleet.Host
	schedules []fleet.Schedule
	groups    []fleet.SourceGroup
	runs      []fleet.Job // backups, in any order
	// since is from when on the runs are complete.
	since time.Time
	// storage are the boxes that hold its repositories; those elsewhere are not
	// in it.
	storage map[job.RepositoryID]job.HostID
}

// wallClock is a time and whose clock tells it.
type wallClock struct {
	now  time.Time
	zone *time.Location
}

func (w wallClock) moment(at time.Time) Moment { return moment(at, w.now, w.zone) }

func (w wallClock) from() time.Time { return w.now.Add(-lineBack) }
func (w wallClock) to() time.Time   { return w.now.Add(lineForth) }

// place is where an instant lies on the line, in percent.
func (w wallClock) place(at time.Time) float64 {
	return min(max(float64(at.Sub(w.from()))/float64(lineBack+lineForth)*100, 0), 100)
}

func percent(value float64) string { return fmt.Sprintf("%.2f%%", value) }

// ticks are the quarters of each day.
func (w wallClock) ticks() []Tick {
	var ticks []Tick
	local := w.from().In(w.zone)
	year, month, day := local.Date()
	for n := 0; n < 16; n++ {
		at := time.Date(year, month, day, n*6, 0, 0, 0, w.zone)
		if x := w.place(at); x > 1.5 && x < 98.5 {
			tick := Tick{X: percent(x), Label: at.Format("15:04"), Day: n%4 == 0}
			if tick.Day {
				tick.Label = at.Format("Mon 2")
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// timeLine lays out the rows of some hosts. The boxes are those that hold their
// repositories.
func timeLine(hosts []lineHost, boxes []fleet.Host, pauses []fleet.Pause, w wallClock) TimeLine {
	line := TimeLine{Zone: w.zone.String(), Ticks: w.ticks()}
	expected := map[job.HostID][]LineMark{}
	for _, one := range hosts {
		marks := append(w.past(one), w.coming(one, pauses)...)
		for _, mark := range marks {
			if box, known := one.storage[one.repository(mark.group)]; known && mark.State == stateExpected { // what will be skipped wants no slot
				expected[box] = append(expected[box], mark)
			}
		}
		line.Rows = append(line.Rows, w.row(one, marks, pauses))
	}
	for _, box := range boxes {
		if box.Storage == nil {
			continue
		}
		if runs, at := busiest(expected[box.ID]); box.Storage.Slots > 0 && runs > box.Storage.Slots {
			line.Crowds = append(line.Crowds, Crowd{Host: box, When: w.moment(at), Runs: runs, Slots: box.Storage.Slots})
		}
	}
	return line
}

// busiest finds the first time at which most of the marks are at once.
func busiest(marks []LineMark) (most int, at time.Time) {
	type edge struct {
		at   time.Time
		step int
	}
	var edges []edge
	for _, mark := range marks {
		end := mark.end
		if !end.After(mark.start) {
			end = mark.start.Add(time.Minute) // nobody knows yet how long it takes
		}
		edges = append(edges, edge{mark.start, 1}, edge{end, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.step, b.step)) })
	running := 0
	for _, one := range edges {
		if running += one.step; running > most {
			most, at = running, one.at
		}
	}
	return most, at
}

// row lays out the marks of one host.
func (w wallClock) row(one lineHost, marks []LineMark, pauses []fleet.Pause) LineRow {
	row := LineRow{Host: one.host, Paused: pausedState(pauses, one.host, w)}
	for _, pause := range pauses {
		if pause.Covers(one.host.ID, one.host.Tags) && pause.Until.After(w.from()) {
			from, to := w.place(pause.CreatedAt), w.place(pause.Until)
			row.Bands = append(row.Bands, LineBand{X: percent(from), Width: percent(to - from), Kind: "paused", Text: pauseWords(pause, w)})
		}
	}
	if one.since.After(w.from()) {
		row.Bands = append(row.Bands, LineBand{X: "0%", Width: percent(w.place(one.since)), Kind: "untold",
			Text: "There are more runs here than are drawn; the history of each schedule has them all."})
	}
	switch {
	case len(one.schedules) == 0:
		row.Note = "no schedule"
	case !slices.ContainsFunc(one.schedules, func(s fleet.Schedule) bool { return s.Enabled }):
		row.Note = "disabled"
	case !slices.ContainsFunc(marks, func(m LineMark) bool { return m.Kind == "expected" }):
		row.Note = "next " + w.moment(nextRun(one.schedules, "", w.runsAfter(pauses, one.host))).Text
	}
	row.Brief = brief(marks)
	row.Marks, row.Height = w.lanes(joined(marks, w))
	return row
}

// brief are the last three marks before now and the next two.
func brief(marks []LineMark) []LineMark {
	sorted := slices.Clone(marks)
	slices.SortStableFunc(sorted, func(a, b LineMark) int { return a.start.Compare(b.start) })
	first := slices.IndexFunc(sorted, func(m LineMark) bool { return m.Kind == "expected" })
	if first < 0 {
		first = len(sorted)
	}
	return sorted[max(first-3, 0):min(first+2, len(sorted))]
}

// joined makes one mark of those of one group that look alike and stand too close
// to be told apart.
func joined(marks []LineMark, w wallClock) []LineMark {
	slices.SortStableFunc(marks, func(a, b LineMark) int {
		return cmp.Or(cmp.Compare(a.schedule, b.schedule), cmp.Compare(a.group, b.group), a.start.Compare(b.start))
	})
	var list []LineMark
	for _, mark := range marks {
		if len(list) > 0 {
			last := &list[len(list)-1]
			alike := last.schedule == mark.schedule && last.group == mark.group && last.Kind == mark.Kind && last.State.Word == mark.State.Word && mark.schedule != "" && mark.State.Tone != ToneRun
			if alike && w.place(mark.start)-w.place(last.newest) < narrowest+.2 {
				last.count += mark.count
				last.end, last.newest = mark.end, mark.start
				last.Link = "/schedules/" + string(mark.schedule)
				last.LeadX, last.LeadWidth = "", ""
				last.Text = countText(int64(last.count)) + " of them, the last at " + w.moment(mark.moment).Text + "."
				continue
			}
		}
		mark.newest = mark.start
		list = append(list, mark)
	}
	return list
}

// lanes puts marks that would cover each other under one another.
func (w wallClock) lanes(marks []LineMark) ([]LineMark, int) {
	slices.SortStableFunc(marks, func(a, b LineMark) int { return a.start.Compare(b.start) })
	var ends []float64
	for i := range marks {
		mark := &marks[i]
		from, to := w.place(mark.start), w.place(mark.end)
		to = max(to, from+narrowest)
		if to > 100 {
			from, to = min(from, 100-narrowest), 100
		}
		if now := w.place(w.now); mark.Kind != "expected" && to > now { // what was is left of now, what comes is right of it
			from, to = min(from, now-narrowest), now
		}
		lane := slices.IndexFunc(ends, func(end float64) bool { return end <= from })
		if lane < 0 && len(ends) < mostLanes {
			ends = append(ends, 0)
			lane = len(ends) - 1
		} else if lane < 0 {
			lane = mostLanes - 1
		}
		ends[lane] = max(ends[lane], to+.15)
		if to-from > roomy && mark.count > 1 {
			mark.Inside = countText(int64(mark.count)) + " " + mark.State.Word
			if mark.State == stateExpected {
				mark.Inside = mark.rule
			}
		}
		mark.X, mark.Width, mark.Y = percent(from), percent(to-from), lane*laneHeight+(laneHeight-markHeight)/2+4
		mark.Middle = percent((from + to) / 2)
	}
	return marks, max(len(ends), 1)*laneHeight + 8
}
