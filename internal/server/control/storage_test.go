package control_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// kept enrols an endpoint whose repository a storage box shall make.
func (r *rig) kept(box *agent, name string) *agent {
	r.t.Helper()
	a := r.newAgent()
	a.mustEnrol(r.token(control.NewEnrollment{Name: name, Repository: fleet.RepositoryChoice{Storage: box.host}}))
	return a
}

// next waits for the nth order on this connection and accepts it.
func (a *agent) next(n int, kind job.Kind) *api.Job {
	a.t.Helper()
	order := await[*api.Job](a, n)
	if order.Kind != kind {
		a.t.Fatalf("order %d is %s, want %s", n, order.Kind, kind)
	}
	spec, err := job.DecodeSpec(order.Kind, order.Spec)
	if err != nil {
		a.t.Fatal(err)
	}
	a.accept(order.ID, spec)
	a.sync()
	return order
}

func (a *agent) ended(order *api.Job, body api.Ended) {
	a.t.Helper()
	a.append(api.RecordEnded, order.ID, body)
	a.sync()
}

func (r *rig) ready(a *agent) bool {
	r.t.Helper()
	repository := r.repository(a.host)
	return repository.Ready()
}

var well = api.Ended{State: job.Succeeded}

// TestRepositoryIsMade: first its user, then itself; what is cut off is asked for
// again, what failed waits for a person.
func TestRepositoryIsMade(t *testing.T) {
	r := newRig(t)
	box := r.box()
	a := r.kept(box, "Web 1") // while the box is offline it waits
	repository := r.repository(a.host)
	if repository.Ready() || !strings.HasPrefix(repository.URL, "rest:http://box:8000/web-1-") || repository.Storage != box.host {
		t.Errorf("repository = %+v", repository)
	}
	if _, err := r.CreateGroup(t.Context(), auth.Server, fleet.SourceGroup{Host: a.host, Name: "etc", Includes: []string{"/etc"}}); err != nil {
		t.Fatal(err)
	}
	a.connect()
	if plan := await[*api.Plan](a, 1); len(plan.Groups) != 0 || len(plan.Repositories) != 0 {
		t.Errorf("plan before the repository is ready = %+v", plan)
	}
	box.connect()
	order := box.next(1, job.Provision)
	var user job.ProvisionSpec
	if err := json.Unmarshal(order.Spec, &user); err != nil || user.User != repository.User || user.Remove || !strings.HasPrefix(user.PasswordHash, "$2") {
		t.Errorf("spec = %+v, %v", user, err)
	}
	if order.Access != nil {
		t.Error("an order about a user carries a repository's secrets")
	}
	box.ended(order, api.Ended{State: job.Lost, Cause: job.CauseRestarted})
	order = box.next(2, job.Provision) // again
	box.ended(order, api.Ended{State: job.Cancelled, Cause: job.CauseAgentStopped})
	order = box.next(3, job.Provision) // and again
	box.ended(order, well)
	order = box.next(4, job.Init)
	if order.Access == nil || order.Access.Key == "" || order.Access.Password != "" || order.Access.Username != "" {
		t.Error("an init has not the key alone")
	}
	box.ended(order, api.Ended{State: job.Failed, Error: "no room"})
	if got := r.active(box.host); len(got) != 0 || r.ready(a) {
		t.Errorf("after a failure %+v is under way", got)
	}
	if err := r.RetryRepository(t.Context(), auth.Server, repository.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.RetryRepository(t.Context(), auth.Server, repository.ID); err != nil { // is one job all the same
		t.Fatal(err)
	}
	if got := r.active(box.host); len(got) != 1 {
		t.Errorf("two retries made %d jobs", len(got))
	}
	box.ended(box.next(5, job.Init), well)
	if repository = r.repository(a.host); !repository.Ready() || repository.ProvisionedAt.IsZero() {
		t.Errorf("repository = %+v", repository)
	}
	if plan := await[*api.Plan](a, 2); len(plan.Groups) != 2 || plan.Groups[0].GroupName != fleet.DefaultGroupName || plan.Repositories[0].Username != repository.User || plan.Repositories[0].Password == "" {
		t.Errorf("plan = %+v", plan)
	}
	if err := r.RetryRepository(t.Context(), auth.Server, repository.ID); !is[*fleet.Problem](err) {
		t.Errorf("a ready one is tried again: %v", err)
	}
}

// TestRepositoryKeepsItsAddress: a box that moves has other addresses for new
// repositories alone, and no address that is none.
func TestRepositoryKeepsItsAddress(t *testing.T) {
	r := newRig(t)
	box := r.box()
	one := r.kept(box, "one")
	before := r.repository(one.host).URL
	box.facts.Storage.URL = "https://elsewhere"
	box.connect()
	if got := r.host(box.host).Storage.URL; got != "https://elsewhere" {
		t.Errorf("the box is at %q", got)
	}
	box.leave(r)
	box.facts.Storage.URL = "file:///etc"
	box.facts.Storage.BytesFree = 1 << 40
	box.connect()
	if host := r.host(box.host); host.Storage.URL != "https://elsewhere" || host.Storage.BytesFree == 1<<40 {
		t.Errorf("the box is %+v", host.Storage)
	}
	if r.alert(box.host, fleet.AlertRejected, "facts") == nil {
		t.Error("nobody is told of the odd address")
	}
	two := r.kept(box, "two")
	if url := r.repository(two.host).URL; !strings.HasPrefix(url, "rest:https://elsewhere/two-") || r.repository(one.host).URL != before {
		t.Errorf("URLs are %q and %q", url, r.repository(one.host).URL)
	}
	box.leave(r)
	box.facts.Storage.URL = "https://elsewhere"
	box.connect()
	if alert := r.alert(box.host, fleet.AlertRejected, "facts"); alert != nil {
		t.Errorf("the alert stays: %+v", alert)
	}
}

// TestAnEndpointDoesNotBecomeAStorageBox: it would be sent the passwords of others.
func TestAnEndpointDoesNotBecomeAStorageBox(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.facts.Storage = &api.StorageFacts{URL: "http://evil"}
	a.facts.Allowed = append(a.facts.Allowed, job.Provision, job.Init)
	a.connect()
	if host := r.host(a.host); host.IsStorage() {
		t.Errorf("host = %+v", host.Storage)
	}
	if r.alert(a.host, fleet.AlertRejected, "facts") == nil {
		t.Error("nobody is told")
	}
	if _, _, err := r.CreateEnrollmentToken(t.Context(), auth.Server, control.NewEnrollment{Repository: fleet.RepositoryChoice{Storage: a.host}}); !is[*fleet.Invalid](err) {
		t.Errorf("it is offered to new hosts: %v", err)
	}
}

// TestHostRemoval: its jobs end, its user goes as soon as the box is there, its
// repository stays.
func TestHostRemoval(t *testing.T) {
	r := newRig(t)
	box := r.box()
	a := r.kept(box, "web")
	box.connect()
	box.ended(box.next(1, job.Provision), well)
	box.ended(box.next(2, job.Init), well)
	g := r.group(a.host, "etc")
	a.connect()
	running := r.backup(g, false)
	a.next(1, job.Backup)
	waiting := r.backup(r.group(a.host, "srv"), false)
	box.leave(r)
	if err := r.RemoveHost(t.Context(), auth.Server, box.host); !is[*fleet.Problem](err) {
		t.Errorf("a box in use was removed: %v", err)
	}
	if err := r.RemoveHost(t.Context(), auth.Server, a.host); err != nil {
		t.Fatal(err)
	}
	await[*api.Gone](a, 1)
	a.end(running.ID, job.Succeeded) // nothing is taken from it any more
	a.flush()
	a.awaitEnd()
	if j := r.job(running.ID); j.State != job.Lost || j.Cause != job.CauseHostRemoved {
		t.Errorf("job = %+v", j)
	}
	if j := r.job(waiting.ID); j.State != job.Skipped || j.Cause != job.CauseAbandoned || r.audited("pending_run.abandoned", string(j.ID)) != 1 {
		t.Errorf("what waited for the repository = %+v", j)
	}
	if jobs := r.active(box.host); len(jobs) != 1 || jobs[0].State != job.Queued {
		t.Fatalf("while the box is offline %+v waits", jobs)
	}
	box.connect()
	order := box.next(1, job.Provision)
	var spec job.ProvisionSpec
	if err := json.Unmarshal(order.Spec, &spec); err != nil || !spec.Remove || spec.User != r.repository(a.host).User || spec.PasswordHash != "" {
		t.Errorf("spec = %+v, %v", spec, err)
	}
	box.ended(order, api.Ended{State: job.Failed, Error: "a bad line"})
	if len(r.active(box.host)) != 0 {
		t.Error("a failure is repeated at once")
	}
	r.pass(2 * time.Hour)
	r.Tick(t.Context()) // but not for ever left alone
	order = box.next(2, job.Provision)
	box.ended(order, well)
	if repository := r.repository(a.host); !repository.ProvisionedAt.IsZero() || !repository.Ready() {
		t.Errorf("repository = %+v", repository)
	}
	r.pass(2 * time.Hour)
	r.Tick(t.Context())
	if jobs := r.active(box.host); len(jobs) != 0 {
		t.Errorf("a user that is gone is removed again: %+v", jobs)
	}
	if host := r.host(a.host); host.RemovedAt.IsZero() || host.Online {
		t.Errorf("host = %+v", host)
	}
	r.kept(box, "web") // its name is free
}

// TestHostRemovedWhileItsRepositoryIsMade: nothing is left of the user, whatever
// the box was doing.
func TestHostRemovedWhileItsRepositoryIsMade(t *testing.T) {
	r := newRig(t)
	box := r.box()
	box.connect()
	a := r.kept(box, "web")
	adding := box.next(1, job.Provision)
	if err := r.RemoveHost(t.Context(), auth.Server, a.host); err != nil {
		t.Fatal(err)
	}
	if cancel := await[*api.Cancel](box, 1); cancel.ID != adding.ID {
		t.Errorf("cancel = %+v", cancel)
	}
	removing := box.next(2, job.Provision)
	box.ended(removing, well)
	box.ended(adding, well) // it was too late for the cancel
	order := box.next(3, job.Provision)
	if !strings.Contains(string(order.Spec), `"remove":true`) {
		t.Errorf("order = %s", order.Spec)
	}
	box.ended(order, well)
	if jobs := r.active(box.host); len(jobs) != 0 || r.ready(a) {
		t.Errorf("still under way: %+v", jobs)
	}
	other := r.kept(box, "other")
	adding = box.next(4, job.Provision)
	if err := r.RemoveHost(t.Context(), auth.Server, other.host); err != nil {
		t.Fatal(err)
	}
	box.ended(box.next(5, job.Provision), well)
	box.ended(adding, api.Ended{State: job.Lost, Cause: job.CauseRestarted})
	if jobs := r.active(box.host); len(jobs) != 0 {
		t.Errorf("a user of a removed host is made again: %+v", jobs)
	}
}

// TestLostStepsAreBounded: a box that loses everything is not asked without end.
func TestLostStepsAreBounded(t *testing.T) {
	r := newRig(t)
	box := r.box()
	box.connect()
	r.kept(box, "web")
	box.ended(box.next(1, job.Provision), well)
	asked := 0
	for len(r.active(box.host)) > 0 && asked < control.MaxStepsAnHour+5 {
		asked++
		box.ended(box.next(1+asked, job.Init), api.Ended{State: job.Lost, Cause: job.CauseRestarted})
	}
	if asked != control.MaxStepsAnHour {
		t.Errorf("asked %d times", asked)
	}
	r.pass(2 * time.Hour)
	r.Tick(t.Context())
	if len(r.active(box.host)) != 1 {
		t.Error("it is given up for ever")
	}
}

// TestAStorageAgentThatForgotItsJobs: what it no longer knows is asked for anew.
func TestAStorageAgentThatForgotItsJobs(t *testing.T) {
	r := newRig(t)
	box := r.box()
	box.connect()
	a := r.kept(box, "web")
	first := box.next(1, job.Provision)
	box.leave(r)
	box.journal, box.records, box.acked = "new", nil, 0
	box.connect()
	second := box.next(1, job.Provision)
	if second.ID == first.ID || r.job(first.ID).State != job.Lost {
		t.Errorf("first %s, then %s", first.ID, second.ID)
	}
	box.ended(second, well)
	box.ended(box.next(2, job.Init), well)
	if !r.ready(a) {
		t.Error("the repository is not ready")
	}
}

// TestTokenOfABoxThatIsGone: it says so, and what to do.
func TestTokenOfABoxThatIsGone(t *testing.T) {
	r := newRig(t)
	box := r.box()
	token := r.token(control.NewEnrollment{Repository: fleet.RepositoryChoice{Storage: box.host}})
	if err := r.RemoveHost(t.Context(), auth.Server, box.host); err != nil {
		t.Fatal(err)
	}
	refused(t, r.newAgent(), token, http.StatusConflict, "Make a new token")
}
