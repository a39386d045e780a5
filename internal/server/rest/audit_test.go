package rest_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/rest"
	"github.com/restic-manager/restic-manager/internal/store"
)

func TestAuditIsNarrowedAndExported(t *testing.T) {
	r := newRig(t)
	begin := time.Now().Add(-time.Hour).Truncate(time.Second)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		for i := range 1100 {
			e := fleet.AuditEntry{At: begin.Add(time.Duration(i) * time.Second), Actor: "bob", Action: "host.changed", Noun: "host", Subject: fmt.Sprint(i), Detail: `{"before":{"name":"a"},"after":{"name":"=b"}}`}
			if i == 7 {
				e.Actor, e.Action = "=cmd()", "job.created"
			}
			if err := tx.Audit(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	at := func(seconds int) string {
		return url.QueryEscape(begin.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339))
	}
	for query, want := range map[string][]string{
		"actor=BOB&limit=2":                               {"1099", "1098"},
		"action=job.&noun=host":                           {"7"},
		"actor=bob&from=" + at(3) + "&to=" + at(5):        {"4", "3"},
		"subject=12":                                      {"12"},
		"q=" + url.QueryEscape("=cmd"):                    {"7"},
		"actor=bob&to=" + at(2) + "&q=" + "changed":       {"1", "0"},
		"from=" + url.QueryEscape("2099-01-01T00:00:00Z"): nil,
	} {
		var list struct{ Items []rest.AuditEntry }
		r.get(&list, http.StatusOK, "GET", "/audit?"+query, "")
		var got []string
		for _, e := range list.Items {
			got = append(got, e.Subject)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	answer := r.ask(auth.Admin, "GET", "/audit.csv?noun=host", "")
	if answer.status != http.StatusOK || answer.header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Fatalf("%d %s", answer.status, answer.header)
	}
	rows, err := csv.NewReader(strings.NewReader(answer.body)).ReadAll()
	if err != nil || len(rows) != 1101 || fmt.Sprint(rows[0]) != fmt.Sprint(fleet.AuditColumns) {
		t.Fatalf("%d rows, %v, head %v", len(rows), err, rows[0])
	}
	if last := rows[1100-7]; last[1] != "'=cmd()" || last[4] != "7" || last[0] != begin.Add(7*time.Second).UTC().Format("2006-01-02T15:04:05.000Z") {
		t.Errorf("the row of a formula: %q", last)
	}
	if got := r.ask(auth.Viewer, "GET", "/audit.csv", ""); got.status != http.StatusForbidden {
		t.Errorf("a viewer is answered with %d", got.status)
	}
	if got := r.ask(auth.Admin, "GET", "/audit?from=yesterday", ""); got.status != http.StatusUnprocessableEntity {
		t.Errorf("from=yesterday is answered with %d %s", got.status, got.body)
	}
}
