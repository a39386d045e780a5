package fleet_test

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

// TestCellsAreNoFormulas: who can choose a name or an address must not run
// anything in the spreadsheet of whoever reads the table.
func TestCellsAreNoFormulas(t *testing.T) {
	if got := len(fleet.AuditEntry{}.Cells()); got != len(fleet.AuditColumns) {
		t.Fatalf("%d cells under %d columns", got, len(fleet.AuditColumns))
	}
	for text, want := range map[string]string{
		"ann": "ann", "": "", `{"a":1}`: `{"a":1}`, "a=b": "a=b", "(not signed in)": "(not signed in)",
		"=HYPERLINK(1)": "'=HYPERLINK(1)", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)",
		"\t=1": "'\t=1", " =1": "' =1", "\r\n@x": "'\r\n@x",
	} {
		e := fleet.AuditEntry{At: time.Date(2026, 5, 4, 3, 2, 1, 7e6, time.FixedZone("", 3600)), Actor: text, Subject: text, Detail: text, Address: text, ID: "I", Seal: 3}
		cells := e.Cells()
		if cells[0] != "2026-05-04T02:02:01.007Z" || cells[1] != want || cells[4] != want || cells[5] != want || cells[6] != want || cells[8] != "3" {
			t.Errorf("%q: %q", text, cells)
		}
		var out strings.Builder
		w := csv.NewWriter(&out)
		if err := w.Write(cells); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		back, err := csv.NewReader(strings.NewReader(out.String())).Read()
		if err != nil || back[1] != strings.ReplaceAll(want, "\r\n", "\n") { // as a reader of CSV joins lines
			t.Errorf("%q reads back as %q, %v", text, back, err)
		}
	}
}
