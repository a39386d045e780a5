package control

import (
	"context"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// CreateSchedule adds a schedule to a host. No moment before now counts.
func (c *Control) CreateSchedule(ctx context.Context, who auth.Identity, s fleet.Schedule) (fleet.Schedule, error) {
	if err := require(who, auth.SchedulesWrite); err != nil {
		return s, err
	}
	s.ID = job.ScheduleID(job.NewULID(c.now()))
	return c.writeSchedule(ctx, who, s, true)
}

// UpdateSchedule changes a schedule; its host and id stay. When it is enabled, or
// due at other times than before, no moment before now counts.
func (c *Control) UpdateSchedule(ctx context.Context, who auth.Identity, s fleet.Schedule) (fleet.Schedule, error) {
	if err := require(who, auth.SchedulesWrite); err != nil {
		return s, err
	}
	known, err := c.store.Schedule(ctx, s.ID)
	if err != nil {
		return s, err
	}
	s.Host = known.Host
	return c.writeSchedule(ctx, who, s, false)
}

// writeSchedule adds a fresh schedule, or changes one.
func (c *Control) writeSchedule(ctx context.Context, who auth.Identity, s fleet.Schedule, fresh bool) (fleet.Schedule, error) {
	slices.Sort(s.Groups)
	s.Groups = slices.Compact(s.Groups)
	s.Cron = strings.Join(strings.Fields(s.Cron), " ")
	var problems fleet.Invalid
	s.Check(&problems)
	if err := problems.Err(); err != nil {
		return s, err
	}
	var done drained
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if err := tx.HoldHost(ctx, s.Host); err != nil {
			return err
		}
		host, err := tx.Host(ctx, s.Host)
		if err != nil {
			return err
		}
		if !host.RemovedAt.IsZero() {
			return fleet.Conflict("%s was removed; it backs up nothing any more.", host.Name)
		}
		if err := belong(ctx, tx, host, s.Groups); err != nil {
			return err
		}
		s.CreatedAt, s.UpdatedAt, s.EffectiveFrom = c.now(), c.now(), c.now().UnixMilli()
		if fresh {
			err = c.addSchedule(ctx, tx, who, host, s)
		} else {
			s, err = c.changeSchedule(ctx, tx, who, s)
		}
		if err != nil {
			return err
		}
		if err := fits(ctx, tx, host, ""); err != nil {
			return err
		}
		done, err = c.drain(ctx, tx, s.Host)
		return err
	})
	if err != nil {
		return s, err
	}
	c.changedSchedule(ctx, s, done)
	return s, nil
}

func (c *Control) addSchedule(ctx context.Context, tx *store.Tx, who auth.Identity, host fleet.Host, s fleet.Schedule) error {
	standing, err := tx.SchedulesOf(ctx, host.ID)
	if err != nil {
		return err
	}
	if len(standing) >= fleet.MaxSchedules {
		return fleet.Conflict("%s has %d schedules already, and no host has more. Remove one, or give one of them more source groups.", host.Name, len(standing))
	}
	if err := tx.InsertSchedule(ctx, s); err != nil {
		return err
	}
	return c.auditChange(ctx, tx, who, "schedule.created", NounSchedule, string(s.ID), nil, detailOfSchedule(s))
}

// changeSchedule writes s over what is there.
func (c *Control) changeSchedule(ctx context.Context, tx *store.Tx, who auth.Identity, s fleet.Schedule) (fleet.Schedule, error) {
	before, err := tx.Schedule(ctx, s.ID)
	if err != nil {
		return s, err
	}
	s.CreatedAt = before.CreatedAt
	if started := s.Enabled && !before.Enabled; !started && s.Cron == before.Cron && s.TimeZone == before.TimeZone {
		s.EffectiveFrom = before.EffectiveFrom
	}
	if err := tx.UpdateSchedule(ctx, s); err != nil {
		return s, err
	}
	return s, c.auditChange(ctx, tx, who, "schedule.changed", NounSchedule, string(s.ID), detailOfSchedule(before), detailOfSchedule(s))
}

// belong refuses groups that are not of the host.
func belong(ctx context.Context, tx *store.Tx, host fleet.Host, wanted []job.GroupID) error {
	groups, err := tx.Groups(ctx, host.ID)
	if err != nil {
		return err
	}
	for _, id := range wanted {
		if !slices.ContainsFunc(groups, func(g fleet.SourceGroup) bool { return g.ID == id }) {
			return invalid("source_group_ids", "%s has no source group %q.", host.Name, id)
		}
	}
	return nil
}

