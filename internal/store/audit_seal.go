package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

const selectSeal = "SELECT number, entries, first_id, last_id, digest, previous, hash, sealed_at, signature FROM audit_seals"

func scanSeal(row scanner) (s fleet.AuditSeal, err error) {
	return s, row.Scan(&s.Number, &s.Entries, &s.FirstID, &s.LastID, binary{&s.Digest}, binary{&s.Previous}, binary{&s.Hash}, instant{&s.SealedAt}, binary{&s.Signature})
}

// AuditHead returns the newest seal; its number is 0 when nothing was sealed yet.
func (r reader) AuditHead(ctx context.Context) (fleet.AuditSeal, error) {
	seal, err := scanSeal(r.q.QueryRowContext(ctx, selectSeal+" ORDER BY number DESC LIMIT 1"))
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.AuditSeal{}, nil
	}
	if err != nil {
		return seal, fmt.Errorf("read newest audit seal: %w", err)
	}
	return seal, nil
}

// AuditSeal returns one seal.
func (r reader) AuditSeal(ctx context.Context, number int64) (fleet.AuditSeal, error) {
	seal, err := scanSeal(r.q.QueryRowContext(ctx, selectSeal+" WHERE number = $1", number))
	if errors.Is(err, sql.ErrNoRows) {
		return seal, fleet.NotFound("audit seal", strconv.FormatInt(number, 10))
	}
	if err != nil {
		return seal, fmt.Errorf("read audit seal: %w", err)
	}
	return seal, nil
}

// AuditSeals lists the seals above a number, in their order.
func (r reader) AuditSeals(ctx context.Context, above int64, limit int) ([]fleet.AuditSeal, error) {
	seals, err := collect(ctx, r.q, scanSeal, selectSeal+" WHERE number > $1 ORDER BY number LIMIT $2", above, limit)
	if err != nil {
		return nil, fmt.Errorf("list audit seals: %w", err)
	}
	return seals, nil
}

// EntriesOfSeal lists the entries that a seal closes, oldest first.
func (r reader) EntriesOfSeal(ctx context.Context, number int64, limit int) ([]fleet.AuditEntry, error) {
	entries, err := collect(ctx, r.q, scanAudit, selectAudit+" WHERE seal = $1 ORDER BY id LIMIT $2", number, limit)
	if err != nil {
		return nil, fmt.Errorf("list entries of an audit seal: %w", err)
	}
	return entries, nil
}

// CountUnsealed counts the entries that no seal closes yet.
func (r reader) CountUnsealed(ctx context.Context) (n int, err error) {
	if err = r.q.QueryRowContext(ctx, "SELECT count(*) FROM audit WHERE seal = 0").Scan(&n); err != nil {
		return 0, fmt.Errorf("count unsealed audit entries: %w", err)
	}
	return n, nil
}

// SealNumbers are the lowest and the highest number of a seal that any entry
// names; both are 0 when there is none.
func (r reader) SealNumbers(ctx context.Context) (lowest, highest int64, err error) {
	if err = r.q.QueryRowContext(ctx, "SELECT coalesce(min(seal), 0), coalesce(max(seal), 0) FROM audit WHERE seal <> 0").Scan(&lowest, &highest); err != nil {
		return 0, 0, fmt.Errorf("read numbers of audit seals: %w", err)
	}
	return lowest, highest, nil
}

// CloseAudit puts the oldest unsealed entries, at most limit, under a seal's
// number and returns them, oldest first.
func (t *Tx) CloseAudit(ctx context.Context, number int64, limit int) ([]fleet.AuditEntry, error) {
	// What is marked is read back, rather than read and then marked: between the
	// two another transaction could commit an entry.
	if err := t.exec(ctx, "UPDATE audit SET seal = $1 WHERE id IN (SELECT id FROM audit WHERE seal = 0 ORDER BY id LIMIT $2)", number, limit); err != nil {
		return nil, fmt.Errorf("seal audit entries: %w", err)
	}
	return t.EntriesOfSeal(ctx, number, limit)
}

// AddAuditSeal adds a seal.
func (t *Tx) AddAuditSeal(ctx context.Context, s fleet.AuditSeal) error {
	err := t.exec(ctx, "INSERT INTO audit_seals (number, entries, first_id, last_id, digest, previous, hash, sealed_at, signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		s.Number, s.Entries, s.FirstID, s.LastID, encodeBytes(s.Digest), encodeBytes(s.Previous), encodeBytes(s.Hash), millis(s.SealedAt), encodeBytes(s.Signature))
	if err != nil {
		return fmt.Errorf("add audit seal: %w", err)
	}
	return nil
}

// DropSealed removes the entries of the oldest seal that has any, if it was made
// before the given time, and tells whether it did. The seal itself stays.
func (t *Tx) DropSealed(ctx context.Context, before time.Time) (bool, error) {
	n, err := t.changed(ctx, `DELETE FROM audit WHERE seal = (SELECT min(seal) FROM audit WHERE seal > 0)
		AND EXISTS (SELECT 1 FROM audit_seals s WHERE s.number = audit.seal AND s.sealed_at < $1)`, millis(before))
	if err != nil {
		return false, fmt.Errorf("remove old audit entries: %w", err)
	}
	return n > 0, nil
}
