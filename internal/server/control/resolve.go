package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"golang.org/x/crypto/bcrypt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Resolve turns a group into the whole order of one backup. Plans and jobs are
// both made by it, so that runs with and without the server can't differ.
func Resolve(host fleet.Host, g fleet.SourceGroup) job.BackupSpec {
	return job.BackupSpec{
		Group: g.ID, GroupName: g.Name, Repository: g.Repository, ResticHost: host.ResticHost,
		Includes: g.Includes, Excludes: g.Excludes,
		OneFileSystem: g.Options.OneFileSystem, ExcludeCaches: g.Options.ExcludeCaches,
		RetryLockSeconds: g.Options.RetryLockMinutes * 60, LimitUploadKiB: g.Options.LimitUploadKiB,
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
	for _, g := range groups {
		if ready[g.Repository] {
			plan.Groups = append(plan.Groups, Resolve(host, g))
		}
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		return plan, fmt.Errorf("encode plan: %w", err)
	}
	sum := sha256.Sum256(raw)
	plan.Digest = hex.EncodeToString(sum[:])
	return plan, nil
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

// unresolvable says why a job can no longer be resolved, in words for a person.
type unresolvable struct{ reason string }

func (u *unresolvable) Error() string { return u.reason }

// order makes the message that asks host for j, resolved from what is true now.
func (c *Control) order(ctx context.Context, r reading, host fleet.Host, j fleet.Job) (*api.Job, error) {
	repository, err := r.Repository(ctx, j.Repository)
	if err != nil {
		return nil, &unresolvable{"The repository was removed before the job could start."}
	}
	var (
		spec   job.Spec
		access *api.Access
	)
	switch j.Kind {
	case job.Backup:
		group, err := r.Group(ctx, j.Group)
		if err != nil {
			return nil, &unresolvable{"The source group was removed before the job could start."}
		}
		if group.Repository != repository.ID {
			if repository, err = r.Repository(ctx, group.Repository); err != nil {
				return nil, err
			}
		}
		resolved := Resolve(host, group)
		spec = &resolved
	case job.Provision:
		var asked job.ProvisionSpec
		if err := json.Unmarshal(j.Spec, &asked); err != nil {
			return nil, fmt.Errorf("read spec of job %s: %w", j.ID, err)
		}
		if !asked.Remove {
			secrets, err := c.secrets(ctx, r, repository.ID)
			if err != nil {
				return nil, err
			}
			hash, err := bcrypt.GenerateFromPassword([]byte(secrets.Password.Reveal()), bcrypt.DefaultCost)
			if err != nil {
				return nil, fmt.Errorf("hash the password of a repository user: %w", err)
			}
			asked.PasswordHash = string(hash)
		}
		spec = &asked
	case job.Init, job.Snapshots, job.Unlock:
		return c.plainOrder(ctx, r, repository, j)
	default:
		return nil, fmt.Errorf("resolve job %s: kind %q has no resolver", j.ID, j.Kind)
	}
	if j.Kind == job.Backup {
		opened, err := c.access(ctx, r, repository)
		if err != nil {
			return nil, err
		}
		access = &opened
	}
	return newOrder(j, spec, access)
}

// plainOrder is for kinds whose spec is complete as it was stored.
func (c *Control) plainOrder(ctx context.Context, r reading, repository fleet.Repository, j fleet.Job) (*api.Job, error) {
	spec, err := job.DecodeSpec(j.Kind, j.Spec)
	if err != nil {
		return nil, err
	}
	access, err := c.access(ctx, r, repository)
	if err != nil {
		return nil, err
	}
	if info, _ := job.InfoOf(j.Kind); info.On == job.OnStorage {
		// The storage agent works on the files; it needs no rest-server password.
		access.Username, access.Password = "", ""
	}
	return newOrder(j, spec, &access)
}

func newOrder(j fleet.Job, spec job.Spec, access *api.Access) (*api.Job, error) {
	if err := spec.Validate(); err != nil {
		return nil, fmt.Errorf("resolve job %s: %w", j.ID, err)
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec of job %s: %w", j.ID, err)
	}
	return &api.Job{ID: j.ID, Kind: j.Kind, Origin: j.Origin, Spec: raw, Access: access}, nil
}
