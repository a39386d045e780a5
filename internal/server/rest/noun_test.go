package rest_test

import (
	"bufio"
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
	"github.com/restic-manager/restic-manager/internal/server/rest"
	"github.com/restic-manager/restic-manager/internal/store"
)

func TestHostsArePagedAndNamedAsPromised(t *testing.T) {
	r := newRig(t)
	for n := range 5 {
		r.host(fmt.Sprint("web-", n))
	}
	var names []string
	for cursor := ""; ; {
		var page struct {
			Items      []map[string]any `json:"items"`
			NextCursor *string          `json:"next_cursor"`
		}
		r.get(&page, 200, "GET", "/hosts?limit=2&cursor="+cursor, "")
		for _, host := range page.Items {
			names = append(names, host["name"].(string))
			for _, field := range []string{"id", "name", "online", "os", "arch", "agent_version", "restic_version", "tags", "last_backup_at"} {
				if _, ok := host[field]; !ok {
					t.Errorf("a host has no %s: %v", field, host)
				}
			}
			if host["last_backup_at"] != nil {
				t.Errorf("a host without a backup has last_backup_at %v", host["last_backup_at"])
			}
		}
		if page.NextCursor == nil {
			break
		}
		cursor = *page.NextCursor
	}
	if !slices.Equal(names, []string{"web-0", "web-1", "web-2", "web-3", "web-4"}) {
		t.Errorf("hosts = %v", names)
	}
}

func TestHostIsChangedAndRemoved(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	path := "/hosts/" + string(host.ID)
	var changed rest.Host
	r.get(&changed, 200, "PATCH", path, `{"name":"web-one"}`)
	if changed.Name != "web-one" || !slices.Equal(changed.Tags, []string{"web"}) || changed.ResticHost != "web-1" {
		t.Errorf("renamed host = %+v", changed)
	}
	r.get(&changed, 200, "PATCH", path, `{"tags":[]}`)
	if changed.Name != "web-one" || len(changed.Tags) != 0 {
		t.Errorf("host without tags = %+v", changed)
	}
	if got := r.ask(auth.Admin, "DELETE", path, ""); got.status != http.StatusNoContent || got.body != "" {
		t.Errorf("delete = %d %s", got.status, got.body)
	}
	if got := r.ask(auth.Admin, "DELETE", path, ""); got.status != http.StatusConflict {
		t.Errorf("second delete = %d %s", got.status, got.body)
	}
	r.get(&changed, 200, "GET", path, "")
	if changed.RemovedAt == nil || changed.RemovedAt.Location() != time.UTC {
		t.Errorf("removed host = %+v", changed)
	}
}

func TestSourceGroupsKeepWhatWasSaid(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	var made rest.SourceGroup
	r.get(&made, 201, "POST", "/hosts/"+string(host.ID)+"/source-groups", `{"name":"data","includes":["/srv/a b","C:\\x"]}`)
	if made.Retention != fleet.DefaultRetention || made.RetryLockMinutes != fleet.DefaultRetryLockMinutes || made.Excludes == nil || made.RepositoryID == "" {
		t.Errorf("new group = %+v", made)
	}
	path := "/source-groups/" + string(made.ID)
	if got := r.ask(auth.Admin, "PUT", path, `{"name":"data","includes":["/srv"]}`); got.status != 422 || !strings.Contains(got.body, `"retention"`) {
		t.Errorf("put without retention = %d %s", got.status, got.body)
	}
	var changed rest.SourceGroup
	r.get(&changed, 200, "PUT", path, `{"name":"data","includes":["/srv"],"excludes":["*.tmp"],"exclude_caches":true,"retry_lock_minutes":0,"retention":{"keep_last":3}}`)
	if changed.Retention != (fleet.Retention{KeepLast: 3}) || changed.RetryLockMinutes != 0 || !changed.ExcludeCaches || changed.HostID != host.ID {
		t.Errorf("changed group = %+v", changed)
	}
	if got := r.ask(auth.Operator, "DELETE", path, ""); got.status != http.StatusNoContent {
		t.Errorf("delete = %d %s", got.status, got.body)
	}
	if got := r.ask(auth.Admin, "GET", path, ""); got.status != http.StatusNotFound {
		t.Errorf("get after delete = %d", got.status)
	}
}

