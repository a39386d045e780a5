package fleet

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// Schedule is when the groups of one host are backed up.
type Schedule struct {
	ID   job.ScheduleID
	Host job.HostID
	Name string // for people; may be ""
	schedule.Rule
	Enabled   bool
	Groups    []job.GroupID // by id; at least one
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Defaults of a new schedule.
const DefaultJitterSeconds = 300

// Pause keeps schedules from starting anything until a moment.
type Pause struct {
	ID    string
	Scope PauseScope
	// Subject is the id of a host or a tag; "" for the whole fleet.
	Subject   string
	Until     time.Time
	Reason    string // one sentence of whoever asked; may be ""
	CreatedAt time.Time
	CreatedBy string
}

// PauseScope says what a pause is for.
type PauseScope string

// Scopes.
const (
	PauseHost  PauseScope = "host"
	PauseTag   PauseScope = "tag"
	PauseFleet PauseScope = "fleet"
)

// Covers tells whether the pause is for this host.
func (p Pause) Covers(host job.HostID, tags []string) bool {
	switch p.Scope {
	case PauseFleet:
		return true
	case PauseHost:
		return p.Subject == string(host)
	case PauseTag:
		for _, tag := range tags {
			if tag == p.Subject {
				return true
			}
		}
	}
	return false
}

// PausedUntil is the end of the last pause that covers a host now; zero is none.
func PausedUntil(pauses []Pause, host job.HostID, tags []string, now time.Time) (until time.Time) {
	for _, p := range pauses {
		if p.Covers(host, tags) && p.Until.After(now) && p.Until.After(until) {
			until = p.Until
		}
	}
	return until
}

// WaitReason says why a pending run waits.
type WaitReason string

// Reasons.
const (
	WaitsForHost       WaitReason = "host_offline"
	WaitsForPause      WaitReason = "paused"
	WaitsForBackoff    WaitReason = "backoff"
	WaitsForRepository WaitReason = "repository_busy" // its host writes to it already
	WaitsForSlot       WaitReason = "slot"
	WaitsForQuarantine WaitReason = "quarantined"
	WaitsForAgent      WaitReason = "sent" // the agent has not yet taken it
	WaitsForTurn       WaitReason = "turn" // the next pass takes it
)

// PendingRun is a backup that waits, and why.
type PendingRun struct {
	Job
	Reason WaitReason
	// Until is when the reason ends by itself; zero is not known.
	Until time.Time
	// Position is its place in the line for a slot of its rest-server, 1 is next;
	// 0 when it stands in no line. Busy of Slots slots are taken.
	Position, Busy, Slots int
	// Blocker is the job that it waits for; "" is none.
	Blocker job.ID
}
