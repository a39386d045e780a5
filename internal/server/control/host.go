package control

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// HostChange is what a person may change of a host; nil leaves it as it is.
type HostChange struct {
	Name     *string
	Tags     *[]string
	Presence *fleet.Presence
	// Slots is how many jobs may move data to or from a storage box at once.
	Slots *int
}

// hostDetail is what the audit tells of a host.
type hostDetail struct {
	Name     string         `json:"name"`
	Tags     []string       `json:"tags"`
	Presence fleet.Presence `json:"presence"`
	Slots    int            `json:"slots,omitempty"`
}

func detailOfHost(h fleet.Host) hostDetail {
	detail := hostDetail{h.Name, h.Tags, h.Presence, 0}
	if h.Storage != nil {
		detail.Slots = h.Storage.Slots
	}
	return detail
}

// UpdateHost changes a host's name, tags, presence and slots. The name that its snapshots carry
// stays what it was at enrolment.
func (c *Control) UpdateHost(ctx context.Context, who auth.Identity, id job.HostID, change HostChange) (fleet.Host, error) {
	var host fleet.Host
	if err := require(who, auth.HostsWrite); err != nil {
		return host, err
	}
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if err := tx.HoldHost(ctx, id); err != nil {
			return err
		}
		if host, err = tx.Host(ctx, id); err != nil {
			return err
		}
		if !host.RemovedAt.IsZero() {
			return fleet.Conflict("%s was removed and can't be changed.", host.Name)
		}
		before := detailOfHost(host)
		if change.Name != nil {
			host.Name = *change.Name
		}
		if change.Tags != nil {
			host.Tags = append([]string{}, *change.Tags...)
		}
		var problems fleet.Invalid
		if change.Presence != nil {
			if host.Presence = *change.Presence; !host.Presence.Valid() {
				problems.Add("presence", "A machine is %s or %s.", fleet.AlwaysOn, fleet.Intermittent)
			}
		}
		if change.Slots != nil {
			switch {
			case !host.IsStorage():
				problems.Add("slots", "Only a storage box has slots.")
			case *change.Slots < 1 || *change.Slots > fleet.MaxSlots:
				problems.Add("slots", "A storage box has 1 to %d slots.", fleet.MaxSlots)
			default:
				host.Storage.Slots = *change.Slots
			}
		}
		fleet.CheckName(&problems, "name", host.Name)
		fleet.CheckTags(&problems, "tags", host.Tags)
		if err := problems.Err(); err != nil {
			return err
		}
		if err := tx.UpdateHost(ctx, host); err != nil {
			return err
		}
		return c.auditChange(ctx, tx, who, "host.changed", NounHost, string(id), before, detailOfHost(host))
	})
	if err != nil {
		return host, err
	}
	c.events.publish(Event{NounHost, string(id)})
	c.hub.poke(id) // a pause may hold for one of its tags
	if change.Slots != nil {
		c.moveLine(ctx, id)
	}
	return host, nil
}

// RemoveHost ends a host for ever: its session, its key, its jobs and its
// rest-server user. Its repository and snapshots stay where they are.
func (c *Control) RemoveHost(ctx context.Context, who auth.Identity, id job.HostID) error {
	if err := require(who, auth.HostsRemove); err != nil {
		return err
	}
	var ended []fleet.Job
	var repositories []fleet.Repository
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		ended = nil
		if err := tx.HoldHost(ctx, id); err != nil {
			return err
		}
		host, err := tx.Host(ctx, id)
		if err != nil {
			return err
		}
		if err := c.unused(ctx, tx, host); err != nil {
			return err
		}
		removed, err := tx.RemoveHost(ctx, id, c.now())
		if err != nil {
			return err
		}
		if !removed {
			return fleet.Conflict("%s was removed already.", host.Name)
		}
		if ended, err = tx.ActiveJobs(ctx, id); err != nil {
			return err
		}
		for i, j := range ended {
			if j.Kind == job.Backup && j.State != job.Running {
				if err := c.abandon(ctx, tx, j, abandonHostRemoved, abandonSentences[abandonHostRemoved]); err != nil {
					return err
				}
				ended[i] = skippedAs(j, job.CauseAbandoned)
				continue
			}
			if _, _, err := c.lose(ctx, tx, j, job.CauseHostRemoved, "The host was removed."); err != nil {
				return err
			}
		}
		if repositories, _, err = tx.Repositories(ctx, store.RepositoryFilter{Host: id, Page: fleet.Page{Limit: 500}}); err != nil {
			return err
		}
		for _, r := range repositories {
			if r.Storage == "" {
				continue
			}
			if err := c.dropUser(ctx, tx, r); err != nil {
				return err
			}
		}
		if err := tx.CloseAlertsOf(ctx, id, c.now()); err != nil {
			return err
		}
		return c.audit(ctx, tx, who, "host.removed", NounHost, string(id), map[string]any{"before": detailOfHost(host), "jobs_ended": len(ended)})
	})
	if err != nil {
		return err
	}
	c.lost(ctx, ended, nil)
	c.hub.poke(id) // its writers say gone and end the sessions
	for _, r := range repositories {
		c.hub.poke(r.Storage)
	}
	c.events.publish(Event{NounAlert, ""})
	c.events.publish(Event{NounHost, string(id)})
	return nil
}

// unused refuses the removal of a storage box that hosts back up to.
func (c *Control) unused(ctx context.Context, tx *store.Tx, storage fleet.Host) error {
	if !storage.IsStorage() {
		return nil
	}
	repositories, _, err := tx.Repositories(ctx, store.RepositoryFilter{Storage: storage.ID, Page: fleet.Page{Limit: 500}})
	if err != nil {
		return err
	}
	names := ""
	for _, r := range repositories {
		host, err := tx.Host(ctx, r.Host)
		if err != nil {
			return err
		}
		if host.RemovedAt.IsZero() {
			names += ", " + host.Name
		}
	}
	if names == "" {
		return nil
	}
	return fleet.Conflict("These hosts back up to %s: %s. Remove them first.", storage.Name, names[2:])
}

// alertDetail is what the audit tells of an alert.
type alertDetail struct {
	Kind     fleet.AlertKind `json:"kind"`
	Host     job.HostID      `json:"host_id,omitempty"`
	Sentence string          `json:"sentence"`
}

// CloseAlert is a person's word that a condition was dealt with.
func (c *Control) CloseAlert(ctx context.Context, who auth.Identity, id string) error {
	if err := require(who, auth.HostsEnrol); err != nil {
		return err
	}
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		alert, err := tx.OpenAlertByID(ctx, id)
		if err != nil {
			return err
		}
		closed, err := tx.CloseAlertByID(ctx, id, c.now())
		if err != nil {
			return err
		}
		if !closed {
			return fleet.NotFound("open alert", id)
		}
		return c.auditChange(ctx, tx, who, "alert.closed", NounAlert, id, alertDetail{alert.Kind, alert.Host, alert.Sentence}, nil)
	})
	if err == nil {
		c.events.publish(Event{NounAlert, id})
	}
	return err
}