func TestEnrollmentTokenIsShownOnce(t *testing.T) {
	r := newRig(t)
	var made rest.NewEnrollmentToken
	r.get(&made, 201, "POST", "/enrollment-tokens", `{"name":"db-1","tags":["db"]}`)
	if made.Token == "" || made.ExpiresAt == nil || made.Command != "restic-manager-agent enroll --server "+r.server.URL {
		t.Errorf("token = %+v", made)
	}
	secret := made.Token[strings.LastIndex(made.Token, ".")+1:]
	for _, path := range []string{"/enrollment-tokens", "/enrollment-tokens/" + made.ID, "/audit"} {
		if got := r.ask(auth.Admin, "GET", path, ""); got.status != 200 || strings.Contains(got.body, secret) {
			t.Errorf("GET %s = %d %s", path, got.status, got.body)
		}
	}
	if got := r.ask(auth.Admin, "DELETE", "/enrollment-tokens/"+made.ID, ""); got.status != http.StatusNoContent {
		t.Errorf("delete = %d %s", got.status, got.body)
	}
	if got := r.ask(auth.Admin, "GET", "/enrollment-tokens/"+made.ID, ""); got.status != http.StatusNotFound {
		t.Errorf("get after delete = %d", got.status)
	}
}

// TestPreviewIsAskedFor: the rig's host is offline and says so, but only once
// the paths can be looked at at all.
func TestPreviewIsAskedFor(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	for body, want := range map[string]struct {
		status int
		says   string
	}{
		`{"kind":"preview"}`:                                                          {422, "includes"},
		`{"kind":"preview","includes":["etc"]}`:                                       {422, "includes"},
		`{"kind":"preview","includes":["/etc"],"excludes":[""]}`:                      {422, "excludes"},
		`{"kind":"preview","includes":["/etc"],"excludes":["*.b"],"sort":1}`:          {422, "sort"},
		`{"kind":"preview","includes":["/etc"],"exclude_caches":true}`:                {409, "offline"},
		`{"kind":"preview","includes":["/etc"],"one_file_system":true,"excludes":[]}`: {409, "offline"},
	} {
		if got := r.ask(auth.Admin, "POST", "/hosts/"+string(host.ID)+"/jobs", body); got.status != want.status || !strings.Contains(got.body, want.says) {
			t.Errorf("%s = %d %s", body, got.status, got.body)
		}
	}
}

func TestJobIsAskedForListedAndCancelled(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	ask := fmt.Sprintf(`{"kind":"backup","source_group_id":%q,"when_back":true}`, group.ID)
	var made rest.Job
	r.get(&made, 202, "POST", "/hosts/"+string(host.ID)+"/jobs", ask)
	if made.State != job.Queued || made.AskedBy != "token admin" || made.CreatedAt == nil || made.StartedAt != nil || made.Command == nil {
		t.Errorf("new job = %+v", made)
	}
	for query, want := range map[string]int{"": 1, "?kind=backup": 1, "?kind=unlock": 0, "?state=queued": 1, "?state=failed": 0, "?active=true": 1, "?host_id=" + id: 0, "?host_id=" + string(host.ID): 1} {
		var page struct{ Items []rest.Job }
		r.get(&page, 200, "GET", "/jobs"+query, "")
		if len(page.Items) != want {
			t.Errorf("jobs%s: %d, want %d", query, len(page.Items), want)
		}
	}
	var cancelled rest.Job
	r.get(&cancelled, 202, "POST", "/jobs/"+string(made.ID)+"/cancel", "")
	if cancelled.State != job.Cancelled || cancelled.Cause != job.CauseOperator || cancelled.FinishedAt == nil {
		t.Errorf("cancelled job = %+v", cancelled)
	}
	if got := r.ask(auth.Admin, "POST", "/jobs/"+string(made.ID)+"/cancel", ""); got.status != http.StatusConflict {
		t.Errorf("second cancel = %d %s", got.status, got.body)
	}
}

