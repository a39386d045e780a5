package store

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// recorder notes the query that a reading method asks last.
type recorder struct {
	queryer
	query string
	args  []any
}

func (r *recorder) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.query, r.args = query, args
	return r.queryer.QueryContext(ctx, query, args...)
}

func (r *recorder) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.query, r.args = query, args
	return r.queryer.QueryRowContext(ctx, query, args...)
}

// TestQueriesOfJobsUseTheirIndexes: which index SQLite takes does not show in an
// answer, and on a small database not in its time.
func TestQueriesOfJobsUseTheirIndexes(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	seen := &recorder{queryer: s.q}
	r := reader{q: seen}
	const id = "01BX5ZZKBKACTAV9WEVGEMMVRZ"
	now := time.Now()
	for name, test := range map[string]struct {
		ask  func(context.Context) error
		want string
		sort bool // in a tree of its own, what is found is few
	}{
		"active of a host": {func(ctx context.Context) error { _, err := r.ActiveJobs(ctx, id); return err }, "jobs_active (host_id=? AND state=?)", false},
		"queued of a host": {func(ctx context.Context) error { _, err := r.QueuedJobs(ctx, id); return err }, "jobs_active (host_id=? AND state=?)", false},
		"due":              {func(ctx context.Context) error { _, err := r.DueRuns(ctx, now); return err }, "j USING INDEX jobs_state (state=?)", false},
		"line":             {func(ctx context.Context) error { _, err := r.Line(ctx, id, now, 9, 9); return err }, "j USING INDEX jobs_line (state=?)", false},
		"slots":            {func(ctx context.Context) error { _, err := r.SlotsHeld(ctx, id, now); return err }, "j USING INDEX jobs_state (state=?)", false},
		"writing": {func(ctx context.Context) error { _, _, err := r.WritingJob(ctx, id, id, id); return err },
			"jobs_out (state=? AND repository_id=?)", false},
		"busy": {func(ctx context.Context) error { _, _, err := r.GroupBusy(ctx, id, now, now); return err },
			"jobs_accepted (group_id=? AND accepted_at>? AND accepted_at<?)", false},
		"pending":          {func(ctx context.Context) error { _, _, err := r.PendingRuns(ctx, "", fleet.Page{}); return err }, "jobs_waiting (kind=?)", false},
		"count of pending": {func(ctx context.Context) error { _, err := r.CountPending(ctx); return err }, "jobs_waiting (kind=?)", false},
		"pending run":      {func(ctx context.Context) error { _, _, err := r.PendingRun(ctx, id, id); return err }, "jobs_pending (schedule_id=? AND group_id=?)", false},
		"retries":          {func(ctx context.Context) error { _, err := r.PendingRetries(ctx, id); return err }, "jobs_root (root_id=?)", false},
		"overdue":          {func(ctx context.Context) error { _, err := r.OverdueJobs(ctx, now, now, 9); return err }, "jobs_state (state=?)", false},
		"jobs of a kind":   {func(ctx context.Context) error { return jobs(ctx, r, fleet.JobFilter{Kind: job.Init}) }, "jobs_kind (kind=?)", false},
		"backups":          {func(ctx context.Context) error { return jobs(ctx, r, fleet.JobFilter{Kind: job.Backup}) }, "sqlite_autoindex_jobs_1", false},
		"failed of a host": {func(ctx context.Context) error { return jobs(ctx, r, fleet.JobFilter{Host: id, State: job.Failed}) }, "jobs_host (host_id=?)", false},
		"failed":           {func(ctx context.Context) error { return jobs(ctx, r, fleet.JobFilter{State: job.Failed}) }, "jobs_state (state=?)", false},
		"active":           {func(ctx context.Context) error { return jobs(ctx, r, fleet.JobFilter{Active: true}) }, "jobs_state (state=?)", true},
		"occurrences":      {func(ctx context.Context) error { return occurred(ctx, r, fleet.OccurrenceFilter{}) }, "jobs_occurrence", false},
		"occurrences of a time": {func(ctx context.Context) error { return occurred(ctx, r, fleet.OccurrenceFilter{From: now, To: now}) },
			"jobs_occurrence (id>? AND id<?)", false},
		"occurrences of a host": {func(ctx context.Context) error {
			return occurred(ctx, r, fleet.OccurrenceFilter{Host: id, State: job.Skipped, Cause: job.CauseMissed})
		}, "jobs_host (host_id=?)", false},
		"occurrences that were missed": {func(ctx context.Context) error {
			return occurred(ctx, r, fleet.OccurrenceFilter{State: job.Skipped, Cause: job.CauseMissed})
		}, "jobs_cause (cause=?)", false},
		"occurrences of a schedule": {func(ctx context.Context) error {
			return occurred(ctx, r, fleet.OccurrenceFilter{Schedule: id, State: job.Failed})
		},
			"jobs_schedule (schedule_id=?)", false},
	} {
		if err := test.ask(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plan, err := collect(t.Context(), s.q, func(row scanner) (line string, err error) {
			return line, row.Scan(new(int), new(int), new(int), &line)
		}, "EXPLAIN QUERY PLAN "+seen.query, seen.args...)
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(plan, "\n"); !strings.Contains(text, test.want) || strings.Contains(text, "ORDER BY") != test.sort {
			t.Errorf("%s: the index is not %s, or it sorts:\n%s", name, test.want, text)
		}
	}
}

func jobs(ctx context.Context, r reader, f fleet.JobFilter) error {
	_, _, err := r.Jobs(ctx, f)
	return err
}

func occurred(ctx context.Context, r reader, f fleet.OccurrenceFilter) error {
	_, _, err := r.Occurrences(ctx, f)
	return err
}
