package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

const jobColumns = `id, host_id, kind, state, origin, cause, asked_by, group_id, repository_id, schedule_id, scheduled_at, scheduled_to,
	moments, root_id, retry, attempt, next_attempt_at, hurried_at, by_job, phase, trouble, spec, created_at, sent_at, accepted_at,
	started_at, finished_at, cancel_requested_at, exit_code, error, summary, command, log_lines, log_bytes, log_omitted`

func scanJob(row scanner) (j fleet.Job, err error) {
	var exit sql.NullInt64
	err = row.Scan(&j.ID, &j.Host, &j.Kind, &j.State, &j.Origin, &j.Cause, &j.AskedBy, &j.Group, &j.Repository, &j.Schedule, instant{&j.ScheduledAt},
		instant{&j.ScheduledTo}, &j.Moments, &j.Root, &j.Retry, &j.Attempt, instant{&j.NextAttemptAt}, instant{&j.HurriedAt}, &j.By, &j.Phase, &j.Trouble, encoded{&j.Spec}, instant{&j.CreatedAt},
		instant{&j.SentAt}, instant{&j.AcceptedAt}, instant{&j.StartedAt}, instant{&j.FinishedAt}, instant{&j.CancelRequestedAt}, &exit, &j.Error,
		encoded{&j.Summary}, encoded{&j.Command}, &j.LogLines, &j.LogBytes, &j.LogOmitted)
	if exit.Valid {
		code := int(exit.Int64)
		j.ExitCode = &code
	}
	return j, err
}

const activeStates = "state IN ('queued', 'sent', 'running')"

// Jobs lists jobs, newest first, and the cursor of the next page.
func (r reader) Jobs(ctx context.Context, f fleet.JobFilter) ([]fleet.Job, string, error) {
	var w where
	if f.Host != "" {
		w.add("host_id = ?", f.Host)
	}
	if f.Group != "" {
		w.add("group_id = ?", f.Group)
	}
	if f.Kind != "" {
		w.add("kind = ?", f.Kind)
	}
	if f.Kind != "" && f.Kind != job.Backup {
		w.add("kind <> 'backup'") // for jobs_kind, which holds the few that are none
	}
	w.addText("state", string(f.State), f.Host != "" || f.Group != "")
	if f.Active {
		w.add(activeStates)
	}
	items, next, err := newestFirst(ctx, r.q, w, f.Page, "SELECT "+jobColumns+" FROM jobs", scanJob, func(j fleet.Job) string { return string(j.ID) })
	if err != nil {
		return nil, "", fmt.Errorf("list jobs: %w", err)
	}
	return items, next, nil
}

// addText asks for the text of a column that many jobs share; "" is any. Among the
// jobs of one host or group, which are narrow, it must not be what an index is
// chosen for: SQLite would go through all the jobs there are with that text. That
// it is not empty is said for jobs_cause.
func (w *where) addText(column, text string, narrow bool) {
	switch {
	case text == "":
	case narrow:
		w.add(column+" || '' = ?", text)
	default:
		w.add(column+" = ? AND "+column+" <> ''", text)
	}
}

