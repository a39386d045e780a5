package rest

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
)

// Pause is a pause in JSON.
type Pause struct {
	ID        string           `json:"id"`
	Scope     fleet.PauseScope `json:"scope"`
	Subject   string           `json:"subject" doc:"The id of a host, or a tag; empty for the whole fleet."`
	Until     *time.Time       `json:"until"`
	Reason    string           `json:"reason"`
	CreatedAt *time.Time       `json:"created_at"`
	CreatedBy string           `json:"created_by"`
}

func showPause(p fleet.Pause) Pause {
	return Pause{p.ID, p.Scope, p.Subject, at(p.Until), p.Reason, at(p.CreatedAt), p.CreatedBy}
}

func (a *API) pauses(ctx context.Context, _ auth.Identity, _ *struct{}) (*list[Pause], error) {
	found, err := a.Store.Pauses(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	return listOf(found, "", showPause), nil
}

type newPauseInput struct {
	Body struct {
		Scope   fleet.PauseScope `json:"scope" doc:"host, tag or fleet."`
		Subject string           `json:"subject,omitempty" maxLength:"64" doc:"The id of the host, or the tag; left out for the whole fleet."`
		Until   time.Time        `json:"until" doc:"At most a year away."`
		Reason  string           `json:"reason,omitempty"`
	}
}

func (a *API) createPause(ctx context.Context, who auth.Identity, in *newPauseInput) (*only[Pause], error) {
	made, err := a.Control.CreatePause(ctx, who, fleet.Pause{Scope: in.Body.Scope, Subject: in.Body.Subject, Until: in.Body.Until, Reason: in.Body.Reason})
	if err != nil {
		return nil, err
	}
	return &only[Pause]{showPause(made)}, nil
}

func (a *API) endPause(ctx context.Context, who auth.Identity, in *ByID) (*nothing, error) {
	return &nothing{}, a.Control.EndPause(ctx, who, in.ID)
}
