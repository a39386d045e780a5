package ui_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/server/ui"
)

// TestNoRequestBreaksThePages: what a browser would never send is answered with a
// page for people, and nothing of it gets into the log as an error.
func TestNoRequestBreaksThePages(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web")
	planned, err := r.control.CreateSchedule(t.Context(), auth.Server, fleet.Schedule{Host: host.ID, Name: `<script>alert("x")</script>`, Enabled: true, Groups: []job.GroupID{group.ID},
		Rule: schedule.Rule{Cron: "0 0 29 2 1", TimeZone: "Europe/Berlin", Missed: schedule.RunOnce}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.control.CreatePause(t.Context(), auth.Server, fleet.Pause{Scope: fleet.PauseHost, Subject: string(host.ID), Until: time.Now().Add(time.Hour), Reason: "<script>alert(2)</script>"}); err != nil {
		t.Fatal(err)
	}
	one := r.job(group, job.Succeeded, 1)
	fill := strings.NewReplacer("{id}", string(host.ID), "{schedule}", string(planned.ID), "{group}", string(group.ID), "{job}", string(one.ID), "{session}", "x", "{token}", "x", "{$}", "")
	names := []string{"cursor", "before", "after", "from", "to", "outcome", "host", "tag", "scope", "run", "back", "text", "q", "state", "kind", "cron", "time_zone", "exact", "end", "end", "until",
		"subject", "noun", "actor", "action", "at", "zone", "groups", "group", "jitter_seconds", "jitter", "missed_policy", "missed", "name", "enabled", "includes", "excludes", "retry_max", "keep_last", "slots", "offset", "reason", "preset", "show"}
	for _, bad := range []string{"\x00", "-1", "9223372036854775807", "99999999999999999999999", "9999-12-31T23:59", "9999-12-31", "0001-01-01", "1969-12-31", "%ff", "\xff", "<script>alert(1)</script>", "' OR 1=1 --",
		"!%_", "../../etc", "MDFKWlpaWlpaWlpaWlpaWlpaWlpaWlpa", strings.Repeat("a", 3000), "0 0 30 2 *", "*/0 * * * *", "@reboot", "Local", "Factory"} {
		values := url.Values{}
		for _, name := range names {
			values[name] = []string{bad, bad}
		}
		for _, route := range ui.Routes {
			paths := []string{fill.Replace(route.Pattern)}
			if strings.HasPrefix(route.Pattern, "/schedules/{id}") {
				paths = append(paths, strings.Replace(route.Pattern, "{id}", string(planned.ID), 1))
			}
			if strings.HasPrefix(route.Pattern, "/jobs/{id}") {
				paths = append(paths, strings.Replace(route.Pattern, "{id}", string(one.ID), 1))
			}
			for _, path := range paths {
				if route.Permission == ui.Public || path == "/events" || path == "/sign-out" || strings.HasSuffix(path, "/remove") || strings.HasPrefix(path, "/settings") {
					continue
				}
				form, query := url.Values(nil), "?"+values.Encode()
				if route.Method == "POST" {
					form, query = values, ""
				}
				begun := time.Now()
				got := r.ask(auth.Admin, path+query, form)
				if got.status >= 500 || strings.Contains(got.body, "<script>alert") {
					t.Errorf("%s %s with %.30q = %d: %.300s", route.Method, path, bad, got.status, got.text("main"))
				}
				if took := time.Since(begun); took > 2*time.Second {
					t.Errorf("%s %s with %.30q took %s", route.Method, path, bad, took)
				}
			}
		}
	}
	if log := r.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log has errors: %.2000s", log)
	}
}
