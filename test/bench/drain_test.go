//go:build linux

package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/test/rig"
)

// night lets all hosts of a herd be due at once and looks at what their slots do.
func (f *figures) night(t testing.TB, options rig.ServerOptions, count, slots int) {
	t.Helper()
	options.Unstarted = true
	server := rig.StartServer(t, options)
	db := openStore(t, server)
	herd := seedHerd(t, db, sealerIn(t, server.Dir), count, slots, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	server.Start(t)
	work := &shift{takes: func() time.Duration { return rand.N(100*time.Millisecond) + 50*time.Millisecond }}
	crowd := startCrowd(t, server.URL, herd.agents(), work)
	crowd.await(t, time.Time{})
	pause(t, 2*time.Second)
	before, busyBefore := memoryOf(t, server.Pid), busy(t, server.Pid)

	began := time.Now()
	herd.due(crowd)
	crowd.until(t, "done", func() (int, bool) { return work.ended(), work.ended() == count })
	crowd.until(t, "acknowledged", crowd.acknowledged)
	after, spent := memoryOf(t, server.Pid), busy(t, server.Pid)-busyBefore
	took, ideal := work.took(began, slots)
	gaps := work.gaps(slots)
	engine := "SQLite"
	if options.Postgres {
		engine = "PostgreSQL"
	}
	what := fmt.Sprintf("%d hosts due at once, %d slots, %s: ", count, slots, engine)
	f.add(what+"at work at once", fmt.Sprint(work.most), fmt.Sprintf("≤ %d", slots), "seen from the agents, which work 50 to 150 ms each")
	f.add(what+"a slot idle", gaps.spread(), "no gap", fmt.Sprintf("from the end of one job to the start of the next; max %s; 2 fsyncs here %s", ms(gaps.at(100)), ms(twoSyncs(t, server.Dir))))
	f.add(what+"all done", fmt.Sprintf("%.2f × ideal", float64(took)/float64(ideal)), "", fmt.Sprintf("%s; with slots that are never idle %s", seconds(took), seconds(ideal)))
	f.add(what+"server", mib(after.peak), "", fmt.Sprintf("peak; %s before; %s of a core for each run", mib(before.resident), ms(spent/time.Duration(count))))
	crowd.stop()
	server.Stop()
}

// tick measures a pass over all hosts that have a run due, most of which wait for
// a slot.
func (f *figures) tick(t testing.TB, count, slots int) {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	db, err := store.Open(ctx, filepath.Join(dir, "restic-manager.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	sealer := sealerIn(t, dir)
	identity, err := control.LoadIdentity(ctx, db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	herd := seedHerd(t, db, sealer, count, slots, 1)
	seedDue(t, db, herd)
	c := control.New(control.Options{Store: db, Sealer: sealer, Identity: identity, Log: slog.New(slog.DiscardHandler)})
	for _, pass := range []string{"with free slots", "with none free"} {
		began := time.Now()
		if err := c.DrainAllDue(ctx); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		_, sent := countWaiting(t, db)
		f.add(fmt.Sprintf("a tick over %d hosts that wait, %s", count, pass), seconds(took), "≤ 2 s", fmt.Sprintf("%d slots, %d jobs out after it; SQLite", slots, sent))
	}
}

// seedDue gives every host of a herd a session on another node, and a run that is
// due.
func seedDue(t testing.TB, s *store.Store, h *herd) {
	t.Helper()
	const node = "another"
	now, at := time.Now(), lastNight()
	inBatches(t, s, len(h.hosts), func(ctx context.Context, tx *store.Tx, i int) error {
		if i == 0 {
			if _, err := tx.NodeLease(ctx, node, now, now.Add(time.Hour)); err != nil {
				return err
			}
		}
		host := h.hosts[i]
		row, err := tx.Host(ctx, host.id)
		if err != nil {
			return err
		}
		row.LastSeenAt = now
		if err := tx.OpenSession(ctx, node, row); err != nil {
			return err
		}
		return tx.InsertJob(ctx, fleet.Job{ID: job.DueID(host.schedules[0], host.group, at), Host: host.id, Kind: job.Backup, State: job.Queued, Origin: job.BySchedule,
			Group: host.group, Repository: host.repository, Schedule: host.schedules[0], ScheduledAt: at, NextAttemptAt: now, CreatedAt: now})
	})
}

func countWaiting(t testing.TB, s *store.Store) (queued, sent int) {
	t.Helper()
	waiting, err := s.CountPending(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := s.Jobs(t.Context(), fleet.JobFilter{State: job.Sent, Page: fleet.Page{Limit: 500}})
	if err != nil {
		t.Fatal(err)
	}
	return waiting - len(found), len(found)
}
