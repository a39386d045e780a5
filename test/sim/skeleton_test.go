package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// runNow asks for a backup.
func (w *world) runNow(g fleet.SourceGroup) fleet.Job {
	w.t.Helper()
	j, err := w.server().CreateJob(w.t.Context(), auth.Server, control.NewJob{Host: g.Host, Kind: job.Backup, Group: g.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func (w *world) online(m *machine) bool {
	h, err := w.server().store.Host(w.t.Context(), m.host)
	must(err)
	return h.Online
}

func TestBackupInABubble(t *testing.T) {
	simulate(t, 1, func(w *world) {
		w.startServer(false)
		m := w.enrol("one")
		g := w.addGroup(m, "files")
		m.start()
		w.until("online", time.Minute, func() bool { return w.online(m) })
		j := w.runNow(g)
		w.until("over", time.Hour, func() bool { return w.job(j.ID).State.Ended() })
		if got := w.job(j.ID); got.State != job.Succeeded || got.Summary == nil || got.Summary.SnapshotID != w.truth.of(j.ID)[0].snapshot {
			t.Errorf("the job is %s: %s, %+v", got.State, got.Error, got.Summary)
		}
	})
}

// oneBackup is a world in which one backup is asked for while its parts die.
func (w *world) oneBackup(arm func(*machine)) {
	w.setOdds(odds{longest: 3 * time.Minute})
	w.startServer(false)
	m := w.enrol("one")
	g := w.addGroup(m, "files")
	m.start()
	w.until("online", time.Minute, func() bool { return w.online(m) })
	arm(m)
	j := w.runNow(g)
	for w.pass(time.Minute); w.server() == nil || w.server().dead() || !w.job(j.ID).State.Ended(); w.pass(time.Minute) {
		if n := w.server(); n != nil && n.dead() {
			n.crash()
			w.startServer(false)
		}
		if b := m.running(); b == nil {
			m.start()
		}
		if time.Since(j.CreatedAt) > 3*time.Hour {
			w.t.Fatalf("the job is %s", w.job(j.ID).State)
		}
	}
	ended := w.job(j.ID)
	saved := slices.ContainsFunc(w.truth.of(j.ID), func(a *attempt) bool { return a.snapshot != "" })
	if ended.State.EndedWell() != saved {
		w.t.Errorf("the job is %s (%s: %s), and the truth is %+v", ended.State, ended.Cause, ended.Error, w.truth.of(j.ID))
	}
}

// TestServerDiesAtEachMessage kills the server before and after each message that
// it sends, with what is on its way and without.
func TestServerDiesAtEachMessage(t *testing.T) {
	for at := range 40 {
		for way := range 4 {
			t.Run(itoa(at)+"-"+itoa(way), func(t *testing.T) {
				t.Parallel()
				simulate(t, uint64(at), func(w *world) {
					w.oneBackup(func(*machine) {
						n := w.server()
						n.mutex.Lock()
						defer n.mutex.Unlock()
						n.dieAt, n.dieAfter, n.cutsAll = n.sent+1+at, way&1 == 0, way&2 == 0
					})
				})
			})
		}
	}
}

// TestAgentDiesAtEachStep kills the agent, or its machine, before each step that
// outlasts it.
func TestAgentDiesAtEachStep(t *testing.T) {
	for at := range 60 {
		for _, kind := range []crashKind{killed, powerCut} {
			t.Run(itoa(at)+"-"+itoa(int(kind)), func(t *testing.T) {
				t.Parallel()
				simulate(t, uint64(at), func(w *world) {
					w.oneBackup(func(m *machine) {
						b := m.running()
						b.steps.mutex.Lock()
						defer b.steps.mutex.Unlock()
						b.steps.at, b.steps.kind = b.steps.done+1+at, kind
					})
				})
			})
		}
	}
}
