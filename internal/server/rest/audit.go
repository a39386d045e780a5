package rest

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// AuditEntry is one line of the audit table in JSON.
type AuditEntry struct {
	ID      string          `json:"id"`
	At      *time.Time      `json:"at"`
	Actor   string          `json:"actor" doc:"A user's name, \"token NAME\", or \"server\" for what it decided by itself."`
	Action  string          `json:"action" example:"job.created"`
	Noun    string          `json:"noun"`
	Subject string          `json:"subject" doc:"The id of that noun."`
	Detail  json.RawMessage `json:"detail" doc:"An object, or null. A change has \"before\" and \"after\" in it, with the fields that differ."`
	Address string          `json:"address"`
	Seal    int64           `json:"seal" doc:"Number of the seal that covers the entry; 0 is not sealed yet."`
}

// AuditWanted is what narrows the audit table. It is exported for huma.
type AuditWanted struct {
	Text    string    `query:"q" maxLength:"200" doc:"In actor, action, subject or detail."`
	Actor   string    `query:"actor" maxLength:"200"`
	Action  string    `query:"action" maxLength:"64" doc:"Or how it begins, such as host."`
	Noun    string    `query:"noun" maxLength:"64"`
	Subject string    `query:"subject" maxLength:"100"`
	From    time.Time `query:"from" doc:"This instant or later."`
	To      time.Time `query:"to" doc:"Before this instant."`
}

func (w AuditWanted) filter() store.AuditFilter {
	return store.AuditFilter{Text: w.Text, Actor: w.Actor, Action: w.Action, Noun: w.Noun, Subject: w.Subject, From: w.From, To: w.To}
}

type auditInput struct {
	Paged
	AuditWanted
}

func (a *API) audit(ctx context.Context, _ auth.Identity, in *auditInput) (*list[AuditEntry], error) {
	filter := in.filter()
	filter.Page = in.page()
	entries, next, err := a.Store.AuditEntries(ctx, filter)
	if err != nil {
		return nil, err
	}
	return listOf(entries, next, func(e fleet.AuditEntry) AuditEntry {
		detail := json.RawMessage(e.Detail)
		if !json.Valid(detail) {
			detail = json.RawMessage("null")
		}
		return AuditEntry{e.ID, at(e.At), e.Actor, e.Action, e.Noun, e.Subject, detail, e.Address, e.Seal}
	}), nil
}

const csvType = "text/csv"

// auditCSV writes all that fits, piece by piece.
func (a *API) auditCSV(_ context.Context, in *AuditWanted) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		w.Header().Set("Content-Type", csvType+"; charset=utf-8")
		if r.Method == http.MethodHead {
			return
		}
		out := csv.NewWriter(w)
		_ = out.Write(fleet.AuditColumns) // what fails, fails again at Flush
		err := a.Store.EachAuditEntry(r.Context(), in.filter(), func(entries []fleet.AuditEntry) error {
			for _, e := range entries {
				_ = out.Write(e.Cells())
			}
			out.Flush()
			return out.Error()
		})
		if err == nil {
			return
		}
		if r.Context().Err() == nil {
			a.Log.ErrorContext(r.Context(), "audit export broken off", "error", err)
		}
		panic(http.ErrAbortHandler) // so that the reader sees it is not whole
	}}, nil
}

// Alert is an open alert in JSON.
type Alert struct {
	ID       string          `json:"id"`
	Kind     fleet.AlertKind `json:"kind"`
	HostID   job.HostID      `json:"host_id" doc:"Empty when it is about no host."`
	Subject  string          `json:"subject"`
	Sentence string          `json:"sentence" doc:"What happened and what to do."`
	OpenedAt *time.Time      `json:"opened_at"`
	LastAt   *time.Time      `json:"last_at"`
	Count    int             `json:"count"`
}

type alertsInput struct {
	Host job.HostID `query:"host_id" maxLength:"64"`
}

func (a *API) alerts(ctx context.Context, _ auth.Identity, in *alertsInput) (*list[Alert], error) {
	open, err := a.Store.Alerts(ctx, in.Host)
	if err != nil {
		return nil, err
	}
	return listOf(open, "", func(alert fleet.Alert) Alert {
		return Alert{alert.ID, alert.Kind, alert.Host, alert.Subject, alert.Sentence, at(alert.OpenedAt), at(alert.LastAt), alert.Count}
	}), nil
}

func (a *API) closeAlert(ctx context.Context, who auth.Identity, in *ByID) (*nothing, error) {
	return &nothing{}, a.Control.CloseAlert(ctx, who, in.ID)
}