// queued adds a queued job with a log.
func (r *rig) queued(lines int) fleet.Job {
	r.t.Helper()
	host, group := r.host("log-" + fmt.Sprint(lines))
	now := time.Now()
	queued := fleet.Job{ID: job.NewID(now), Host: host.ID, Kind: job.Backup, State: job.Queued, Origin: job.ByPerson, Group: group.ID,
		Repository: group.Repository, Spec: json.RawMessage(`{}`), CreatedAt: now}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertJob(ctx, queued); err != nil {
			return err
		}
		for from := 0; from < lines; from += 500 {
			var batch []job.LogLine
			for n := from; n < min(from+500, lines); n++ {
				batch = append(batch, job.LogLine{At: 1770000000000 + int64(n), Level: job.LogInfo, Text: fmt.Sprintf("line %d <b>\nsecond", n)})
			}
			if err := tx.AppendLog(ctx, queued.ID, batch, 0); err != nil {
				return err
			}
		}
		return nil
	})
	return queued
}

func TestLogIsStreamedAsTextAndNDJSON(t *testing.T) {
	r := newRig(t)
	const lines = 30000 // several pieces
	path := "/jobs/" + string(r.queued(lines).ID) + "/log"
	got := r.ask(auth.Viewer, "GET", path, "")
	text := strings.Split(strings.TrimSuffix(got.body, "\n"), "\n")
	if got.header.Get("Content-Type") != "text/plain; charset=utf-8" || got.header.Get("X-Content-Type-Options") != "nosniff" || len(text) != lines {
		t.Fatalf("log = %d %v, %d lines", got.status, got.header, len(text))
	}
	if text[0] != `2026-02-02T02:40:00.000Z info  line 0 <b>\nsecond` || !strings.Contains(text[lines-1], "line 29999 ") {
		t.Errorf("first %q, last %q", text[0], text[lines-1])
	}
	for _, row := range []struct{ query, accept string }{{"?format=ndjson&from=12345", ""}, {"?from=12345", "application/x-ndjson"}} {
		got := r.ask(auth.Viewer, "GET", path+row.query, "", "Accept", row.accept)
		if got.header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%s is %s", row.query, got.header.Get("Content-Type"))
		}
		number := int64(12345)
		for text := range strings.Lines(got.body) {
			var line rest.LogLine
			if err := json.Unmarshal([]byte(text), &line); err != nil || line.Line != number || line.Text != fmt.Sprintf("line %d <b>\nsecond", number) {
				t.Fatalf("line %d = %s, %v", number, text, err)
			}
			number++
		}
		if number != lines {
			t.Errorf("%s ends at line %d", row.query, number)
		}
	}
	if got := r.ask(auth.Viewer, "GET", path+"?from=999999", ""); got.status != 200 || got.body != "" {
		t.Errorf("beyond the end = %d %q", got.status, got.body)
	}
	if got := r.ask(auth.Viewer, "GET", "/jobs/"+id+"/log", ""); got.status != http.StatusNotFound {
		t.Errorf("log of no job = %d", got.status)
	}
}

// events opens the stream of a job.
func (r *rig) events(of job.ID) (*http.Response, *bufio.Scanner) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), "GET", r.server.URL+rest.Prefix+"/jobs/"+string(of)+"/events", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.tokens[auth.Viewer])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { response.Body.Close() })
	return response, bufio.NewScanner(response.Body)
}

// next reads one event with its id; false is the end of the stream.
func next(t *testing.T, lines *bufio.Scanner) (found rest.Job, id string, ok bool) {
	t.Helper()
	for lines.Scan() {
		if name, isID := strings.CutPrefix(lines.Text(), "id: "); isID {
			id = name
		}
		if data, isData := strings.CutPrefix(lines.Text(), "data: "); isData {
			if err := json.Unmarshal([]byte(data), &found); err != nil {
				t.Fatal(err)
			}
			return found, id, true
		}
	}
	return found, id, false
}

