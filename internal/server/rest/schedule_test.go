package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/server/rest"
	"github.com/restic-manager/restic-manager/internal/store"
)

// page is a list as the API gives it.
type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

func TestSchedulesKeepWhatWasSaid(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	path := "/hosts/" + string(host.ID) + "/schedules"
	var made rest.Schedule
	r.get(&made, 201, "POST", path, fmt.Sprintf(`{"cron":"30 2 * * *","time_zone":"Europe/Berlin","source_group_ids":[%q]}`, group.ID))
	if made.ID == "" || made.HostID != host.ID || made.Cron != "30 2 * * *" || made.TimeZone != "Europe/Berlin" || made.JitterSeconds != fleet.DefaultJitterSeconds ||
		made.Missed != schedule.RunOnce || !made.Enabled || !slices.Equal(made.Groups, []job.GroupID{group.ID}) || made.Description != "every day at 02:30" || made.EffectiveFrom == nil {
		t.Errorf("new schedule = %+v", made)
	}
	if len(made.NextTimes) != 5 || !slices.IsSortedFunc(made.NextTimes, time.Time.Compare) || made.NextTimes[0].Before(time.Now()) {
		t.Errorf("next times = %v", made.NextTimes)
	}
	var raw map[string]any
	own := "/schedules/" + string(made.ID)
	r.get(&raw, 200, "GET", own, "")
	for _, field := range []string{"cron", "time_zone", "jitter_seconds", "missed_policy", "enabled", "source_group_ids", "id", "host_id", "name", "effective_from", "next_times", "description", "created_at", "updated_at"} {
		if _, ok := raw[field]; !ok {
			t.Errorf("a schedule has no %s: %v", field, raw)
		}
	}
	var changed rest.Schedule
	r.get(&changed, 200, "PUT", own, fmt.Sprintf(`{"name":"hourly","cron":"@hourly","time_zone":"UTC","jitter_seconds":0,"missed_policy":"skip","enabled":false,"source_group_ids":[%q]}`, group.ID))
	if changed.ID != made.ID || changed.Name != "hourly" || changed.JitterSeconds != 0 || changed.Missed != schedule.Skip || changed.Enabled || changed.NextTimes == nil || len(changed.NextTimes) != 0 {
		t.Errorf("changed schedule = %+v", changed)
	}
	for query, want := range map[string]int{"": 1, "?enabled=true": 0, "?enabled=false": 1, "?host_id=" + string(host.ID): 1, "?host_id=" + id: 0, "?source_group_id=" + string(group.ID): 1} {
		var list page[rest.Schedule]
		if r.get(&list, 200, "GET", "/schedules"+query, ""); len(list.Items) != want {
			t.Errorf("schedules%s: %d, want %d", query, len(list.Items), want)
		}
	}
	var list page[rest.Schedule]
	if r.get(&list, 200, "GET", path, ""); len(list.Items) != 1 || list.Items[0].ID != made.ID {
		t.Errorf("schedules of the host: %+v", list)
	}
	if got := r.ask(auth.Operator, "DELETE", "/source-groups/"+string(group.ID), ""); got.status != http.StatusConflict || !strings.Contains(got.body, "hourly") {
		t.Errorf("removing its only group = %d %s", got.status, got.body)
	}
	if got := r.ask(auth.Operator, "DELETE", own, ""); got.status != http.StatusNoContent {
		t.Errorf("delete = %d %s", got.status, got.body)
	}
	if got := r.ask(auth.Operator, "GET", own, ""); got.status != http.StatusNotFound {
		t.Errorf("get after delete = %d", got.status)
	}
}

