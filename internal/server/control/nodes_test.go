package control_test

import (
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// twoNodes are two servers on one PostgreSQL, and an endpoint on the first.
func twoNodes(t *testing.T) (one, two *rig, a *agent, g fleet.SourceGroup) {
	t.Helper()
	url := testkit.Postgres(t)
	one, two = newNode(t, url, false), newNode(t, url, false)
	a = one.endpoint("web")
	g = one.group(a.host, "etc")
	a.connect()
	return one, two, a, g
}

// TestOnlyTheNodeWithTheSessionActs: what the other node is asked for reaches the
// host through the one that holds its session.
func TestOnlyTheNodeWithTheSessionActs(t *testing.T) {
	one, two, a, g := twoNodes(t)
	if !two.host(a.host).Online {
		t.Fatal("the other node takes the host for offline")
	}
	j := two.backup(g, false)
	one.Tick(t.Context())
	order := await[*api.Job](a, 1)
	if order.ID != j.ID {
		t.Errorf("order = %+v", order)
	}
	two.Tick(t.Context()) // does nothing to a session that is not its own
	if now := one.job(j.ID); now.State != job.Sent {
		t.Errorf("the job is %s", now.State)
	}
	a.carryOut(order, job.Succeeded)
	if now := two.job(j.ID); now.State != job.Succeeded {
		t.Errorf("the job is %s", now.State)
	}
	if _, err := two.CancelJob(t.Context(), auth.Server, j.ID); !is[*fleet.Problem](err) {
		t.Errorf("cancel = %v", err)
	}
	if err := two.RemoveHost(t.Context(), auth.Server, a.host); err != nil {
		t.Fatal(err)
	}
	one.Tick(t.Context())
	await[*api.Gone](a, 1)
}

// TestANodeTakesOver: an agent that comes to another node is served there, and
// the first one's end leaves it alone.
func TestANodeTakesOver(t *testing.T) {
	one, two, a, g := twoNodes(t)
	j := one.backup(g, false)
	order := await[*api.Job](a, 1)
	old := a.conn
	a.base = two.web.URL
	if w := a.connect(); w.Quarantined {
		t.Fatal("it is taken for a clone")
	}
	if again := await[*api.Job](a, 1); again.ID != order.ID {
		t.Errorf("order = %+v", again)
	}
	look := two.look(a)
	one.Tick(t.Context())
	one.await("the old session to end", func() bool { return len(one.Sessions(a.host)) == 0 })
	_ = old.CloseNow()
	if now := two.job(look.ID); now.State != job.Sent || !two.host(a.host).Online {
		t.Errorf("the end of the old session touched the new one: %s", now.State)
	}
	a.carryOut(order, job.Succeeded)
	if now := one.job(j.ID); now.State != job.Succeeded {
		t.Errorf("the job is %s", now.State)
	}
}

// TestTheCursorMakesASecondNodeHarmless: what the old node still has in hand is
// not written twice.
func TestTheCursorMakesASecondNodeHarmless(t *testing.T) {
	one, two, a, g := twoNodes(t)
	twin := a.copyOf() // the same agent, still speaking on the old connection
	twin.conn, twin.hello = a.conn, a.hello
	a.base = two.web.URL
	a.connect()
	id := job.NewID(time.Now())
	for _, s := range []*agent{a, twin} {
		s.accept(id, backupSpec(g))
		s.append(api.RecordLog, id, api.Log{Lines: []job.LogLine{{Text: "once"}}})
	}
	a.sync()
	twin.flush()
	one.await("the old session to end", func() bool { return len(one.Sessions(a.host)) == 0 })
	if j := two.job(id); j.LogLines != 1 {
		t.Errorf("%d lines", j.LogLines)
	}
	if link := two.link(a.host); link.Cursor != a.last() {
		t.Errorf("cursor %d of %d", link.Cursor, a.last())
	}
}

// TestACloneOnAnotherNode shows by its counter as soon as both have come twice.
func TestACloneOnAnotherNode(t *testing.T) {
	one, two, a, _ := twoNodes(t)
	clone := a.copyOf()
	clone.base = two.web.URL
	clone.connect()
	one.Tick(t.Context())
	a.awaitEnd()
	if w := a.connect(); !w.Quarantined {
		t.Error("two machines with one identity are served")
	}
	if one.host(a.host).QuarantinedAt.IsZero() {
		t.Error("the host is not in quarantine")
	}
	two.Tick(t.Context())
	clone.awaitEnd()
}

// TestADeadNodeIsSweptUp: its jobs wait again, and should it only have slept, it
// gives its sessions up.
func TestADeadNodeIsSweptUp(t *testing.T) {
	one, two, a, g := twoNodes(t)
	j := one.backup(g, false)
	await[*api.Job](a, 1)
	two.pass(time.Minute)
	two.Tick(t.Context())
	if now := two.job(j.ID); now.State != job.Queued || two.host(a.host).Online {
		t.Errorf("the job is %s", now.State)
	}
	one.Tick(t.Context())
	a.awaitEnd()
	a.base = two.web.URL
	a.connect()
	if order := await[*api.Job](a, 1); order.ID != j.ID {
		t.Errorf("order = %+v", order)
	}
}

// TestNodesAgreeOnOneRun: both are asked for the same at the same time.
func TestNodesAgreeOnOneRun(t *testing.T) {
	one, two, a, g := twoNodes(t)
	for round := range 5 {
		var wait sync.WaitGroup
		var mutex sync.Mutex
		made := map[job.ID]bool{}
		for n := range 6 {
			node := []*rig{one, two}[n%2]
			wait.Go(func() {
				j, err := node.CreateJob(t.Context(), auth.Server, control.NewJob{Host: g.Host, Kind: job.Backup, Group: g.ID})
				if err != nil && !is[*fleet.Problem](err) {
					t.Error(err)
				}
				if err == nil {
					mutex.Lock()
					made[j.ID] = true
					mutex.Unlock()
				}
			})
		}
		wait.Wait()
		if len(made) != 1 {
			t.Fatalf("round %d made %d jobs", round, len(made))
		}
		one.Tick(t.Context())
		order := await[*api.Job](a, round+1)
		for range 4 { // and all ask for its end while it ends
			wait.Go(func() {
				if _, err := two.CancelJob(t.Context(), auth.Server, order.ID); err != nil && !is[*fleet.Problem](err) {
					t.Error(err)
				}
			})
		}
		a.carryOut(order, job.Succeeded)
		wait.Wait()
		if j := two.job(order.ID); j.State != job.Succeeded {
			t.Errorf("the job is %s", j.State)
		}
	}
}
