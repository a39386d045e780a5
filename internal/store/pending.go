package store

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// PendingRuns lists the backups that wait, newest first, and the cursor of the
// next page; host narrows when it is not "".
func (r reader) PendingRuns(ctx context.Context, host job.HostID, page fleet.Page) ([]fleet.Job, string, error) {
	var w where
	if host != "" {
		w.add("host_id = ? AND "+activeStates, host) // for jobs_active
	}
	items, next, err := newestFirst(ctx, r.q, w, page, "SELECT "+jobColumns+" FROM pending_runs", scanJob, func(j fleet.Job) string { return string(j.ID) })
	if err != nil {
		return nil, "", fmt.Errorf("list pending runs: %w", err)
	}
	return items, next, nil
}

// PendingRetries lists the retries of root that wait.
func (r reader) PendingRetries(ctx context.Context, root job.ID) ([]fleet.Job, error) {
	items, err := collect(ctx, r.q, scanJob, "SELECT "+jobColumns+" FROM pending_runs WHERE root_id = $1 AND root_id <> ''", root)
	if err != nil {
		return nil, fmt.Errorf("list retries that wait: %w", err)
	}
	return items, nil
}

// CountPending counts the backups that wait.
func (r reader) CountPending(ctx context.Context) (n int, err error) {
	if err = r.q.QueryRowContext(ctx, "SELECT count(*) FROM pending_runs").Scan(&n); err != nil {
		return 0, fmt.Errorf("count pending runs: %w", err)
	}
	return n, nil
}

// DueRun is a queued backup whose next attempt is due, on a host that has a session
// and is not quarantined.
type DueRun struct {
	InLine
	Storage job.HostID // the rest-server's that it needs a slot of; "" is none of ours
	Writing bool       // its host writes to its repository already
}

// DueRuns lists the backups that are due.
func (r reader) DueRuns(ctx context.Context, now time.Time) ([]DueRun, error) {
	runs, err := collect(ctx, r.q, func(row scanner) (run DueRun, err error) {
		run.InLine, err = scanInLine(withMore{row, []any{&run.Storage, &run.Writing}})
		return run, err
	}, "SELECT "+lineColumns+", r.storage_id, "+hostWrites+` FROM jobs j CROSS JOIN repositories r CROSS JOIN hosts h
		WHERE j.kind = 'backup' AND j.state = 'queued' AND j.next_attempt_at <= $1 AND r.id = j.repository_id AND `+hostThere, millis(now))
	if err != nil {
		return nil, fmt.Errorf("list runs that are due: %w", err)
	}
	return runs, nil
}

// WakePending makes every run of a host that waits due at once.
func (t *Tx) WakePending(ctx context.Context, host job.HostID, now time.Time) error {
	if err := t.exec(ctx, "UPDATE jobs SET next_attempt_at = $1 WHERE host_id = $2 AND kind = 'backup' AND state = 'queued' AND "+activeStates+" AND next_attempt_at > $1", millis(now), host); err != nil {
		return fmt.Errorf("wake pending runs: %w", err)
	}
	return nil
}

// Postpone sets when a queued run is due, how many attempts it has used up and
// why the last one came to nothing.
func (t *Tx) Postpone(ctx context.Context, id job.ID, attempt int, next time.Time, reason string) error {
	if err := t.exec(ctx, "UPDATE jobs SET attempt = $1, next_attempt_at = $2, error = $3 WHERE id = $4 AND state = 'queued'", attempt, millis(next), plain(reason), id); err != nil {
		return fmt.Errorf("postpone run %s: %w", id, err)
	}
	return nil
}

// Hurry makes a queued run due now, and puts it in front of its line as what a
// person asked for.
func (t *Tx) Hurry(ctx context.Context, id job.ID, now time.Time) error {
	if err := t.exec(ctx, "UPDATE jobs SET next_attempt_at = $1, hurried_at = $1 WHERE id = $2 AND state = 'queued'", millis(now), id); err != nil {
		return fmt.Errorf("hurry run %s: %w", id, err)
	}
	return nil
}

// GroupBusy returns a running backup of a group, or one that ended well, that an
// agent accepted between from and to, the latest one; false is none.
func (r reader) GroupBusy(ctx context.Context, group job.GroupID, from, to time.Time) (fleet.Job, bool, error) {
	items, err := collect(ctx, r.q, scanJob, "SELECT "+jobColumns+` FROM jobs WHERE group_id = $1 AND accepted_at >= $2 AND accepted_at <= $3 AND accepted_at > 0
		AND kind = 'backup' AND state IN ('running', 'succeeded', 'warning') ORDER BY accepted_at DESC LIMIT 1`, group, millis(from), millis(to))
	if err != nil || len(items) == 0 {
		return fleet.Job{}, false, wrapPending(err)
	}
	return items[0], true, nil
}

