package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/store"
)

// checkAuditHead compares the audit log with what a host was told of it. Whoever
// rewrites the log, or puts an older database in place, can't rewrite that. Only
// a person closes the alert: hosts go on to newer heads.
func (c *Control) checkAuditHead(ctx context.Context, tx *store.Tx, host fleet.Host, told api.AuditHead) error {
	if told.Number == 0 {
		return nil
	}
	seal, err := tx.AuditSeal(ctx, int64(told.Number))
	has := "it has another one"
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		has = "it has none of that number"
	case err != nil:
		return err
	case bytes.Equal(seal.Hash, told.Hash):
		return nil
	}
	_, err = tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertAudit, Host: host.ID,
		Sentence: fmt.Sprintf("The audit log is not what %s was told: it was shown seal %d, and now %s. If this server was restored from an older backup, what was done since is missing here; otherwise somebody has changed its database. Run restic-manager-server audit verify on the server.", host.Name, told.Number, has)}, c.now())
	return err
}
