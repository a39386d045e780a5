package sim

import (
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

// TestBackupThroughCrashes ends either side and the line between them at random
// moments of one backup, which then has one end that agrees with the truth.
func TestBackupThroughCrashes(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(itoa(int(seed)), func(t *testing.T) {
			t.Parallel()
			simulate(t, seed, func(w *world) {
				w.setOdds(odds{longest: 3 * time.Minute})
				w.startServer(false)
				m := w.enrol("one")
				g := w.addGroup(m, "files")
				m.start()
				w.until("online", time.Minute, func() bool { return w.online(m) })
				j := w.runNow(g)
				for range 1 + w.number(4) {
					w.pass(w.between(0, time.Minute))
					switch w.number(3) {
					case 0:
						w.net.each((*link).cut)
					case 1:
						m.boot.crash(crashKind(w.number(2)))
						w.pass(w.between(0, time.Minute))
						m.start()
					case 2:
						w.server().crash()
						w.pass(w.between(0, time.Minute))
						w.startServer(false)
					}
				}
				w.until("over", time.Hour, func() bool { return w.job(j.ID).State.Ended() })
				ended, ran, saved := w.job(j.ID), w.truth.of(j.ID), ""
				for _, a := range ran {
					saved += a.snapshot
				}
				if ended.State.EndedWell() != (saved != "") {
					t.Errorf("the job is %s (%s: %s), and the truth is %+v", ended.State, ended.Cause, ended.Error, ran)
				}
			})
		})
	}
}