// Job returns one job.
func (r reader) Job(ctx context.Context, id job.ID) (fleet.Job, error) {
	j, err := scanJob(r.q.QueryRowContext(ctx, "SELECT "+jobColumns+" FROM jobs WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return j, fleet.NotFound("job", string(id))
	}
	if err != nil {
		return j, fmt.Errorf("read job: %w", err)
	}
	return j, nil
}

// ActiveJobs lists the jobs of a host that have not ended, oldest first.
func (r reader) ActiveJobs(ctx context.Context, host job.HostID) ([]fleet.Job, error) {
	return r.activeJobs(ctx, "host_id", string(host))
}

// ActiveJobsOf lists the jobs on a repository that have not ended, oldest first.
func (r reader) ActiveJobsOf(ctx context.Context, id job.RepositoryID) ([]fleet.Job, error) {
	return r.activeJobs(ctx, "repository_id", string(id))
}

func (r reader) activeJobs(ctx context.Context, column, value string) ([]fleet.Job, error) {
	items, err := collect(ctx, r.q, scanJob, "SELECT "+jobColumns+" FROM jobs WHERE "+column+" = $1 AND "+activeStates, value)
	if err != nil {
		return nil, fmt.Errorf("list active jobs: %w", err)
	}
	// Asked for this order, SQLite would read all jobs the host has ever had in it.
	slices.SortFunc(items, func(a, b fleet.Job) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return items, nil
}

// QueuedJobs lists the jobs of a host that wait to be sent, oldest first.
func (r reader) QueuedJobs(ctx context.Context, host job.HostID) ([]fleet.Job, error) {
	items, err := collect(ctx, r.q, scanJob, "SELECT "+jobColumns+" FROM jobs WHERE host_id = $1 AND state = 'queued' AND "+activeStates+" ORDER BY id", host)
	if err != nil {
		return nil, fmt.Errorf("list queued jobs: %w", err)
	}
	return items, nil
}

// CountActive counts the jobs that wait or run.
func (r reader) CountActive(ctx context.Context) (waiting, running int, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT coalesce(sum(CASE WHEN state = 'running' THEN 0 ELSE 1 END), 0), coalesce(sum(CASE WHEN state = 'running' THEN 1 ELSE 0 END), 0)
		FROM jobs WHERE `+activeStates).Scan(&waiting, &running)
	if err != nil {
		return 0, 0, fmt.Errorf("count active jobs: %w", err)
	}
	return waiting, running, nil
}

// PendingRun returns the run of a group that waits already, if there is one.
func (r reader) PendingRun(ctx context.Context, schedule job.ScheduleID, group job.GroupID) (fleet.Job, bool, error) {
	j, err := scanJob(r.q.QueryRowContext(ctx, "SELECT "+jobColumns+" FROM pending_runs WHERE schedule_id = $1 AND group_id = $2", schedule, group))
	if errors.Is(err, sql.ErrNoRows) {
		return j, false, nil
	}
	if err != nil {
		return j, false, fmt.Errorf("read pending run: %w", err)
	}
	return j, true, nil
}

// InsertJob adds a job. A second waiting run of one group is a conflict.
func (t *Tx) InsertJob(ctx context.Context, j fleet.Job) error {
	err := t.exec(ctx, `INSERT INTO jobs (id, host_id, kind, state, origin, cause, asked_by, group_id, repository_id, schedule_id, scheduled_at, scheduled_to,
		moments, root_id, retry, attempt, next_attempt_at, hurried_at, by_job, phase, trouble, spec, created_at, sent_at,
		accepted_at, started_at, finished_at, cancel_requested_at, exit_code, error, summary, command, log_lines, log_bytes, log_omitted)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, '', '', $20, $21, $22, $23, 0, $24, 0, NULL, $25, '', '', 0, 0, 0)`,
		j.ID, j.Host, j.Kind, j.State, j.Origin, j.Cause, j.AskedBy, j.Group, j.Repository, j.Schedule, millis(j.ScheduledAt), millis(j.ScheduledTo),
		j.Moments, j.Root, j.Retry, j.Attempt, millis(j.NextAttemptAt), millis(j.HurriedAt), j.By, plain(string(j.Spec)), millis(j.CreatedAt), millis(j.SentAt),
		millis(j.AcceptedAt), millis(j.FinishedAt), plain(j.Error))
	if t.engine.uniqueViolation(err) {
		return fleet.Conflict("A backup of this source group is waiting already.")
	}
	if err != nil {
		return fmt.Errorf("add job: %w", err)
	}
	return nil
}

// MoveJob moves a job from one state to another on the word of by; false means
// it is no longer in the old state. A move that the table of legal moves does
// not hold is an error.
func (t *Tx) MoveJob(ctx context.Context, id job.ID, from, to job.State, by job.Authority, now time.Time) (bool, error) {
	if !job.CanMove(from, to, by) {
		return false, fmt.Errorf("move job %s: %s to %s is not a legal move", id, from, to)
	}
	column := map[job.State]string{job.Sent: "sent_at", job.Running: "accepted_at"}[to]
	if to.Ended() {
		column = "finished_at"
	}
	query, args := "UPDATE jobs SET state = $1 WHERE id = $2 AND state = $3", []any{to, id, from}
	if column != "" {
		query, args = "UPDATE jobs SET state = $1, "+column+" = $4 WHERE id = $2 AND state = $3", append(args, millis(now))
	}
	n, err := t.changed(ctx, query, args...)
	if err != nil {
		return false, fmt.Errorf("move job %s to %s: %w", id, to, err)
	}
	return n == 1, nil
}

// ClearEnd takes back what a guess wrote about an end that did not happen.
func (t *Tx) ClearEnd(ctx context.Context, id job.ID) error {
	if err := t.exec(ctx, "UPDATE jobs SET finished_at = 0, cause = '', error = '', summary = '', exit_code = NULL, trouble = '', by_job = '' WHERE id = $1", id); err != nil {
		return fmt.Errorf("take back the end of job %s: %w", id, err)
	}
	return nil
}

// StartJob notes when the work of a job began, and its command.
func (t *Tx) StartJob(ctx context.Context, id job.ID, at time.Time, command []string) error {
	if err := t.exec(ctx, "UPDATE jobs SET started_at = $1, command = $2 WHERE id = $3", millis(at), plain(encode(command)), id); err != nil {
		return fmt.Errorf("start job %s: %w", id, err)
	}
	return nil
}

// End is how a job ended.
type End struct {
	At       time.Time
	Cause    job.Cause
	ExitCode *int
	Error    string
	Summary  *job.Summary
	Trouble  job.Trouble
	By       job.ID // the job that stands for a skipped one
}

// EndJob writes how a job ended; the move itself is MoveJob's.
func (t *Tx) EndJob(ctx context.Context, id job.ID, e End) error {
	summary := ""
	if e.Summary != nil {
		summary = plain(encode(e.Summary))
	}
	var exit any
	if e.ExitCode != nil {
		exit = int64(*e.ExitCode)
	}
	err := t.exec(ctx, "UPDATE jobs SET finished_at = $1, cause = $2, exit_code = $3, error = $4, summary = $5, trouble = $6, by_job = $7, phase = '' WHERE id = $8",
		millis(e.At), e.Cause, exit, plain(e.Error), summary, e.Trouble, e.By, id)
	if err != nil {
		return fmt.Errorf("end job %s: %w", id, err)
	}
	return nil
}

// CountOfAccount counts the jobs of a host that only its agent knew of, as far
// as limit.
func (r reader) CountOfAccount(ctx context.Context, host job.HostID, limit int) (n int, err error) {
	err = r.q.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE host_id = $1 AND origin = $2 LIMIT $3) AS found", host, job.ByAccount, limit).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count jobs of an agent's account: %w", err)
	}
	return n, nil
}

// CountRecent counts the jobs of one kind that a repository had since.
func (r reader) CountRecent(ctx context.Context, repository job.RepositoryID, kind job.Kind, since time.Time) (n int, err error) {
	err = r.q.QueryRowContext(ctx, "SELECT count(*) FROM jobs WHERE repository_id = $1 AND kind = $2 AND created_at >= $3", repository, kind, millis(since)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count recent jobs: %w", err)
	}
	return n, nil
}

// AskCancel notes that a job should end; false means it has ended or was asked
// before.
func (t *Tx) AskCancel(ctx context.Context, id job.ID, now time.Time) (bool, error) {
	n, err := t.changed(ctx, "UPDATE jobs SET cancel_requested_at = $1 WHERE id = $2 AND cancel_requested_at = 0 AND "+activeStates, millis(now), id)
	if err != nil {
		return false, fmt.Errorf("ask for the end of job %s: %w", id, err)
	}
	return n == 1, nil
}

// DeleteJobs removes up to limit ended jobs that finished before the given
// time, with their logs, and tells how many went.
func (t *Tx) DeleteJobs(ctx context.Context, kinds []job.Kind, before time.Time, limit int) (int64, error) {
	var w where
	w.add("finished_at > 0 AND finished_at < ?", millis(before))
	w.add("NOT " + activeStates)
	if len(kinds) > 0 {
		list := ""
		args := make([]any, len(kinds))
		for i, kind := range kinds {
			list += ", ?"
			args[i] = kind
		}
		w.add("kind IN ("+list[2:]+")", args...)
	}
	n, err := t.changed(ctx, "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs"+w.String()+w.limit(limit)+")", w.args...)
	if err != nil {
		return 0, fmt.Errorf("remove old jobs: %w", err)
	}
	return n, nil
}

// OverdueJobs lists running jobs of hosts without a session that were last seen
// before the given time; of intermittent ones another counts.
func (r reader) OverdueJobs(ctx context.Context, before, intermittent time.Time, limit int) ([]fleet.Job, error) {
	items, err := collect(ctx, r.q, scanJob, "SELECT "+jobColumns+` FROM jobs WHERE state = 'running' AND host_id IN
		(SELECT id FROM hosts WHERE session_node = '' AND removed_at = 0 AND last_seen_at < CASE presence WHEN 'intermittent' THEN CAST($1 AS BIGINT) ELSE CAST($2 AS BIGINT) END)
		ORDER BY id LIMIT $3`, millis(intermittent), millis(before), limit)
	if err != nil {
		return nil, fmt.Errorf("list overdue jobs: %w", err)
	}
	return items, nil
}
