package rest

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// SourceGroup is a source group in JSON.
type SourceGroup struct {
	ID           job.GroupID      `json:"id"`
	HostID       job.HostID       `json:"host_id"`
	Name         string           `json:"name"`
	RepositoryID job.RepositoryID `json:"repository_id"`
	Includes     []string         `json:"includes" nullable:"false"`
	Excludes     []string         `json:"excludes" nullable:"false"`
	fleet.GroupOptions
	Retention fleet.Retention `json:"retention" doc:"Stored and checked; nothing is forgotten until maintenance exists."`
	CreatedAt *time.Time      `json:"created_at"`
	UpdatedAt *time.Time      `json:"updated_at"`

	LastJobID    job.ID     `json:"last_job_id"`
	LastState    job.State  `json:"last_state"`
	LastEndedAt  *time.Time `json:"last_ended_at"`
	LastBackupAt *time.Time `json:"last_backup_at"`
	LastError    string     `json:"last_error"`
}

// TransformSchema implements huma.SchemaTransformer.
func (SourceGroup) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "pre_hook", "post_hook")
}

func showGroup(g fleet.SourceGroup) SourceGroup {
	return SourceGroup{
		ID: g.ID, HostID: g.Host, Name: g.Name, RepositoryID: g.Repository, Includes: orEmpty(g.Includes), Excludes: orEmpty(g.Excludes),
		GroupOptions: g.Options, Retention: g.Retention, CreatedAt: at(g.CreatedAt), UpdatedAt: at(g.UpdatedAt),
		LastJobID: g.LastJobID, LastState: g.LastState, LastEndedAt: at(g.LastEndedAt), LastBackupAt: at(g.LastBackupAt), LastError: g.LastError,
	}
}

// groupBody is what a person may say about a source group. fleet checks it.
type groupBody struct {
	Name             string           `json:"name"`
	RepositoryID     job.RepositoryID `json:"repository_id,omitempty" doc:"Without it the host's only one."`
	Includes         []string         `json:"includes" nullable:"false" doc:"Whole paths of folders and files."`
	Excludes         []string         `json:"excludes,omitempty" nullable:"false" doc:"Patterns as restic takes them."`
	OneFileSystem    bool             `json:"one_file_system,omitempty"`
	ExcludeCaches    *bool            `json:"exclude_caches,omitempty" doc:"True without it."`
	UseVSS           bool             `json:"use_vss,omitempty" doc:"Read from a volume shadow copy, on Windows only."`
	LimitUploadKiB   int              `json:"limit_upload_kib,omitempty" doc:"KiB per second; 0 is no limit."`
	LimitDownloadKiB int              `json:"limit_download_kib,omitempty" doc:"KiB per second; 0 is no limit."`
	RetryLockMinutes *int             `json:"retry_lock_minutes,omitempty" doc:"How long to wait for a lock; 30 without it."`
	Tags             []string         `json:"tags,omitempty" nullable:"false" doc:"Put on each snapshot."`
	RetryMax         *int             `json:"retry_max,omitempty" minimum:"1" doc:"How many attempts a run has, the first one included; 10 without it."`
	RetryBackoff     *int             `json:"retry_backoff_seconds,omitempty" minimum:"1" doc:"The wait before the second attempt, which doubles; 60 without it."`
	PreHook          *job.Hook        `json:"pre_hook,omitempty" doc:"Runs on the host before each backup, if its own policy lets it."`
	PostHook         *job.Hook        `json:"post_hook,omitempty" doc:"Runs on the host after each backup, if its own policy lets it."`
	ShrinkPercent    *int             `json:"shrink_percent,omitempty" doc:"Warn of a backup that is smaller than the last good one by more than this; 0 never does, 50 without it."`
	Retention        *retentionBody   `json:"retention,omitempty" doc:"A new group takes a default without it. Nothing is forgotten until maintenance exists."`
}

// TransformSchema implements huma.SchemaTransformer.
func (groupBody) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	return mayBeNull(r, s, "pre_hook", "post_hook")
}

