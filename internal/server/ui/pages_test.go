package ui_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

func TestSetupThenSignInAndOut(t *testing.T) {
	r := newBareRig(t)
	if got := r.ask("", "/", nil); got.header.Get("Location") != "/setup" {
		t.Fatalf("the first visit goes to %q", got.header.Get("Location"))
	}
	form := url.Values{"token": {"wrong"}, "name": {"ann"}, "password": {password}}
	if got := r.ask("", "/setup", form); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text(".field-error"), "not the setup token") || !strings.Contains(got.body, `value="ann"`) {
		t.Errorf("setup with a wrong token = %d %s", got.status, got.text("main"))
	}
	form.Set("token", r.setup.Reveal())
	got := r.ask("", "/setup", form)
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/" {
		t.Fatalf("setup = %d to %q", got.status, got.header.Get("Location"))
	}
	if got := r.ask("", "/setup", nil); got.header.Get("Location") != "/sign-in" {
		t.Errorf("a second setup goes to %q", got.header.Get("Location"))
	}
	form = url.Values{"username": {"ann"}, "password": {"wrong"}, "back": {"/jobs"}}
	if got := r.ask("", "/sign-in", form); got.status != http.StatusUnauthorized || !strings.Contains(got.text(".panel"), "wrong") || strings.Contains(got.body, `value="wrong"`) {
		t.Errorf("a wrong password = %d %s", got.status, got.text("main"))
	}
	form.Set("password", password)
	got = r.ask("", "/sign-in", form)
	if got.header.Get("Location") != "/jobs" {
		t.Fatalf("sign-in = %d to %q", got.status, got.header.Get("Location"))
	}
	response := http.Response{Header: got.header}
	cookie := response.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode {
		t.Errorf("the session's cookie is %v", cookie)
	}
	r.cookies["ann"] = cookie
	if got := r.ask("ann", "/", nil); got.text("h1") != "Fleet" {
		t.Errorf("fleet after the sign-in = %d %s", got.status, got.text("h1"))
	}
	r.ask("ann", "/sign-out", url.Values{})
	if got := r.ask("ann", "/", nil); got.status != http.StatusSeeOther {
		t.Errorf("fleet after the sign-out = %d", got.status)
	}
	if got := r.ask("ann", "/events", nil); got.status != http.StatusUnauthorized {
		t.Errorf("events after the sign-out = %d", got.status)
	}
}

func TestThemeIsRendered(t *testing.T) {
	r := newRig(t)
	got := r.ask("", "/theme", url.Values{"theme": {"dark"}, "back": {"/sign-in"}})
	if got.header.Get("Location") != "/sign-in" || !strings.HasPrefix(got.header.Get("Set-Cookie"), "rm_theme=dark") {
		t.Errorf("theme = %d %v", got.status, got.header)
	}
	if got := r.ask("", "/sign-in", nil, "Cookie", "rm_theme=dark"); !strings.Contains(got.body, `data-bs-theme="dark"`) {
		t.Error("the page does not begin in the theme")
	}
	if got := r.ask("", "/sign-in", nil, "Cookie", `rm_theme="><x`); strings.Contains(got.body, "data-bs-theme") {
		t.Error("any value is taken for a theme")
	}
}