func TestWrongSchedulesNameTheField(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	other, _ := r.host("db-1")
	own := fmt.Sprintf(`"source_group_ids":[%q]`, group.ID)
	for _, row := range []struct{ path, body, field string }{
		{"/hosts/" + string(host.ID) + "/schedules", `{"cron":"x","time_zone":"UTC",` + own + `}`, "cron"},
		{"/hosts/" + string(host.ID) + "/schedules", `{"time_zone":"UTC",` + own + `}`, "cron"},
		{"/hosts/" + string(host.ID) + "/schedules", `{"cron":"@daily","time_zone":"Mars/Base",` + own + `}`, "time_zone"},
		{"/hosts/" + string(host.ID) + "/schedules", `{"cron":"@daily","time_zone":"UTC"}`, "source_group_ids"},
		{"/hosts/" + string(host.ID) + "/schedules", `{"cron":"@daily","time_zone":"UTC","source_group_ids":[]}`, "source_group_ids"},
		{"/hosts/" + string(other.ID) + "/schedules", `{"cron":"@daily","time_zone":"UTC",` + own + `}`, "source_group_ids"},
		{"/hosts/" + string(host.ID) + "/schedules", `{"cron":"@daily","time_zone":"UTC","jitter_seconds":-1,` + own + `}`, "jitter_seconds"},
		{"/hosts/" + string(host.ID) + "/schedules", `{"cron":"@daily","time_zone":"UTC","missed_policy":"twice",` + own + `}`, "missed_policy"},
		{"/schedules/preview", `{"cron":"99 * * * *","time_zone":"UTC"}`, "cron"},
		{"/schedules/preview", `{"cron":"@daily","time_zone":""}`, "time_zone"},
		{"/pauses", `{"scope":"planet","until":"2999-01-01T00:00:00Z"}`, "scope"},
		{"/pauses", `{"scope":"fleet","until":"2001-01-01T00:00:00Z"}`, "until"},
		{"/pauses", `{"scope":"fleet"}`, "until"},
		{"/pauses", `{"scope":"host","subject":"` + id + `","until":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`, "subject"},
		{"/hosts/" + string(host.ID) + "/source-groups", `{"name":"a","includes":["/etc"],"tags":["rm-x"]}`, "tags"},
		{"/hosts/" + string(host.ID) + "/source-groups", `{"name":"a","includes":["/etc"],"retry_max":0}`, "retry_max"},
		{"/hosts/" + string(host.ID) + "/source-groups", `{"name":"a","includes":["/etc"],"retry_backoff_seconds":7200}`, "retry_backoff_seconds"},
		{"/hosts/" + string(host.ID) + "/source-groups", `{"name":"a","includes":["/etc"],"limit_download_kib":-1}`, "limit_download_kib"},
		{"/hosts/" + string(host.ID) + "/source-groups", `{"name":"a","includes":["/etc"],"shrink_percent":100}`, "shrink_percent"},
		{"/hosts/" + string(host.ID) + "/source-groups", `{"name":"a","includes":["/etc"],"pre_hook":{"timeout_seconds":5}}`, "pre_hook"},
	} {
		got := r.ask(auth.Operator, "POST", row.path, row.body)
		var problem rest.Problem
		if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.status != 422 ||
			!slices.ContainsFunc(problem.Errors, func(f rest.FieldProblem) bool { return f.Field == row.field && f.Message != "" }) {
			t.Errorf("%s %s = %d %s", row.path, row.body, got.status, got.body)
		}
	}
}

func TestPreviewSaysWhenARuleIsDue(t *testing.T) {
	r := newRig(t)
	var preview rest.SchedulePreview
	r.get(&preview, 200, "POST", "/schedules/preview", `{"cron":"0 1 * * 1","time_zone":"America/New_York"}`)
	if len(preview.NextTimes) != 5 || preview.Description != "Mondays at 01:00" {
		t.Fatalf("preview = %+v", preview)
	}
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, moment := range preview.NextTimes {
		if local := moment.In(zone); local.Weekday() != time.Monday || local.Format("15:04") != "01:00" || moment.Location() != time.UTC {
			t.Errorf("due at %s", moment)
		}
	}
}

func TestPausesShowOnTheirHosts(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	var made rest.Pause
	r.get(&made, 201, "POST", "/pauses", fmt.Sprintf(`{"scope":"tag","subject":"web","until":%q,"reason":"moving house"}`, until.Format(time.RFC3339)))
	if made.ID == "" || made.Scope != fleet.PauseTag || made.Until == nil || !made.Until.Equal(until) || made.Reason != "moving house" || made.CreatedBy != "token admin" {
		t.Errorf("pause = %+v", made)
	}
	shown := func() []*time.Time {
		t.Helper()
		var one rest.Host
		var list page[rest.Host]
		var pauses page[rest.Pause]
		r.get(&one, 200, "GET", "/hosts/"+string(host.ID), "")
		r.get(&list, 200, "GET", "/hosts", "")
		r.get(&pauses, 200, "GET", "/pauses", "")
		times := []*time.Time{one.PausedUntil, list.Items[0].PausedUntil}
		for _, pause := range pauses.Items {
			times = append(times, pause.Until)
		}
		return times
	}
	if times := shown(); len(times) != 3 || slices.ContainsFunc(times, func(at *time.Time) bool { return at == nil || !at.Equal(until) }) {
		t.Errorf("it is shown as %v", times)
	}
	if got := r.ask(auth.Operator, "DELETE", "/pauses/"+made.ID, ""); got.status != http.StatusNoContent {
		t.Errorf("delete = %d %s", got.status, got.body)
	}
	if got := r.ask(auth.Operator, "DELETE", "/pauses/"+made.ID, ""); got.status != http.StatusConflict {
		t.Errorf("second delete = %d %s", got.status, got.body)
	}
	if times := shown(); len(times) != 2 || times[0] != nil || times[1] != nil {
		t.Errorf("after its end it is shown as %v", times)
	}
}

