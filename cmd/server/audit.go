package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/internal/server"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

type auditCommand struct {
	Verify auditVerifyCommand `cmd:"" help:"Check that nothing in the audit log was changed, added or removed since it was sealed."`
}

type auditVerifyCommand struct{ location }

// errAuditBroken ends the command with a code that a timer or a script sees.
var errAuditBroken = errors.New("the audit log is not what was sealed")

func (c *auditVerifyCommand) Run(ctx context.Context) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	report, err := server.VerifyAudit(ctx, o)
	if err != nil {
		return err
	}
	if err := printReport(os.Stdout, report); err != nil {
		return err
	}
	if report.Break != "" {
		return errAuditBroken
	}
	return nil
}

func printReport(w io.Writer, r control.AuditReport) error {
	lines := []string{fmt.Sprintf("checked   entries: %d, seals: %d", r.Entries, r.Seals)}
	if r.Entries > 0 {
		lines = append(lines, fmt.Sprintf("from      %s to %s", r.From.UTC().Format(time.RFC3339), r.To.UTC().Format(time.RFC3339)))
	}
	if r.Expired > 0 {
		lines = append(lines, fmt.Sprintf("expired   seals whose entries were kept long enough and are gone: %d", r.Expired))
	}
	if r.Head.Number > 0 {
		lines = append(lines, fmt.Sprintf("newest    seal %d of %s, %s", r.Head.Number, r.Head.SealedAt.UTC().Format(time.RFC3339), base64.StdEncoding.EncodeToString(r.Head.Hash)))
	}
	lines = append(lines, fmt.Sprintf("unsealed  newer entries, which nothing proves yet: %d", r.Unsealed))
	switch {
	case r.Break != "":
		lines = append(lines, "result    BROKEN: "+r.Break)
	case r.Seals == 0:
		lines = append(lines, "result    nothing is sealed yet, so there was nothing to check")
	default:
		lines = append(lines, "result    everything is as it was sealed")
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
	}
	return nil
}
