package control_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

func TestPlanIsToldOnceAndAgainWhenItChanges(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	a.connect()
	plan := await[*api.Plan](a, 1)
	if len(plan.Groups) != 1 || plan.Groups[0].Group != g.ID || plan.ResticHost != "web" || len(plan.Repositories) != 1 || plan.Repositories[0].Key != "restic" || plan.Repositories[0].Password != "rest" {
		t.Errorf("plan = %+v", plan)
	}
	g.Includes = []string{"/srv"}
	if _, err := r.UpdateGroup(t.Context(), auth.Server, g); err != nil {
		t.Fatal(err)
	}
	if again := await[*api.Plan](a, 2); again.Digest == plan.Digest || again.Groups[0].Includes[0] != "/srv" {
		t.Errorf("changed plan = %+v", again)
	}
	r.backup(g, false) // a poke that does not change the plan
	if order := await[*api.Job](a, 1); order.Kind != job.Backup {
		t.Errorf("order = %+v", order)
	}
	a.leave(r)
	a.connect() // its hello has the plan's digest
	await[*api.Job](a, 1)
	if n := len(heardOf[*api.Plan](a)); n != 0 {
		t.Errorf("a known plan was told %d times", n)
	}
	if err := r.DeleteGroup(t.Context(), auth.Server, g.ID); !is[*fleet.Problem](err) {
		t.Errorf("a group with a job under way was removed: %v", err)
	}
}

