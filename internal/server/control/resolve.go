package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// onlyOneFileSystem is the system on which restic refuses to be told to stay on
// one file system.
const onlyOneFileSystem = "windows"

// Resolve turns a group into the whole order of one backup. Plans and jobs are
// both made by it, so that runs with and without the server can't differ.
func Resolve(host fleet.Host, g fleet.SourceGroup) job.BackupSpec {
	o := g.Options
	return job.BackupSpec{
		Group: g.ID, GroupName: g.Name, Repository: g.Repository, ResticHost: host.ResticHost,
		Includes: g.Includes, Excludes: g.Excludes, OneFileSystem: o.OneFileSystem && host.OS != onlyOneFileSystem, ExcludeCaches: o.ExcludeCaches, UseVSS: o.UseVSS,
		RetryLockSeconds: o.RetryLockMinutes * 60, LimitUploadKiB: o.LimitUploadKiB, LimitDownloadKiB: o.LimitDownloadKiB, Tags: o.Tags,
		RetryMax: o.RetryMax, RetryBackoffSeconds: o.RetryBackoffSeconds, PreHook: o.PreHook, PostHook: o.PostHook, ShrinkPercent: o.ShrinkPercent,
	}
}

// reading is what both the store and a transaction can do.
type reading interface {
	Host(context.Context, job.HostID) (fleet.Host, error)
	Groups(context.Context, job.HostID) ([]fleet.SourceGroup, error)
	Group(context.Context, job.GroupID) (fleet.SourceGroup, error)
	Repository(context.Context, job.RepositoryID) (fleet.Repository, error)
	Repositories(context.Context, store.RepositoryFilter) ([]fleet.Repository, string, error)
	SealedRepository(context.Context, job.RepositoryID) ([]byte, error)
	Schedule(context.Context, job.ScheduleID) (fleet.Schedule, error)
	SchedulesOf(context.Context, job.HostID) ([]fleet.Schedule, error)
	Pauses(context.Context, time.Time) ([]fleet.Pause, error)
	QueuedJobs(context.Context, job.HostID) ([]fleet.Job, error)
	GroupBusy(ctx context.Context, group job.GroupID, from, to time.Time) (fleet.Job, bool, error)
	WritingJob(context.Context, job.HostID, job.RepositoryID, job.ID) (fleet.Job, bool, error)
	SlotsHeld(context.Context, job.HostID, time.Time) (int, error)
	Line(ctx context.Context, storage job.HostID, now time.Time, limit, offset int) ([]store.InLine, error)
}

// plan is all that a host should know while the server is away.
func (c *Control) plan(ctx context.Context, r reading, host fleet.Host) (api.Plan, error) {
	plan := api.Plan{ResticHost: host.ResticHost, Repositories: []api.Access{}, Groups: []job.BackupSpec{}}
	repositories, _, err := r.Repositories(ctx, store.RepositoryFilter{Host: host.ID, Page: fleet.Page{Limit: 500}})
	if err != nil {
		return plan, err
	}
	ready := map[job.RepositoryID]bool{}
	for _, repository := range repositories {
		if !repository.Ready() {
			continue
		}
		access, err := c.access(ctx, r, repository)
		if err != nil {
			return plan, err
		}
		plan.Repositories = append(plan.Repositories, access)
		ready[repository.ID] = true
	}
	groups, err := r.Groups(ctx, host.ID)
	if err != nil {
		return plan, err
	}
	canRun := map[job.GroupID]bool{}
	for _, g := range groups {
		if ready[g.Repository] {
			plan.Groups = append(plan.Groups, Resolve(host, g))
			canRun[g.ID] = true
		}
	}
	schedules, err := r.SchedulesOf(ctx, host.ID)
	if err != nil {
		return plan, err
	}
	plan.Schedules = planned(schedules, canRun)
	pauses, err := r.Pauses(ctx, c.now())
	if err != nil {
		return plan, err
	}
	if until := fleet.PausedUntil(pauses, host.ID, host.Tags, c.now()); !until.IsZero() {
		plan.PausedUntil = until.UnixMilli()
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		return plan, fmt.Errorf("encode plan: %w", err)
	}
	sum := sha256.Sum256(raw)
	plan.Digest = hex.EncodeToString(sum[:])
	return plan, nil
}

// PlanDigest names the plan that a host should have now.
func (c *Control) PlanDigest(ctx context.Context, host fleet.Host) (string, error) {
	plan, err := c.plan(ctx, c.store, host)
	return plan.Digest, err
}

// access opens what is needed to reach a repository as its host does.
func (c *Control) access(ctx context.Context, r reading, repository fleet.Repository) (api.Access, error) {
	secrets, err := c.secrets(ctx, r, repository.ID)
	if err != nil {
		return api.Access{}, err
	}
	return api.Access{Repository: repository.ID, URL: repository.URL, Username: repository.User,
		Password: secrets.Password.Reveal(), Key: secrets.Key.Reveal()}, nil
}

// sealedSecrets is how repository secrets look inside their seal.
type sealedSecrets struct {
	Password string `json:"password"`
	Key      string `json:"key"`
}

func repositoryBound(id job.RepositoryID) string { return "repositories/" + string(id) + "/secrets" }

func (c *Control) secrets(ctx context.Context, r reading, id job.RepositoryID) (fleet.RepositorySecrets, error) {
	sealed, err := r.SealedRepository(ctx, id)
	if err != nil {
		return fleet.RepositorySecrets{}, err
	}
	return c.openSecrets(repositoryBound(id), sealed)
}

func (c *Control) openSecrets(bound string, sealed []byte) (fleet.RepositorySecrets, error) {
	raw, err := c.sealer.Open(bound, sealed)
	if err != nil {
		return fleet.RepositorySecrets{}, fmt.Errorf("open %s: %w", bound, err)
	}
	var secrets sealedSecrets
	if err := json.Unmarshal(raw, &secrets); err != nil {
		return fleet.RepositorySecrets{}, fmt.Errorf("read %s: %w", bound, err)
	}
	return fleet.RepositorySecrets{Password: crypto.NewText(secrets.Password), Key: crypto.NewText(secrets.Key)}, nil
}

func (c *Control) sealSecrets(bound string, secrets fleet.RepositorySecrets) ([]byte, error) {
	raw, err := json.Marshal(sealedSecrets{secrets.Password.Reveal(), secrets.Key.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", bound, err)
	}
	return c.sealer.Seal(bound, raw), nil
}