func TestSourceFormKeepsWhatWasTyped(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	path := "/hosts/" + string(host.ID) + "/sources/new"
	form := url.Values{"name": {"data"}, "includes": {"srv\r\n/etc"}, "excludes": {"*.tmp"}, "keep_last": {"many"}, "limit_upload_kib": {"0"}, "retry_lock_minutes": {"30"}, "retry_max": {"10"}, "retry_backoff_seconds": {"60"}}
	got := r.ask(auth.Admin, path, form)
	if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("#keep_last-note"), "not a number") || !strings.Contains(got.text("#includes"), "srv") {
		t.Errorf("a wrong number = %d %s", got.status, got.text("form.form"))
	}
	form.Set("keep_last", "0")
	if got := r.ask(auth.Admin, path, form); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "Keep at least something") {
		t.Errorf("nothing to keep = %d", got.status)
	}
	form.Set("keep_last", "7")
	if got := r.ask(auth.Admin, path, form); !strings.Contains(got.text("#includes-note"), "not a whole path") {
		t.Errorf("a path that is not whole: %s", got.text("form.form"))
	}
	form.Set("includes", "/srv/a b \r\n\r\n/etc")
	if got := r.ask(auth.Admin, path, form); got.status != http.StatusSeeOther {
		t.Fatalf("a good group = %d %s", got.status, got.text("main"))
	}
	groups, err := r.store.Groups(t.Context(), host.ID)
	if err != nil || len(groups) != 2 {
		t.Fatalf("groups: %v, %v", groups, err)
	}
	if made := groups[0]; fmt.Sprintf("%q", made.Includes) != `["/srv/a b " "/etc"]` || made.Retention != (fleet.Retention{KeepLast: 7}) {
		t.Errorf("group = %+v", made)
	}
	// The group of another host is not found under this one.
	other, group := r.host("web-2")
	if got := r.ask(auth.Admin, "/hosts/"+string(host.ID)+"/sources/"+string(group.ID)+"/edit", nil); got.status != http.StatusNotFound {
		t.Errorf("another host's group = %d", got.status)
	}
	if got := r.ask(auth.Admin, "/hosts/"+string(other.ID)+"/sources/"+string(group.ID)+"/edit", nil); got.status != http.StatusOK {
		t.Errorf("the host's own group = %d", got.status)
	}
}

func TestHostIsAddedByACommandShownOnce(t *testing.T) {
	r := newRig(t)
	form := url.Values{"kind": {"endpoint"}, "name": {"db-1"}, "tags": {"a, b"}, "target": {"existing"}}
	if got := r.ask(auth.Admin, "/hosts/new", form); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("#repository_url-note"), "URL") || !strings.Contains(got.body, `value="db-1"`) {
		t.Errorf("no URL = %d %s", got.status, got.text("form.form"))
	}
	form.Set("repository_url", "rest:http://x/y/")
	form.Set("repository_key", "k")
	form.Set("password", "p")
	got := r.ask(auth.Admin, "/hosts/new", form)
	if got.status != http.StatusSeeOther {
		t.Fatalf("a good invitation = %d %s", got.status, got.text("main"))
	}
	first, second := r.ask(auth.Admin, got.header.Get("Location"), nil), r.ask(auth.Admin, got.header.Get("Location"), nil)
	if command := first.text("#command-unix"); !strings.Contains(command, "enroll --server "+r.server.URL) || strings.Contains(command, "--insecure") {
		t.Errorf("command: %q", command)
	}
	if second.text("#command-unix") != "" || !strings.Contains(second.text("#join"), "Waiting for the machine") {
		t.Errorf("the command is shown twice: %s", second.text("main"))
	}
}

func TestHostIsRemovedByItsTypedName(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	path := "/hosts/" + string(host.ID)
	if got := r.ask(auth.Admin, path+"/settings/remove", url.Values{"typed_name": {"web-2"}}); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text(".field-error"), "web-1") {
		t.Errorf("a wrong name = %d", got.status)
	}
	if got := r.ask(auth.Admin, path+"/settings/remove", url.Values{"typed_name": {"web-1"}}); got.status != http.StatusSeeOther {
		t.Errorf("the right name = %d %s", got.status, got.text("main"))
	}
	if got := r.ask(auth.Admin, path, nil); !strings.Contains(got.text("#host-head"), "removed") {
		t.Errorf("a removed host shows %s", got.text("#host-head"))
	}
	if got := r.ask(auth.Admin, "/", nil); strings.Contains(got.text("main"), "web-1") || got.text(".verdict") != "No machine is backed up now: every host was removed." {
		t.Errorf("a fleet of removed hosts says %s", got.text("main"))
	}
	if got := r.ask(auth.Admin, "/?state=removed", nil); !strings.Contains(got.text("tbody"), "web-1") {
		t.Errorf("removed hosts are not listed: %s", got.text("main"))
	}
	if got := r.ask(auth.Admin, path, nil); strings.Contains(got.body, "Add group") || strings.Contains(got.body, "Back up now") || !strings.Contains(got.text("main"), "host removed; data stays") {
		t.Errorf("a removed host shows %s", got.text("main"))
	}
}

var lineNumbers = regexp.MustCompile(`<tr class="log-info" data-n="(\d+)">`)

