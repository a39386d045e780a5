package ui_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/server/ui"
	"github.com/restic-manager/restic-manager/internal/store"
)

// rig is the pages on a real store, with a session for each role.
type rig struct {
	t       *testing.T
	store   *store.Store
	control *control.Control
	sealer  *crypto.Sealer
	server  *httptest.Server
	log     *bytes.Buffer
	cookies map[auth.Role]*http.Cookie
	setup   crypto.Text
}

const password = "a password of the first user"

// newBareRig has no user yet.
func newBareRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, log: &bytes.Buffer{}, cookies: map[auth.Role]*http.Cookie{}}
	var err error
	if r.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "server.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	if r.sealer, err = crypto.NewSealer(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.control = control.New(control.Options{Store: r.store, Sealer: r.sealer, Identity: key, Log: log, Sole: true})
	pages, err := ui.New(ui.Options{
		Control: r.control, Store: r.store, Log: log, Version: "1.2.3",
		PeerAddress: func(*http.Request) string { return "192.0.2.7" },
		Secure:      func(*http.Request) bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(http.NewCrossOriginProtection().Handler(pages))
	t.Cleanup(r.server.Close)
	t.Cleanup(r.control.Shutdown)
	if r.setup, err = r.control.OpenSetup(t.Context(), filepath.Join(t.TempDir(), "setup-token")); err != nil {
		t.Fatal(err)
	}
	return r
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := newBareRig(t)
	secret, session, err := r.control.Setup(t.Context(), control.FirstUser{Token: r.setup, Name: "ann", Password: crypto.NewText(password)}, control.Peer{Address: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	r.cookies[auth.Admin] = control.SessionCookie(secret, session, false)
	for _, role := range []auth.Role{auth.Viewer, auth.Operator} {
		user := auth.User{ID: job.NewULID(time.Now()), Name: string(role), Role: role, CreatedAt: time.Now()}
		secret := crypto.NewSecret(32)
		session := auth.Session{SecretHash: crypto.HashSecret(secret), User: user, CreatedAt: time.Now(), LastSeenAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
		r.write(func(ctx context.Context, tx *store.Tx) error {
			if err := tx.AddUser(ctx, user, "no password"); err != nil {
				return err
			}
			return tx.AddSession(ctx, session)
		})
		r.cookies[role] = control.SessionCookie(crypto.NewText(secret), session, false)
	}
	return r
}

func (r *rig) write(change func(context.Context, *store.Tx) error) {
	r.t.Helper()
	if err := r.store.Write(r.t.Context(), func(tx *store.Tx) error { return change(r.t.Context(), tx) }); err != nil {
		r.t.Fatal(err)
	}
}

// answer is what a page said.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// ask requests a path as who; "" is nobody. Redirects are not followed. A form
// makes it a POST from a page of ours.
func (r *rig) ask(who auth.Role, path string, form url.Values, headers ...string) answer {
	r.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	if cookie := r.cookies[who]; cookie != nil {
		request.AddCookie(cookie)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{r.t, response.StatusCode, response.Header, string(text)}
}

// text is the text of the elements that the selector meets.
func (a answer) text(selector string) string {
	a.t.Helper()
	root, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		a.t.Fatal(err)
	}
	var out strings.Builder
	var walk func(*html.Node)
	walk = func(node *html.Node) {
		if node.Type == html.TextNode {
			out.WriteString(node.Data)
		}
		for child := node.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
	}
	for _, node := range cascadia.QueryAll(root, cascadia.MustCompile(selector)) {
		walk(node)
		out.WriteByte(' ')
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// host adds an endpoint with a ready repository and one source group.
func (r *rig) host(name string) (fleet.Host, fleet.SourceGroup) {
	r.t.Helper()
	now := time.Now()
	host := fleet.Host{ID: job.HostID(job.NewULID(now)), Name: name, Tags: []string{"web"}, ResticHost: name, PublicKey: []byte(name),
		OS: "linux", Arch: "amd64", Allowed: []job.Kind{job.Backup, job.Snapshots, job.Unlock}, EnrolledAt: now}
	repository := fleet.Repository{ID: job.RepositoryID(job.NewULID(now)), Name: name, Host: host.ID, URL: "rest:http://x/" + name + "/", CreatedAt: now, ReadyAt: now}
	group := fleet.SourceGroup{ID: job.GroupID(job.NewULID(now)), Host: host.ID, Name: "documents", Repository: repository.ID,
		Includes: []string{"/etc"}, Excludes: []string{}, Options: fleet.DefaultGroupOptions(), Retention: fleet.DefaultRetention, CreatedAt: now, UpdatedAt: now}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertHost(ctx, host); err != nil {
			return err
		}
		if err := tx.InsertRepository(ctx, repository, r.sealer.Seal("repositories/"+string(repository.ID)+"/secrets", []byte(`{"password":"rest","key":"restic"}`))); err != nil {
			return err
		}
		return tx.InsertGroup(ctx, group)
	})
	return host, group
}

// job adds a job of a group that is in a state, and what its log holds.
func (r *rig) job(group fleet.SourceGroup, state job.State, lines int) fleet.Job {
	r.t.Helper()
	one := fleet.Job{ID: job.NewID(time.Now()), Host: group.Host, Kind: job.Backup, State: job.Sent, Origin: job.ByPerson, AskedBy: "ann",
		Group: group.ID, Repository: group.Repository, CreatedAt: time.Now(), Spec: []byte(`{"group_name":"documents"}`)}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertJob(ctx, one); err != nil {
			return err
		}
		if _, err := tx.MoveJob(ctx, one.ID, job.Sent, job.Running, job.ByAgent, time.Now()); err != nil {
			return err
		}
		if err := tx.StartJob(ctx, one.ID, time.Now(), []string{"restic", "backup"}); err != nil {
			return err
		}
		if state != job.Running {
			if _, err := tx.MoveJob(ctx, one.ID, job.Running, state, job.ByAgent, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	r.appendLog(one.ID, 0, lines)
	return one
}

// appendLog adds lines to a job's log, numbered from first.
func (r *rig) appendLog(id job.ID, first, lines int) {
	r.t.Helper()
	var texts []job.LogLine
	for n := first; n < first+lines; n++ {
		texts = append(texts, job.LogLine{At: time.Now().UnixMilli(), Level: job.LogInfo, Text: "line " + strings.Repeat("x", n%7) + " <" + time.Duration(n).String() + ">"})
	}
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.AppendLog(ctx, id, texts, 0) })
}
