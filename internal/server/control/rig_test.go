package control_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// patience is how long a test waits for what comes by itself.
const patience = 15 * time.Second

// rig is a Control that serves agents over real WebSockets, on a real store.
type rig struct {
	*control.Control
	t       *testing.T
	store   *store.Store
	web     *httptest.Server
	log     *lockedBuffer
	started context.CancelFunc
	ended   chan error
	ahead   *atomic.Int64 // nanoseconds that the server's clock is ahead
	closed  bool          // the test closed the store under the node
}

type lockedBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

// newRig is a node that has a SQLite file to itself.
func newRig(t *testing.T) *rig {
	t.Helper()
	return newNode(t, filepath.Join(t.TempDir(), "server.db"), true)
}

var serverKey = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) })

// newNode is a node on the database at url. It ends with the test.
func newNode(t *testing.T, url string, sole bool) *rig {
	t.Helper()
	r := &rig{t: t, log: &lockedBuffer{}, ahead: new(atomic.Int64), ended: make(chan error, 1)}
	var err error
	if r.store, err = store.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	sealer, err := crypto.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	r.Control = control.New(control.Options{
		Store: r.store, Sealer: sealer, Identity: serverKey(), Log: slog.New(slog.NewTextHandler(r.log, nil)), Sole: sole,
		Now: func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) },
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.web = httptest.NewServer(r.AgentHandler())
	ctx, stop := context.WithCancel(context.Background())
	r.started = stop
	go func() { r.ended <- r.Run(ctx) }()
	t.Cleanup(r.stop)
	return r
}

// stop ends the node as a polite shutdown does; a second call does nothing.
func (r *rig) stop() {
	if r.web == nil {
		return
	}
	r.started()
	r.Shutdown()
	r.web.CloseClientConnections()
	r.web.Close()
	r.web = nil
	select {
	case err := <-r.ended:
		if err != nil && !r.closed {
			r.t.Errorf("the node ended with %v", err)
		}
	case <-time.After(patience):
		r.t.Error("the node does not end")
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

// pass moves the server's clock.
func (r *rig) pass(d time.Duration) { r.ahead.Add(int64(d)) }

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

func (r *rig) write(change func(context.Context, *store.Tx) error) {
	r.t.Helper()
	if err := r.store.Write(r.t.Context(), func(tx *store.Tx) error { return change(r.t.Context(), tx) }); err != nil {
		r.t.Fatal(err)
	}
}

// token invites a host.
func (r *rig) token(n control.NewEnrollment) string {
	r.t.Helper()
	_, text, err := r.CreateEnrollmentToken(r.t.Context(), auth.Server, n)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// brought is an invitation of a host whose repository exists already.
func brought(name string) control.NewEnrollment {
	return control.NewEnrollment{Name: name, Repository: fleet.RepositoryChoice{URL: "rest:http://box/" + name + "/"}, User: name,
		Access: &fleet.RepositorySecrets{Password: crypto.NewText("rest"), Key: crypto.NewText("restic")}}
}

// endpoint enrols a host with a repository and without any source group; it is
// offline.
func (r *rig) endpoint(name string) *agent {
	r.t.Helper()
	a := r.newAgent()
	a.mustEnrol(r.token(brought(name)))
	for _, g := range r.groups(a.host) {
		r.write(deleteGroup(g))
	}
	return a
}

func (r *rig) groups(host job.HostID) []fleet.SourceGroup {
	r.t.Helper()
	list, err := r.store.Groups(r.t.Context(), host)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// box enrols a storage agent; it is offline.
func (r *rig) box() *agent {
	r.t.Helper()
	a := r.newAgent()
	a.facts.Storage = &api.StorageFacts{URL: "http://box:8000", BytesFree: 1, BytesTotal: 2}
	a.facts.Allowed = []job.Kind{job.Provision, job.Init, job.Check, job.Stats}
	a.mustEnrol(r.token(control.NewEnrollment{Name: "box"}))
	return a
}

// group adds a source group to a host.
func (r *rig) group(host job.HostID, name string) fleet.SourceGroup {
	r.t.Helper()
	g, err := r.CreateGroup(r.t.Context(), auth.Server, fleet.SourceGroup{Host: host, Name: name, Includes: []string{"/etc"}})
	if err != nil {
		r.t.Fatal(err)
	}
	return g
}

// backup asks for a backup; whenBack lets it wait for an offline host.
func (r *rig) backup(g fleet.SourceGroup, whenBack bool) fleet.Job {
	r.t.Helper()
	j, err := r.CreateJob(r.t.Context(), auth.Server, control.NewJob{Host: g.Host, Kind: job.Backup, Group: g.ID, WhenBack: whenBack})
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

func (r *rig) job(id job.ID) fleet.Job {
	r.t.Helper()
	j, err := r.store.Job(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

func (r *rig) host(id job.HostID) fleet.Host {
	r.t.Helper()
	h, err := r.store.Host(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (r *rig) link(id job.HostID) store.Link {
	r.t.Helper()
	link, err := r.store.Link(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return link
}

func (r *rig) repository(host job.HostID) fleet.Repository {
	r.t.Helper()
	list, _, err := r.store.Repositories(r.t.Context(), store.RepositoryFilter{Host: host})
	if err != nil || len(list) != 1 {
		r.t.Fatalf("repositories of %s = %v, %v", host, list, err)
	}
	return list[0]
}

// awaitState waits for a job's state.
func (r *rig) awaitState(id job.ID, state job.State) fleet.Job {
	r.t.Helper()
	r.await("job to be "+string(state), func() bool { return r.job(id).State == state })
	return r.job(id)
}

func (r *rig) await(what string, condition func() bool) {
	r.t.Helper()
	testkit.WaitFor(r.t, patience, what, condition)
}

// active lists the jobs of a host that have not ended.
func (r *rig) active(host job.HostID) []fleet.Job {
	r.t.Helper()
	list, err := r.store.ActiveJobs(r.t.Context(), host)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// alert returns the open alert of that kind and subject; nil is none.
func (r *rig) alert(host job.HostID, kind fleet.AlertKind, subject string) *fleet.Alert {
	r.t.Helper()
	list, err := r.store.Alerts(r.t.Context(), host)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range list {
		if a.Kind == kind && a.Subject == subject {
			return &a
		}
	}
	return nil
}

// audited counts the audit entries of one action about one subject.
func (r *rig) audited(action, subject string) (n int) {
	r.t.Helper()
	list, _, err := r.store.AuditEntries(r.t.Context(), store.AuditFilter{Subject: subject, Page: fleet.Page{Limit: 500}})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range list {
		if e.Action == action {
			n++
		}
	}
	return n
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func deleteGroup(g fleet.SourceGroup) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.DeleteGroup(ctx, g) }
}
