package ui

import (
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// JobTabs are the two lists of jobs.
type JobTabs struct {
	Pending bool // the list of those that wait is shown
	Waiting int
}

// JobListPage lists jobs of all hosts.
type JobListPage struct {
	Frame Frame
	Tabs  JobTabs
	List  JobList
}

// JobList is a list of jobs with its filter.
type JobList struct {
	Action string // where the filter form goes
	Filter JobListFilter
	Kinds  []job.KindInfo
	States []job.StateInfo
	Rows   []JobRow
	OfHost bool // all of one host: the host is not shown
	Live   string
	Next   string
}

// JobListFilter is the list's query.
type JobListFilter struct {
	Host  string // a name or an id
	Kind  job.Kind
	State string // a state, or "active"
}

// Narrow tells whether anything is filtered.
func (f JobListFilter) Narrow() bool { return f != JobListFilter{} }

// JobRow is one job in a list.
type JobRow struct {
	Job       fleet.Job
	State     State
	Title     string
	HostName  string
	GroupName string
	Occasion  string // which moment of which schedule it is for; "" is none
	Bar       *Bar   // while it runs
	Took      string
	Result    string // one line: what it did, or why not
}
