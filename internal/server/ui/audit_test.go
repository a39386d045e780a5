package ui_test

import (
	"context"
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// TestAuditReadsLikeASentence: who, what, on which thing, from what to what.
func TestAuditReadsLikeASentence(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	for _, test := range []struct {
		entry      fleet.AuditEntry
		row, link  string
		unexpected string
	}{
		{fleet.AuditEntry{Actor: "ann", Action: "source_group.changed", Noun: "source_group", Subject: string(group.ID), Address: "192.0.2.5",
			Detail: `{"before":{"excludes":["*.tmp","x"],"options":{"limit_upload_kib":0,"use_vss":false}},"after":{"excludes":["x","*.bak"],"options":{"limit_upload_kib":4096,"use_vss":true}}}`},
			"ann 192.0.2.5 source group changed documents excludes: *.tmp → *.bak limit upload KiB: 0 → 4,096 use vss: no → yes", "/hosts/" + string(host.ID) + "/sources", "x,"},
		{fleet.AuditEntry{Actor: "ann", Action: "source_group.hooked", Noun: "source_group", Subject: string(group.ID), Detail: `{"before":{"options":{"pre_hook":null}},"after":{"options":{"pre_hook":{"name":"hello"}}}}`},
			"documents pre hook name: none → hello", "", "options"},
		{fleet.AuditEntry{Actor: "ann", Action: "source_group.added", Noun: "source_group", Subject: nobody, Detail: `{"after":{"name":"new group","options":{"post_hook":{"name":"bye"}},"retention":{"keep_daily":7}}}`},
			"new group post hook name bye · keep daily 7", "", "options"},
		{fleet.AuditEntry{Actor: "ann", Action: "host.changed", Noun: "host", Subject: string(host.ID), Detail: `{"before":{"name":"old","tags":[]},"after":{"name":"new","tags":["a"]}}`},
			"ann host changed new name: old → new tags: none → a", "/hosts/" + string(host.ID), "web-1"},
		{fleet.AuditEntry{Actor: "server", Action: "pending_run.abandoned", Noun: "job", Subject: nobody, Detail: `{"reason":"The schedule is gone.","host_id":"` + string(host.ID) + `"}`},
			"server pending run abandoned " + nobody[len(nobody)-6:] + " host web-1 · reason The schedule is gone.", "", "before"},
		{fleet.AuditEntry{Actor: "ann", Action: "source_group.removed", Noun: "source_group", Subject: nobody,
			Detail: `{"before":{"name":"old group","host_id":"` + string(host.ID) + `","includes":["/1","/2","/3","/4","/5","/6","/7","/8"],"options":{"retry_max":3}}}`},
			"ann source group removed old group host web-1 · includes /1, /2, /3, /4, /5, /6, and 2 more · retry max 3", "", "/7"},
		{fleet.AuditEntry{Actor: "ann", Action: "pause.created", Noun: "pause", Subject: nobody, Detail: `{"after":{"until":"2026-05-04T03:02:01Z"}}`},
			"until 2026-05-04 03:02 UTC", "", "T03"},
	} {
		r.write(func(ctx context.Context, tx *store.Tx) error {
			test.entry.At = time.Now()
			return tx.Audit(ctx, test.entry)
		})
		got := r.ask(auth.Admin, "/audit?action="+test.entry.Action, nil)
		if text := got.text("tbody tr"); !strings.Contains(text, test.row) || strings.Contains(text, test.unexpected) {
			t.Errorf("%s reads %q, want %q", test.entry.Action, text, test.row)
		}
		if test.link != "" && !strings.Contains(got.body, `<a href="`+test.link+`">`) {
			t.Errorf("%s has no link to %s", test.entry.Action, test.link)
		}
	}
	if got := r.ask(auth.Admin, "/audit?noun=host&subject="+string(host.ID), nil); !strings.Contains(got.text("main"), "Only what was done to web-1") || strings.Contains(got.text("tbody"), "pause") {
		t.Errorf("narrowed to a host: %s", got.text("main"))
	}
}

// TestAuditClaimsNoMoreThanIsSealed follows a log from before its first seal.
func TestAuditClaimsNoMoreThanIsSealed(t *testing.T) {
	r := newRig(t)
	if got := r.ask(auth.Admin, "/audit", nil).text(".sealed"); !strings.Contains(got, "Nothing is sealed yet") {
		t.Errorf("before the first seal: %q", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.control.Run(ctx); err != nil { // seals at its end
		t.Fatal(err)
	}
	got := r.ask(auth.Admin, "/audit", nil).text(".sealed")
	if !strings.Contains(got, "with seal 1; nothing newer waits") || strings.Contains(got, "verified") {
		t.Errorf("sealed: %q", got)
	}
}

func TestAuditPageExportsWhatItShows(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"one", "two"} {
		if _, _, err := r.control.CreateAPIToken(t.Context(), auth.Server, control.NewAPIToken{Name: name, Role: auth.Viewer}); err != nil {
			t.Fatal(err)
		}
	}
	page := r.ask(auth.Admin, "/audit?text=two&actor=server&from=2020-01-01", nil)
	if rows := page.text("tbody .cell-main"); rows != "api token created two" {
		t.Errorf("the page shows %q", rows)
	}
	const address = "/audit.csv?actor=server&from=2020-01-01&text=two"
	if !strings.Contains(page.body, `href="`+strings.ReplaceAll(address, "&", "&amp;")+`"`) {
		t.Errorf("no link to the export: %s", page.body)
	}
	got := r.ask(auth.Admin, address, nil)
	rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	if err != nil || got.status != http.StatusOK || len(rows) != 2 || rows[1][2] != "api_token.created" || !strings.Contains(got.header.Get("Content-Disposition"), "audit.csv") {
		t.Errorf("export: %d %v, %v", got.status, rows, err)
	}
	if got := r.ask(auth.Admin, "/audit?to=2020-01-01", nil); !strings.Contains(got.text("main"), "No entry fits") {
		t.Errorf("until 2020: %s", got.text("main"))
	}
}
