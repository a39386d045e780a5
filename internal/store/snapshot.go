package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

const snapshotColumns = "repository_id, host_id, group_id, job_id, body, seen_at"

func scanSnapshot(row scanner) (s fleet.Snapshot, err error) {
	err = row.Scan(&s.Repository, &s.HostID, &s.Group, &s.Job, encoded{&s.Snapshot}, instant{&s.SeenAt})
	return s, err
}

// SnapshotFilter narrows a list of snapshots; zero values do not narrow.
type SnapshotFilter struct {
	Host       job.HostID
	Repository job.RepositoryID
	Group      job.GroupID
	fleet.Page
}

// Snapshots lists snapshots, newest first, and the cursor of the next page.
func (r reader) Snapshots(ctx context.Context, f SnapshotFilter) ([]fleet.Snapshot, string, error) {
	var w where
	if f.Host != "" {
		w.add("host_id = ?", f.Host)
	}
	if f.Repository != "" {
		w.add("repository_id = ?", f.Repository)
	}
	if f.Group != "" {
		w.add("group_id = ?", f.Group)
	}
	if f.Cursor != "" {
		text, err := after(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		at, id, _ := strings.Cut(text, " ")
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, "", errCursor
		}
		w.add("(taken_at < ? OR taken_at = ? AND id < ?)", ms, ms, id)
	}
	items, err := collect(ctx, r.q, scanSnapshot, "SELECT "+snapshotColumns+" FROM snapshots"+w.String()+" ORDER BY taken_at DESC, id DESC"+w.limit(f.Size()+1), w.args...)
	if err != nil {
		return nil, "", fmt.Errorf("list snapshots: %w", err)
	}
	items, next := cut(items, f.Size(), func(s fleet.Snapshot) string { return strconv.FormatInt(millis(s.Time), 10) + " " + s.ID })
	return items, next, nil
}

// CountSnapshots counts the snapshots of the fleet, or of one host.
func (r reader) CountSnapshots(ctx context.Context, host job.HostID) (n int, err error) {
	var w where
	if host != "" {
		w.add("host_id = ?", host)
	}
	if err := r.q.QueryRowContext(ctx, "SELECT count(*) FROM snapshots"+w.String(), w.args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count snapshots: %w", err)
	}
	return n, nil
}

// PutSnapshot adds one snapshot or brings it up to date. A job that is known to
// have made it stays known.
func (t *Tx) PutSnapshot(ctx context.Context, s fleet.Snapshot) error {
	err := t.exec(ctx, `INSERT INTO snapshots (repository_id, id, host_id, group_id, job_id, taken_at, body, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (repository_id, id) DO UPDATE SET group_id = excluded.group_id, taken_at = excluded.taken_at, body = excluded.body, seen_at = excluded.seen_at,
		job_id = CASE WHEN excluded.job_id = '' THEN snapshots.job_id ELSE excluded.job_id END`,
		s.Repository, plain(s.ID), s.HostID, s.Group, s.Job, millis(s.Time), plain(encode(s.Snapshot)), millis(s.SeenAt))
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// DropSnapshots removes the snapshots of a repository that a full list begun at
// since has not shown, and tells how many.
func (t *Tx) DropSnapshots(ctx context.Context, repository job.RepositoryID, since time.Time) (int64, error) {
	n, err := t.changed(ctx, "DELETE FROM snapshots WHERE repository_id = $1 AND seen_at < $2", repository, millis(since))
	if err != nil {
		return 0, fmt.Errorf("remove vanished snapshots: %w", err)
	}
	return n, nil
}

// GroupSnapshots counts the snapshots of one source group in a repository.
type GroupSnapshots struct {
	Group    job.GroupID // "" for those that no group of ours made
	Count    int64
	LatestAt time.Time
}

// SnapshotsByGroup counts the snapshots of a repository, the newest group first.
func (r reader) SnapshotsByGroup(ctx context.Context, id job.RepositoryID) ([]GroupSnapshots, error) {
	items, err := collect(ctx, r.q, func(row scanner) (g GroupSnapshots, err error) {
		err = row.Scan(&g.Group, &g.Count, instant{&g.LatestAt})
		return g, err
	}, "SELECT group_id, count(*), max(taken_at) FROM snapshots WHERE repository_id = $1 GROUP BY group_id ORDER BY max(taken_at) DESC, group_id", id)
	if err != nil {
		return nil, fmt.Errorf("count snapshots: %w", err)
	}
	return items, nil
}
