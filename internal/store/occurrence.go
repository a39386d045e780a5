package store

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Occurrences lists the jobs that schedules asked for, newest moment first, and
// the cursor of the next page.
func (r reader) Occurrences(ctx context.Context, f fleet.OccurrenceFilter) ([]fleet.Job, string, error) {
	var w where
	w.add("scheduled_at > 0")
	if f.Host != "" {
		w.add("host_id = ?", f.Host)
	}
	if f.Group != "" {
		w.add("group_id = ?", f.Group)
	}
	if f.Schedule != "" {
		w.add("schedule_id = ?", f.Schedule)
	}
	narrow := f.Host != "" || f.Group != "" || f.Schedule != ""
	w.addText("cause", string(f.Cause), narrow)
	w.addText("state", string(f.State), narrow || f.Cause != "")
	if !f.From.IsZero() {
		// The time in an id is the moment, of a range its last, so that an index
		// serves the bound.
		w.add("id >= ?", job.FirstID(f.From))
	}
	if !f.To.IsZero() {
		w.add("id < ?", job.FirstID(f.To.Add(time.Millisecond)))
	}
	items, next, err := newestFirst(ctx, r.q, w, f.Page, "SELECT "+jobColumns+" FROM jobs", scanJob, func(j fleet.Job) string { return string(j.ID) })
	if err != nil {
		return nil, "", fmt.Errorf("list occurrences: %w", err)
	}
	return items, next, nil
}
