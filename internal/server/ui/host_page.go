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
	Tab        string // "overview", "snapshots", "sources", "schedules", "jobs", "settings"
	Running    []RunningJob
	NoRestic   bool   // a backup can't be made there
	Next       Moment // the first that no pause skips; zero is none
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
