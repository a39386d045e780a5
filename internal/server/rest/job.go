package rest

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// Job is a job in JSON.
type Job struct {
	ID           job.ID           `json:"id"`
	HostID       job.HostID       `json:"host_id"`
	Kind         job.Kind         `json:"kind"`
	State        job.State        `json:"state"`
	Cause        job.Cause        `json:"cause" doc:"Why it ended other than by finishing; empty for the usual end."`
	Origin       job.Origin       `json:"origin" doc:"Who asked: operator, schedule, server or agent."`
	AskedBy      string           `json:"asked_by" doc:"The person or API token, empty for the server itself."`
	GroupID      job.GroupID      `json:"source_group_id"`
	RepositoryID job.RepositoryID `json:"repository_id"`

	ScheduleID    job.ScheduleID `json:"schedule_id" doc:"Empty for a job that no schedule asked for."`
	ScheduledAt   *time.Time     `json:"scheduled_at" doc:"The moment of its schedule, or the first one of a range that was skipped."`
	ScheduledTo   *time.Time     `json:"scheduled_to" doc:"The last moment of a range that was skipped."`
	Moments       int            `json:"moments" doc:"How many moments such a range has; 0 for a single one."`
	RootID        job.ID         `json:"root_id" doc:"The first run of a chain of retries; empty for the first one itself."`
	Retry         int            `json:"retry" doc:"Its number in that chain."`
	Attempt       int            `json:"attempt" doc:"How many attempts are used up."`
	NextAttemptAt *time.Time     `json:"next_attempt_at" doc:"When one that waits is due."`
	ByJob         job.ID         `json:"by_job" doc:"The job that stands for one that was skipped."`
	Phase         job.Phase      `json:"phase" doc:"What a running one waits for, or does beside its work; empty while it works."`
	Trouble       job.Trouble    `json:"trouble" doc:"Why a backup failed, as far as restic tells."`

	CreatedAt         *time.Time `json:"created_at"`
	SentAt            *time.Time `json:"sent_at"`
	AcceptedAt        *time.Time `json:"accepted_at" doc:"When it was on the agent's disk."`
	StartedAt         *time.Time `json:"started_at"`
	FinishedAt        *time.Time `json:"finished_at"`
	CancelRequestedAt *time.Time `json:"cancel_requested_at"`

	ExitCode *int          `json:"exit_code" doc:"Of restic."`
	Error    string        `json:"error"`
	Summary  *job.Summary  `json:"summary" doc:"What it has to show once it has ended."`
	Progress *job.Progress `json:"progress" doc:"While it runs."`
	Command  []string      `json:"command" nullable:"false" doc:"As it was run; it never holds a secret."`

	LogLines   int64 `json:"log_lines"`
	LogBytes   int64 `json:"log_bytes"`
	LogOmitted int64 `json:"log_omitted" doc:"Lines left out to keep the log bounded."`
}

// TransformSchema implements huma.SchemaTransformer.
func (Job) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "summary", "progress")
}

func (a *API) showJob(j fleet.Job) Job {
	shown := Job{
		ID: j.ID, HostID: j.Host, Kind: j.Kind, State: j.State, Cause: j.Cause, Origin: j.Origin, AskedBy: j.AskedBy,
		GroupID: j.Group, RepositoryID: j.Repository,
		ScheduleID: j.Schedule, ScheduledAt: at(j.ScheduledAt), ScheduledTo: at(j.ScheduledTo), Moments: j.Moments, RootID: j.Root, Retry: j.Retry,
		Attempt: j.Attempt, NextAttemptAt: at(j.NextAttemptAt), ByJob: j.By, Phase: j.Phase, Trouble: j.Trouble,
		CreatedAt: at(j.CreatedAt), SentAt: at(j.SentAt), AcceptedAt: at(j.AcceptedAt), StartedAt: at(j.StartedAt),
		FinishedAt: at(j.FinishedAt), CancelRequestedAt: at(j.CancelRequestedAt),
		ExitCode: j.ExitCode, Error: j.Error, Summary: j.Summary, Command: orEmpty(j.Command),
		LogLines: j.LogLines, LogBytes: j.LogBytes, LogOmitted: j.LogOmitted,
	}
	if progress, running := a.Control.Progress(j.ID); running && !j.State.Ended() {
		shown.Progress = &progress
	}
	return shown
}

