//go:build linux

package bench

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// What the lists of occurrences and of what waits are measured with.
const (
	listHosts       = 500
	listSchedules   = 4 // of each host
	listOccurrences = 200_000
)

// lists measures the pages and calls that show what schedules ask for, while one
// run of every host is out or stands in line.
func (f *figures) lists(t testing.TB) {
	t.Helper()
	server := rig.StartServer(t, rig.ServerOptions{Unstarted: true})
	db := openStore(t, server)
	herd := seedHerd(t, db, sealerIn(t, server.Dir), listHosts, 4, listSchedules)
	seedOccurrences(t, db, herd, listOccurrences)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	server.Start(t)
	crowd := startCrowd(t, server.URL, herd.agents(), &shift{takes: func() time.Duration { return time.Hour }})
	crowd.await(t, time.Time{})
	herd.due(crowd)
	crowd.until(t, "acknowledged", crowd.acknowledged)
	testkit.WaitFor(t, time.Minute, "all but the first to stand in line", func() bool {
		return len(server.API.PendingRuns(t, "")) == listHosts-4
	})

	person, program := signIn(t, server), &http.Client{Transport: bearer{server.API.Token}}
	host := herd.hosts[listHosts/2]
	for _, page := range []struct {
		what, path string
		client     *http.Client
	}{
		{"/api/v1/pending-runs, 100 rows", "/api/v1/pending-runs?limit=100", program},
		{"/api/v1/pending-runs of a host", "/api/v1/pending-runs?host_id=" + string(host.id), program},
		{"/api/v1/occurrences, 100 rows", "/api/v1/occurrences?limit=100", program},
		{"/api/v1/occurrences of a host", "/api/v1/occurrences?host_id=" + string(host.id), program},
		{"/api/v1/occurrences of a schedule that were skipped", "/api/v1/occurrences?state=skipped&schedule_id=" + string(host.schedules[0]), program},
		{"/api/v1/occurrences that were missed, of which there are none", "/api/v1/occurrences?cause=missed", program},
		{"Schedules page, 50 hosts", "/schedules", person},
		{"page of a schedule", "/schedules/" + string(host.schedules[0]), person},
		{"Waiting runs page", "/pending", person},
		{"Fleet page", "/", person},
	} {
		waits, size := visit(t, page.client, server.URL+page.path, 200)
		f.add(page.what, waits.spread(), "", fmt.Sprintf("%d KiB; %d hosts, %d schedules, %d occurrences, %d runs in line", size>>10, listHosts, listHosts*listSchedules, listOccurrences, listHosts-4))
	}
	crowd.stop()
	server.Stop()
}

// seedOccurrences writes what became of the past moments of all schedules of a
// herd: nine of ten ran well, and one of twenty was skipped.
func seedOccurrences(t testing.TB, s *store.Store, h *herd, count int) {
	t.Helper()
	schedules := len(h.hosts[0].schedules)
	newest := lastNight().Add(-24 * time.Hour)
	inBatches(t, s, count, func(ctx context.Context, tx *store.Tx, i int) error {
		host, n := h.hosts[i%len(h.hosts)], i/len(h.hosts)
		at := newest.Add(time.Duration(n%schedules-schedules) * 24 * time.Hour / time.Duration(schedules)).Add(-time.Duration(n/schedules) * 24 * time.Hour)
		planned := host.schedules[n%schedules]
		j := fleet.Job{ID: job.DueID(planned, host.group, at), Host: host.id, Kind: job.Backup, State: states[(i+n)%len(states)], Origin: job.BySchedule,
			Group: host.group, Repository: host.repository, Schedule: planned, ScheduledAt: at, Spec: []byte(`{"group_name":"home"}`), CreatedAt: at, SentAt: at, AcceptedAt: at}
		end := store.End{At: at.Add(time.Minute), ExitCode: new(int), Summary: &job.Summary{FilesNew: 3, FilesUnmodified: 9997, FilesProcessed: 10000, BytesProcessed: 1 << 30, DataAdded: 1 << 20, Seconds: 60}}
		switch {
		case i%20 == 7:
			j.State, j.SentAt, j.AcceptedAt, j.Moments = job.Skipped, time.Time{}, time.Time{}, 1
			end = store.End{At: at, Cause: job.CauseOverlapped, Error: "Another backup of its source group was at work at its moment."}
		case j.State == job.Failed:
			end.Error, end.Summary = "The repository could not be reached.", nil
		}
		if err := tx.InsertJob(ctx, j); err != nil {
			return err
		}
		return tx.EndJob(ctx, j.ID, end)
	})
}
