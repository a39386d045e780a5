package control

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// NewEnrollment invites one host.
type NewEnrollment struct {
	Name string // "" takes the machine's own name
	Tags []string
	// ForStorage invites a storage box, and nothing else.
	ForStorage bool
	// Repository says where the host will back up to; for the zero value the
	// only storage box there is makes one, if there is one.
	Repository fleet.RepositoryChoice
	User       string                   // of an existing repository
	Access     *fleet.RepositorySecrets // of an existing repository
	// Lifetime is how long the token can be used; 0 is DefaultEnrollment.
	Lifetime time.Duration
}

// Lifetimes of an enrolment token.
const (
	DefaultEnrollment = time.Hour
	MaxEnrollment     = 24 * time.Hour
)

func enrollmentBound(id string) string { return "enrollment_tokens/" + id + "/secrets" }

// CreateEnrollmentToken invites one host and returns the token's text, which is
// kept nowhere.
func (c *Control) CreateEnrollmentToken(ctx context.Context, who auth.Identity, n NewEnrollment) (fleet.EnrollmentToken, string, error) {
	if err := require(who, auth.HostsEnrol); err != nil {
		return fleet.EnrollmentToken{}, "", err
	}
	if err := n.check(); err != nil {
		return fleet.EnrollmentToken{}, "", err
	}
	if n.Lifetime == 0 {
		n.Lifetime = DefaultEnrollment
	}
	if n.Tags == nil {
		n.Tags = []string{}
	}
	now := c.now()
	secret := crypto.NewSecret(24)
	e := fleet.EnrollmentToken{ID: job.NewULID(now), SecretHash: crypto.HashSecret(secret), Name: n.Name, Tags: n.Tags, ForStorage: n.ForStorage, Repository: n.Repository,
		CreatedAt: now, ExpiresAt: now.Add(n.Lifetime), CreatedBy: who.Label()}
	var sealed []byte
	if n.Access != nil {
		var err error
		if sealed, err = c.sealSecrets(enrollmentBound(e.ID), *n.Access); err != nil {
			return e, "", err
		}
	}
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := c.checkStorage(ctx, tx, n.Repository.Storage); err != nil {
			return err
		}
		if n.Name != "" {
			if taken, err := tx.HostNameTaken(ctx, n.Name); err != nil {
				return err
			} else if taken {
				return invalid("name", "A host has the name %q already, or puts it on its snapshots. Choose another name.", n.Name)
			}
		}
		if err := tx.InsertEnrollment(ctx, e, n.User, sealed); err != nil {
			return err
		}
		return c.auditChange(ctx, tx, who, "enrollment_token.created", NounEnrollment, e.ID, nil, detailOfEnrollment(e))
	})
	if err != nil {
		return fleet.EnrollmentToken{}, "", err
	}
	return e, api.Token{Fingerprint: sha256.Sum256(c.publicKey()), Secret: secret}.String(), nil
}

func (n *NewEnrollment) check() error {
	var problems fleet.Invalid
	if n.Name != "" {
		fleet.CheckName(&problems, "name", n.Name)
	}
	fleet.CheckTags(&problems, "tags", n.Tags)
	if n.Lifetime < 0 || n.Lifetime > MaxEnrollment {
		problems.Add("lifetime_seconds", "A token lives at most %d hours.", int(MaxEnrollment.Hours()))
	}
	if n.ForStorage && n.Repository != (fleet.RepositoryChoice{}) {
		problems.Add("storage_id", "A storage box backs up to nowhere; leave its repository out.")
	}
	if n.Repository.URL != "" {
		if n.Repository.Storage != "" {
			problems.Add("storage_id", "Choose a storage box or an existing repository, not both.")
		}
		fleet.CheckRepositoryURL(&problems, "repository_url", n.Repository.URL)
		if n.Access == nil || n.Access.Key.Empty() {
			problems.Add("repository_key", "Give the password of the existing repository.")
		}
	}
	return problems.Err()
}

func (c *Control) checkStorage(ctx context.Context, tx *store.Tx, id job.HostID) error {
	if id == "" {
		return nil
	}
	storage, err := tx.Host(ctx, id)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return err
	}
	if err != nil || !storage.IsStorage() || !storage.RemovedAt.IsZero() {
		return invalid("storage_id", "There is no storage box with this id.")
	}
	return nil
}

// WithdrawEnrollmentToken takes an unused token back.
func (c *Control) WithdrawEnrollmentToken(ctx context.Context, who auth.Identity, id string) error {
	if err := require(who, auth.HostsEnrol); err != nil {
		return err
	}
	return c.store.Write(ctx, func(tx *store.Tx) error {
		e, err := tx.Enrollment(ctx, id)
		if err != nil {
			return err
		}
		if e.UsedBy != "" {
			return fleet.Conflict("This token was used; remove the host instead.")
		}
		if err := tx.DeleteEnrollment(ctx, id); err != nil {
			return err
		}
		return c.auditChange(ctx, tx, who, "enrollment_token.withdrawn", NounEnrollment, id, detailOfEnrollment(e), nil)
	})
}

// enrollmentDetail is what the audit tells of an invitation.
type enrollmentDetail struct {
	Name       string     `json:"name"`
	Tags       []string   `json:"tags"`
	Storage    job.HostID `json:"storage_id"`
	Repository string     `json:"repository_url"`
	ExpiresAt  time.Time  `json:"expires_at"`
}

func detailOfEnrollment(e fleet.EnrollmentToken) enrollmentDetail {
	return enrollmentDetail{e.Name, e.Tags, e.Repository.Storage, e.Repository.URL, e.ExpiresAt.UTC()}
}
