package ui

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// FleetPage is the first page: may I close this tab?
type FleetPage struct {
	Frame    Frame
	Figures  FleetFigures
	Verdict  State // the sentence is its word
	Alerts   []AlertPanel
	Filter   FleetFilter
	Tags     []string
	States   []Choice
	Rows     []FleetRow
	Storage  []StorageRow
	MayPause bool
	// Live is where the live part is fetched again.
	Live string
	Next string // address of the next page, "" for the last
}

// FleetFigures are counts over the whole fleet, whatever is filtered. Hosts are
// the endpoints; storage agents are counted apart.
type FleetFigures struct {
	Hosts   int
	Online  int // agents, those of storage boxes too
	Running int // jobs
	Queued  int // jobs
	Good    int // hosts by their last backup
	Warned  int
	Bad     int
	Other   int // cancelled
	None    int // without any backup that ended
	// FirstRunning are those among None whose first backup runs, as far as that
	// is known.
	FirstRunning int
	// Removed tells that hosts were removed; it is asked for only without hosts.
	Removed   bool
	Snapshots int
	Storage   int // storage agents
	// WorstName and the like are of the host whose backup went wrong last, as far
	// as that is known.
	WorstName  string
	WorstState job.State
	WorstAt    time.Time
	// OldestAt is the oldest last saved snapshot of all hosts; zero when it is
	// not known, or when a host has none.
	OldestAt time.Time
}

// Agents counts all of them.
func (f FleetFigures) Agents() int { return f.Hosts + f.Storage }

// FleetFilter narrows the list; it is the page's query.
type FleetFilter struct {
	Text  string
	Tag   string
	State string // a value of fleetStates
}

// Narrow tells whether anything is filtered.
func (f FleetFilter) Narrow() bool { return f != FleetFilter{} }

// FleetRow is one endpoint.
type FleetRow struct {
	Host       fleet.Host
	Result     State
	Connection State
	Running    []RunningJob
	Queued     int
	NoRestic   bool   // a backup can't be made there
	Next       Moment // the first that no pause skips; zero is none
	Paused     *State // nil is not
}

// CanRepeat tells whether the mend is one click away.
func (r FleetRow) CanRepeat() bool {
	return (r.Result.Tone == ToneBad || r.Result.Tone == ToneUnknown) && r.Host.LastJobID != "" &&
		r.Host.Online && len(r.Running) == 0 && r.Queued == 0
}

// StorageRow is one storage agent.
type StorageRow struct {
	Host         fleet.Host
	Connection   State
	Repositories int
	Disk         Bar  // used part of its disk
	NoRestic     bool // it can make no repository
}

// RunningJob is a job that is running now, with what it says of itself.
type RunningJob struct {
	ID    job.ID
	Title string
	Bar   Bar
}

// AlertPanel is one open alert. The sentence says what to do.
type AlertPanel struct {
	Alert    fleet.Alert
	HostName string
	Link     string // where to act on it, "" for nowhere
}