// TestLogIsSentOnce pages through a log as a browser does: from the tail on
// forwards while it grows, and back to its beginning.
func TestLogIsSentOnce(t *testing.T) {
	r := newRig(t)
	_, group := r.host("web-1")
	one := r.job(group, job.Running, 2500)
	path := "/jobs/" + string(one.ID)
	seen := map[string]int{}
	collect := func(got answer) {
		for _, match := range lineNumbers.FindAllStringSubmatch(got.body, -1) {
			seen[match[1]]++
		}
	}
	page := r.ask(auth.Viewer, path, nil)
	collect(page)
	if len(seen) != 300 || !strings.Contains(page.body, "before=2200") || !strings.Contains(page.body, "from=2500") {
		t.Fatalf("the page begins with %d lines", len(seen))
	}
	if strings.Contains(page.text(".log-text"), "&lt;") || !strings.Contains(page.text(".log-text"), "<2.499µs>") {
		t.Error("lines are not shown as they are")
	}
	r.appendLog(one.ID, 2500, 1500)
	for from := 2500; ; {
		part := r.ask(auth.Viewer, fmt.Sprintf("%s/log?from=%d", path, from), nil, "HX-Request", "true")
		collect(part)
		count := len(lineNumbers.FindAllString(part.body, -1))
		if count == 0 {
			break
		}
		from += count
	}
	for before := 2200; before > 0; before -= 1000 {
		collect(r.ask(auth.Viewer, fmt.Sprintf("%s/log?before=%d", path, before), nil, "HX-Request", "true"))
	}
	for n := range 4000 {
		if seen[fmt.Sprint(n)] != 1 {
			t.Fatalf("line %d was sent %d times", n, seen[fmt.Sprint(n)])
		}
	}
	if text := r.ask(auth.Viewer, path+"/log.txt", nil); strings.Count(text.body, "\n") != 4000 || text.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("as text: %d lines", strings.Count(text.body, "\n"))
	}
}

func TestJobPageTellsWhatWasWrong(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	one := r.job(group, job.Failed, 3)
	lock := strings.Repeat("ab", 32)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.EndJob(ctx, one.ID, store.End{At: time.Now(), Error: "The repository is locked.", Summary: &job.Summary{Advice: "Remove the lock.",
			Locks: []job.Lock{{ID: lock, Host: host.ResticHost, User: "root", PID: 7, Time: time.Now().Add(-time.Hour)}, {ID: strings.Repeat("cd", 32), Host: "stranger"}}}})
	})
	got := r.ask(auth.Admin, "/jobs/"+string(one.ID), nil)
	for _, want := range []string{"The repository is locked.", "Remove the lock.", "2 locks stand in the way", "root@web-1", "another machine", "Run again", "asked by ann"} {
		if !strings.Contains(got.text("main"), want) {
			t.Errorf("the page does not say %q: %s", want, got.text("main"))
		}
	}
	if strings.Contains(got.body, "/unlock") {
		t.Error("the removal of a lock is offered while the host is away")
	}
	if again := r.ask(auth.Viewer, "/jobs/"+string(one.ID), nil); strings.Contains(again.text("main"), "Run again") {
		t.Error("a viewer is offered to run it again")
	}
	if again := r.ask(auth.Admin, "/jobs/"+string(one.ID)+"/again", url.Values{}); again.status != http.StatusConflict || !strings.Contains(again.text("main"), "offline") {
		t.Errorf("run again while the host is away = %d %s", again.status, again.text("main"))
	}
}

func TestFleetFiltersAndPages(t *testing.T) {
	r := newRig(t)
	for n := range 120 {
		r.host(fmt.Sprintf("web-%03d", n))
	}
	first := r.ask(auth.Viewer, "/", nil)
	if rows := strings.Count(first.body, `<tr id="host-`); rows != 100 || !strings.Contains(first.text(".more"), "Next page") {
		t.Errorf("first page: %d rows", rows)
	}
	if got := r.ask(auth.Viewer, "/?text=web-11", nil); strings.Count(got.body, `<tr id="host-`) != 10 {
		t.Errorf("filtered by text: %d rows", strings.Count(got.body, `<tr id="host-`))
	}
	if got := r.ask(auth.Viewer, "/?state=failed", nil); !strings.Contains(got.text("main"), "No host fits") {
		t.Error("a filter that nothing fits does not say so")
	}
	part := r.ask(auth.Viewer, "/?text=web-11&part=live", nil, "HX-Request", "true")
	if strings.Contains(part.body, "<html") || !strings.Contains(part.body, `id="fleet"`) {
		t.Error("the live part is not a part")
	}
}

