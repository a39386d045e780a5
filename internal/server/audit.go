package server

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/server/control"
)

// VerifyAudit checks the audit log of a server's data; a running server need not
// be stopped.
func VerifyAudit(ctx context.Context, o Options) (report control.AuditReport, err error) {
	err = locally(ctx, o, func(c *control.Control) error {
		report, err = c.VerifyAudit(ctx)
		return err
	})
	return report, err
}
