//go:build unix

package rig

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// The types name the fields of the API again on purpose: they are a contract.

// Host is a host as the API shows it.
type Host struct {
	ID              job.HostID `json:"id"`
	Name            string     `json:"name"`
	Online          bool       `json:"online"`
	OS              string     `json:"os"`
	Arch            string     `json:"arch"`
	AgentVersion    string     `json:"agent_version"`
	ResticVersion   string     `json:"restic_version"`
	Tags            []string   `json:"tags"`
	LastBackupAt    *time.Time `json:"last_backup_at"`
	LastBackupState job.State  `json:"last_backup_state"`
	Presence        string     `json:"presence"`
	PausedUntil     *time.Time `json:"paused_until"`
	QuarantinedAt   *time.Time `json:"quarantined_at"`
	RemovedAt       *time.Time `json:"removed_at"`
}

// Session is one machine that uses a host's identity.
type Session struct {
	ID   string `json:"id"`
	Held bool   `json:"held"`
}

// Invitation asks for an enrolment token.
type Invitation struct {
	Name               string     `json:"name,omitempty"`
	Tags               []string   `json:"tags,omitempty"`
	Storage            job.HostID `json:"storage_id,omitempty"`
	RepositoryURL      string     `json:"repository_url,omitempty"`
	RepositoryUser     string     `json:"repository_user,omitempty"`
	RepositoryPassword string     `json:"repository_password,omitempty"`
	RepositoryKey      string     `json:"repository_key,omitempty"`
}

// Enrollment is an enrolment token; Token and Command come only at its making.
type Enrollment struct {
	ID        string     `json:"id"`
	Token     string     `json:"token"`
	Command   string     `json:"command"`
	ExpiresAt *time.Time `json:"expires_at"`
	HostID    job.HostID `json:"host_id"`
}

// Repository is a repository as the API shows it.
type Repository struct {
	ID         job.RepositoryID `json:"id"`
	URL        string           `json:"url"`
	HostID     job.HostID       `json:"host_id"`
	User       string           `json:"user"`
	Ready      bool             `json:"ready"`
	AppendOnly *bool            `json:"append_only"`
}

// Group asks for a source group, and is one.
type Group struct {
	ID               job.GroupID `json:"id,omitempty"`
	Name             string      `json:"name"`
	Includes         []string    `json:"includes"`
	Excludes         []string    `json:"excludes,omitempty"`
	LimitUploadKiB   int         `json:"limit_upload_kib,omitempty"`
	RetryLockMinutes *int        `json:"retry_lock_minutes,omitempty"`
	Tags             []string    `json:"tags,omitempty"`
	RetryMax         int         `json:"retry_max,omitempty"`
	RetryBackoff     int         `json:"retry_backoff_seconds,omitempty"`
	PreHook          *job.Hook   `json:"pre_hook,omitempty"`
	PostHook         *job.Hook   `json:"post_hook,omitempty"`
}

// Job is a job as the API shows it.
type Job struct {
	ID         job.ID        `json:"id"`
	HostID     job.HostID    `json:"host_id"`
	Kind       job.Kind      `json:"kind"`
	State      job.State     `json:"state"`
	Cause      job.Cause     `json:"cause"`
	Origin     job.Origin    `json:"origin"`
	CreatedAt  *time.Time    `json:"created_at"`
	AcceptedAt *time.Time    `json:"accepted_at"`
	StartedAt  *time.Time    `json:"started_at"`
	FinishedAt *time.Time    `json:"finished_at"`
	ExitCode   *int          `json:"exit_code"`
	Error      string        `json:"error"`
	Summary    *job.Summary  `json:"summary"`
	Progress   *job.Progress `json:"progress"`
	LogLines   int64         `json:"log_lines"`
}

// Snapshot is a snapshot as the API shows it.
type Snapshot struct {
	job.Snapshot
	GroupID job.GroupID `json:"source_group_id"`
	JobID   job.ID      `json:"job_id"`
}

// Alert is an open alert.
type Alert struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind"`
	HostID   job.HostID `json:"host_id"`
	Sentence string     `json:"sentence"`
	Count    int        `json:"count"`
}

// AuditEntry is one line of the audit table.
type AuditEntry struct {
	Actor   string `json:"actor"`
	Action  string `json:"action"`
	Subject string `json:"subject"`
}

// Hosts gives every host that was not removed.
func (a *API) Hosts(t testing.TB) []Host { t.Helper(); return list[Host](t, a, "/hosts?limit=500") }

// Host gives one host.
func (a *API) Host(t testing.TB, id job.HostID) Host {
	t.Helper()
	return get[Host](t, a, "/hosts/"+string(id))
}