func TestHostSaysHowItIsUsed(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	box := fleet.Host{ID: job.HostID(job.NewULID(time.Now())), Name: "box", PublicKey: []byte("box"), Storage: &fleet.Storage{URL: "http://box", Slots: fleet.DefaultSlots},
		HookNames: []string{"dump"}, HooksSent: true, EnrolledAt: time.Now()}
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertHost(ctx, box) })
	var shown rest.Host
	if r.get(&shown, 200, "GET", "/hosts/"+string(host.ID), ""); shown.Presence != fleet.AlwaysOn || shown.Hooks.Names == nil || shown.Hooks.Sent {
		t.Errorf("host = %+v", shown)
	}
	if r.get(&shown, 200, "PATCH", "/hosts/"+string(host.ID), `{"presence":"intermittent"}`); shown.Presence != fleet.Intermittent {
		t.Errorf("a laptop = %+v", shown)
	}
	if r.get(&shown, 200, "PATCH", "/hosts/"+string(box.ID), `{"slots":9}`); shown.Storage == nil || shown.Storage.Slots != 9 || !slices.Equal(shown.Hooks.Names, []string{"dump"}) || !shown.Hooks.Sent {
		t.Errorf("a box = %+v", shown)
	}
	for _, row := range []struct {
		host        job.HostID
		body, field string
	}{{host.ID, `{"presence":"at times"}`, "presence"}, {host.ID, `{"slots":3}`, "slots"}, {box.ID, `{"slots":0}`, "slots"}, {box.ID, `{"slots":1001}`, "slots"}} {
		if got := r.ask(auth.Operator, "PATCH", "/hosts/"+string(row.host), row.body); got.status != 422 || !strings.Contains(got.body, `"field":"`+row.field+`"`) {
			t.Errorf("%s = %d %s", row.body, got.status, got.body)
		}
	}
}

func TestSourceGroupOptionsDefaultAndAreReplaced(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	var made rest.SourceGroup
	r.get(&made, 201, "POST", "/hosts/"+string(host.ID)+"/source-groups", `{"name":"data","includes":["/srv"]}`)
	want := fleet.DefaultGroupOptions()
	if fmt.Sprintf("%+v", made.GroupOptions) != fmt.Sprintf("%+v", want) {
		t.Errorf("options = %+v, want %+v", made.GroupOptions, want)
	}
	path := "/source-groups/" + string(made.ID)
	full := `{"name":"data","includes":["/srv"],"one_file_system":true,"exclude_caches":false,"use_vss":true,"limit_upload_kib":1,"limit_download_kib":2,"retry_lock_minutes":3,
		"tags":["a","b"],"retry_max":4,"retry_backoff_seconds":5,"pre_hook":{"name":"dump","timeout_seconds":6},"post_hook":{"command":["/bin/true","x"],"timeout_seconds":7},
		"shrink_percent":0,"retention":{"keep_last":3}}`
	var changed rest.SourceGroup
	r.get(&changed, 200, "PUT", path, full)
	o := changed.GroupOptions
	if !o.OneFileSystem || o.ExcludeCaches || !o.UseVSS || o.LimitUploadKiB != 1 || o.LimitDownloadKiB != 2 || o.RetryLockMinutes != 3 || !slices.Equal(o.Tags, []string{"a", "b"}) ||
		o.RetryMax != 4 || o.RetryBackoffSeconds != 5 || o.PreHook == nil || o.PreHook.Name != "dump" || o.PostHook == nil || !slices.Equal(o.PostHook.Command, []string{"/bin/true", "x"}) || o.ShrinkPercent != 0 {
		t.Errorf("options = %+v", o)
	}
	r.get(&changed, 200, "PUT", path, `{"name":"data","includes":["/srv"],"pre_hook":null,"retention":{"keep_last":3}}`)
	if fmt.Sprintf("%+v", changed.GroupOptions) != fmt.Sprintf("%+v", want) {
		t.Errorf("replaced options = %+v, want %+v", changed.GroupOptions, want)
	}
}