// TestPlanThatAHostHasIsKnown: what it said or was sent is compared with what it
// should have, also while it is away.
func TestPlanThatAHostHasIsKnown(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	standing := func() (has, wanted string) {
		t.Helper()
		host := r.host(a.host)
		wanted, err := r.PlanDigest(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		return host.PlanDigest, wanted
	}
	if has, wanted := standing(); has != "" || wanted == "" {
		t.Errorf("before it ever came it has %q of %q", has, wanted)
	}
	a.connect()
	first := await[*api.Plan](a, 1)
	r.await("the plan to be noted", func() bool {
		has, wanted := standing()
		return has == first.Digest && has == wanted
	})
	a.leave(r)
	g.Includes = []string{"/srv"}
	if _, err := r.UpdateGroup(t.Context(), auth.Server, g); err != nil {
		t.Fatal(err)
	}
	since := r.host(a.host).PlanAt
	if has, wanted := standing(); has != first.Digest || has == wanted || since.IsZero() {
		t.Errorf("away it has %q since %v, wanted is %q", has, since, wanted)
	}
	a.connect()
	again := await[*api.Plan](a, 1)
	r.await("the newer plan to be noted", func() bool {
		has, wanted := standing()
		return has == again.Digest && has == wanted
	})
}

// TestJobIsToldOncePerConnection: what was sent is repeated on each connection
// until the journal speaks of it, and goes back to queued between them.
func TestJobIsToldOncePerConnection(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	a.connect()
	j := r.backup(g, false)
	if j.State != job.Sent || j.SentAt.IsZero() {
		t.Errorf("born %s, sent %s", j.State, j.SentAt)
	}
	order := await[*api.Job](a, 1)
	var spec job.BackupSpec
	if err := json.Unmarshal(order.Spec, &spec); err != nil || order.ID != j.ID || order.Access == nil || order.Access.Key != "restic" || spec.Group != g.ID || spec.ResticHost != "web" {
		t.Errorf("order = %+v, spec %+v, %v", order, spec, err)
	}
	a.quiet(r)
	if n := len(heardOf[*api.Job](a)); n != 1 {
		t.Errorf("told %d times on one connection", n)
	}
	a.leave(r)
	if now := r.job(j.ID); now.State != job.Queued {
		t.Errorf("offline it is %s", now.State)
	}
	a.connect()
	if again := await[*api.Job](a, 1); again.ID != j.ID {
		t.Errorf("repeated as %s", again.ID)
	}
	r.awaitState(j.ID, job.Sent)
	a.accept(j.ID, &spec)
	a.sync()
	if now := r.job(j.ID); now.State != job.Running || now.AcceptedAt.IsZero() {
		t.Errorf("accepted it is %s, at %s", now.State, now.AcceptedAt)
	}
	a.leave(r)
	if now := r.job(j.ID); now.State != job.Running {
		t.Errorf("accepted and offline it is %s", now.State)
	}
	a.connect()
	a.quiet(r)
	if n := len(heardOf[*api.Job](a)); n != 0 {
		t.Errorf("an accepted job was told %d times", n)
	}
	a.end(j.ID, job.Succeeded)
	a.sync()
	if now := r.job(j.ID); now.State != job.Succeeded {
		t.Errorf("ended it is %s", now.State)
	}
}

// TestAcceptedMayArriveLater: the session ends between the agent's acceptance and
// its record; the job waits again, and its record finds it.
func TestAcceptedMayArriveLater(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.connect()
	j := r.backup(r.group(a.host, "etc"), false)
	order := await[*api.Job](a, 1)
	spec, err := job.DecodeSpec(order.Kind, order.Spec)
	if err != nil {
		t.Fatal(err)
	}
	a.accept(j.ID, spec)
	a.leave(r)
	r.awaitState(j.ID, job.Queued)
	a.connect()
	a.quiet(r)
	if n := len(heardOf[*api.Job](a)); n != 0 {
		t.Errorf("what the agent says it holds was told again %d times", n)
	}
	a.end(j.ID, job.Warning)
	a.sync()
	if now := r.job(j.ID); now.State != job.Warning {
		t.Errorf("it is %s", now.State)
	}
}

func TestCancel(t *testing.T) {
	cancel := func(r *rig, id job.ID) fleet.Job {
		r.t.Helper()
		j, err := r.CancelJob(r.t.Context(), auth.Server, id)
		if err != nil {
			r.t.Fatal(err)
		}
		return j
	}
	t.Run("queued ends at once", func(t *testing.T) {
		r := newRig(t)
		a := r.endpoint("web")
		j := r.backup(r.group(a.host, "etc"), true)
		if j.State != job.Queued {
			t.Fatalf("born %s", j.State)
		}
		if j = cancel(r, j.ID); j.State != job.Cancelled || j.Cause != job.CauseOperator || j.FinishedAt.IsZero() {
			t.Errorf("cancelled = %+v", j)
		}
		if _, err := r.CancelJob(t.Context(), auth.Server, j.ID); !is[*fleet.Problem](err) {
			t.Errorf("cancelled twice: %v", err)
		}
		if n := r.audited("job.cancelled", string(j.ID)); n != 1 {
			t.Errorf("audited %d times", n)
		}
		a.connect()
		a.quiet(r)
		if n := len(heardOf[*api.Job](a)); n != 0 {
			t.Error("it was sent all the same")
		}
	})
	t.Run("sent waits for the agent's word", func(t *testing.T) {
		r := newRig(t)
		a := r.endpoint("web")
		a.connect()
		j := r.backup(r.group(a.host, "etc"), false)
		await[*api.Job](a, 1)
		if j = cancel(r, j.ID); j.State != job.Sent || j.CancelRequestedAt.IsZero() {
			t.Errorf("asked = %+v", j)
		}
		if c := await[*api.Cancel](a, 1); c.ID != j.ID || c.Cause != job.CauseOperator {
			t.Errorf("cancel = %+v", c)
		}
		cancel(r, j.ID) // again is no error, and is not told twice
		a.quiet(r)
		if n := len(heardOf[*api.Cancel](a)); n != 1 {
			t.Errorf("told %d times", n)
		}
		a.append(api.RecordEnded, j.ID, api.Ended{State: job.Cancelled, Cause: job.CauseOperator})
		a.sync()
		if j = r.job(j.ID); j.State != job.Cancelled || j.Cause != job.CauseOperator {
			t.Errorf("ended = %+v", j)
		}
	})
	t.Run("an end that came first wins", func(t *testing.T) {
		r := newRig(t)
		a := r.endpoint("web")
		a.connect()
		j := r.backup(r.group(a.host, "etc"), false)
		order := await[*api.Job](a, 1)
		cancel(r, j.ID)
		a.carryOut(order, job.Succeeded)
		if j = r.job(j.ID); j.State != job.Succeeded {
			t.Errorf("it is %s", j.State)
		}
	})
	t.Run("sent ends with its session, and the wish stands", func(t *testing.T) {
		r := newRig(t)
		a := r.endpoint("web")
		a.connect()
		j := r.backup(r.group(a.host, "etc"), false)
		order := await[*api.Job](a, 1)
		a.leave(r)
		r.awaitState(j.ID, job.Queued)
		if j = cancel(r, j.ID); j.State != job.Cancelled {
			t.Fatalf("it is %s", j.State)
		}
		// The agent had taken it and proves it now: it runs, and is told to stop.
		spec, err := job.DecodeSpec(order.Kind, order.Spec)
		if err != nil {
			t.Fatal(err)
		}
		a.accept(j.ID, spec)
		a.connect()
		if c := await[*api.Cancel](a, 1); c.ID != j.ID {
			t.Errorf("cancel = %+v", c)
		}
		a.sync()
		if j = r.job(j.ID); j.State != job.Running || j.CancelRequestedAt.IsZero() || !j.FinishedAt.IsZero() || j.Error != "" {
			t.Errorf("proved = %+v", j)
		}
		a.append(api.RecordEnded, j.ID, api.Ended{State: job.Cancelled, Cause: job.CauseOperator})
		a.sync()
		if j = r.job(j.ID); j.State != job.Cancelled {
			t.Errorf("ended = %+v", j)
		}
	})
	t.Run("the wish finds a job that is proved without a word of it in the hello", func(t *testing.T) {
		r := newRig(t)
		a := r.endpoint("web")
		a.connect()
		j := r.backup(r.group(a.host, "etc"), false)
		order := await[*api.Job](a, 1)
		a.leave(r)
		cancel(r, j.ID)
		a.connect()
		spec, err := job.DecodeSpec(order.Kind, order.Spec)
		if err != nil {
			t.Fatal(err)
		}
		a.accept(j.ID, spec)
		a.sync()
		if c := await[*api.Cancel](a, 1); c.ID != j.ID {
			t.Errorf("cancel = %+v", c)
		}
	})
	t.Run("asked while sent, the session ends", func(t *testing.T) {
		r := newRig(t)
		a := r.endpoint("web")
		a.connect()
		j := r.backup(r.group(a.host, "etc"), false)
		await[*api.Job](a, 1)
		cancel(r, j.ID)
		await[*api.Cancel](a, 1)
		a.leave(r)
		if j = r.awaitState(j.ID, job.Cancelled); j.Cause != job.CauseOperator || j.FinishedAt.IsZero() {
			t.Errorf("ended = %+v", j)
		}
	})
	t.Run("running", func(t *testing.T) {
		r := newRig(t)
		a := r.endpoint("web")
		a.connect()
		j := r.backup(r.group(a.host, "etc"), false)
		order := await[*api.Job](a, 1)
		spec, err := job.DecodeSpec(order.Kind, order.Spec)
		if err != nil {
			t.Fatal(err)
		}
		a.accept(j.ID, spec)
		a.sync()
		cancel(r, j.ID)
		await[*api.Cancel](a, 1)
		a.leave(r)
		a.connect() // the wish is repeated
		await[*api.Cancel](a, 1)
		if now := r.job(j.ID); now.State != job.Running {
			t.Errorf("it is %s", now.State)
		}
	})
}

// TestOneRunWaits: three asked for while the host is offline are one.
func TestOneRunWaits(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	if _, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Host: a.host, Kind: job.Backup, Group: g.ID}); !is[*fleet.Problem](err) || !strings.Contains(err.Error(), "offline") {
		t.Errorf("run now on an offline host: %v", err)
	}
	first := r.backup(g, true)
	for range 2 {
		if again := r.backup(g, true); again.ID != first.ID {
			t.Errorf("a second run %s waits beside %s", again.ID, first.ID)
		}
	}
	a.connect()
	order := await[*api.Job](a, 1)
	if _, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Host: a.host, Kind: job.Backup, Group: g.ID}); !is[*fleet.Problem](err) {
		t.Errorf("a second run beside one that was sent: %v", err)
	}
	a.carryOut(order, job.Succeeded)
	a.quiet(r)
	if n := len(heardOf[*api.Job](a)); n != 1 {
		t.Errorf("%d backups were asked for", n)
	}
	host := r.host(a.host)
	if host.LastBackupState != job.Succeeded || host.LastBackupAt.IsZero() || host.LastJobID != first.ID {
		t.Errorf("host = %+v", host)
	}
}

