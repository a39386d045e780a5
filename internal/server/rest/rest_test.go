package rest_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/server/rest"
	"github.com/restic-manager/restic-manager/internal/store"
)

// rig is the API on a real store, with a token for each role and a session.
type rig struct {
	t       *testing.T
	store   *store.Store
	control *control.Control
	server  *httptest.Server
	log     *bytes.Buffer
	tokens  map[auth.Role]string
	cookie  *http.Cookie
}

const password = "a password of the first user"

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, log: &bytes.Buffer{}, tokens: map[auth.Role]string{}}
	var err error
	if r.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "server.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	sealer, err := crypto.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.control = control.New(control.Options{Store: r.store, Sealer: sealer, Identity: key, Log: log, Sole: true})
	api, err := rest.New(rest.Options{
		Control: r.control, Store: r.store, Log: log, Version: "1.2.3",
		PeerAddress: func(*http.Request) string { return "192.0.2.7" },
		Secure:      func(*http.Request) bool { return false },
		CrossOrigin: http.NewCrossOriginProtection(),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(api)
	t.Cleanup(r.server.Close)
	t.Cleanup(r.control.Shutdown)
	for _, role := range auth.Roles {
		secret, _, err := r.control.CreateAPIToken(t.Context(), auth.Server, control.NewAPIToken{Name: string(role), Role: role})
		if err != nil {
			t.Fatal(err)
		}
		r.tokens[role] = secret.Reveal()
	}
	setup, err := r.control.OpenSetup(t.Context(), filepath.Join(t.TempDir(), "setup-token"))
	if err != nil {
		t.Fatal(err)
	}
	secret, session, err := r.control.Setup(t.Context(), control.FirstUser{Token: setup, Name: "ann", Password: crypto.NewText(password)}, control.Peer{Address: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	r.cookie = control.SessionCookie(secret, session, false)
	return r
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request as who: a role, "" for nobody, "cookie" for the session.
func (r *rig) ask(who auth.Role, method, path, body string, headers ...string) answer {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+rest.Prefix+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	switch who {
	case "":
	case "cookie":
		request.AddCookie(r.cookie)
	default:
		request.Header.Set("Authorization", "Bearer "+r.tokens[who])
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// get decodes the answer to a request of an admin, which must have the status.
func (r *rig) get(into any, status int, method, path, body string) {
	r.t.Helper()
	got := r.ask(auth.Admin, method, path, body)
	if got.status != status {
		r.t.Fatalf("%s %s = %d, want %d: %s", method, path, got.status, status, got.body)
	}
	if err := json.Unmarshal([]byte(got.body), into); err != nil {
		r.t.Fatalf("%s %s: %v in %s", method, path, err, got.body)
	}
}

// host adds a host with a ready repository and one source group.
func (r *rig) host(name string) (fleet.Host, fleet.SourceGroup) {
	r.t.Helper()
	now := time.Now()
	host := fleet.Host{ID: job.HostID(job.NewULID(now)), Name: name, Tags: []string{"web"}, ResticHost: name, PublicKey: []byte(name),
		OS: "linux", Arch: "amd64", Allowed: []job.Kind{job.Backup, job.Snapshots, job.PreviewSources}, EnrolledAt: now}
	repository := fleet.Repository{ID: job.RepositoryID(job.NewULID(now)), Name: name, Host: host.ID, URL: "rest:http://x/" + name + "/", CreatedAt: now, ReadyAt: now}
	group := fleet.SourceGroup{ID: job.GroupID(job.NewULID(now)), Host: host.ID, Name: "all", Repository: repository.ID,
		Includes: []string{"/etc"}, Options: fleet.DefaultGroupOptions(), Retention: fleet.DefaultRetention, CreatedAt: now, UpdatedAt: now}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertHost(ctx, host); err != nil {
			return err
		}
		if err := tx.InsertRepository(ctx, repository, []byte("sealed")); err != nil {
			return err
		}
		return tx.InsertGroup(ctx, group)
	})
	return host, group
}

func (r *rig) write(change func(context.Context, *store.Tx) error) {
	r.t.Helper()
	if err := r.store.Write(r.t.Context(), func(tx *store.Tx) error { return change(r.t.Context(), tx) }); err != nil {
		r.t.Fatal(err)
	}
}

// id is a well-formed id that nothing has.
const id = "01JZZZZZZZZZZZZZZZZZZZZZZZ"

func TestEveryRouteAsEveryRole(t *testing.T) {
	r := newRig(t)
	for _, route := range rest.Routes {
		path := strings.NewReplacer("{id}", id, "{session}", id).Replace(route.Path)
		name := route.Method + " " + route.Path
		if !route.Permission.Known() {
			t.Errorf("%s takes the permission %q, which nobody has", name, route.Permission)
		}
		if route.Method != "GET" && auth.Viewer.Holds(route.Permission) {
			t.Errorf("%s changes something and is open to viewers", name)
		}
		// The body is broken on purpose: who may not ask must not learn that.
		got := r.ask("", route.Method, path, "{")
		if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without sign-in = %d, WWW-Authenticate %q", name, got.status, got.header.Get("WWW-Authenticate"))
		}
		for _, wrong := range []string{"Bearer rm_wrong", "Bearer", "Basic YWRtaW46YWRtaW4=", "Bearer " + strings.Repeat("x", 5000)} {
			if got := r.ask("cookie", route.Method, path, "{", "Authorization", wrong); got.status != http.StatusUnauthorized {
				t.Errorf("%s with %.20q beside a good cookie = %d", name, wrong, got.status)
			}
		}
		for _, role := range auth.Roles {
			got := r.ask(role, route.Method, path, "")
			if route.Permission != "" && !role.Holds(route.Permission) {
				if got.status != http.StatusForbidden || got.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s as %s = %d %s", name, role, got.status, got.header.Get("Content-Type"))
				}
				continue
			}
			if got.status == http.StatusUnauthorized || got.status == http.StatusForbidden || got.status >= 500 {
				t.Errorf("%s as %s = %d: %s", name, role, got.status, got.body)
			}
		}
	}
	if r.log.Len() > 0 {
		t.Errorf("the log says:\n%s", r.log)
	}
}

func TestCookieReadsAndChangesOnlyFromOurOwnPages(t *testing.T) {
	r := newRig(t)
	if got := r.ask("cookie", "GET", "/me", ""); got.status != 200 || !strings.Contains(got.body, `"name":"ann"`) {
		t.Errorf("me = %d %s", got.status, got.body)
	}
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		if got := r.ask("cookie", "POST", "/api-tokens", `{"name":"x","role":"admin"}`, headers...); got.status != http.StatusForbidden {
			t.Errorf("change with %v = %d", headers, got.status)
		}
	}
	if got := r.ask("cookie", "POST", "/api-tokens", `{"name":"x","role":"admin"}`, "Sec-Fetch-Site", "same-origin"); got.status != http.StatusCreated {
		t.Errorf("change from our own page = %d %s", got.status, got.body)
	}
	// A program with a token is no browser, whatever it says of itself.
	if got := r.ask(auth.Admin, "POST", "/api-tokens", `{"name":"y","role":"admin"}`, "Origin", "https://evil.example"); got.status != http.StatusCreated {
		t.Errorf("change with a token = %d %s", got.status, got.body)
	}
}

func TestErrorsAreProblems(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	for _, row := range []struct {
		method, path, body string
		status             int
		field              string
	}{
		{"GET", "/nothing", "", 404, ""},
		{"GET", "/hosts/" + id, "", 404, ""},
		{"GET", "/hosts/a%00b", "", 400, ""},
		{"GET", "/hosts?q=%ff", "", 400, ""},
		{"POST", "/hosts", "{}", 405, ""},
		{"GET", "/hosts?limit=0", "", 422, "limit"},
		{"GET", "/hosts?limit=501", "", 422, "limit"},
		{"GET", "/hosts?limt=5", "", 422, "limt"},
		{"GET", "/hosts?cursor=!!", "", 422, "cursor"},
		{"GET", "/jobs?kind=dance", "", 422, "kind"},
		{"GET", "/jobs?state=dancing", "", 422, "state"},
		{"POST", "/api-tokens", `{"name":"x","role":"admin","rôle":1}`, 422, "rôle"},
		{"POST", "/api-tokens", `{"name":"x","role":"emperor"}`, 422, "role"},
		{"POST", "/api-tokens", `{"name":" ","role":"admin"}`, 422, "name"},
		{"POST", "/api-tokens", `{"name":"x","role":"admin","expires_at":"2001-01-01T00:00:00Z"}`, 422, "expires_at"},
		{"POST", "/api-tokens", `{"name":"admin","role":"admin"}`, 409, ""},
		{"POST", "/api-tokens", `{`, 400, "body"},
		{"POST", "/api-tokens", "", 400, ""},
		{"POST", "/api-tokens", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, ""},
		{"POST", "/hosts/" + string(host.ID) + "/source-groups", `{"name":"","includes":["etc"]}`, 422, "includes"},
		{"POST", "/hosts/" + string(host.ID) + "/source-groups", `{"name":"a","includes":["/etc"],"retention":{}}`, 422, "retention"},
		{"POST", "/hosts/" + string(host.ID) + "/source-groups", `{"name":"all","includes":["/etc"]}`, 409, ""},
		{"POST", "/hosts/" + string(host.ID) + "/jobs", `{"kind":"prune"}`, 422, "kind"},
		{"POST", "/hosts/" + string(host.ID) + "/jobs", `{"kind":"backup","source_group_id":"` + id + `"}`, 422, "source_group_id"},
		{"PATCH", "/hosts/" + string(host.ID), `{"tags":["a b"]}`, 422, "tags"},
	} {
		got := r.ask(auth.Admin, row.method, row.path, row.body)
		var problem rest.Problem
		if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %v in %s: %s", row.method, row.path, err, got.header.Get("Content-Type"), got.body)
			continue
		}
		named := row.field == ""
		for _, field := range problem.Errors {
			named = named || field.Field == row.field && field.Message != ""
		}
		if got.status != row.status || problem.Status != row.status || problem.Detail == "" || problem.Title == "" || !named {
			t.Errorf("%s %s %.60s = %d: %s", row.method, row.path, row.body, got.status, got.body)
		}
	}
	if got := r.ask(auth.Admin, "POST", "/hosts", "{}"); got.header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
	if got := r.ask(auth.Admin, "POST", "/api-tokens", "a=b", "Content-Type", "application/x-www-form-urlencoded"); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("a form = %d %s", got.status, got.body)
	}
}

