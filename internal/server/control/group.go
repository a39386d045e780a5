package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// CreateGroup adds a source group to a host. An empty repository is the host's
// only one; an all-zero retention takes the default.
func (c *Control) CreateGroup(ctx context.Context, who auth.Identity, g fleet.SourceGroup) (fleet.SourceGroup, error) {
	if err := require(who, auth.GroupsWrite); err != nil {
		return g, err
	}
	g.ID = job.GroupID(job.NewULID(c.now()))
	g.CreatedAt, g.UpdatedAt = c.now(), c.now()
	if g.Retention == (fleet.Retention{}) {
		g.Retention = fleet.DefaultRetention
	}
	return c.writeGroup(ctx, who, g, "source_group.created", (*store.Tx).InsertGroup)
}

// UpdateGroup changes a source group; its host and id stay.
func (c *Control) UpdateGroup(ctx context.Context, who auth.Identity, g fleet.SourceGroup) (fleet.SourceGroup, error) {
	if err := require(who, auth.GroupsWrite); err != nil {
		return g, err
	}
	known, err := c.store.Group(ctx, g.ID)
	if err != nil {
		return g, err
	}
	g.Host, g.CreatedAt, g.UpdatedAt = known.Host, known.CreatedAt, c.now()
	return c.writeGroup(ctx, who, g, "source_group.changed", (*store.Tx).UpdateGroup)
}

func (c *Control) writeGroup(ctx context.Context, who auth.Identity, g fleet.SourceGroup, action string,
	write func(*store.Tx, context.Context, fleet.SourceGroup) error) (fleet.SourceGroup, error) {
	if g.Includes == nil {
		g.Includes = []string{}
	}
	if g.Excludes == nil {
		g.Excludes = []string{}
	}
	if g.Options.Tags == nil {
		g.Options.Tags = []string{}
	}
	if g.Options.RetryMax == 0 {
		g.Options.RetryMax = fleet.DefaultRetryMax
	}
	if g.Options.RetryBackoffSeconds == 0 {
		g.Options.RetryBackoffSeconds = fleet.DefaultRetryBackoffSeconds
	}
	var problems fleet.Invalid
	g.Check(&problems)
	if err := problems.Err(); err != nil {
		return g, err
	}
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.HoldHost(ctx, g.Host); err != nil {
			return err
		}
		host, err := tx.Host(ctx, g.Host)
		if err != nil {
			return err
		}
		if !host.RemovedAt.IsZero() {
			return fleet.Conflict("%s was removed; it backs up nothing any more.", host.Name)
		}
		repository, err := c.repositoryFor(ctx, tx, host, g.Repository)
		if err != nil {
			return err
		}
		g.Repository = repository.ID
		var before any
		switch known, err := tx.Group(ctx, g.ID); {
		case err == nil:
			before = detailOfGroup(known)
		case !errors.Is(err, fleet.ErrNotFound):
			return err
		}
		if err := write(tx, ctx, g); err != nil {
			return err
		}
		g, err = tx.Group(ctx, g.ID)
		if err != nil {
			return err
		}
		if err := fits(ctx, tx, host, g.ID); err != nil {
			return err
		}
		return c.auditChange(ctx, tx, who, action, "source_group", string(g.ID), before, detailOfGroup(g))
	})
	if err != nil {
		return g, err
	}
	c.events.publish(Event{NounHost, string(g.Host)})
	c.hub.poke(g.Host)
	return g, nil
}

// groupDetail is what the audit tells of a source group.
type groupDetail struct {
	Host       job.HostID         `json:"host_id"`
	Name       string             `json:"name"`
	Repository job.RepositoryID   `json:"repository_id"`
	Includes   []string           `json:"includes"`
	Excludes   []string           `json:"excludes"`
	Options    fleet.GroupOptions `json:"options"`
	Retention  fleet.Retention    `json:"retention"`
}

func detailOfGroup(g fleet.SourceGroup) groupDetail {
	return groupDetail{g.Host, g.Name, g.Repository, g.Includes, g.Excludes, g.Options, g.Retention}
}

// Bounds of what a host is told of its groups, in bytes: an order becomes one
// record of the agent's journal, and a plan holds all groups in one message.
const (
	maxOrder = api.MaxRecordBody / 2
	maxPlan  = api.MaxFrame / 2
)

// fits refuses a change after which a host could not be told its groups and
// schedules. The changed group is "" when none was.
func fits(ctx context.Context, tx *store.Tx, host fleet.Host, changed job.GroupID) error {
	groups, err := tx.Groups(ctx, host.ID)
	if err != nil {
		return err
	}
	field, all, canRun := "source_group_ids", 0, map[job.GroupID]bool{}
	for _, g := range groups {
		canRun[g.ID] = true
		raw, err := json.Marshal(Resolve(host, g))
		if err != nil {
			return fmt.Errorf("encode source group: %w", err)
		}
		if g.ID == changed {
			field = "includes"
			if len(raw) > maxOrder {
				return invalid(field, "The paths and exclusions of one group may take %d KiB together; these take %d. Name whole folders, or make two groups.", maxOrder>>10, len(raw)>>10)
			}
		}
		all += len(raw)
	}
	schedules, err := tx.SchedulesOf(ctx, host.ID)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(planned(schedules, canRun))
	if err != nil {
		return fmt.Errorf("encode schedules: %w", err)
	}
	if all += len(raw); all > maxPlan {
		return invalid(field, "All groups and schedules of one host may take %d KiB together; with this change they take %d.", maxPlan>>10, all>>10)
	}
	return nil
}

// DeleteGroup removes a source group and takes it out of its schedules. Its
// snapshots stay where they are. A run that an agent has must end first, and so
// must one that a person let wait; those of schedules are abandoned.
func (c *Control) DeleteGroup(ctx context.Context, who auth.Identity, id job.GroupID) error {
	if err := require(who, auth.GroupsWrite); err != nil {
		return err
	}
	var g fleet.SourceGroup
	var left []fleet.Schedule
	var done drained
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if g, err = tx.Group(ctx, id); err != nil {
			return err
		}
		if err := tx.HoldHost(ctx, g.Host); err != nil {
			return err
		}
		if g, err = tx.Group(ctx, id); err != nil {
			return err
		}
		active, err := tx.ActiveJobs(ctx, g.Host)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(active, func(j fleet.Job) bool { return j.Group == id && (j.State != job.Queued || j.Schedule == "") }); i >= 0 {
			return fleet.Conflict("A backup of %s is under way (job %s). Cancel it or wait for its end, then remove the group.", g.Name, active[i].ID)
		}
		if left, err = c.leaveSchedules(ctx, tx, who, g); err != nil {
			return err
		}
		if err := tx.DeleteGroup(ctx, g); err != nil {
			return err
		}
		if err := c.auditChange(ctx, tx, who, "source_group.removed", "source_group", string(id), detailOfGroup(g), nil); err != nil {
			return err
		}
		done, err = c.drain(ctx, tx, g.Host)
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range left {
		c.events.publish(Event{NounSchedule, string(s.ID)})
	}
	c.settleDrained(ctx, done)
	c.events.publish(Event{NounHost, string(g.Host)})
	c.hub.poke(g.Host)
	return nil
}
