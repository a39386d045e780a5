package store

import (
	"context"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

// AuditFilter narrows the audit list; zero values do not narrow.
type AuditFilter struct {
	Text    string // in actor, action or detail
	Noun    string
	Subject string
	fleet.Page
}

// AuditEntries lists audit entries, newest first, and the cursor of the next page.
func (r reader) AuditEntries(ctx context.Context, f AuditFilter) ([]fleet.AuditEntry, string, error) {
	var w where
	if f.Text != "" {
		like := contains(f.Text)
		w.add("(lower(actor) LIKE lower(?) ESCAPE '!' OR lower(action) LIKE lower(?) ESCAPE '!' OR lower(detail) LIKE lower(?) ESCAPE '!')", like, like, like)
	}
	if f.Noun != "" {
		w.add("noun = ?", f.Noun)
	}
	if f.Subject != "" {
		w.add("subject = ?", f.Subject)
	}
	if f.Cursor != "" {
		last, err := afterID(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		w.add("id < ?", last)
	}
	items, err := collect(ctx, r.q, func(row scanner) (e fleet.AuditEntry, err error) {
		return e, row.Scan(&e.ID, instant{&e.At}, &e.Actor, &e.Action, &e.Noun, &e.Subject, &e.Detail, &e.Address)
	}, "SELECT id, at, actor, action, noun, subject, detail, address FROM audit"+w.String()+" ORDER BY id DESC"+w.limit(f.Size()+1), w.args...)
	if err != nil {
		return nil, "", fmt.Errorf("list audit entries: %w", err)
	}
	items, next := cut(items, f.Size(), func(e fleet.AuditEntry) string { return e.ID })
	return items, next, nil
}

// Audit writes one entry into the append-only table, in the transaction of what
// it tells of.
func (t *Tx) Audit(ctx context.Context, e fleet.AuditEntry) error {
	err := t.exec(ctx, "INSERT INTO audit (id, at, actor, action, noun, subject, detail, address) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		newID(e.At), millis(e.At), plain(e.Actor), e.Action, e.Noun, plain(e.Subject), plain(e.Detail), plain(e.Address))
	if err != nil {
		return fmt.Errorf("write audit entry %s: %w", e.Action, err)
	}
	return nil
}
