package main

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

func TestReportSaysWhatWasChecked(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	report := control.AuditReport{Seals: 3, Entries: 40, Expired: 1, From: at, To: at.Add(time.Hour), Unsealed: 2,
		Head: fleet.AuditSeal{Number: 3, Hash: []byte{0xab, 0xcd}, SealedAt: at}}
	for why, result := range map[string]string{"": "everything is as it was sealed", "Seal 2 is missing.": "BROKEN: Seal 2 is missing."} {
		report.Break = why
		var out strings.Builder
		if err := printReport(&out, report); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"entries: 40, seals: 3", "2026-05-04T03:02:01Z to 2026-05-04T04:02:01Z", "seal 3 of 2026-05-04T03:02:01Z, q80=", "proves yet: 2", "are gone: 1", result} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in:\n%s", want, &out)
			}
		}
	}
}
