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
	items, next, err := newestFirst(ctx, r.q, w, f.Page, "SELECT id, at, actor, action, noun, subject, detail, address FROM audit", scanAudit,
		func(e fleet.AuditEntry) string { return e.ID })
	if err != nil {
		return nil, "", fmt.Errorf("list audit entries: %w", err)
	}
	return items, next, nil
}

func scanAudit(row scanner) (e fleet.AuditEntry, err error) {
	return e, row.Scan(&e.ID, instant{&e.At}, &e.Actor, &e.Action, &e.Noun, &e.Subject, &e.Detail, &e.Address)
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
