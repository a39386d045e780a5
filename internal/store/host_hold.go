package store

import (
	"context"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// HoldHost keeps other transactions that hold the same host waiting until this
// one ends. Whatever reads a host's link or its jobs to decide on them begins
// with it.
func (t *Tx) HoldHost(ctx context.Context, id job.HostID) error {
	// The update that changes nothing is the lock, on both engines.
	n, err := t.changed(ctx, "UPDATE hosts SET cursor = cursor WHERE id = $1", id)
	if err != nil {
		return fmt.Errorf("hold host %s: %w", id, err)
	}
	if n == 0 {
		return fleet.NotFound("host", string(id))
	}
	return nil
}

// HostNameTaken tells whether a living host has that name, or puts it on its
// snapshots since it had it once.
func (r reader) HostNameTaken(ctx context.Context, name string) (bool, error) {
	var n int
	err := r.q.QueryRowContext(ctx, "SELECT count(*) FROM hosts WHERE removed_at = 0 AND (lower(name) = lower($1) OR lower(restic_host) = lower($1))", name).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for host name: %w", err)
	}
	return n > 0, nil
}
