package server_test

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/server"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

func TestAuditIsVerifiedBesideTheServer(t *testing.T) {
	dir := t.TempDir()
	o := server.Options{Dir: dir}
	if _, err := server.VerifyAudit(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("a folder without a server: %v", err)
	}
	_, _, stop := run(t, dir)
	if _, err := server.CreateToken(t.Context(), o, control.NewAPIToken{Name: "x", Role: auth.Viewer}); err != nil {
		t.Fatal(err)
	}
	report, err := server.VerifyAudit(t.Context(), o)
	if err != nil || report.Break != "" || report.Unsealed+int(report.Entries) != 1 {
		t.Errorf("while it runs: %+v, %v", report, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	report, err = server.VerifyAudit(t.Context(), o)
	if err != nil || report.Break != "" || report.Seals != 1 || report.Entries != 1 || report.Unsealed != 0 {
		t.Errorf("after its end: %+v, %v", report, err)
	}
}
