package fleet

import (
	"encoding/json"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// Job is a job as the server knows it. Zero times mean "not yet".
type Job struct {
	ID     job.ID
	Host   job.HostID
	Kind   job.Kind
	State  job.State
	Origin job.Origin
	// Cause is why it ended other than by finishing; "" for the usual end.
	Cause job.Cause
	// AskedBy names the person or API token, "" for the server itself.
	AskedBy string

	Group      job.GroupID
	Repository job.RepositoryID
	// Schedule is "" for a run that no schedule asked for.
	Schedule job.ScheduleID
	// ScheduledAt is the moment of an occurrence; ScheduledTo and Moments are the
	// last one and the number of a range of skipped ones, zero for a single one.
	ScheduledAt time.Time
	ScheduledTo time.Time
	Moments     int
	// Root is the first run of a chain of retries, "" for the first one itself;
	// Retry is its number in the chain.
	Root  job.ID
	Retry int
	// Attempt counts the attempts that are used up: the number of the retry, and
	// dispatches that were refused or not answered. NextAttemptAt is when a queued
	// one is due.
	Attempt       int
	NextAttemptAt time.Time
	// HurriedAt is when a person asked for it to go at once: it comes first in its
	// line, and a pause that began before does not hold it.
	HurriedAt time.Time
	// By is the job that stands for a skipped one.
	By job.ID
	// Phase is what a running one waits for.
	Phase job.Phase
	// Trouble is why a backup failed, as far as restic tells.
	Trouble job.Trouble
	// Spec is what was asked, without secrets; it is resolved again when sent.
	Spec json.RawMessage

	CreatedAt         time.Time
	SentAt            time.Time
	AcceptedAt        time.Time
	StartedAt         time.Time
	FinishedAt        time.Time
	CancelRequestedAt time.Time

	ExitCode *int
	Error    string
	Summary  *job.Summary
	Command  []string

	// LogLines and LogBytes are what its log holds; LogOmitted lines were left out.
	LogLines   int64
	LogBytes   int64
	LogOmitted int64
}

// IsOccurrence tells whether a schedule asked for the job.
func (j Job) IsOccurrence() bool { return !j.ScheduledAt.IsZero() }

// Occasion says why the job is there.
func (j Job) Occasion() job.Occasion {
	occasion := job.Occasion{Schedule: j.Schedule, Root: j.Root, Retry: j.Retry}
	if j.IsOccurrence() {
		occasion.ScheduledAt = j.ScheduledAt.UnixMilli()
	}
	return occasion
}

// OccurrenceFilter narrows a list of occurrences; zero values do not narrow.
type OccurrenceFilter struct {
	Host     job.HostID
	Group    job.GroupID
	Schedule job.ScheduleID
	State    job.State
	Cause    job.Cause
	// From and To bound the moments, both included; of a range of skipped moments
	// the last one counts.
	From, To time.Time
	Page
}

// JobFilter narrows a list of jobs; zero values do not narrow.
type JobFilter struct {
	Host   job.HostID
	Group  job.GroupID
	Kind   job.Kind
	State  job.State
	Active bool // queued, sent or running
	Page
}

// Page asks for one page of a list.
type Page struct {
	Limit  int    // 1 to 500; 0 is 100
	Cursor string // from the page before; "" is the first
}

// Size is the limit within its bounds.
func (p Page) Size() int {
	switch {
	case p.Limit <= 0:
		return 100
	case p.Limit > 500:
		return 500
	}
	return p.Limit
}

// Snapshot is the projection of one snapshot.
type Snapshot struct {
	job.Snapshot
	Repository job.RepositoryID
	HostID     job.HostID  // whose repository it is in
	Group      job.GroupID // "" for one that no group of ours made
	Job        job.ID      // "" when no job reported it
	SeenAt     time.Time
}
