package control_test

import (
	"context"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// sessionAt finds the held session of a, which its machine's name and its count
// tell from others.
func (r *rig) sessionAt(a *agent) control.SessionInfo {
	r.t.Helper()
	var found control.SessionInfo
	r.await("the held session", func() bool {
		for _, s := range r.Sessions(a.host) {
			if s.Counter == a.hello.Counter && s.Hostname == a.facts.Hostname && s.Held {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

// TestCloneIsHeldUntilAPersonDecides goes through a clone's whole life: it
// appears, both are held, one is kept, the other is a known copy, and the person
// changes the decision.
func TestCloneIsHeldUntilAPersonDecides(t *testing.T) {
	r, a, g, id := running(t)
	clone := a.copyOf()
	clone.facts.Hostname = "clone"
	if w := clone.connect(); !w.Quarantined {
		t.Fatalf("the clone is welcome: %+v", w)
	}
	a.awaitEnd() // the first one is held as well when it comes back
	if w := a.connect(); !w.Quarantined {
		t.Fatalf("the first one is welcome: %+v", w)
	}
	host := r.host(a.host)
	if host.QuarantinedAt.IsZero() || r.alert(a.host, fleet.AlertClone, "") == nil || r.audited("host.quarantined", string(a.host)) != 1 {
		t.Errorf("host = %+v", host)
	}
	if _, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Host: a.host, Kind: job.Backup, Group: r.group(a.host, "more").ID, WhenBack: true}); !is[*fleet.Problem](err) {
		t.Errorf("a quarantined host is given work: %v", err)
	}
	// What they say is not taken, and not lost.
	a.end(id, job.Succeeded)
	a.flush()
	a.write([]byte(`{"type":"x","body":{}}`))
	await[*api.Unsupported](a, 1)
	if j := r.job(id); j.State != job.Running || len(heardOf[*api.Ack](a)) != 0 {
		t.Errorf("a held session was heard: job %s, %d acknowledgements", j.State, len(heardOf[*api.Ack](a)))
	}

	operator := auth.Identity{Kind: auth.ByUser, Name: "op", Role: auth.Operator}
	if err := r.KeepSession(t.Context(), operator, a.host, r.sessionAt(a).ID); !is[*fleet.Problem](err) {
		t.Errorf("an operator decides: %v", err)
	}
	if err := r.KeepSession(t.Context(), auth.Server, a.host, "none"); !is[*fleet.Problem](err) {
		t.Errorf("a session that is not there is kept: %v", err)
	}
	keep := func(s *agent) {
		t.Helper()
		if err := r.KeepSession(t.Context(), auth.Server, s.host, r.sessionAt(s).ID); err != nil {
			t.Fatal(err)
		}
		w := await[*api.Welcome](s, 1)
		s.verify(w)
		s.awaitEnd()
		durable := s.acked
		if w := s.connect(); w.Quarantined || w.Cursor > durable {
			t.Fatalf("the chosen one is not welcome: %+v", w)
		}
	}
	keep(a)
	if host := r.host(a.host); !host.QuarantinedAt.IsZero() || !host.Online || r.alert(a.host, fleet.AlertClone, "") != nil {
		t.Errorf("host = %+v", host)
	}
	a.sync()
	if j := r.job(id); j.State != job.Succeeded {
		t.Errorf("the result is %s", j.State)
	}

	// The other goes on connecting and disturbs nobody.
	for range 3 {
		clone.drop()
		if w := clone.connect(); !w.Quarantined {
			t.Fatalf("a known copy is welcome: %+v", w)
		}
	}
	if host := r.host(a.host); !host.QuarantinedAt.IsZero() || !host.Online {
		t.Errorf("a known copy disturbs its original: %+v", host)
	}
	if alert := r.alert(a.host, fleet.AlertClone, "copy"); alert == nil || alert.Count != 3 {
		t.Errorf("alert = %+v", alert)
	}
	j := r.backup(g, false)
	if order := await[*api.Job](a, 1); order.ID != j.ID {
		t.Errorf("order = %+v", order)
	}

	// It was the wrong one.
	keep(clone)
	a.awaitEnd()
	if w := a.connect(); !w.Quarantined {
		t.Errorf("the one that was chosen first is still welcome: %+v", w)
	}
	if order := await[*api.Job](clone, 1); order.ID != j.ID {
		t.Errorf("order = %+v", order)
	}
}

// TestDeadSessionMakesWay: an older session that answers no ping is no rival.
func TestDeadSessionMakesWay(t *testing.T) {
	r := newRig(t)
	r.SetRivalPatience(50 * time.Millisecond)
	a := r.endpoint("web")
	a.deaf = true
	a.connect()
	dead := a.conn
	a.deaf = false
	j := r.backup(r.group(a.host, "etc"), false)
	if w := a.connect(); w.Quarantined {
		t.Fatal("an agent that lost its connection is taken for a clone")
	}
	if order := await[*api.Job](a, 1); order.ID != j.ID {
		t.Errorf("order = %+v", order)
	}
	if err := r.CloseSessionLate(t.Context(), a.host, a.hello.Counter-1); err != nil {
		t.Fatal(err)
	}
	_ = dead.CloseNow()
	r.await("one session", func() bool { return len(r.Sessions(a.host)) == 1 })
	a.quiet(r)
	if host := r.host(a.host); !host.Online || r.job(j.ID).State != job.Sent {
		t.Errorf("the end of the dead one closed the living: %+v", host)
	}
}

// TestOlderStatesOfAMachine: an image that was restored shows by its counter or
// by its journal.
func TestOlderStatesOfAMachine(t *testing.T) {
	t.Run("its counter goes back", func(t *testing.T) {
		r, a, _, _ := running(t)
		a.leave(r)
		a.counter--
		if w := a.connect(); !w.Quarantined {
			t.Error("it is welcome")
		}
	})
	t.Run("its journal is shorter", func(t *testing.T) {
		r, a, _, id := running(t)
		image := a.copyOf()
		a.append(api.RecordLog, id, api.Log{})
		a.sync()
		a.leave(r)
		image.counter = a.counter
		if w := image.connect(); !w.Quarantined {
			t.Error("it is welcome")
		}
		// Kept all the same, it goes on from where it stands.
		if err := r.KeepSession(t.Context(), auth.Server, a.host, r.sessionAt(image).ID); err != nil {
			t.Fatal(err)
		}
		image.awaitEnd()
		if w := image.connect(); w.Quarantined || w.Cursor != image.last() {
			t.Fatalf("welcome = %+v, want the cursor %d", w, image.last())
		}
		image.end(id, job.Succeeded)
		image.sync()
		if j := r.job(id); j.State != job.Succeeded {
			t.Errorf("job = %+v", j)
		}
	})
}

// TestHeldSessionsAreBounded: a copy that opens sessions without end keeps few.
func TestHeldSessionsAreBounded(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.connect()
	var copies []*agent
	for range control.MaxHeld + 5 {
		clone := a.copyOf()
		clone.connect()
		copies = append(copies, clone)
	}
	r.await("few to be held", func() bool { return len(r.Sessions(a.host)) <= control.MaxHeld })
	// A removed host's sessions end, also the held ones.
	if err := r.RemoveHost(t.Context(), auth.Server, a.host); err != nil {
		t.Fatal(err)
	}
	await[*api.Gone](copies[len(copies)-1], 1)
	r.await("all to be gone", func() bool { return len(r.Sessions(a.host)) == 0 })
	for _, clone := range copies {
		clone.drop()
	}
}

// TestRestoredServerReadsOn: a server that was restored from a backup knows an
// older cursor, and reads again from there.
func TestRestoredServerReadsOn(t *testing.T) {
	r, a, g, first := running(t)
	before := r.link(a.host)
	a.end(first, job.Succeeded)
	second := job.NewID(time.Now())
	a.accept(second, backupSpec(g))
	a.append(api.RecordLog, second, api.Log{Lines: []job.LogLine{{Text: "x"}}})
	a.sync()
	a.leave(r)
	r.write(func(ctx context.Context, tx *store.Tx) error { // as the backup had it
		link, err := tx.Link(ctx, a.host)
		if err != nil {
			return err
		}
		link.Cursor, link.Counter = before.Cursor, before.Counter
		return tx.SetLink(ctx, a.host, link)
	})
	if w := a.connect(); w.Cursor != before.Cursor || w.Quarantined {
		t.Fatalf("welcome = %+v", w)
	}
	a.sync()
	if j := r.job(first); j.State != job.Succeeded {
		t.Errorf("the first is %s", j.State)
	}
	if j := r.job(second); j.State != job.Running {
		t.Errorf("the second is %s", j.State)
	}
	if alert := r.alert(a.host, fleet.AlertRejected, ""); alert != nil {
		t.Errorf("what came again was rejected: %s", alert.Sentence)
	}
}

// TestARunOfACopyIsNotRunAgain: the true machine comes back holding a run that its
// copy has carried out meanwhile. It is told to let go of it, and its word that it
// did so changes nothing.
func TestARunOfACopyIsNotRunAgain(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	planned := r.hourly(g)
	a.connect()
	id := a.due(planned, g.ID, moment(0))
	a.sync()
	a.carryOut(await[*api.Job](a, 1), job.Succeeded)
	a.leave(r)
	a.onHello = func(h *api.Hello) { h.Held = []job.ID{id} }
	a.connect()
	cancel := await[*api.Cancel](a, 1)
	if cancel.ID != id || cancel.State != job.Skipped || cancel.Cause != job.CauseSatisfied {
		t.Errorf("cancel = %+v", cancel)
	}
	a.append(api.RecordEnded, id, api.Ended{State: job.Skipped, Cause: job.CauseSatisfied})
	a.sync()
	if j := r.job(id); j.State != job.Succeeded {
		t.Errorf("the job is %s", j.State)
	}
	if n, err := r.store.CountRejected(t.Context(), a.host); err != nil || n != 0 {
		t.Errorf("%d records were rejected, %v", n, err)
	}
}