// TestInternalErrorsNameOnlyAnIncident breaks the database under the API.
func TestInternalErrorsNameOnlyAnIncident(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	got := r.ask(auth.Admin, "GET", "/hosts/"+string(host.ID), "")
	var problem rest.Problem
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.status != 500 || problem.Incident == "" {
		t.Fatalf("answer = %d %s", got.status, got.body)
	}
	if strings.Contains(got.body, "sql") || strings.Contains(got.body, "closed") {
		t.Errorf("the cause got out: %s", got.body)
	}
	if !strings.Contains(r.log.String(), problem.Incident) || !strings.Contains(r.log.String(), "closed") {
		t.Errorf("the log does not tell incident %s: %s", problem.Incident, r.log)
	}
}

func TestDescriptionNamesEveryRoute(t *testing.T) {
	r := newRig(t)
	got := r.ask("", "GET", "/openapi.json", "")
	var description struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(got.body), &description); err != nil || !strings.HasPrefix(description.OpenAPI, "3.1") {
		t.Fatalf("description = %d %q, %v", got.status, description.OpenAPI, err)
	}
	operations := 0
	for _, path := range description.Paths {
		operations += len(path)
	}
	if operations != len(rest.Routes) {
		t.Errorf("%d operations are described, and there are %d routes", operations, len(rest.Routes))
	}
	for _, route := range rest.Routes {
		if operation, ok := description.Paths[rest.Prefix+route.Path][strings.ToLower(route.Method)]; !ok || len(operation.Security) == 0 {
			t.Errorf("%s %s is not described with its security", route.Method, route.Path)
		}
	}
	if strings.Contains(got.body, "ErrorModel") || strings.Contains(got.body, "ErrorDetail") {
		t.Error("the description shows an error form that is not ours")
	}
}