// TestFormAddressesAreNoDeadPages comes back to the addresses of forms, as a
// reload after a form error does.
func TestFormAddressesAreNoDeadPages(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	path := "/hosts/" + string(host.ID)
	for from, to := range map[string]string{
		path + "/settings/remove": path + "/settings", path + "/sources/notes": path + "/sources", path + "/preview": path, path + "/sessions/x/keep": path, path + "/snapshots/refresh": path + "/snapshots",
		path + "/sources/" + string(group.ID) + "/run": path + "/sources", "/settings/password": "/settings", "/settings/sessions/end-others": "/settings",
		"/jobs/x/cancel": "/jobs/x", "/alerts/x/close": "/", "/repositories/x/retry": "/repositories/x", "/repositories/x/check": "/repositories/x", "/hosts/%2F%2Fevil.example/settings/remove": "/hosts/%2F%2Fevil.example/settings",
	} {
		if got := r.ask(auth.Admin, from, nil); got.status != http.StatusSeeOther || got.header.Get("Location") != to {
			t.Errorf("GET %s = %d to %q, want %q", from, got.status, got.header.Get("Location"), to)
		}
	}
	got := r.ask(auth.Admin, path+"/settings/remove", url.Values{"typed_name": {"other"}})
	if !strings.Contains(got.body, `hx-get="`+path+`/settings?part=live"`) {
		t.Error("after a form error the live part is fetched from another address than the page's")
	}
}

func TestOtherSessionsEnd(t *testing.T) {
	r := newRig(t)
	secret, session, err := r.control.SignIn(t.Context(), control.Credentials{Name: "ann", Password: crypto.NewText(password)}, control.Peer{Address: "192.0.2.9"})
	if err != nil {
		t.Fatal(err)
	}
	r.cookies["other"] = control.SessionCookie(secret, session, false)
	if got := r.ask(auth.Admin, "/settings", nil); !strings.Contains(got.text("main"), "1 other browser is signed in") || !strings.Contains(got.text("main"), "At least 10 characters") {
		t.Errorf("settings: %s", got.text("main"))
	}
	if got := r.ask(auth.Admin, "/settings/sessions/end-others", url.Values{}); got.status != http.StatusSeeOther {
		t.Fatalf("end = %d", got.status)
	}
	if got := r.ask("other", "/settings", nil); got.status != http.StatusSeeOther {
		t.Errorf("the other session goes on: %d", got.status)
	}
	if got := r.ask(auth.Admin, "/audit", nil); got.status != http.StatusOK || !strings.Contains(got.text("tbody"), "session others ended ann sessions ended 1") {
		t.Errorf("the audit says %d %s", got.status, got.text("tbody"))
	}
}

func TestAuditNamesWhatItKnows(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web_1")
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.Audit(ctx, fleet.AuditEntry{At: time.Now(), Actor: "ann", Action: "job.created", Noun: "job", Subject: nobody,
			Detail: `{"kind":"backup","host_id":"` + string(host.ID) + `","group_id":"` + string(group.ID) + `","none":null}`})
	})
	if got := r.ask(auth.Admin, "/audit", nil).text(".detail"); !strings.Contains(got, "source group documents · host web_1 · kind backup") {
		t.Errorf("the detail reads %q", got)
	}
}

func TestAHostWithoutResticSaysSo(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	path := "/hosts/" + string(host.ID)
	const note = "restic is missing on this machine: install 0.19.0 or newer"
	if got := r.ask(auth.Viewer, path, nil); strings.Contains(got.text("main"), note) {
		t.Error("a host that was never seen is said to have no restic")
	}
	for version, want := range map[string]bool{"": true, "0.19.1": false} {
		host.ResticVersion, host.LastSeenAt = version, time.Now()
		r.write(func(ctx context.Context, tx *store.Tx) error { return tx.OpenSession(ctx, "node", host) })
		for _, page := range []string{"/", path} {
			if got := strings.Contains(r.ask(auth.Viewer, page, nil).text("main"), note); got != want {
				t.Errorf("restic %q, page %s: note %v", version, page, got)
			}
		}
	}
}
