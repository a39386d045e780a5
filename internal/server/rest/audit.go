package rest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// AuditEntry is one line of the audit table in JSON.
type AuditEntry struct {
	ID      string          `json:"id"`
	At      *time.Time      `json:"at"`
	Actor   string          `json:"actor"`
	Action  string          `json:"action" example:"job.created"`
	Noun    string          `json:"noun"`
	Subject string          `json:"subject" doc:"The id of that noun."`
	Detail  json.RawMessage `json:"detail" doc:"An object, or null."`
	Address string          `json:"address"`
}

type auditInput struct {
	Paged
	Text    string `query:"q" maxLength:"200" doc:"In actor, action or detail."`
	Noun    string `query:"noun" maxLength:"64"`
	Subject string `query:"subject" maxLength:"100"`
}

func (a *API) audit(ctx context.Context, _ auth.Identity, in *auditInput) (*list[AuditEntry], error) {
	entries, next, err := a.Store.AuditEntries(ctx, store.AuditFilter{Text: in.Text, Noun: in.Noun, Subject: in.Subject, Page: in.page()})
	if err != nil {
		return nil, err
	}
	return listOf(entries, next, func(e fleet.AuditEntry) AuditEntry {
		detail := json.RawMessage(e.Detail)
		if !json.Valid(detail) {
			detail = json.RawMessage("null")
		}
		return AuditEntry{e.ID, at(e.At), e.Actor, e.Action, e.Noun, e.Subject, detail, e.Address}
	}), nil
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
