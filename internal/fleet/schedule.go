package fleet

import (
	"strings"
	"time"
	"unicode"

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

// DefaultJitterSeconds is the spread of a new schedule.
const DefaultJitterSeconds = 300

// MaxSchedules is how many schedules a host may have.
const MaxSchedules = 100

// ScheduleFilter narrows a list of schedules; zero values do not narrow.
type ScheduleFilter struct {
	Host    job.HostID
	Group   job.GroupID
	Enabled *bool
	Page
}

// Check adds what is wrong with the schedule's own fields. Whether the groups
// are those of its host is not seen here.
func (s *Schedule) Check(invalid *Invalid) {
	if s.Name != "" {
		CheckName(invalid, "name", s.Name)
	}
	if field, problem := s.Rule.Check(); field != "" {
		invalid.Add(field, "%s", problem)
	}
	if len(s.Groups) == 0 {
		invalid.Add("source_group_ids", "Choose at least one source group; without one nothing is backed up.")
	}
}

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

// MaxPause is how long a pause may last.
const MaxPause = 366 * 24 * time.Hour

// Check adds what is wrong with a new pause. Whether its host exists is not seen
// here.
func (p *Pause) Check(invalid *Invalid, now time.Time) {
	switch p.Scope {
	case PauseFleet:
		if p.Subject != "" {
			invalid.Add("subject", "A pause of the whole fleet names no host and no tag.")
		}
	case PauseHost:
		if p.Subject == "" {
			invalid.Add("subject", "Choose the host to pause.")
		}
	case PauseTag:
		if p.Subject == "" {
			invalid.Add("subject", "Choose the tag whose hosts are to pause.")
		} else {
			CheckTags(invalid, "subject", []string{p.Subject})
		}
	default:
		invalid.Add("scope", "A pause is for a %s, a %s or the %s.", PauseHost, PauseTag, PauseFleet)
	}
	switch {
	case !p.Until.After(now):
		invalid.Add("until", "A pause ends at a moment to come; without an end backups would stay away unnoticed.")
	case p.Until.After(now.Add(MaxPause)):
		invalid.Add("until", "A pause lasts at most a year.")
	}
	if len(p.Reason) > 500 || strings.ContainsFunc(p.Reason, unicode.IsControl) {
		invalid.Add("reason", "A reason has at most 500 bytes on one line.")
	}
}

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