func TestEventsTellTheWholeJobUntilItHasEnded(t *testing.T) {
	r := newRig(t)
	queued := r.queued(0)
	response, lines := r.events(queued.ID)
	if response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events = %d %v", response.StatusCode, response.Header)
	}
	if first, id, ok := next(t, lines); !ok || first.State != job.Queued || first.ID != queued.ID || id != "" {
		t.Fatalf("first event = %+v %q %v", first, id, ok)
	}
	if got := r.ask(auth.Admin, "POST", "/jobs/"+string(queued.ID)+"/cancel", ""); got.status != http.StatusAccepted {
		t.Fatalf("cancel = %d %s", got.status, got.body)
	}
	last, id, ok := next(t, lines)
	if !ok || last.State != job.Cancelled || id != "ended" {
		t.Fatalf("last event = %+v %q %v", last, id, ok)
	}
	if more, _, ok := next(t, lines); ok {
		t.Errorf("after the end came %+v", more)
	}
	path := "/jobs/" + string(queued.ID) + "/events"
	if got := r.ask(auth.Viewer, "GET", path, "", "Last-Event-ID", "ended"); got.status != http.StatusNoContent {
		t.Errorf("connecting again after the end = %d", got.status)
	}
	if got := r.ask(auth.Viewer, "GET", path, ""); got.status != 200 || !strings.Contains(got.body, `"state":"cancelled"`) {
		t.Errorf("stream of an ended job = %d %q", got.status, got.body)
	}
}

func TestEventsEndAtShutdown(t *testing.T) {
	r := newRig(t)
	_, lines := r.events(r.queued(0).ID)
	if _, _, ok := next(t, lines); !ok {
		t.Fatal("no first event")
	}
	r.control.Shutdown()
	if more, _, ok := next(t, lines); ok {
		t.Errorf("after the shutdown came %+v", more)
	}
}

// TestNoSecretInAnyAnswer makes everything that has a secret, reads everything,
// and sends broken requests that hold secrets.
func TestNoSecretInAnyAnswer(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	secrets := []string{password, r.cookie.Value, "of-the-repository-user", "of-the-restic-repository"}
	for _, token := range r.tokens {
		secrets = append(secrets, token)
	}
	existing := `{"name":"db-1","repository_url":"rest:https://r.example/x/","repository_user":"u","repository_password":"of-the-repository-user","repository_key":"of-the-restic-repository"%s`
	bodies := r.ask(auth.Admin, "POST", "/enrollment-tokens", fmt.Sprintf(existing, "}")).body
	for _, broken := range []string{`,"nope":1}`, ``, `,"tags":"x"}`, `,"repository_key":["of-the-restic-repository"]}`, `,"name":"\u0000"}`} {
		got := r.ask(auth.Admin, "POST", "/enrollment-tokens", fmt.Sprintf(existing, broken))
		if got.status != 400 && got.status != 422 {
			t.Errorf("enrolment with %q = %d %s", broken, got.status, got.body)
		}
		bodies += got.body
	}
	r.get(new(rest.Job), 202, "POST", "/hosts/"+string(host.ID)+"/jobs", fmt.Sprintf(`{"kind":"backup","source_group_id":%q,"when_back":true}`, group.ID))
	var jobs struct{ Items []rest.Job }
	r.get(&jobs, 200, "GET", "/jobs", "")
	ids := map[string]string{"hosts": string(host.ID), "source-groups": string(group.ID), "jobs": string(jobs.Items[0].ID), "repositories": string(group.Repository)}
	for _, route := range rest.Routes {
		if route.Method == "GET" && !strings.HasSuffix(route.Path, "/events") {
			noun := strings.Split(route.Path, "/")[1]
			bodies += r.ask(auth.Admin, "GET", strings.ReplaceAll(route.Path, "{id}", ids[noun]), "").body
		}
	}
	for _, secret := range secrets {
		if strings.Contains(bodies, secret) {
			t.Errorf("%q is in an answer", secret)
		}
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}