// RemoveHost removes a host.
func (a *API) RemoveHost(t testing.TB, id job.HostID) {
	t.Helper()
	a.Do(t, http.StatusNoContent, http.MethodDelete, "/hosts/"+string(id), nil, nil)
}

// Sessions gives the machines that use a host's identity.
func (a *API) Sessions(t testing.TB, id job.HostID) []Session {
	t.Helper()
	return list[Session](t, a, "/hosts/"+string(id)+"/sessions")
}

// Invite makes an enrolment token.
func (a *API) Invite(t testing.TB, invitation Invitation) (made Enrollment) {
	t.Helper()
	a.Do(t, http.StatusCreated, http.MethodPost, "/enrollment-tokens", invitation, &made)
	return made
}

// Enrollment gives an enrolment token without its secret.
func (a *API) Enrollment(t testing.TB, id string) Enrollment {
	t.Helper()
	return get[Enrollment](t, a, "/enrollment-tokens/"+id)
}

// Repository gives the one repository of a host.
func (a *API) Repository(t testing.TB, host job.HostID) Repository {
	t.Helper()
	found := list[Repository](t, a, "/repositories?host_id="+string(host))
	if len(found) != 1 {
		t.Fatalf("host %s has %d repositories, want one", host, len(found))
	}
	return found[0]
}

// AddGroup adds a source group to a host.
func (a *API) AddGroup(t testing.TB, host job.HostID, group Group) (made Group) {
	t.Helper()
	a.Do(t, http.StatusCreated, http.MethodPost, "/hosts/"+string(host)+"/source-groups", group, &made)
	return made
}

// BackUp asks for a backup now.
func (a *API) BackUp(t testing.TB, host job.HostID, group job.GroupID) (created Job) {
	t.Helper()
	a.Do(t, http.StatusAccepted, http.MethodPost, "/hosts/"+string(host)+"/jobs",
		map[string]any{"kind": job.Backup, "source_group_id": group}, &created)
	return created
}

// Job gives one job.
func (a *API) Job(t testing.TB, id job.ID) Job {
	t.Helper()
	return get[Job](t, a, "/jobs/"+string(id))
}

// Jobs gives the jobs of a host, newest first; query narrows them further.
func (a *API) Jobs(t testing.TB, host job.HostID, query string) []Job {
	t.Helper()
	return list[Job](t, a, "/jobs?limit=500&host_id="+string(host)+"&"+query)
}

// Cancel asks for the end of a job.
func (a *API) Cancel(t testing.TB, id job.ID) {
	t.Helper()
	a.Do(t, http.StatusAccepted, http.MethodPost, "/jobs/"+string(id)+"/cancel", nil, nil)
}

// Log gives a job's log as text.
func (a *API) Log(t testing.TB, id job.ID) string {
	t.Helper()
	answer, err := a.Ask(context.WithoutCancel(t.Context()), http.MethodGet, "/jobs/"+string(id)+"/log", nil)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("read the log of %s: %d %v", id, answer.Status, err)
	}
	return string(answer.Body)
}

// Snapshots gives the snapshots of a host, newest first.
func (a *API) Snapshots(t testing.TB, host job.HostID) []Snapshot {
	t.Helper()
	return list[Snapshot](t, a, "/hosts/"+string(host)+"/snapshots?limit=500")
}

// Alerts gives the open alerts of a host.
func (a *API) Alerts(t testing.TB, host job.HostID) []Alert {
	t.Helper()
	return list[Alert](t, a, "/alerts?host_id="+string(host))
}

// Audit gives the audit entries about one thing, newest first.
func (a *API) Audit(t testing.TB, subject string) []AuditEntry {
	t.Helper()
	return list[AuditEntry](t, a, "/audit?limit=500&subject="+subject)
}

// WaitJob waits until the job is in one of the states, for at most 40 seconds.
// Without states any end will do. A job that ended otherwise fails the test
// with its error and its log.
func (a *API) WaitJob(t testing.TB, id job.ID, states ...job.State) (found Job) {
	t.Helper()
	deadline := time.Now().Add(patience)
	testkit.WaitFor(t, patience+time.Second, fmt.Sprintf("job %s to be %v", id, states), func() bool {
		found = a.Job(t, id)
		if slices.Contains(states, found.State) || len(states) == 0 && found.State.Ended() {
			return true
		}
		if found.State.Ended() || time.Now().After(deadline) {
			t.Fatalf("job %s is %s (cause %q), want %v; it says %q\n%s", id, found.State, found.Cause, states, found.Error, a.Log(t, id))
		}
		return false
	})
	return found
}
