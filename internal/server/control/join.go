package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

var errTokenUnknown = fleet.Forbidden("This token is not known here. Make a new one on the page that adds a host.")

// enrol lets a host in by its one-time token. Asked again with the same key, it
// answers the same: the first answer may have been lost.
func (c *Control) enrol(ctx context.Context, r api.EnrolRequest, address string) (api.EnrolResponse, error) {
	if len(r.Nonce) != api.NonceSize || !api.Verify(r.AgentKey, api.EnrolProof(r, c.publicKey()), r.Proof) {
		return api.EnrolResponse{}, fleet.Forbidden("The proof of the agent's key is not good.")
	}
	// A token holds 192 random bits, so guessing is no danger and needs no
	// throttle; an unknown one costs one indexed read, and no write.
	hash := crypto.HashSecret(r.Secret)
	if _, err := c.store.EnrollmentBySecret(ctx, hash); errors.Is(err, fleet.ErrNotFound) {
		return api.EnrolResponse{}, errTokenUnknown
	} else if err != nil {
		return api.EnrolResponse{}, err
	}
	var host fleet.Host
	var fresh bool
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		host, fresh, err = c.admitToken(ctx, tx, hash, r, address)
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

// enrolling is the row that enrolments hold one after the other.
const enrolling = "enrolling"

// admitToken judges a token in the transaction that spends it.
func (c *Control) admitToken(ctx context.Context, tx *store.Tx, hash string, r api.EnrolRequest, address string) (host fleet.Host, fresh bool, err error) {
	// Thirty machines with one host name may come at once, and each looks for a
	// name that is free.
	if err := tx.SetMeta(ctx, enrolling, ""); err != nil {
		return host, false, err
	}
	e, err := tx.EnrollmentBySecret(ctx, hash)
	if errors.Is(err, fleet.ErrNotFound) {
		return host, false, errTokenUnknown
	}
	if err != nil {
		return host, false, err
	}
	if e.UsedBy != "" && bytes.Equal(e.UsedKey, r.AgentKey) {
		host, err = tx.Host(ctx, e.UsedBy)
		if err == nil && !host.RemovedAt.IsZero() {
			err = fleet.Forbidden("This host was removed. Make a new token, and enrol with --replace.")
		}
		return host, false, err
	}
	switch now := c.now(); {
	case e.UsedBy != "":
		return host, false, fleet.Forbidden("This token was used already. Make a new one for this machine.")
	case now.After(e.ExpiresAt):
		return host, false, fleet.Forbidden("This token has expired. Make a new one on the page that adds a host.")
	}
	if _, err := tx.HostByKey(ctx, r.AgentKey); err == nil {
		return host, false, fleet.Conflict("This agent's key belongs to a host already. Enrol with --replace to make a new one.")
	} else if !errors.Is(err, fleet.ErrNotFound) {
		return host, false, err
	}
	host, err = c.join(ctx, tx, e, r, address)
	return host, true, err
}

// join makes the host, and its repository, from what the token promised.
func (c *Control) join(ctx context.Context, tx *store.Tx, e fleet.EnrollmentToken, r api.EnrolRequest, address string) (fleet.Host, error) {
	now := c.now()
	host := fleet.Host{ID: job.HostID(job.NewULID(now)), Tags: e.Tags, PublicKey: r.AgentKey, Address: address, EnrolledAt: now}
	setFacts(&host, r.Facts)
	if r.Facts.Storage == nil && e.ForStorage {
		return host, fleet.Conflict("This token is for a storage box, and the agent's policy file on this machine has no storage section. Add it there and enrol again, or make a token for a machine that is backed up.")
	}
	if r.Facts.Storage != nil {
		if problem := setStorage(&host, r.Facts.Storage); problem != "" {
			return host, fleet.Conflict("This storage box can't join: %s. Correct storage.url in the agent's policy file.", problem)
		}
		if e.Repository != (fleet.RepositoryChoice{}) {
			return host, fleet.Conflict("This token is for a machine that is backed up, and the agent's policy file makes this one a storage box. Make a token for a storage box.")
		}
	}
	name, err := freeName(ctx, tx, e.Name, host.Hostname)
	if err != nil {
		return host, err
	}
	// It is on all snapshots from now on, and no two living hosts share it.
	host.Name, host.ResticHost = name, name
	if err := tx.InsertHost(ctx, host); err != nil {
		return host, err
	}
	if err := c.giveRepository(ctx, tx, e, host); err != nil {
		return host, err
	}
	if err := c.giveGroup(ctx, tx, host); err != nil {
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

// giveRepository makes or brings the repository that the token names. Without a
// name the only storage box there is makes one.
func (c *Control) giveRepository(ctx context.Context, tx *store.Tx, e fleet.EnrollmentToken, host fleet.Host) error {
	if e.Repository == (fleet.RepositoryChoice{}) && !host.IsStorage() {
		storage := true
		boxes, _, err := tx.Hosts(ctx, store.HostFilter{Storage: &storage, Page: fleet.Page{Limit: 2}})
		if err != nil {
			return err
		}
		switch len(boxes) {
		case 0:
			return nil
		case 1:
			e.Repository.Storage = boxes[0].ID
		default:
			return fleet.Conflict("This token does not say which of the storage boxes this machine backs up to. Make one that does.")
		}
	}
	switch {
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

// giveGroup makes the source group that a new host begins with, if it backs up
// anywhere. No schedule runs it: its operator sees it first.
func (c *Control) giveGroup(ctx context.Context, tx *store.Tx, host fleet.Host) error {
	repositories, _, err := tx.Repositories(ctx, store.RepositoryFilter{Host: host.ID})
	if err != nil || len(repositories) == 0 {
		return err
	}
	g, known := fleet.DefaultGroup(host.OS)
	if !known {
		return nil
	}
	now := c.now()
	g.ID, g.Host, g.Repository, g.CreatedAt, g.UpdatedAt = job.GroupID(job.NewULID(now)), host.ID, repositories[0].ID, now, now
	if err := tx.InsertGroup(ctx, g); err != nil {
		return err
	}
	return c.auditChange(ctx, tx, auth.Server, "source_group.created", "source_group", string(g.ID), nil, detailOfGroup(g))
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
		taken, err := tx.HostNameTaken(ctx, name)
		if err != nil || !taken {
			return name, err
		}
		name = fmt.Sprintf("%s-%d", cut(base, 90), n)
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
