package fleet

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// AlertKind names a condition that needs a person.
type AlertKind string

// Kinds of alerts.
const (
	AlertClone      AlertKind = "clone"
	AlertRejected   AlertKind = "record_rejected"
	AlertGap        AlertKind = "records_lost"
	AlertForeignKey AlertKind = "foreign_key"
	AlertLockLeft   AlertKind = "lock_left"
	AlertRepository AlertKind = "repository_gone"
	AlertSetAside   AlertKind = "agent_state_set_aside"
	AlertAudit      AlertKind = "audit_differs"
)

// Alert is one open or closed condition. There is at most one open row for each
// kind and subject.
type Alert struct {
	ID       string
	Kind     AlertKind
	Host     job.HostID // "" when it is about no host
	Subject  string     // what it is about, beside the host
	Sentence string     // what happened and what to do
	OpenedAt time.Time
	LastAt   time.Time // when it was last seen to hold
	Count    int
	ClosedAt time.Time
}
