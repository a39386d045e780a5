package ui

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/store"
)

// AuditPage lists what was changed and decided, newest first.
type AuditPage struct {
	Frame  Frame
	Filter AuditFilter
	About  string    // name of what it is narrowed to; "" when it is not
	Head   AuditHead // how far the log is sealed
	Rows   []AuditRow
	Next   string
	CSV    string // where the same is as a table
}

// AuditHead is how far the audit log is sealed.
type AuditHead struct {
	Seal     fleet.AuditSeal // the newest; its number is 0 for none
	Unsealed int             // newer entries
}

// AuditRow is one entry in words.
type AuditRow struct {
	Entry   fleet.AuditEntry
	Did     string // the action in words
	Name    string // of what it was done to
	Link    string // its page, "" for none
	Changes []AuditChange
	Detail  string // what else there is to say, "" for nothing
}

// AuditChange is one field before and after; "" is nothing.
type AuditChange struct{ Field, Before, After string }

// AuditFilter is the page's query.
type AuditFilter struct {
	Text     string // in who, action, subject or detail
	Actor    string
	Action   string
	Noun     string
	Subject  string
	From, To string // days, both inclusive, as a date input has them
}

// Narrow tells whether anything is filtered.
func (f AuditFilter) Narrow() bool { return f != AuditFilter{} }

func auditFilterOf(query url.Values) AuditFilter {
	return AuditFilter{Text: query.Get("text"), Actor: query.Get("actor"), Action: query.Get("action"), Noun: query.Get("noun"),
		Subject: query.Get("subject"), From: query.Get("from"), To: query.Get("to")}
}

// query is the filter for the store. What is no day does not narrow.
func (f AuditFilter) query() store.AuditFilter {
	query := store.AuditFilter{Text: f.Text, Actor: f.Actor, Action: f.Action, Noun: f.Noun, Subject: f.Subject}
	if day, err := time.Parse(time.DateOnly, f.From); err == nil {
		query.From = day
	}
	if day, err := time.Parse(time.DateOnly, f.To); err == nil {
		query.To = day.AddDate(0, 0, 1)
	}
	return query
}

// address is path with the filter as its query.
func (f AuditFilter) address(path string) string {
	query := url.Values{}
	for name, value := range map[string]string{"text": f.Text, "actor": f.Actor, "action": f.Action, "noun": f.Noun, "subject": f.Subject, "from": f.From, "to": f.To} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

func (u *UI) audit(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	frame, err := u.frame(r, "Audit")
	if err != nil {
		return err
	}
	page := AuditPage{Frame: frame, Filter: auditFilterOf(r.URL.Query())}
	page.CSV = page.Filter.address("/audit.csv")
	filter := page.Filter.query()
	filter.Page = fleet.Page{Limit: 50, Cursor: r.URL.Query().Get("cursor")}
	entries, next, err := u.Store.AuditEntries(ctx, filter)
	if err != nil {
		return err
	}
	page.Next = nextPath(r, next)
	if page.Rows, err = u.auditRows(ctx, entries); err != nil {
		return err
	}
	if page.Filter.Subject != "" {
		about, err := auditNames{u, map[string]thing{}}.of(ctx, page.Filter.Noun, page.Filter.Subject)
		if err != nil {
			return err
		}
		if page.About = about.Name; page.About == "" {
			page.About = shortID(page.Filter.Subject)
		}
	}
	if page.Head.Seal, err = u.Store.AuditHead(ctx); err != nil {
		return err
	}
	if page.Head.Unsealed, err = u.Store.CountUnsealed(ctx); err != nil {
		return err
	}
	return u.show(w, r, "audit", "", page)
}

// auditCSV writes all entries that fit the page's filter, a part at a time.
func (u *UI) auditCSV(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="audit.csv"`)
	out := csv.NewWriter(w)
	_ = out.Write(fleet.AuditColumns) // what fails, fails again at Flush
	begun := false
	err := u.Store.EachAuditEntry(r.Context(), auditFilterOf(r.URL.Query()).query(), func(entries []fleet.AuditEntry) error {
		begun = true
		for _, entry := range entries {
			_ = out.Write(entry.Cells())
		}
		out.Flush()
		return out.Error()
	})
	if err == nil {
		out.Flush()
		return nil // a reader that went away is no error of ours
	}
	if !begun {
		w.Header().Del("Content-Disposition")
		return err
	}
	if r.Context().Err() == nil {
		u.Log.ErrorContext(r.Context(), "audit export broken off", "error", err)
	}
	panic(http.ErrAbortHandler) // so that the reader sees it is not whole
}
