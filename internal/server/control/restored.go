package control

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/store"
)

// StartRestored is Start for a database that was put back from an older copy of
// itself. What it holds may have been spent or withdrawn since: enrolment tokens
// are void, and whoever was signed in signs in again. Of everything that agents
// did meanwhile their journals tell: each sends again from where this copy ends,
// and what comes counts for more than what stands here.
func (c *Control) StartRestored(ctx context.Context) error {
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.Void(ctx, c.now()); err != nil {
			return err
		}
		return c.audit(ctx, tx, auth.Server, "server.restored", "server", "", nil)
	})
	if err != nil {
		return err
	}
	return c.Start(ctx)
}