type jobsInput struct {
	Paged
	Host   job.HostID  `query:"host_id" maxLength:"64"`
	Group  job.GroupID `query:"source_group_id" maxLength:"64"`
	Kind   job.Kind    `query:"kind" maxLength:"64"`
	State  job.State   `query:"state" maxLength:"64"`
	Active bool        `query:"active" doc:"Only jobs that have not ended."`
}

func (a *API) jobs(ctx context.Context, _ auth.Identity, in *jobsInput) (*list[Job], error) {
	var invalid fleet.Invalid
	if _, known := job.InfoOf(in.Kind); in.Kind != "" && !known {
		invalid.Add("kind", "There is no kind of job named %q.", in.Kind)
	}
	if in.State != "" && !in.State.Valid() {
		invalid.Add("state", "There is no state named %q.", in.State)
	}
	if err := invalid.Err(); err != nil {
		return nil, err
	}
	jobs, next, err := a.Store.Jobs(ctx, fleet.JobFilter{Host: in.Host, Group: in.Group, Kind: in.Kind, State: in.State, Active: in.Active, Page: in.page()})
	if err != nil {
		return nil, err
	}
	return listOf(jobs, next, a.showJob), nil
}

func (a *API) job(ctx context.Context, _ auth.Identity, in *ByID) (*only[Job], error) {
	found, err := a.Store.Job(ctx, job.ID(in.ID))
	if err != nil {
		return nil, err
	}
	return &only[Job]{a.showJob(found)}, nil
}

type newJobInput struct {
	ByID
	Body struct {
		Kind          job.Kind         `json:"kind" minLength:"1" maxLength:"64" example:"backup"`
		Group         job.GroupID      `json:"source_group_id,omitempty" maxLength:"64" doc:"What to back up."`
		Repository    job.RepositoryID `json:"repository_id,omitempty" maxLength:"64" doc:"For kinds without a source group; without it the host's only one."`
		ReadAll       bool             `json:"read_all,omitempty" doc:"Read all that is stored, for kind check."`
		LockID        string           `json:"lock_id,omitempty" maxLength:"64" doc:"The lock to remove, for kind unlock."`
		Includes      []string         `json:"includes,omitempty" maxItems:"1000" doc:"Paths to look at, for kind preview."`
		Excludes      []string         `json:"excludes,omitempty" maxItems:"1000" doc:"Patterns as restic understands them, for kind preview."`
		OneFileSystem bool             `json:"one_file_system,omitempty" doc:"For kind preview."`
		ExcludeCaches bool             `json:"exclude_caches,omitempty" doc:"For kind preview."`
		WhenBack      bool             `json:"when_back,omitempty" doc:"Let a backup wait for a host that is offline."`
	}
}

type jobCreated struct {
	Location string `header:"Location"`
	Body     Job
}

func (a *API) createJob(ctx context.Context, who auth.Identity, in *newJobInput) (*jobCreated, error) {
	wanted := control.NewJob{
		Host: job.HostID(in.ID), Kind: in.Body.Kind, Group: in.Body.Group,
		Repository: in.Body.Repository, LockID: in.Body.LockID, ReadAll: in.Body.ReadAll, WhenBack: in.Body.WhenBack,
	}
	if in.Body.Kind == job.PreviewSources {
		wanted.Preview = &job.PreviewSpec{Includes: in.Body.Includes, Excludes: in.Body.Excludes,
			OneFileSystem: in.Body.OneFileSystem, ExcludeCaches: in.Body.ExcludeCaches}
	}
	created, err := a.Control.CreateJob(ctx, who, wanted)
	if err != nil {
		return nil, err
	}
	return &jobCreated{Prefix + "/jobs/" + string(created.ID), a.showJob(created)}, nil
}

func (a *API) cancelJob(ctx context.Context, who auth.Identity, in *ByID) (*only[Job], error) {
	cancelled, err := a.Control.CancelJob(ctx, who, job.ID(in.ID))
	if err != nil {
		return nil, err
	}
	return &only[Job]{a.showJob(cancelled)}, nil
}
