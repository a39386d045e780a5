package store

import (
	"context"
	"fmt"
	"time"
)

// Lease takes or renews the lease called name for holder until the given time;
// false means that another holder has it and it has not run out.
func (t *Tx) Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	n, err := t.changed(ctx, `INSERT INTO leases (name, holder, until) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE leases.holder = excluded.holder OR leases.until <= $4`, name, holder, millis(until), millis(now))
	if err != nil {
		return false, fmt.Errorf("take lease %s: %w", name, err)
	}
	return n == 1, nil
}

// DropLease gives up a lease that holder has.
func (t *Tx) DropLease(ctx context.Context, name, holder string) error {
	if err := t.exec(ctx, "DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder); err != nil {
		return fmt.Errorf("drop lease %s: %w", name, err)
	}
	return nil
}

// NodeLease shows until when the node called holder lives.
func (t *Tx) NodeLease(ctx context.Context, node string, now, until time.Time) (bool, error) {
	return t.Lease(ctx, nodeLease+node, node, now, until)
}

// DropNode ends a node's lease at once.
func (t *Tx) DropNode(ctx context.Context, node string) error {
	return t.DropLease(ctx, nodeLease+node, node)
}

// DropNodes ends the leases of all nodes. Only a server that proved to be the
// only one on its database may do so.
func (t *Tx) DropNodes(ctx context.Context) error {
	if err := t.exec(ctx, "DELETE FROM leases WHERE name LIKE 'node:%'"); err != nil {
		return fmt.Errorf("drop leases of nodes: %w", err)
	}
	return nil
}

// DropExpiredLeases removes leases that ran out before the given time.
func (t *Tx) DropExpiredLeases(ctx context.Context, before time.Time) error {
	if err := t.exec(ctx, "DELETE FROM leases WHERE until < $1", millis(before)); err != nil {
		return fmt.Errorf("drop expired leases: %w", err)
	}
	return nil
}