// DeleteSchedule removes a schedule. What it asked for and still waits is
// abandoned; what runs goes on.
func (c *Control) DeleteSchedule(ctx context.Context, who auth.Identity, id job.ScheduleID) error {
	if err := require(who, auth.SchedulesWrite); err != nil {
		return err
	}
	known, err := c.store.Schedule(ctx, id)
	if err != nil {
		return err
	}
	var done drained
	err = c.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.HoldHost(ctx, known.Host); err != nil {
			return err
		}
		s, err := tx.Schedule(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteSchedule(ctx, id); err != nil {
			return err
		}
		if err := c.auditChange(ctx, tx, who, "schedule.removed", NounSchedule, string(id), detailOfSchedule(s), nil); err != nil {
			return err
		}
		done, err = c.drain(ctx, tx, s.Host)
		return err
	})
	if err != nil {
		return err
	}
	c.changedSchedule(ctx, known, done)
	return nil
}

// changedSchedule tells everybody of a schedule and of the runs that its change
// took along.
func (c *Control) changedSchedule(ctx context.Context, s fleet.Schedule, done drained) {
	c.settleDrained(ctx, done)
	c.events.publish(Event{NounSchedule, string(s.ID)})
	c.events.publish(Event{NounHost, string(s.Host)})
	c.hub.poke(s.Host)
}

// leaveSchedules takes a group that is to be removed out of the schedules of its
// host, and refuses where nothing would be left of one. It returns those it has
// changed.
func (c *Control) leaveSchedules(ctx context.Context, tx *store.Tx, who auth.Identity, g fleet.SourceGroup) ([]fleet.Schedule, error) {
	all, err := tx.SchedulesOf(ctx, g.Host)
	if err != nil {
		return nil, err
	}
	users := slices.DeleteFunc(all, func(s fleet.Schedule) bool { return !slices.Contains(s.Groups, g.ID) })
	var alone []string
	for _, s := range users {
		if len(s.Groups) == 1 {
			alone = append(alone, scheduleTitle(s))
		}
	}
	if len(alone) > 0 {
		return nil, fleet.Conflict("%s is all that these schedules back up: %s. Remove them or give them another source group, then remove this one.", g.Name, strings.Join(alone, "; "))
	}
	for i, s := range users {
		s.Groups = slices.DeleteFunc(slices.Clone(s.Groups), func(id job.GroupID) bool { return id == g.ID })
		s.UpdatedAt = c.now()
		if users[i], err = c.changeSchedule(ctx, tx, who, s); err != nil {
			return nil, err
		}
	}
	return users, nil
}

// planned are the schedules that a host goes by: the enabled ones, each with
// those of its groups that can run.
func planned(schedules []fleet.Schedule, canRun map[job.GroupID]bool) []api.PlanSchedule {
	plan := []api.PlanSchedule{}
	for _, s := range schedules {
		groups := slices.DeleteFunc(slices.Clone(s.Groups), func(id job.GroupID) bool { return !canRun[id] })
		if s.Enabled && len(groups) > 0 {
			plan = append(plan, api.PlanSchedule{ID: s.ID, Rule: s.Rule, Groups: groups})
		}
	}
	return plan
}

// scheduleTitle is how a sentence names a schedule.
func scheduleTitle(s fleet.Schedule) string {
	if s.Name != "" {
		return s.Name
	}
	return schedule.Describe(s.Rule) + ", " + s.TimeZone
}

// scheduleDetail is what the audit tells of a schedule.
type scheduleDetail struct {
	Host          job.HostID      `json:"host_id"`
	Name          string          `json:"name"`
	Cron          string          `json:"cron"`
	TimeZone      string          `json:"time_zone"`
	JitterSeconds int             `json:"jitter_seconds"`
	Missed        schedule.Missed `json:"missed_policy"`
	Enabled       bool            `json:"enabled"`
	Groups        []job.GroupID   `json:"source_group_ids"`
}

func detailOfSchedule(s fleet.Schedule) scheduleDetail {
	return scheduleDetail{s.Host, s.Name, s.Cron, s.TimeZone, s.JitterSeconds, s.Missed, s.Enabled, s.Groups}
}
