package store

import (
	"context"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

// AuditFilter narrows the audit list; zero values do not narrow.
type AuditFilter struct {
	Text    string // in actor, action, subject or detail
	Actor   string // in whatever case
	Action  string // or how it begins, such as "host."
	Noun    string
	Subject string
	From    time.Time // inclusive
	To      time.Time // exclusive
	fleet.Page
}

const selectAudit = "SELECT id, at, actor, action, noun, subject, detail, address, seal FROM audit"

func scanAudit(row scanner) (e fleet.AuditEntry, err error) {
	return e, row.Scan(&e.ID, instant{&e.At}, &e.Actor, &e.Action, &e.Noun, &e.Subject, &e.Detail, &e.Address, &e.Seal)
}

func (f AuditFilter) where() where {
	var w where
	if f.Text != "" {
		like := contains(f.Text)
		w.add("(lower(actor) LIKE lower(?) ESCAPE '!' OR lower(action) LIKE lower(?) ESCAPE '!' OR lower(subject) LIKE lower(?) ESCAPE '!' OR lower(detail) LIKE lower(?) ESCAPE '!')", like, like, like, like)
	}
	if f.Actor != "" {
		w.add("lower(actor) = lower(?)", f.Actor)
	}
	if f.Action != "" {
		w.add("lower(action) LIKE lower(?) ESCAPE '!'", contains(f.Action)[1:])
	}
	if f.Noun != "" {
		w.add("noun = ?", f.Noun)
	}
	if f.Subject != "" {
		w.add("subject = ?", f.Subject)
	}
	if !f.From.IsZero() {
		w.add("id >= ?", firstID(f.From))
	}
	if !f.To.IsZero() {
		w.add("id < ?", firstID(f.To))
	}
	return w
}

// firstID is the lowest id of what is made at that instant. The order of ids is
// that of time, and has an index.
func firstID(at time.Time) string {
	var id ulid.ULID
	if ms := at.UnixMilli(); ms > 0 {
		_ = id.SetTime(min(uint64(ms), ulid.MaxTime())) // within what it holds
	}
	return id.String()
}

// AuditEntries lists audit entries, newest first, and the cursor of the next page.
func (r reader) AuditEntries(ctx context.Context, f AuditFilter) ([]fleet.AuditEntry, string, error) {
	items, next, err := newestFirst(ctx, r.q, f.where(), f.Page, selectAudit, scanAudit, func(e fleet.AuditEntry) string { return e.ID })
	if err != nil {
		return nil, "", fmt.Errorf("list audit entries: %w", err)
	}
	return items, next, nil
}

// EachAuditEntry gives all that fit the filter, from its cursor on, newest first
// and some at a time, until take fails.
func (r reader) EachAuditEntry(ctx context.Context, f AuditFilter, take func([]fleet.AuditEntry) error) error {
	f.Limit = 500
	for {
		entries, next, err := r.AuditEntries(ctx, f)
		if err != nil {
			return err
		}
		if err := take(entries); err != nil || next == "" {
			return err
		}
		f.Cursor = next
	}
}

// Audit writes one entry into the append-only table, in the transaction of what
// it tells of.
func (t *Tx) Audit(ctx context.Context, e fleet.AuditEntry) error {
	err := t.exec(ctx, "INSERT INTO audit (id, at, actor, action, noun, subject, detail, address, seal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)",
		newID(e.At), millis(e.At), plain(e.Actor), e.Action, e.Noun, plain(e.Subject), plain(e.Detail), plain(e.Address))
	if err != nil {
		return fmt.Errorf("write audit entry %s: %w", e.Action, err)
	}
	return nil
}