// WritingJob returns a job of a host that is sent or runs and writes to a
// repository; false is none. except is left out.
func (r reader) WritingJob(ctx context.Context, host job.HostID, repository job.RepositoryID, except job.ID) (fleet.Job, bool, error) {
	items, err := collect(ctx, r.q, scanJob, "SELECT "+jobColumns+" FROM jobs WHERE host_id = $1 AND repository_id = $2 AND id <> $3 AND state IN ('sent', 'running') AND kind IN "+
		writingKinds+" LIMIT 1", host, repository, except)
	if err != nil || len(items) == 0 {
		return fleet.Job{}, false, wrapPending(err)
	}
	return items[0], true, nil
}

// kindList is the kinds that fit, for IN; their names are the program's own.
func kindList(fits func(job.KindInfo) bool) string {
	list := ""
	for _, info := range job.Kinds {
		if fits(info) {
			list += ", '" + string(info.Kind) + "'"
		}
	}
	return "(" + list[2:] + ")"
}

var (
	slotKinds    = kindList(func(info job.KindInfo) bool { return info.Slot })
	writingKinds = kindList(func(info job.KindInfo) bool { return info.Lock != job.LockNone })
)

// SlotsHeld counts the slots of a rest-server that are taken: its jobs that are
// sent, or run and wait for nothing, on hosts seen since the given time.
func (r reader) SlotsHeld(ctx context.Context, storage job.HostID, seenSince time.Time) (n int, err error) {
	// The joins are written so that SQLite begins with the few jobs that are out.
	err = r.q.QueryRowContext(ctx, `SELECT count(*) FROM jobs j CROSS JOIN repositories r CROSS JOIN hosts h
		WHERE j.state IN ('sent', 'running') AND j.phase NOT IN ('waiting_for_lock', 'waiting_for_repository') AND j.kind IN `+slotKinds+`
		AND r.id = j.repository_id AND r.storage_id = $1 AND h.id = j.host_id AND h.last_seen_at >= $2`, storage, millis(seenSince)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count slots: %w", err)
	}
	return n, nil
}

// InLine is a queued job that stands in line for a slot.
type InLine struct {
	ID         job.ID
	Host       job.HostID
	Repository job.RepositoryID
	HurriedAt  time.Time
	Tags       []string // of its host
}

// Pieces of the queries about what could go now. Their joins are written so that
// SQLite begins with the jobs, and walks no more of them than it is asked for.
var (
	lineColumns = "j.id, j.host_id, j.repository_id, j.hurried_at, h.tags"
	hostThere   = "h.id = j.host_id AND h.session_node <> '' AND h.quarantined_at = 0 AND h.removed_at = 0"
	hostWrites  = `EXISTS (SELECT 1 FROM jobs b WHERE b.host_id = j.host_id AND b.repository_id = j.repository_id AND b.state IN ('sent', 'running')
		AND b.kind IN ` + writingKinds + ")"
)

func scanInLine(row scanner) (item InLine, err error) {
	return item, row.Scan(&item.ID, &item.Host, &item.Repository, instant{&item.HurriedAt}, encoded{&item.Tags})
}

// Line lists the queued jobs that could take a slot of a rest-server now, but for
// pauses: their host has a session and is not quarantined, they are due, and the
// host does not write to their repository. What a person asked for now comes first.
func (r reader) Line(ctx context.Context, storage job.HostID, now time.Time, limit, offset int) ([]InLine, error) {
	items, err := collect(ctx, r.q, scanInLine, "SELECT "+lineColumns+` FROM jobs j CROSS JOIN repositories r CROSS JOIN hosts h
		WHERE j.state = 'queued' AND j.next_attempt_at <= $1 AND j.kind IN `+slotKinds+`
		AND r.id = j.repository_id AND r.storage_id = $2 AND `+hostThere+" AND NOT "+hostWrites+`
		ORDER BY CASE WHEN j.hurried_at > 0 THEN 0 ELSE 1 END, j.next_attempt_at, j.id LIMIT $3 OFFSET $4`, millis(now), storage, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("list jobs in line: %w", err)
	}
	return items, nil
}

// SetPhase notes what a running job waits for.
func (t *Tx) SetPhase(ctx context.Context, id job.ID, phase job.Phase) error {
	if err := t.exec(ctx, "UPDATE jobs SET phase = $1 WHERE id = $2 AND state = 'running'", phase, id); err != nil {
		return fmt.Errorf("note phase of job %s: %w", id, err)
	}
	return nil
}

func wrapPending(err error) error {
	if err != nil {
		return fmt.Errorf("read runs of a group: %w", err)
	}
	return nil
}
