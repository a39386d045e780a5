//go:build unix

package rig

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// Schedule asks for a schedule, and is one. Without Enabled it is enabled.
type Schedule struct {
	ID            job.ScheduleID `json:"id,omitempty"`
	Name          string         `json:"name,omitempty"`
	Cron          string         `json:"cron"`
	TimeZone      string         `json:"time_zone"`
	JitterSeconds *int           `json:"jitter_seconds,omitempty"`
	Missed        string         `json:"missed_policy,omitempty"`
	Enabled       *bool          `json:"enabled,omitempty"`
	Groups        []job.GroupID  `json:"source_group_ids"`
}

// ShownSchedule is a schedule as the API shows it.
type ShownSchedule struct {
	Schedule
	HostID        job.HostID  `json:"host_id"`
	EffectiveFrom time.Time   `json:"effective_from"`
	NextTimes     []time.Time `json:"next_times"`
	Description   string      `json:"description"`
}

// Pause asks for a pause, and is one.
type Pause struct {
	ID      string    `json:"id,omitempty"`
	Scope   string    `json:"scope"`
	Subject string    `json:"subject,omitempty"`
	Until   time.Time `json:"until"`
	Reason  string    `json:"reason,omitempty"`
}

// PendingRun is a backup that waits.
type PendingRun struct {
	ID            job.ID         `json:"id"`
	HostID        job.HostID     `json:"host_id"`
	GroupID       job.GroupID    `json:"source_group_id"`
	ScheduleID    job.ScheduleID `json:"schedule_id"`
	ScheduledAt   *time.Time     `json:"scheduled_at"`
	State         job.State      `json:"state"`
	Attempt       int            `json:"attempt"`
	NextAttemptAt *time.Time     `json:"next_attempt_at"`
	Reason        string         `json:"reason"`
	Until         *time.Time     `json:"until"`
	Position      int            `json:"position"`
	Busy          int            `json:"busy"`
	Slots         int            `json:"slots"`
	Blocker       job.ID         `json:"blocker"`
	LastError     string         `json:"last_error"`
}

// Occurrence is a job that a schedule asked for.
type Occurrence struct {
	Job
	GroupID       job.GroupID    `json:"source_group_id"`
	ScheduleID    job.ScheduleID `json:"schedule_id"`
	ScheduledAt   time.Time      `json:"scheduled_at"`
	ScheduledTo   *time.Time     `json:"scheduled_to"`
	Moments       int            `json:"moments"`
	RootID        job.ID         `json:"root_id"`
	Retry         int            `json:"retry"`
	Attempt       int            `json:"attempt"`
	NextAttemptAt *time.Time     `json:"next_attempt_at"`
	ByJob         job.ID         `json:"by_job"`
	Phase         job.Phase      `json:"phase"`
	Trouble       job.Trouble    `json:"trouble"`
}

// AddSchedule adds a schedule to a host.
func (a *API) AddSchedule(t testing.TB, host job.HostID, schedule Schedule) (made ShownSchedule) {
	t.Helper()
	a.Do(t, http.StatusCreated, http.MethodPost, "/hosts/"+string(host)+"/schedules", schedule, &made)
	return made
}

// ChangeSchedule replaces a schedule by what it is now to be.
func (a *API) ChangeSchedule(t testing.TB, schedule ShownSchedule) (changed ShownSchedule) {
	t.Helper()
	wanted := schedule.Schedule
	wanted.ID = "" // it is in the path
	a.Do(t, http.StatusOK, http.MethodPut, "/schedules/"+string(schedule.ID), wanted, &changed)
	return changed
}

// EnableSchedule enables or disables a schedule.
func (a *API) EnableSchedule(t testing.TB, schedule ShownSchedule, enabled bool) ShownSchedule {
	t.Helper()
	schedule.Enabled = &enabled
	return a.ChangeSchedule(t, schedule)
}

// RemoveSchedule removes a schedule.
func (a *API) RemoveSchedule(t testing.TB, id job.ScheduleID) {
	t.Helper()
	a.Do(t, http.StatusNoContent, http.MethodDelete, "/schedules/"+string(id), nil, nil)
}

// Schedules gives the schedules of a host, oldest first.
func (a *API) Schedules(t testing.TB, host job.HostID) []ShownSchedule {
	t.Helper()
	return list[ShownSchedule](t, a, "/hosts/"+string(host)+"/schedules")
}

// Groups gives the source groups of a host by name.
func (a *API) Groups(t testing.TB, host job.HostID) []Group {
	t.Helper()
	return list[Group](t, a, "/hosts/"+string(host)+"/source-groups")
}

// RemoveGroup removes a source group.
func (a *API) RemoveGroup(t testing.TB, id job.GroupID) {
	t.Helper()
	a.Do(t, http.StatusNoContent, http.MethodDelete, "/source-groups/"+string(id), nil, nil)
}

// AddPause makes a pause.
func (a *API) AddPause(t testing.TB, pause Pause) (made Pause) {
	t.Helper()
	a.Do(t, http.StatusCreated, http.MethodPost, "/pauses", pause, &made)
	return made
}

// EndPause ends a pause now.
func (a *API) EndPause(t testing.TB, id string) {
	t.Helper()
	a.Do(t, http.StatusNoContent, http.MethodDelete, "/pauses/"+id, nil, nil)
}

// Pauses gives the pauses that hold, newest first.
func (a *API) Pauses(t testing.TB) []Pause { t.Helper(); return list[Pause](t, a, "/pauses") }

// PendingRuns gives the backups of a host that wait, newest first.
func (a *API) PendingRuns(t testing.TB, host job.HostID) []PendingRun {
	t.Helper()
	return list[PendingRun](t, a, "/pending-runs?limit=500&host_id="+string(host))
}

// RunPending lets a backup that waits go next.
func (a *API) RunPending(t testing.TB, id job.ID) {
	t.Helper()
	a.Do(t, http.StatusAccepted, http.MethodPost, "/pending-runs/"+string(id)+"/run", nil, nil)
}

// DropPending takes a backup out of the line.
func (a *API) DropPending(t testing.TB, id job.ID) {
	t.Helper()
	a.Do(t, http.StatusNoContent, http.MethodDelete, "/pending-runs/"+string(id), nil, nil)
}

// Occurrences gives the jobs that schedules asked for, newest moment first; query
// narrows them.
func (a *API) Occurrences(t testing.TB, query url.Values) []Occurrence {
	t.Helper()
	wanted := url.Values{"limit": {"500"}}
	for name, values := range query {
		wanted[name] = values
	}
	return list[Occurrence](t, a, "/occurrences?"+wanted.Encode())
}

// SetPresence says whether a host is expected to be on: always_on or intermittent.
func (a *API) SetPresence(t testing.TB, host job.HostID, presence string) {
	t.Helper()
	a.Do(t, http.StatusOK, http.MethodPatch, "/hosts/"+string(host), map[string]any{"presence": presence}, nil)
}

// SetSlots says how many jobs may move data to or from a storage box at once.
func (a *API) SetSlots(t testing.TB, storage job.HostID, slots int) {
	t.Helper()
	a.Do(t, http.StatusOK, http.MethodPatch, "/hosts/"+string(storage), map[string]any{"slots": slots}, nil)
}