// TestUnresolvableJobEnds: what can't be sent any more ends with its reason, and
// not the session.
func TestUnresolvableJobEnds(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	j := r.backup(g, true)
	if err := r.CloseAlert(t.Context(), auth.Server, "none"); !is[*fleet.Problem](err) {
		t.Errorf("CloseAlert = %v", err)
	}
	r.write(deleteGroup(g)) // not what a person can do while the job waits
	a.connect()
	if j = r.awaitState(j.ID, job.Skipped); !strings.Contains(j.Error, "source group was removed") {
		t.Errorf("job = %+v", j)
	}
	if r.audited("pending_run.abandoned", string(j.ID)) != 1 {
		t.Error("it is not audited")
	}
	a.quiet(r)
}

// TestGroupsFitTheLink: what could never be sent is refused when it is written.
func TestGroupsFitTheLink(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	var paths []string
	for range 200 {
		paths = append(paths, "/"+strings.Repeat("p", 1000))
	}
	create := func(name string, includes []string) error {
		_, err := r.CreateGroup(t.Context(), auth.Server, fleet.SourceGroup{Host: a.host, Name: name, Includes: includes})
		return err
	}
	if err := create("large", paths); !is[*fleet.Invalid](err) {
		t.Errorf("a group of 200 KiB: %v", err)
	}
	created := 0
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		err := create(name, paths[:100])
		if err != nil && !is[*fleet.Invalid](err) {
			t.Fatal(err)
		}
		if err == nil {
			created++
		}
	}
	if created < 3 || created > 5 {
		t.Errorf("%d groups of 100 KiB fit", created)
	}
	a.connect()
	if plan := await[*api.Plan](a, 1); len(plan.Groups) != created {
		t.Errorf("%d of %d groups are in the plan", len(plan.Groups), created)
	}
}

// TestLooksDieWithTheirSession: a look that has no answer yet is lost.
func TestLooksDieWithTheirSession(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.connect()
	j, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Host: a.host, Kind: job.Snapshots})
	if err != nil {
		t.Fatal(err)
	}
	await[*api.Job](a, 1)
	a.leave(r)
	if j = r.awaitState(j.ID, job.Lost); j.Cause != job.CauseSessionEnded {
		t.Errorf("look = %+v", j)
	}
	a.connect()
	a.quiet(r)
	if n := len(heardOf[*api.Job](a)); n != 0 {
		t.Error("it was asked again")
	}
	if _, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Host: a.host, Kind: job.Provision}); !is[*fleet.Invalid](err) {
		t.Errorf("a person asks for a step of the server: %v", err)
	}
	r.pass(2 * time.Hour)
	r.Tick(t.Context())
	if _, err := r.store.Job(t.Context(), j.ID); !is[*fleet.Problem](err) {
		t.Errorf("an old look is kept: %v", err)
	}
}
