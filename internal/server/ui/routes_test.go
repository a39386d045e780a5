package ui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/server/ui"
)

// nobody is a well-formed id that nothing has.
const nobody = "01JZZZZZZZZZZZZZZZZZZZZZZZ"

func TestEveryRouteAsEveryRole(t *testing.T) {
	r := newRig(t)
	fill := strings.NewReplacer("{id}", nobody, "{session}", nobody, "{group}", nobody, "{schedule}", nobody, "{token}", nobody, "{$}", "")
	for _, route := range ui.Routes {
		name, path := route.Method+" "+route.Pattern, fill.Replace(route.Pattern)
		if route.Permission != ui.Public && !route.Permission.Known() {
			t.Errorf("%s takes the permission %q, which nobody has", name, route.Permission)
		}
		if route.Method != http.MethodGet && route.Permission != ui.Public && route.Permission != auth.AccountOwn && auth.Viewer.Holds(route.Permission) {
			t.Errorf("%s changes something and is open to viewers", name)
		}
		if path == "/events" || path == "/sign-out" {
			continue // one never ends and the other ends the session: both have tests of their own
		}
		var form url.Values
		if route.Method == http.MethodPost {
			form = url.Values{"x": {"y"}}
		}
		got := r.ask("", path, form)
		switch {
		case route.Permission == ui.Public:
			if got.status >= 500 {
				t.Errorf("%s for everybody = %d", name, got.status)
			}
		case route.Method == http.MethodGet:
			if got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/sign-in") {
				t.Errorf("%s without sign-in = %d to %q", name, got.status, got.header.Get("Location"))
			}
		case got.status != http.StatusUnauthorized:
			t.Errorf("%s without sign-in = %d", name, got.status)
		}
		if route.Permission == ui.Public {
			continue
		}
		for _, role := range auth.Roles {
			got := r.ask(role, path, form)
			if !role.Holds(route.Permission) {
				if got.status != http.StatusForbidden {
					t.Errorf("%s as %s = %d, want it refused", name, role, got.status)
				}
				continue
			}
			if got.status == http.StatusForbidden || got.status == http.StatusUnauthorized || got.status >= 500 {
				t.Errorf("%s as %s = %d: %s", name, role, got.status, got.text("main"))
			}
		}
	}
	if log := r.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log has errors: %s", log)
	}
}

func TestMenuHoldsWhatTheRoleAllows(t *testing.T) {
	r := newRig(t)
	if got := r.ask(auth.Viewer, "/", nil).text(".menu"); got != "Fleet Repositories Schedules Jobs Settings" {
		t.Errorf("menu of a viewer: %q", got)
	}
	if got := r.ask(auth.Admin, "/audit", nil).text(".menu a[aria-current]"); got != "Audit" {
		t.Errorf("current menu entry on /audit: %q", got)
	}
}

func TestOtherSitesChangeNothing(t *testing.T) {
	r := newRig(t)
	got := r.ask(auth.Admin, "/settings/password", url.Values{"old_password": {password}, "new_password": {"another long password"}}, "Sec-Fetch-Site", "cross-site")
	if got.status != http.StatusForbidden {
		t.Errorf("a form of another site = %d", got.status)
	}
}

func TestPagesDefendThemselves(t *testing.T) {
	r := newRig(t)
	host, _ := r.host(`<script>alert("x")</script>`)
	for _, path := range []string{"/", "/hosts/" + string(host.ID), "/repositories", "/jobs?host=%3Cscript%3E"} {
		got := r.ask(auth.Admin, path, nil)
		if got.status != http.StatusOK || strings.Contains(got.body, "<script>") || strings.Contains(got.body, "alert(\"x\")") {
			t.Errorf("%s = %d, and a name got into the markup", path, got.status)
		}
		if got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %q", path, got.header.Get("Cache-Control"))
		}
	}
	for _, back := range []string{"//evil.example/", `/\evil.example`, "https://evil.example/", "javascript:alert(1)"} {
		got := r.ask("", "/sign-in", url.Values{"username": {"ann"}, "password": {password}, "back": {back}})
		if got.status != http.StatusSeeOther || got.header.Get("Location") != "/" {
			t.Errorf("sign-in with back %q = %d to %q", back, got.status, got.header.Get("Location"))
		}
	}
	if got := r.ask(auth.Admin, "/hosts/"+nobody, nil); got.status != http.StatusNotFound || !strings.Contains(got.text("main"), "There is no host") {
		t.Errorf("an absent host = %d %s", got.status, got.text("main"))
	}
}

func TestStaticFilesAreKeptForEver(t *testing.T) {
	r := newRig(t)
	page := r.ask("", "/sign-in", nil).body
	start := strings.Index(page, "/static/app.")
	address := page[start : start+strings.Index(page[start:], `"`)]
	got := r.ask("", address, nil, "Accept-Encoding", "gzip")
	if got.status != http.StatusOK || !strings.Contains(got.header.Get("Cache-Control"), "immutable") || got.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%s = %d %v", address, got.status, got.header)
	}
	if got := r.ask("", "/static/app.000000000000.css", nil); got.status != http.StatusNotFound {
		t.Errorf("an address of another content = %d", got.status)
	}
}
