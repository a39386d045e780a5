package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	// Repository says where the host will back up to; the zero value is nowhere,
	// as for a storage box.
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
	e := fleet.EnrollmentToken{ID: job.NewULID(now), SecretHash: crypto.HashSecret(secret), Name: n.Name, Tags: n.Tags, Repository: n.Repository,
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
			if taken, err := nameTaken(ctx, tx, n.Name); err != nil {
				return err
			} else if taken {
				return invalid("name", "There is a host named %q already. Choose another name.", n.Name)
			}
		}
		if err := tx.InsertEnrollment(ctx, e, n.User, sealed); err != nil {
			return err
		}
		return c.audit(ctx, tx, who, "enrollment_token.created", NounEnrollment, e.ID, map[string]any{"name": e.Name, "tags": e.Tags,
			"storage_id": n.Repository.Storage, "repository_url": n.Repository.URL, "expires_at": e.ExpiresAt})
	})
	token := api.Token{Fingerprint: sha256.Sum256(c.publicKey()), Secret: secret}
	return e, token.String(), err
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

func nameTaken(ctx context.Context, tx *store.Tx, name string) (bool, error) {
	hosts, _, err := tx.Hosts(ctx, store.HostFilter{Text: name, Page: fleet.Page{Limit: 500}})
	return slices.ContainsFunc(hosts, func(h fleet.Host) bool { return strings.EqualFold(h.Name, name) }), err
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
		return c.audit(ctx, tx, who, "enrollment_token.withdrawn", NounEnrollment, id, nil)
	})
}

// enrol lets a host in by its one-time token. Asked again with the same key, it
// answers the same: the first answer may have been lost.
func (c *Control) enrol(ctx context.Context, r api.EnrolRequest, address string) (api.EnrolResponse, error) {
	if len(r.Nonce) != api.NonceSize || !api.Verify(r.AgentKey, api.EnrolProof(r, c.publicKey()), r.Proof) {
		return api.EnrolResponse{}, fleet.Forbidden("The proof of the agent's key is not good.")
	}
	var host fleet.Host
	var fresh bool
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		e, err := tx.EnrollmentBySecret(ctx, crypto.HashSecret(r.Secret))
		if errors.Is(err, fleet.ErrNotFound) {
			return fleet.Forbidden("This token is not known here. Make a new one on the page that adds a host.")
		}
		if err != nil {
			return err
		}
		if e.UsedBy != "" && bytes.Equal(e.UsedKey, r.AgentKey) {
			fresh = false
			host, err = tx.Host(ctx, e.UsedBy)
			return err
		}
		switch now := c.now(); {
		case e.UsedBy != "":
			return fleet.Forbidden("This token was used already. Make a new one for this machine.")
		case now.After(e.ExpiresAt):
			return fleet.Forbidden("This token has expired. Make a new one on the page that adds a host.")
		}
		if _, err := tx.HostByKey(ctx, r.AgentKey); err == nil {
			return fleet.Conflict("This agent's key belongs to a host already. Enrol with --replace to make a new one.")
		} else if !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
		fresh = true
		host, err = c.join(ctx, tx, e, r, address)
		return err
	})
	if err != nil {
		return api.EnrolResponse{}, err
	}
	if fresh {
		c.log.Info("host enrolled", "host", host.ID, "name", host.Name, "address", address)
		c.events.publish(Event{NounEnrollment, ""})
		c.events.publish(Event{NounHost, string(host.ID)})
		c.pokeStorage(ctx, host.ID)
	}
	return api.EnrolResponse{Host: host.ID, Name: host.Name, ServerKey: c.publicKey()}, nil
}

