package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/crypto/bcrypt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// unresolvable says why a job can no longer be sent: its end, not that of the
// session that should have carried it.
type unresolvable struct {
	sentence string // for a person
	cause    error  // for the log; nil when the sentence says it all
}

func (u *unresolvable) Error() string { return u.sentence }

// order makes the message that asks host for j, resolved from what is true now.
// Its error is *unresolvable, or the database's.
func (c *Control) order(ctx context.Context, r reading, host fleet.Host, j fleet.Job) (*api.Job, error) {
	spec, err := c.resolve(ctx, r, host, j)
	if err != nil {
		return nil, err
	}
	order := &api.Job{ID: j.ID, Kind: j.Kind, Origin: j.Origin, Occasion: j.Occasion()}
	// A provision works on rest-server's users alone, a preview on files alone.
	if j.Kind != job.Provision && j.Kind != job.PreviewSources {
		if order.Access, err = c.accessFor(ctx, r, host, spec); err != nil {
			return nil, err
		}
	}
	if err := spec.Validate(); err != nil {
		return nil, broken(fmt.Errorf("resolve job %s: %w", j.ID, err))
	}
	if order.Spec, err = json.Marshal(spec); err != nil {
		return nil, broken(fmt.Errorf("encode spec of job %s: %w", j.ID, err))
	}
	return order, nil
}

func broken(cause error) error {
	return &unresolvable{"The server could not make this order; its log says why.", cause}
}

// resolve makes the spec of j as it is now.
func (c *Control) resolve(ctx context.Context, r reading, host fleet.Host, j fleet.Job) (job.Spec, error) {
	switch j.Kind {
	case job.Backup:
		group, err := r.Group(ctx, j.Group)
		if errors.Is(err, fleet.ErrNotFound) {
			return nil, &unresolvable{"The source group was removed before the job could start.", nil}
		}
		if err != nil {
			return nil, err
		}
		spec := Resolve(host, group)
		return &spec, nil
	case job.Provision:
		spec := new(job.ProvisionSpec)
		if err := json.Unmarshal(j.Spec, spec); err != nil {
			return nil, broken(fmt.Errorf("read spec of job %s: %w", j.ID, err))
		}
		if spec.Remove {
			return spec, nil
		}
		secrets, err := c.secrets(ctx, r, spec.Repository)
		if err != nil {
			return nil, sealedOff(err)
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(secrets.Password.Reveal()), bcrypt.DefaultCost)
		if err != nil {
			return nil, broken(fmt.Errorf("hash the password of a repository user: %w", err))
		}
		spec.PasswordHash = string(hash)
		return spec, nil
	case job.Init, job.Snapshots, job.Unlock, job.Check, job.Stats, job.PreviewSources: // whole as they were stored
	}
	spec, err := job.DecodeSpec(j.Kind, j.Spec)
	if err != nil {
		return nil, broken(fmt.Errorf("resolve job %s: %w", j.ID, err))
	}
	return spec, nil
}

// accessFor opens the way to the repository that a spec names. A storage agent
// works on the files and gets no password of rest-server.
func (c *Control) accessFor(ctx context.Context, r reading, host fleet.Host, spec job.Spec) (*api.Access, error) {
	id, _ := spec.Subject()
	repository, err := r.Repository(ctx, id)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil, &unresolvable{"The repository was removed before the job could start.", nil}
	}
	if err != nil {
		return nil, err
	}
	access, err := c.access(ctx, r, repository)
	if err != nil {
		return nil, sealedOff(err)
	}
	if host.ID == repository.Storage {
		access.Username, access.Password = "", ""
	}
	return &access, nil
}

// sealedOff tells secrets that can't be opened, which stays so, from a database
// that does not answer.
func sealedOff(err error) error {
	if errors.Is(err, crypto.ErrSealed) {
		return &unresolvable{"The secrets of the repository can't be opened with this server's key file. Put the right key file back, then run this again.", err}
	}
	return err
}
