package ui

import (
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// HostHead is what all pages of one host have on top.
type HostHead struct {
	Host       fleet.Host
	Result     State
	Connection State
	Tab        string // "overview", "snapshots", "sources", "jobs"
	Running    []RunningJob
	NoRestic   bool   // a backup can't be made there
	Next       Moment // the first that its schedules have ahead; zero is none
	Paused     *State // nil is not
	MayPause   bool
}

// Removed tells whether the host is gone; its pages only tell then.
func (h HostHead) Removed() bool { return !h.Host.RemovedAt.IsZero() }

// HostPage is the overview of one host.
type HostPage struct {
	Frame        Frame
	Head         HostHead
	Alerts       []AlertPanel
	Sessions     []SessionRow // when two claim to be this host
	Groups       []GroupCard
	Repositories []RepositoryRow
	Live         string
	MayChange    bool
	MayRemove    bool
	Change       HostChangeForm
	Remove       RemoveForm
}

// HostChangeForm is the name and the tags as they were typed.
type HostChangeForm struct {
	Name   string
	Tags   string
	Errors FieldErrors
}

// SessionRow is one of the sessions that claim to be a host.
type SessionRow struct {
	ID       string
	Address  string
	Hostname string
	Since    time.Time
	Counter  uint64
	Unsent   uint64 // records that it had and this server had not, when it connected
	Held     bool
	First    bool // it connected before all others
}

// sessionRows are the sessions in the order in which they connected.
func sessionRows(sessions []control.SessionInfo) []SessionRow {
	var rows []SessionRow
	for _, one := range sessions {
		rows = append(rows, SessionRow{ID: one.ID, Address: one.Address, Hostname: one.Hostname, Since: one.Since, Counter: one.Counter, Unsent: one.Unsent, Held: one.Held})
	}
	slices.SortStableFunc(rows, func(a, b SessionRow) int { return a.Since.Compare(b.Since) })
	if len(rows) > 0 {
		rows[0].First = true
	}
	return rows
}

// GroupCard is one source group with what its last backup left.
type GroupCard struct {
	Group          fleet.SourceGroup
	RepositoryName string
	Ready          bool // its repository can take a backup
	HostOnline     bool
	Removed        bool // its host is
	Result         State
	Running        *RunningJob
	Queued         bool
	Last           *job.Summary // of the last backup that ended
	LastJob        job.ID
}

// CanRun tells whether "back up now" can be pressed.
func (c GroupCard) CanRun() bool { return c.Ready && c.HostOnline && c.Running == nil && !c.Queued }

// WhyNot says why "back up now" can't be pressed.
func (c GroupCard) WhyNot() string {
	switch {
	case !c.Ready:
		return "The repository is not ready."
	case c.Running != nil:
		return "It is running."
	case c.Queued:
		return "It is asked for already."
	case !c.HostOnline:
		return "The host is not in contact."
	}
	return ""
}

// shownIncludes is how many paths a card shows.
const shownIncludes = 4

// FirstIncludes are the paths that a card shows.
func (c GroupCard) FirstIncludes() []string {
	return c.Group.Includes[:min(len(c.Group.Includes), shownIncludes)]
}

// MoreIncludes is how many paths it does not show.
func (c GroupCard) MoreIncludes() int { return max(len(c.Group.Includes)-shownIncludes, 0) }

// RemoveForm asks for the typed name of what will be gone.
type RemoveForm struct {
	Name  string
	Error string
}

// Field is the input of the typed name.
func (f RemoveForm) Field() Field {
	field := Field{Name: "typed_name", Label: "Type its name to confirm", Value: f.Name}
	if f.Error != "" {
		field.Errors = []string{f.Error}
	}
	return field
}

// Keep says in words what the retention keeps.
func (c GroupCard) Keep() []string { return retentionWords(c.Group.Retention) }

func retentionWords(r fleet.Retention) []string {
	var words []string
	for _, rule := range []struct {
		number    int
		one, many string
	}{
		{r.KeepLast, "last", "last"}, {r.KeepHourly, "hourly", "hourly"}, {r.KeepDaily, "daily", "daily"},
		{r.KeepWeekly, "weekly", "weekly"}, {r.KeepMonthly, "monthly", "monthly"}, {r.KeepYearly, "yearly", "yearly"},
	} {
		if rule.number > 0 {
			words = append(words, plural(int64(rule.number), rule.one, rule.many))
		}
	}
	if r.KeepWithinDays > 0 {
		words = append(words, "all of "+plural(int64(r.KeepWithinDays), "day", "days"))
	}
	return words
}

// SnapshotsPage lists the snapshots of one host by day.
type SnapshotsPage struct {
	Frame    Frame
	Head     HostHead
	Groups   []fleet.SourceGroup
	Group    job.GroupID // the filter, "" for all
	Days     []SnapshotDay
	ListedAt time.Time // last full list from the repository
	Refresh  []RepositoryRow
	Live     string
	Next     string
}

// SnapshotDay is one day (UTC) of snapshots, newest first.
type SnapshotDay struct {
	Day  time.Time
	Rows []SnapshotRow
}

// SnapshotRow is one snapshot.
type SnapshotRow struct {
	Snapshot  fleet.Snapshot
	GroupName string // "" for one that no group of ours made
}

// HostJobsPage lists the jobs of one host.
type HostJobsPage struct {
	Frame Frame
	Head  HostHead
	List  JobList
}