// join makes the host, and its repository, from what the token promised.
func (c *Control) join(ctx context.Context, tx *store.Tx, e fleet.EnrollmentToken, r api.EnrolRequest, address string) (fleet.Host, error) {
	now := c.now()
	name, err := freeName(ctx, tx, e.Name, r.Facts.Hostname)
	if err != nil {
		return fleet.Host{}, err
	}
	host := fleet.Host{ID: job.HostID(job.NewULID(now)), Name: name, Tags: e.Tags, ResticHost: name, PublicKey: r.AgentKey,
		Hostname: r.Facts.Hostname, OS: r.Facts.OS, Arch: r.Facts.Arch, AgentVersion: r.Facts.AgentVersion, ResticVersion: r.Facts.ResticVersion,
		Allowed: r.Facts.Allowed, Address: address, EnrolledAt: now}
	if host.Allowed == nil {
		host.Allowed = []job.Kind{}
	}
	if r.Facts.Storage != nil {
		host.Storage = &fleet.Storage{URL: r.Facts.Storage.URL, BytesFree: r.Facts.Storage.BytesFree, BytesTotal: r.Facts.Storage.BytesTotal}
	}
	if err := tx.InsertHost(ctx, host); err != nil {
		return host, err
	}
	if err := c.giveRepository(ctx, tx, e, host); err != nil {
		return host, err
	}
	e.UsedAt, e.UsedBy, e.UsedKey = now, host.ID, r.AgentKey
	if err := tx.SeeEnrollment(ctx, e.ID, address, now); err != nil {
		return host, err
	}
	if ok, err := tx.UseEnrollment(ctx, e); err != nil || !ok {
		return host, errors.Join(err, fleet.Forbidden("This token was used already. Make a new one for this machine."))
	}
	return host, c.audit(ctx, tx, auth.Identity{Kind: auth.ByServer, Address: address}, "host.enrolled", NounHost, string(host.ID),
		map[string]any{"name": host.Name, "fingerprint": api.Fingerprint(r.AgentKey), "token_id": e.ID, "os": host.OS, "storage": host.IsStorage()})
}

func (c *Control) giveRepository(ctx context.Context, tx *store.Tx, e fleet.EnrollmentToken, host fleet.Host) error {
	switch {
	case host.IsStorage():
		return nil
	case e.Repository.Storage != "":
		storage, err := tx.Host(ctx, e.Repository.Storage)
		if err != nil {
			return err
		}
		if !storage.RemovedAt.IsZero() || !storage.IsStorage() {
			return fleet.Conflict("The storage box %s that this token names is gone. Make a new token.", storage.Name)
		}
		repository, err := c.makeRepository(ctx, tx, host, storage)
		if err != nil {
			return err
		}
		return c.advanceRepository(ctx, tx, repository)
	case e.Repository.URL != "":
		user, sealed, err := tx.SealedEnrollment(ctx, e.ID)
		if err != nil {
			return err
		}
		secrets, err := c.openSecrets(enrollmentBound(e.ID), sealed)
		if err != nil {
			return err
		}
		_, err = c.bringRepository(ctx, tx, host, e.Repository.URL, user, secrets)
		return err
	}
	return nil
}

// freeName is the wanted name, or the machine's own, with a number behind it if
// it is taken.
func freeName(ctx context.Context, tx *store.Tx, wanted, hostname string) (string, error) {
	name := wanted
	if name == "" {
		name = hostname
	}
	var problems fleet.Invalid
	if fleet.CheckName(&problems, "name", name); problems.Err() != nil {
		name = "host"
	}
	for n, base := 2, name; ; n++ {
		taken, err := nameTaken(ctx, tx, name)
		if err != nil || !taken {
			return name, err
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
}

// pokeStorage lets the storage agent of a host's repositories look for work.
func (c *Control) pokeStorage(ctx context.Context, host job.HostID) {
	repositories, _, err := c.store.Repositories(ctx, store.RepositoryFilter{Host: host})
	if err != nil {
		c.log.Warn("storage agent not poked", "host", host, "error", err)
		return
	}
	for _, r := range repositories {
		c.hub.poke(r.Storage)
	}
}
