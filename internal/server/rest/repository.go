package rest

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Repository is a repository in JSON, without what opens it.
type Repository struct {
	ID            job.RepositoryID `json:"id"`
	Name          string           `json:"name"`
	URL           string           `json:"url" doc:"Without credentials."`
	HostID        job.HostID       `json:"host_id"`
	StorageHostID job.HostID       `json:"storage_host_id" doc:"The storage agent that made it; empty for one that was brought."`
	User          string           `json:"user" doc:"Of rest-server; empty when the backend needs none."`
	Ready         bool             `json:"ready"`

	CreatedAt     *time.Time `json:"created_at"`
	ProvisionedAt *time.Time `json:"provisioned_at"`
	ReadyAt       *time.Time `json:"ready_at"`

	AppendOnly   *bool      `json:"append_only" doc:"What the endpoint's harmless test found; null before it was made."`
	AppendOnlyAt *time.Time `json:"append_only_at"`

	SnapshotCount    int        `json:"snapshot_count"`
	LatestSnapshotAt *time.Time `json:"latest_snapshot_at"`
	ListedAt         *time.Time `json:"listed_at" doc:"When all snapshots were last read from it."`

	Check      *job.CheckResult `json:"check" doc:"What the last check that came to a result found; null before there was one."`
	CheckJobID job.ID           `json:"check_job_id"`
	CheckedAt  *time.Time       `json:"checked_at"`
	Stats      *job.StatsResult `json:"stats" doc:"What the last count came to; null before there was one."`
	CountedAt  *time.Time       `json:"counted_at"`
}

func showRepository(r fleet.Repository) Repository {
	shown := Repository{
		ID: r.ID, Name: r.Name, URL: r.URL, HostID: r.Host, StorageHostID: r.Storage, User: r.User, Ready: r.Ready(),
		CreatedAt: at(r.CreatedAt), ProvisionedAt: at(r.ProvisionedAt), ReadyAt: at(r.ReadyAt), AppendOnlyAt: at(r.AppendOnlyAt),
		SnapshotCount: r.SnapshotCount, LatestSnapshotAt: at(r.LatestAt), ListedAt: at(r.ListedAt),
		Check: r.Check, CheckJobID: r.CheckJob, CheckedAt: at(r.CheckedAt), Stats: r.Stats, CountedAt: at(r.CountedAt),
	}
	if !r.AppendOnlyAt.IsZero() {
		shown.AppendOnly = &r.AppendOnly
	}
	return shown
}

type repositoriesInput struct {
	Paged
	Host    job.HostID `query:"host_id" maxLength:"64"`
	Storage job.HostID `query:"storage_host_id" maxLength:"64"`
}

func (a *API) repositories(ctx context.Context, _ auth.Identity, in *repositoriesInput) (*list[Repository], error) {
	found, next, err := a.Store.Repositories(ctx, store.RepositoryFilter{Host: in.Host, Storage: in.Storage, Page: in.page()})
	if err != nil {
		return nil, err
	}
	return listOf(found, next, showRepository), nil
}

func (a *API) repository(ctx context.Context, _ auth.Identity, in *ByID) (*only[Repository], error) {
	found, err := a.Store.Repository(ctx, job.RepositoryID(in.ID))
	if err != nil {
		return nil, err
	}
	return &only[Repository]{showRepository(found)}, nil
}

type newRepositoryJobInput struct {
	ByID
	Body struct {
		Kind    job.Kind `json:"kind" enum:"check,stats" doc:"check proves it, stats counts what it stores and holds."`
		ReadAll bool     `json:"read_all,omitempty" doc:"For a check: read all that is stored, instead of as much as fits into 20 minutes. No backup into it begins meanwhile."`
	}
}

func (a *API) createRepositoryJob(ctx context.Context, who auth.Identity, in *newRepositoryJobInput) (*jobCreated, error) {
	created, err := a.Control.CreateJob(ctx, who, control.NewJob{Kind: in.Body.Kind, Repository: job.RepositoryID(in.ID), ReadAll: in.Body.ReadAll})
	if err != nil {
		return nil, err
	}
	return &jobCreated{Prefix + "/jobs/" + string(created.ID), a.showJob(created)}, nil
}

func (a *API) retryRepository(ctx context.Context, who auth.Identity, in *ByID) (*only[Repository], error) {
	if err := a.Control.RetryRepository(ctx, who, job.RepositoryID(in.ID)); err != nil {
		return nil, err
	}
	return a.repository(ctx, who, in)
}

// Snapshot is a snapshot in JSON.
type Snapshot struct {
	job.Snapshot
	RepositoryID job.RepositoryID `json:"repository_id"`
	HostID       job.HostID       `json:"host_id"`
	GroupID      job.GroupID      `json:"source_group_id" doc:"Empty for one that no source group of ours made."`
	JobID        job.ID           `json:"job_id" doc:"Empty when no job reported it."`
	SeenAt       *time.Time       `json:"seen_at"`
}

type snapshotsInput struct {
	ByID
	Paged
	Group      job.GroupID      `query:"source_group_id" maxLength:"64"`
	Repository job.RepositoryID `query:"repository_id" maxLength:"64"`
}

func (a *API) snapshots(ctx context.Context, _ auth.Identity, in *snapshotsInput) (*list[Snapshot], error) {
	if _, err := a.Store.Host(ctx, job.HostID(in.ID)); err != nil {
		return nil, err
	}
	found, next, err := a.Store.Snapshots(ctx, store.SnapshotFilter{Host: job.HostID(in.ID), Group: in.Group, Repository: in.Repository, Page: in.page()})
	if err != nil {
		return nil, err
	}
	return listOf(found, next, func(s fleet.Snapshot) Snapshot {
		shown := Snapshot{s.Snapshot, s.Repository, s.HostID, s.Group, s.Job, at(s.SeenAt)}
		shown.Time, shown.Paths = s.Time.UTC(), orEmpty(s.Paths)
		return shown
	}), nil
}
