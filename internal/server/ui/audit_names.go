package ui

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// thing is what an audit entry is about or names, as a person knows it.
type thing struct {
	Name string // "" when it has none, or is not known any more
	Link string // its page; "" for none
}

// auditNames looks things up, each once per page.
type auditNames struct {
	u     *UI
	known map[string]thing // by noun and id
}

func (n auditNames) of(ctx context.Context, noun, id string) (thing, error) {
	key := noun + " " + id
	if known, ok := n.known[key]; ok || id == "" {
		return known, nil
	}
	found, err := n.find(ctx, noun, id)
	if errors.Is(err, fleet.ErrNotFound) {
		found, err = thing{}, nil
	}
	if err == nil {
		n.known[key] = found
	}
	return found, err
}

func (n auditNames) find(ctx context.Context, noun, id string) (thing, error) {
	switch noun {
	case control.NounHost, "storage":
		one, err := n.u.Store.Host(ctx, job.HostID(id))
		return thing{one.Name, "/hosts/" + id}, err
	case control.NounRepository:
		one, err := n.u.Store.Repository(ctx, job.RepositoryID(id))
		return thing{one.Name, "/repositories"}, err
	case "source_group", "group":
		one, err := n.u.Store.Group(ctx, job.GroupID(id))
		return thing{one.Name, "/hosts/" + string(one.Host) + "/sources"}, err
	case control.NounSchedule:
		one, err := n.u.Store.Schedule(ctx, job.ScheduleID(id))
		if err != nil {
			return thing{}, err
		}
		host, err := n.of(ctx, control.NounHost, string(one.Host))
		if one.Name == "" {
			one.Name = one.Cron + " on " + host.Name
		}
		return thing{one.Name, "/hosts/" + string(one.Host) + "/schedules"}, err
	case control.NounJob:
		one, err := n.u.Store.Job(ctx, job.ID(id))
		if err != nil {
			return thing{}, err
		}
		host, err := n.of(ctx, control.NounHost, string(one.Host))
		return thing{jobTitle(one) + " on " + host.Name, "/jobs/" + id}, err
	case "user":
		one, _, err := n.u.Store.User(ctx, id)
		return thing{Name: one.Name}, err
	}
	return thing{}, nil
}
