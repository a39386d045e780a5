package control

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/store"
)

// How the audit is sealed, and kept.
const (
	sealEvery    = time.Minute
	sealLease    = "audit_seal" // one node at a time seals
	sealLeaseFor = 3 * sealEvery
	sealAtOnce   = 250                      // entries under one seal; each may name many paths
	keepAudit    = 3 * 365 * 24 * time.Hour // after it a seal stands without its entries
	auditHead    = "audit_head"             // in meta
)

// sealAudit closes what was written since the last seal, if no other node does.
func (c *Control) sealAudit(ctx context.Context) error {
	for {
		// A server at which nothing happens writes nothing.
		if open, err := c.store.CountUnsealed(ctx); err != nil || open == 0 {
			return err
		}
		sealed := 0
		err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
			sealed = 0
			mine, err := tx.Lease(ctx, sealLease, c.node, c.now(), c.now().Add(sealLeaseFor))
			if err != nil || !mine {
				return err
			}
			sealed, err = c.sealBatch(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("seal the audit log: %w", err)
		}
		if sealed < sealAtOnce {
			return nil
		}
	}
}

// sealBatch closes one batch, and tells how many entries it has.
func (c *Control) sealBatch(ctx context.Context, tx *store.Tx) (int, error) {
	before, err := tx.AuditHead(ctx)
	if err != nil {
		return 0, err
	}
	entries, err := tx.CloseAudit(ctx, before.Number+1, sealAtOnce)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	seal := newSeal(before, entries, c.now(), c.identity)
	if err := tx.AddAuditSeal(ctx, seal); err != nil {
		return 0, err
	}
	return len(entries), c.noteHead(ctx, tx, seal)
}

// sealRest seals at the end of a node's life and lets others go on at once.
func (c *Control) sealRest(ctx context.Context) error {
	return errors.Join(c.sealAudit(ctx), c.store.Write(ctx, func(tx *store.Tx) error { return tx.DropLease(ctx, sealLease, c.node) }))
}

// head is the newest seal as it is noted beside the chain. It is sealed with the
// key file, so that the end of the chain can't be cut off within the database.
type head struct {
	Number int64  `json:"number"`
	Hash   []byte `json:"hash"`
}

func (c *Control) noteHead(ctx context.Context, tx *store.Tx, seal fleet.AuditSeal) error {
	raw, err := json.Marshal(head{seal.Number, seal.Hash})
	if err != nil {
		return fmt.Errorf("encode head of the audit log: %w", err)
	}
	return tx.SetMeta(ctx, auditHead, base64.StdEncoding.EncodeToString(c.sealer.Seal("meta/"+auditHead, raw)))
}

// notedHead is what noteHead noted last; false means that it is not there, or is
// not what this server wrote.
func (c *Control) notedHead(ctx context.Context) (noted head, ok bool, err error) {
	text, err := c.store.Meta(ctx, auditHead)
	if err != nil || text == "" {
		return noted, false, err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return noted, false, nil
	}
	raw, err := c.sealer.Open("meta/"+auditHead, sealed)
	if err != nil || json.Unmarshal(raw, &noted) != nil {
		return noted, false, nil
	}
	return noted, true, nil
}

// dropAudit removes the entries that were kept long enough, whole seals at a
// time. The seals stay, so that the chain still proves what comes after them.
func (c *Control) dropAudit(ctx context.Context, now time.Time) error {
	for dropped := true; dropped; {
		err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
			dropped, err = tx.DropSealed(ctx, now.Add(-keepAudit))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