func TestPendingRunsAndOccurrences(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	var scheduled rest.Schedule
	r.get(&scheduled, 201, "POST", "/hosts/"+string(host.ID)+"/schedules", fmt.Sprintf(`{"cron":"@hourly","time_zone":"UTC","source_group_ids":[%q]}`, group.ID))
	moment := time.Now().Truncate(time.Hour).UTC()
	due := func(at time.Time, state job.State, cause job.Cause) fleet.Job {
		return fleet.Job{ID: job.DueID(scheduled.ID, group.ID, at), Host: host.ID, Kind: job.Backup, State: state, Cause: cause, Origin: job.BySchedule, Group: group.ID, Repository: group.Repository,
			Schedule: scheduled.ID, ScheduledAt: at, NextAttemptAt: at, Attempt: 2, Error: "it was refused", Spec: json.RawMessage(`{}`), CreatedAt: at}
	}
	waiting, skipped := due(moment, job.Queued, ""), due(moment.Add(-time.Hour), job.Skipped, job.CauseMissed)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertJob(ctx, skipped); err != nil {
			return err
		}
		return tx.InsertJob(ctx, waiting)
	})
	var pending page[rest.PendingRun]
	r.get(&pending, 200, "GET", "/pending-runs?host_id="+string(host.ID), "")
	if len(pending.Items) != 1 {
		t.Fatalf("pending runs = %+v", pending)
	}
	p := pending.Items[0]
	if p.ID != waiting.ID || p.ScheduleID != scheduled.ID || p.GroupID != group.ID || p.ScheduledAt == nil || !p.ScheduledAt.Equal(moment) || p.State != job.Queued || p.Attempt != 2 ||
		p.NextAttemptAt == nil || p.Reason != fleet.WaitsForHost || p.LastError != "it was refused" {
		t.Errorf("pending run = %+v", p)
	}
	r.get(&pending, 200, "GET", "/pending-runs?host_id="+id, "")
	if len(pending.Items) != 0 {
		t.Errorf("pending runs of nobody = %+v", pending.Items)
	}
	at := func(t time.Time) string { return t.Format(time.RFC3339) }
	for query, want := range map[string][]job.ID{
		"":                                       {waiting.ID, skipped.ID},
		"?limit=1":                               {waiting.ID},
		"?host_id=" + id:                         nil,
		"?host_id=" + string(host.ID):            {waiting.ID, skipped.ID},
		"?source_group_id=" + string(group.ID):   {waiting.ID, skipped.ID},
		"?schedule_id=" + string(scheduled.ID):   {waiting.ID, skipped.ID},
		"?schedule_id=" + id:                     nil,
		"?state=skipped":                         {skipped.ID},
		"?cause=missed":                          {skipped.ID},
		"?from=" + at(moment):                    {waiting.ID},
		"?to=" + at(moment.Add(-time.Minute)):    {skipped.ID},
		"?from=" + at(moment.Add(1*time.Second)): nil,
	} {
		var list page[rest.Job]
		r.get(&list, 200, "GET", "/occurrences"+query, "")
		var got []job.ID
		for _, j := range list.Items {
			got = append(got, j.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("occurrences%s = %v, want %v", query, got, want)
		}
	}
	if got := r.ask(auth.Viewer, "GET", "/occurrences?state=dancing", ""); got.status != 422 {
		t.Errorf("an unknown state = %d %s", got.status, got.body)
	}
	var run rest.Job
	r.get(&run, 202, "POST", "/pending-runs/"+string(waiting.ID)+"/run", "")
	if run.ID != waiting.ID || run.ScheduleID != scheduled.ID || run.ScheduledAt == nil {
		t.Errorf("run now = %+v", run)
	}
	if got := r.ask(auth.Operator, "DELETE", "/pending-runs/"+string(waiting.ID), ""); got.status != http.StatusNoContent {
		t.Errorf("drop = %d %s", got.status, got.body)
	}
	r.get(&run, 200, "GET", "/jobs/"+string(waiting.ID), "")
	if run.State != job.Skipped || run.Cause != job.CauseDropped {
		t.Errorf("a dropped run is %s, cause %q", run.State, run.Cause)
	}
	if got := r.ask(auth.Operator, "DELETE", "/pending-runs/"+string(waiting.ID), ""); got.status != http.StatusConflict && got.status != http.StatusNotFound {
		t.Errorf("a second drop = %d %s", got.status, got.body)
	}
}
