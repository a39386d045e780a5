package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// The groups come with their schedule, so that a list needs no query for each.
const selectSchedule = `SELECT id, host_id, name, cron, time_zone, jitter_seconds, missed_policy, enabled, effective_from, created_at, updated_at,
	coalesce((SELECT string_agg(g.group_id, ',' ORDER BY g.group_id) FROM schedule_groups g WHERE g.schedule_id = schedules.id), '') FROM schedules`

func scanSchedule(row scanner) (s fleet.Schedule, err error) {
	var groups string
	err = row.Scan(&s.ID, &s.Host, &s.Name, &s.Cron, &s.TimeZone, &s.JitterSeconds, &s.Missed, &s.Enabled, &s.EffectiveFrom,
		instant{&s.CreatedAt}, instant{&s.UpdatedAt}, &groups)
	if groups != "" {
		for group := range strings.SplitSeq(groups, ",") {
			s.Groups = append(s.Groups, job.GroupID(group))
		}
	}
	return s, err
}

// Schedules lists schedules, newest first, and the cursor of the next page.
// Without a host it leaves those of removed hosts out.
func (r reader) Schedules(ctx context.Context, f fleet.ScheduleFilter) ([]fleet.Schedule, string, error) {
	var w where
	if f.Host != "" {
		w.add("host_id = ?", f.Host)
	} else {
		w.add("host_id IN (SELECT h.id FROM hosts h WHERE h.removed_at = 0)")
	}
	if f.Group != "" {
		w.add("id IN (SELECT g.schedule_id FROM schedule_groups g WHERE g.group_id = ?)", f.Group)
	}
	if f.Enabled != nil {
		w.add("enabled = ?", *f.Enabled)
	}
	items, next, err := newestFirst(ctx, r.q, w, f.Page, selectSchedule, scanSchedule, func(s fleet.Schedule) string { return string(s.ID) })
	if err != nil {
		return nil, "", fmt.Errorf("list schedules: %w", err)
	}
	return items, next, nil
}

// SchedulesOf lists all schedules of a host, oldest first.
func (r reader) SchedulesOf(ctx context.Context, host job.HostID) ([]fleet.Schedule, error) {
	items, err := collect(ctx, r.q, scanSchedule, selectSchedule+" WHERE host_id = $1 ORDER BY id", host)
	if err != nil {
		return nil, fmt.Errorf("list schedules of host: %w", err)
	}
	return items, nil
}

// Schedule returns one schedule.
func (r reader) Schedule(ctx context.Context, id job.ScheduleID) (fleet.Schedule, error) {
	s, err := scanSchedule(r.q.QueryRowContext(ctx, selectSchedule+" WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return s, fleet.NotFound("schedule", string(id))
	}
	if err != nil {
		return s, fmt.Errorf("read schedule: %w", err)
	}
	return s, nil
}

// InsertSchedule adds a schedule with its groups.
func (t *Tx) InsertSchedule(ctx context.Context, s fleet.Schedule) error {
	err := t.exec(ctx, `INSERT INTO schedules (id, host_id, name, cron, time_zone, jitter_seconds, missed_policy, enabled, effective_from, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		s.ID, s.Host, s.Name, s.Cron, s.TimeZone, s.JitterSeconds, s.Missed, s.Enabled, s.EffectiveFrom, millis(s.CreatedAt), millis(s.UpdatedAt))
	if err != nil {
		return fmt.Errorf("add schedule: %w", err)
	}
	return t.giveGroups(ctx, s)
}

// UpdateSchedule writes what may change of a schedule, its groups included.
func (t *Tx) UpdateSchedule(ctx context.Context, s fleet.Schedule) error {
	err := t.exec(ctx, `UPDATE schedules SET name = $1, cron = $2, time_zone = $3, jitter_seconds = $4, missed_policy = $5, enabled = $6,
		effective_from = $7, updated_at = $8 WHERE id = $9`,
		s.Name, s.Cron, s.TimeZone, s.JitterSeconds, s.Missed, s.Enabled, s.EffectiveFrom, millis(s.UpdatedAt), s.ID)
	if err != nil {
		return fmt.Errorf("change schedule: %w", err)
	}
	if err := t.exec(ctx, "DELETE FROM schedule_groups WHERE schedule_id = $1", s.ID); err != nil {
		return fmt.Errorf("take groups from schedule: %w", err)
	}
	return t.giveGroups(ctx, s)
}

func (t *Tx) giveGroups(ctx context.Context, s fleet.Schedule) error {
	for _, group := range s.Groups {
		if err := t.exec(ctx, "INSERT INTO schedule_groups (schedule_id, group_id) VALUES ($1, $2)", s.ID, group); err != nil {
			return fmt.Errorf("give group to schedule: %w", err)
		}
	}
	return nil
}

// DeleteSchedule removes a schedule; the runs it asked for stay.
func (t *Tx) DeleteSchedule(ctx context.Context, id job.ScheduleID) error {
	if err := t.exec(ctx, "DELETE FROM schedules WHERE id = $1", id); err != nil {
		return fmt.Errorf("remove schedule: %w", err)
	}
	return nil
}
