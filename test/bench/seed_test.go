//go:build linux

package bench

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/test/rig"
)

// seeded is a host that was written into the database, with the key that its
// agent would hold.
type seeded struct {
	id         job.HostID
	key        ed25519.PrivateKey
	repository job.RepositoryID
}

// openStore opens the database of a server, and makes it if there is none.
func openStore(t testing.TB, server *rig.Server) *store.Store {
	t.Helper()
	if err := os.MkdirAll(server.Dir, 0o700); err != nil {
		t.Fatalf("make a data folder: %v", err)
	}
	url := server.Database
	if url == "" {
		url = filepath.Join(server.Dir, "restic-manager.db")
	}
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	return s
}

// perTransaction is how many rows are written at once.
const perTransaction = 5000

// inBatches calls write for 0 to count-1, many in one transaction.
func inBatches(t testing.TB, s *store.Store, count int, write func(context.Context, *store.Tx, int) error) {
	t.Helper()
	for from := 0; from < count; from += perTransaction {
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			for i := from; i < min(from+perTransaction, count); i++ {
				if err := write(t.Context(), tx, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("fill the database: %v", err)
		}
	}
}

// seedHosts writes enrolled hosts, each with a repository that is not ready, so
// that nobody needs what opens it.
func seedHosts(t testing.TB, s *store.Store, count int) []seeded {
	t.Helper()
	hosts := make([]seeded, count)
	now := time.Now()
	inBatches(t, s, count, func(ctx context.Context, tx *store.Tx, i int) error {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		hosts[i] = seeded{job.HostID(job.NewULID(now)), private, job.RepositoryID(job.NewULID(now))}
		name := fmt.Sprintf("host-%05d", i)
		err = tx.InsertHost(ctx, fleet.Host{ID: hosts[i].id, Name: name, Tags: []string{"bench", fmt.Sprintf("rack-%d", i%50)}, ResticHost: name,
			PublicKey: public, Hostname: name, OS: "linux", Arch: "amd64", AgentVersion: "bench", ResticVersion: "0.19.1",
			Allowed: []job.Kind{job.Backup, job.Snapshots, job.Unlock}, Address: "192.0.2.1", EnrolledAt: now})
		if err != nil {
			return err
		}
		return tx.InsertRepository(ctx, fleet.Repository{ID: hosts[i].repository, Name: name, URL: "rest:http://192.0.2.1/" + name + "/",
			Host: hosts[i].id, CreatedAt: now}, nil)
	})
	return hosts
}

// states are how the seeded jobs ended: nine of ten well.
var states = []job.State{job.Succeeded, job.Succeeded, job.Warning, job.Succeeded, job.Succeeded, job.Succeeded, job.Failed, job.Succeeded, job.Succeeded, job.Succeeded}

// seedJobs writes backups that ended, in turn for each host and an hour apart,
// and notes the last one of each host on its row.
func seedJobs(t testing.TB, s *store.Store, hosts []seeded, count int) {
	t.Helper()
	rounds := count / len(hosts)
	newest := time.Now().Add(-time.Hour)
	group := job.GroupID(job.NewULID(newest))
	inBatches(t, s, rounds*len(hosts), func(ctx context.Context, tx *store.Tx, i int) error {
		round := i / len(hosts)
		at := newest.Add(time.Duration(round-rounds) * time.Hour)
		state := states[(i+round)%len(states)]
		j := fleet.Job{ID: job.NewID(at), Host: hosts[i%len(hosts)].id, Kind: job.Backup, State: state, Origin: job.ByPerson, AskedBy: "bench",
			Group: group, Repository: hosts[i%len(hosts)].repository, Spec: []byte(`{"group_name":"home"}`), CreatedAt: at}
		if err := tx.InsertJob(ctx, j); err != nil {
			return err
		}
		end := store.End{At: at.Add(time.Minute), ExitCode: new(int), Summary: &job.Summary{FilesNew: 3, FilesUnmodified: 9997, FilesProcessed: 10000, BytesProcessed: 1 << 30, DataAdded: 1 << 20, Seconds: 60}}
		if state == job.Failed {
			end.Error, end.Summary = "The repository could not be reached.", nil
		}
		if err := tx.EndJob(ctx, j.ID, end); err != nil || round != rounds-1 {
			return err
		}
		j.FinishedAt, j.Error = end.At, end.Error
		return tx.NoteBackup(ctx, j)
	})
}

// seedLog writes an ended job with a long log and returns its id.
func seedLog(t testing.TB, s *store.Store, host seeded, lines int) job.ID {
	t.Helper()
	now := time.Now()
	id := job.NewID(now)
	const perRecord = 500
	inBatches(t, s, (lines+perRecord-1)/perRecord+1, func(ctx context.Context, tx *store.Tx, i int) error {
		if i == 0 {
			if err := tx.InsertJob(ctx, fleet.Job{ID: id, Host: host.id, Kind: job.Backup, State: job.Warning, Origin: job.ByPerson,
				Spec: []byte(`{"group_name":"home"}`), CreatedAt: now}); err != nil {
				return err
			}
			return tx.EndJob(ctx, id, store.End{At: now, ExitCode: new(int), Summary: &job.Summary{FilesNew: 1}})
		}
		var batch []job.LogLine
		for line := (i - 1) * perRecord; line < min(i*perRecord, lines); line++ {
			batch = append(batch, job.LogLine{At: now.UnixMilli(), Level: job.LogError, Text: fmt.Sprintf("/srv/data/%06d: permission denied", line)})
		}
		return tx.AppendLog(ctx, id, batch, 0)
	})
	return id
}

// logRows counts the rows that a job's log takes.
func logRows(t testing.TB, s *store.Store, id job.ID) (rows, lines int) {
	t.Helper()
	for next := int64(0); ; rows++ {
		// One byte at most is one row at least, and no second one.
		found, after, err := s.Log(t.Context(), id, next, 1)
		if err != nil {
			t.Fatalf("read a log: %v", err)
		}
		if len(found) == 0 {
			return rows, lines
		}
		lines, next = lines+len(found), after
	}
}