// retentionBody is fleet.Retention with every number optional.
type retentionBody struct {
	KeepLast       int `json:"keep_last,omitempty"`
	KeepHourly     int `json:"keep_hourly,omitempty"`
	KeepDaily      int `json:"keep_daily,omitempty"`
	KeepWeekly     int `json:"keep_weekly,omitempty"`
	KeepMonthly    int `json:"keep_monthly,omitempty"`
	KeepYearly     int `json:"keep_yearly,omitempty"`
	KeepWithinDays int `json:"keep_within_days,omitempty"`
}

// group is the whole of a source group that the body describes.
func (b groupBody) group() fleet.SourceGroup {
	g := fleet.SourceGroup{
		Name: b.Name, Repository: b.RepositoryID, Includes: orEmpty(b.Includes), Excludes: orEmpty(b.Excludes),
		Options: fleet.DefaultGroupOptions(), Retention: fleet.DefaultRetention,
	}
	o := &g.Options
	o.OneFileSystem, o.UseVSS, o.LimitUploadKiB, o.LimitDownloadKiB = b.OneFileSystem, b.UseVSS, b.LimitUploadKiB, b.LimitDownloadKiB
	o.Tags, o.PreHook, o.PostHook = orEmpty(b.Tags), b.PreHook, b.PostHook
	take(b.ExcludeCaches, &o.ExcludeCaches)
	take(b.RetryLockMinutes, &o.RetryLockMinutes)
	take(b.RetryMax, &o.RetryMax)
	take(b.RetryBackoff, &o.RetryBackoffSeconds)
	take(b.ShrinkPercent, &o.ShrinkPercent)
	if b.Retention != nil {
		g.Retention = fleet.Retention(*b.Retention)
	}
	return g
}

// take writes what was said over a default.
func take[T any](said *T, into *T) {
	if said != nil {
		*into = *said
	}
}

type groupInput struct {
	ByID
	Body groupBody
}

func (a *API) groups(ctx context.Context, _ auth.Identity, in *ByID) (*list[SourceGroup], error) {
	if _, err := a.Store.Host(ctx, job.HostID(in.ID)); err != nil {
		return nil, err
	}
	groups, err := a.Store.Groups(ctx, job.HostID(in.ID))
	if err != nil {
		return nil, err
	}
	return listOf(groups, "", showGroup), nil
}

func (a *API) group(ctx context.Context, _ auth.Identity, in *ByID) (*only[SourceGroup], error) {
	found, err := a.Store.Group(ctx, job.GroupID(in.ID))
	if err != nil {
		return nil, err
	}
	return &only[SourceGroup]{showGroup(found)}, nil
}

func (a *API) createGroup(ctx context.Context, who auth.Identity, in *groupInput) (*only[SourceGroup], error) {
	wanted := in.Body.group()
	wanted.Host = job.HostID(in.ID)
	if err := refuseEmpty(wanted.Retention); err != nil {
		return nil, err
	}
	made, err := a.Control.CreateGroup(ctx, who, wanted)
	if err != nil {
		return nil, err
	}
	return &only[SourceGroup]{showGroup(made)}, nil
}

func (a *API) replaceGroup(ctx context.Context, who auth.Identity, in *groupInput) (*only[SourceGroup], error) {
	if in.Body.Retention == nil {
		var invalid fleet.Invalid
		invalid.Add("retention", "Say what to keep: this replaces the whole group.")
		return nil, invalid.Err()
	}
	wanted := in.Body.group()
	wanted.ID = job.GroupID(in.ID)
	changed, err := a.Control.UpdateGroup(ctx, who, wanted)
	if err != nil {
		return nil, err
	}
	return &only[SourceGroup]{showGroup(changed)}, nil
}

// refuseEmpty tells a policy that keeps nothing from one that was not given.
func refuseEmpty(r fleet.Retention) error {
	if r != (fleet.Retention{}) {
		return nil
	}
	var invalid fleet.Invalid
	invalid.Add("retention", "Keep at least something, or leave the field out for the default.")
	return invalid.Err()
}

func (a *API) removeGroup(ctx context.Context, who auth.Identity, in *ByID) (*nothing, error) {
	return &nothing{}, a.Control.DeleteGroup(ctx, who, job.GroupID(in.ID))
}
