package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// TestStore is the one suite for both engines.
func TestStore(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, *store.Store){
				"hosts": testHosts, "jobs": testJobs, "pending": testPending, "logs": testLogs, "snapshots": testSnapshots,
				"alerts": testAlerts, "leases": testLeases, "link": testLink, "concurrent writers": testConcurrentWriters,
				"a failed change leaves the others alone": testFailedChange, "odd text": testOddText, "enrolment": testEnrollment,
				"cursors": testCursors, "groups": testGroups, "holding a host": testHoldHost, "host counts": testHostCounts, "schedules": testSchedules, "pauses": testPauses, "unsettled repositories": testUnsettled, "counts": testCounts,
			} {
				t.Run(name, func(t *testing.T) { test(t, open(t, engine)) })
			}
		})
	}
}

func open(t *testing.T, engine string) *store.Store {
	t.Helper()
	url := filepath.Join(t.TempDir(), "odd name #?%.db")
	if engine == "postgres" {
		url = testkit.Postgres(t)
	}
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if s.Engine() != engine {
		t.Fatalf("engine = %s", s.Engine())
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var start = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func write(t *testing.T, s *store.Store, change func(*store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

func addHost(t *testing.T, s *store.Store, name string) fleet.Host {
	t.Helper()
	h := fleet.Host{ID: job.HostID(job.NewULID(start)), Name: name, Tags: []string{"a", "b"}, ResticHost: name, PublicKey: []byte(name + strings.Repeat("k", 32)),
		OS: "linux", Arch: "amd64", Allowed: []job.Kind{job.Backup}, EnrolledAt: start}
	write(t, s, func(tx *store.Tx) error { return tx.InsertHost(t.Context(), h) })
	return h
}

func addRepository(t *testing.T, s *store.Store, host job.HostID) fleet.Repository {
	t.Helper()
	r := fleet.Repository{ID: job.RepositoryID(job.NewULID(start)), Name: "r", URL: "rest:http://x/", Host: host, CreatedAt: start}
	write(t, s, func(tx *store.Tx) error { return tx.InsertRepository(t.Context(), r, []byte{0, 1, 255}) })
	return r
}

func newJob(host job.HostID, kind job.Kind, group job.GroupID) fleet.Job {
	return fleet.Job{ID: job.NewID(start), Host: host, Kind: kind, State: job.Queued, Origin: job.ByPerson, Group: group, Spec: []byte(`{"a":"b"}`), CreatedAt: start}
}

func testHosts(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "Web-1")
	err := s.Write(ctx, func(tx *store.Tx) error {
		return tx.InsertHost(ctx, fleet.Host{ID: job.HostID(job.NewULID(start)), Name: "wEB-1", PublicKey: []byte("other"), EnrolledAt: start})
	})
	if !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("a second host of that name: %v", err)
	}
	got, err := s.Host(ctx, h.ID)
	if err != nil || got.Name != "Web-1" || !slices.Equal(got.Tags, h.Tags) || !slices.Equal(got.PublicKey, h.PublicKey) || !got.EnrolledAt.Equal(start) || got.Online || got.IsStorage() {
		t.Errorf("Host = %+v, %v", got, err)
	}
	if byKey, err := s.HostByKey(ctx, h.PublicKey); err != nil || byKey.ID != h.ID {
		t.Errorf("HostByKey = %v, %v", byKey.ID, err)
	}
	if _, err := s.Host(ctx, "nobody"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an unknown host: %v", err)
	}
	now := time.Now()
	write(t, s, func(tx *store.Tx) error {
		if _, err := tx.NodeLease(ctx, "node1", now, now.Add(time.Minute)); err != nil {
			return err
		}
		h.Hostname, h.Storage = "web.example", &fleet.Storage{URL: "http://box", BytesFree: 5}
		return tx.OpenSession(ctx, "node1", h)
	})
	if got, _ := s.Host(ctx, h.ID); !got.Online || got.Hostname != "web.example" || got.Storage == nil || got.Storage.BytesFree != 5 {
		t.Errorf("after OpenSession: %+v", got)
	}
	if c, err := s.CountHosts(ctx, now); err != nil || c.Storage != 1 || c.Online != 1 || c.Endpoints != 0 {
		t.Errorf("CountHosts = %+v, %v", c, err)
	}
	write(t, s, func(tx *store.Tx) error { return tx.DropNodes(ctx) })
	if got, _ := s.Host(ctx, h.ID); got.Online {
		t.Error("a host is online on a dead node")
	}
	write(t, s, func(tx *store.Tx) error {
		dead, err := tx.DeadSessions(ctx, now)
		if len(dead) != 1 || dead[0] != h.ID {
			t.Errorf("DeadSessions = %v", dead)
		}
		return err
	})
	write(t, s, func(tx *store.Tx) error {
		removed, err := tx.RemoveHost(ctx, h.ID, start)
		again, err2 := tx.RemoveHost(ctx, h.ID, start)
		if !removed || again {
			t.Errorf("RemoveHost = %v, then %v", removed, again)
		}
		return errors.Join(err, err2)
	})
	addHost(t, s, "web-1") // the name is free again
	list, _, err := s.Hosts(ctx, store.HostFilter{Text: "EB-"})
	if err != nil || len(list) != 1 || list[0].ID == h.ID {
		t.Errorf("Hosts = %v, %v", list, err)
	}
	if gone, _, err := s.Hosts(ctx, store.HostFilter{Removed: true}); err != nil || len(gone) != 1 {
		t.Errorf("removed hosts = %v, %v", gone, err)
	}
	if tagged, _, err := s.Hosts(ctx, store.HostFilter{Tag: "b"}); err != nil || len(tagged) != 1 {
		t.Errorf("tagged hosts = %v, %v", tagged, err)
	}
	if none, _, err := s.Hosts(ctx, store.HostFilter{Text: "w_b"}); err != nil || len(none) != 0 {
		t.Errorf("a wildcard was believed: %v, %v", none, err)
	}
}

func testJobs(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	j := newJob(h.ID, job.Provision, "")
	write(t, s, func(tx *store.Tx) error { return tx.InsertJob(ctx, j) })
	move := func(from, to job.State, by job.Authority) (moved bool, err error) {
		err = s.Write(ctx, func(tx *store.Tx) (err error) {
			moved, err = tx.MoveJob(ctx, j.ID, from, to, by, start.Add(time.Second))
			return err
		})
		return moved, err
	}
	if _, err := move(job.Queued, job.Running, job.ByServer); err == nil {
		t.Error("an illegal move was made")
	}
	if moved, err := move(job.Sent, job.Running, job.ByAgent); err != nil || moved {
		t.Errorf("a move from a state it is not in: %v, %v", moved, err)
	}
	if moved, err := move(job.Queued, job.Sent, job.ByServer); err != nil || !moved {
		t.Errorf("queued to sent: %v, %v", moved, err)
	}
	if moved, err := move(job.Sent, job.Running, job.ByAgent); err != nil || !moved {
		t.Errorf("sent to running: %v, %v", moved, err)
	}
	code := 3
	write(t, s, func(tx *store.Tx) error {
		if err := tx.StartJob(ctx, j.ID, start, []string{"restic", "backup"}); err != nil {
			return err
		}
		if _, err := tx.MoveJob(ctx, j.ID, job.Running, job.Warning, job.ByAgent, start); err != nil {
			return err
		}
		return tx.EndJob(ctx, j.ID, store.End{At: start.Add(time.Minute), ExitCode: &code, Error: "one file", Summary: &job.Summary{FilesNew: 7}})
	})
	got, err := s.Job(ctx, j.ID)
	if err != nil || got.State != job.Warning || *got.ExitCode != 3 || got.Summary.FilesNew != 7 || got.Error != "one file" ||
		!got.FinishedAt.Equal(start.Add(time.Minute)) || !slices.Equal(got.Command, []string{"restic", "backup"}) || string(got.Spec) != `{"a":"b"}` {
		t.Errorf("Job = %+v, %v", got, err)
	}
	write(t, s, func(tx *store.Tx) error {
		asked, err := tx.AskCancel(ctx, j.ID, start)
		if asked {
			t.Error("an ended job was asked to end")
		}
		n, err2 := tx.DeleteJobs(ctx, []job.Kind{job.Backup}, start.Add(time.Hour), 10)
		m, err3 := tx.DeleteJobs(ctx, nil, start.Add(time.Hour), 10)
		if n != 0 || m != 1 {
			t.Errorf("DeleteJobs = %d, %d", n, m)
		}
		return errors.Join(err, err2, err3)
	})
}

func testPending(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	group := job.GroupID(job.NewULID(start))
	first := newJob(h.ID, job.Backup, group)
	write(t, s, func(tx *store.Tx) error { return tx.InsertJob(ctx, first) })
	err := s.Write(ctx, func(tx *store.Tx) error { return tx.InsertJob(ctx, newJob(h.ID, job.Backup, group)) })
	if !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("a second waiting run: %v", err)
	}
	if got, ok, err := s.PendingRun(ctx, "", group); err != nil || !ok || got.ID != first.ID {
		t.Errorf("PendingRun = %v, %v, %v", got.ID, ok, err)
	}
	write(t, s, func(tx *store.Tx) error {
		if _, err := tx.MoveJob(ctx, first.ID, job.Queued, job.Running, job.ByAgent, start); err != nil {
			return err
		}
		return tx.InsertJob(ctx, newJob(h.ID, job.Backup, group))
	})
	if waiting, running, err := s.CountActive(ctx); err != nil || waiting != 1 || running != 1 {
		t.Errorf("CountActive = %d, %d, %v", waiting, running, err)
	}
}

func testLogs(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	j := newJob(h.ID, job.Backup, "g")
	write(t, s, func(tx *store.Tx) error { return tx.InsertJob(ctx, j) })
	const lines = 5000
	for n := 0; n < lines; n += 10 {
		var batch []job.LogLine
		for i := range 10 {
			batch = append(batch, job.LogLine{At: int64(n + i), Level: job.LogInfo, Text: fmt.Sprintf("line %d %s", n+i, strings.Repeat("x", 50))})
		}
		write(t, s, func(tx *store.Tx) error { return tx.AppendLog(ctx, j.ID, batch, 1) })
	}
	got, err := s.Job(ctx, j.ID)
	if err != nil || got.LogLines != lines || got.LogOmitted != lines/10 {
		t.Fatalf("Job = %d lines, %d omitted, %v", got.LogLines, got.LogOmitted, err)
	}
	next, count := int64(0), 0
	for {
		page, after, err := s.Log(ctx, j.ID, next, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range page {
			if line.At != int64(count) || !strings.HasPrefix(line.Text, fmt.Sprintf("line %d ", count)) {
				t.Fatalf("line %d = %+v", count, line)
			}
			count++
		}
		if after == next {
			break
		}
		next = after
	}
	if count != lines {
		t.Errorf("read %d lines", count)
	}
	if middle, after, err := s.Log(ctx, j.ID, 4321, 1); err != nil || len(middle) == 0 || middle[0].At != 4321 || after <= 4321 {
		t.Errorf("from the middle: %d lines, next %d, %v", len(middle), after, err)
	}
}

func testSnapshots(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	r := addRepository(t, s, h.ID)
	put := func(n int, made job.ID, seen time.Time) {
		snapshot := fleet.Snapshot{Snapshot: job.Snapshot{ID: fmt.Sprintf("%064x", n), Time: start.Add(time.Duration(n) * time.Hour), Paths: []string{"/a"}},
			Repository: r.ID, HostID: h.ID, Job: made, SeenAt: seen}
		write(t, s, func(tx *store.Tx) error { return tx.PutSnapshot(ctx, snapshot) })
	}
	for n := range 5 {
		put(n, "made", start)
	}
	put(3, "", start.Add(time.Hour)) // a list that does not know the job
	page, next, err := s.Snapshots(ctx, store.SnapshotFilter{Host: h.ID, Page: fleet.Page{Limit: 3}})
	if err != nil || len(page) != 3 || next == "" || page[0].ID != fmt.Sprintf("%064x", 4) || page[1].Job != "made" {
		t.Fatalf("Snapshots = %v, %q, %v", page, next, err)
	}
	rest, end, err := s.Snapshots(ctx, store.SnapshotFilter{Host: h.ID, Page: fleet.Page{Limit: 3, Cursor: next}})
	if err != nil || len(rest) != 2 || end != "" {
		t.Fatalf("second page = %v, %q, %v", rest, end, err)
	}
	write(t, s, func(tx *store.Tx) error {
		gone, err := tx.DropSnapshots(ctx, r.ID, start.Add(time.Minute))
		if gone != 4 {
			t.Errorf("dropped %d", gone)
		}
		return err
	})
	if got, err := s.Repository(ctx, r.ID); err != nil || got.SnapshotCount != 1 || !got.LatestAt.Equal(start.Add(3*time.Hour)) {
		t.Errorf("Repository = %+v, %v", got, err)
	}
	if sealed, err := s.SealedRepository(ctx, r.ID); err != nil || !slices.Equal(sealed, []byte{0, 1, 255}) {
		t.Errorf("SealedRepository = %v, %v", sealed, err)
	}
}

func testAlerts(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	for i := range 3 {
		write(t, s, func(tx *store.Tx) error {
			fresh, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertClone, Host: h.ID, Sentence: fmt.Sprint(i)}, start.Add(time.Duration(i)*time.Minute))
			if fresh != (i == 0) {
				t.Errorf("alert %d: fresh = %v", i, fresh)
			}
			return err
		})
	}
	open, err := s.Alerts(ctx, h.ID)
	if err != nil || len(open) != 1 || open[0].Count != 3 || open[0].Sentence != "2" {
		t.Fatalf("Alerts = %+v, %v", open, err)
	}
	write(t, s, func(tx *store.Tx) error { return tx.CloseAlert(ctx, fleet.AlertClone, h.ID, "", start) })
	if open, err := s.Alerts(ctx, ""); err != nil || len(open) != 0 {
		t.Errorf("after closing: %v, %v", open, err)
	}
}

func testLeases(t *testing.T, s *store.Store) {
	ctx := t.Context()
	take := func(holder string, now time.Time) (taken bool) {
		write(t, s, func(tx *store.Tx) (err error) {
			taken, err = tx.Lease(ctx, "ticker", holder, now, now.Add(time.Minute))
			return err
		})
		return taken
	}
	if !take("a", start) || take("b", start.Add(30*time.Second)) || !take("a", start.Add(30*time.Second)) {
		t.Error("a lease that lives was taken, or not renewed")
	}
	if !take("b", start.Add(2*time.Minute)) {
		t.Error("a lease that ran out was not taken")
	}
}

func testLink(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	write(t, s, func(tx *store.Tx) error {
		return tx.SetLink(ctx, h.ID, store.Link{JournalID: "j", Cursor: 5, Counter: 9, Floor: 1 << 40, QuarantinedAt: start})
	})
	write(t, s, func(tx *store.Tx) error {
		moved, err := tx.Advance(ctx, h.ID, "j", 5, 8, start)
		stale, err2 := tx.Advance(ctx, h.ID, "j", 5, 9, start)
		other, err3 := tx.Advance(ctx, h.ID, "k", 8, 9, start)
		if !moved || stale || other {
			t.Errorf("Advance = %v, stale %v, another journal %v", moved, stale, other)
		}
		return errors.Join(err, err2, err3)
	})
	if l, err := s.Link(ctx, h.ID); err != nil || l.Cursor != 8 || l.Floor != 1<<40 || !l.QuarantinedAt.Equal(start) {
		t.Errorf("Link = %+v, %v", l, err)
	}
}

// testConcurrentWriters: many move the same job; one of them succeeds each time.
func testConcurrentWriters(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	for range 10 {
		j := newJob(h.ID, job.Init, "")
		write(t, s, func(tx *store.Tx) error { return tx.InsertJob(ctx, j) })
		var wg sync.WaitGroup
		var mu sync.Mutex
		winners := 0
		for range 16 {
			wg.Go(func() {
				moved := false
				err := s.Write(ctx, func(tx *store.Tx) (err error) {
					moved, err = tx.MoveJob(ctx, j.ID, job.Queued, job.Sent, job.ByServer, start)
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else if moved {
					winners++
				}
			})
		}
		wg.Wait()
		if winners != 1 {
			t.Fatalf("%d writers moved the job", winners)
		}
	}
}

func testFailedChange(t *testing.T, s *store.Store) {
	h := addHost(t, s, "h")
	boom := errors.New("boom")
	var wg sync.WaitGroup
	ids := make([]job.ID, 60)
	for i := range ids {
		ids[i] = job.NewID(start)
		wg.Go(func() {
			ctx := t.Context()
			if i%3 == 1 {
				ended, end := context.WithCancel(ctx)
				end()
				ctx = ended
			}
			err := s.Write(ctx, func(tx *store.Tx) error {
				j := newJob(h.ID, job.Init, "")
				j.ID = ids[i]
				if err := tx.InsertJob(t.Context(), j); err != nil {
					return err
				}
				if i%3 == 0 {
					return boom
				}
				return nil
			})
			if want := map[int]error{0: boom, 1: context.Canceled, 2: nil}[i%3]; !errors.Is(err, want) {
				t.Errorf("change %d: %v, want %v", i, err, want)
			}
		})
	}
	wg.Wait()
	for i, id := range ids {
		if _, err := s.Job(t.Context(), id); (err == nil) != (i%3 == 2) {
			t.Errorf("change %d: %v", i, err)
		}
	}
}

func testOddText(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	j := newJob(h.ID, job.Backup, "g")
	write(t, s, func(tx *store.Tx) error { return tx.InsertJob(ctx, j) })
	odd := "nul \x00 and not UTF-8 \xff\xfe, 'quotes\" \n \\"
	write(t, s, func(tx *store.Tx) error {
		if err := tx.AppendLog(ctx, j.ID, []job.LogLine{{Text: odd}}, 0); err != nil {
			return err
		}
		if _, err := tx.MoveJob(ctx, j.ID, job.Queued, job.Failed, job.ByAgent, start); err != nil {
			return err
		}
		if err := tx.EndJob(ctx, j.ID, store.End{At: start, Error: odd, Summary: &job.Summary{Findings: []job.Finding{{Path: odd}}}}); err != nil {
			return err
		}
		return tx.Audit(ctx, fleet.AuditEntry{At: start, Actor: odd, Action: "a.b", Noun: "job", Subject: odd})
	})
	got, err := s.Job(ctx, j.ID)
	if err != nil || !strings.Contains(got.Error, "'quotes\" \n \\") || len(got.Summary.Findings) != 1 {
		t.Errorf("Job = %+v, %v", got, err)
	}
	if _, err := s.Job(ctx, job.ID(odd)); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a job with odd text for an id: %v", err)
	}
	if list, _, err := s.Hosts(ctx, store.HostFilter{Text: odd}); err != nil || len(list) != 0 {
		t.Errorf("hosts by odd text: %v, %v", list, err)
	}
}

func testEnrollment(t *testing.T, s *store.Store) {
	ctx := t.Context()
	e := fleet.EnrollmentToken{ID: job.NewULID(start), SecretHash: "hash", Name: "n", Tags: []string{}, CreatedAt: start, ExpiresAt: start.Add(time.Hour)}
	write(t, s, func(tx *store.Tx) error { return tx.InsertEnrollment(ctx, e, "user", []byte("sealed")) })
	e.UsedAt, e.UsedBy, e.UsedKey = start, "host", []byte("key")
	write(t, s, func(tx *store.Tx) error {
		used, err := tx.UseEnrollment(ctx, e)
		again, err2 := tx.UseEnrollment(ctx, e)
		if !used || again {
			t.Errorf("UseEnrollment = %v, then %v", used, again)
		}
		return errors.Join(err, err2)
	})
	got, err := s.EnrollmentBySecret(ctx, "hash")
	if err != nil || got.UsedBy != "host" || string(got.UsedKey) != "key" {
		t.Errorf("EnrollmentBySecret = %+v, %v", got, err)
	}
	if _, sealed, err := s.SealedEnrollment(ctx, e.ID); err != nil || len(sealed) != 0 {
		t.Errorf("a spent token keeps its secrets: %q, %v", sealed, err)
	}
}

func testCursors(t *testing.T, s *store.Store) {
	ctx := t.Context()
	var want []string
	for i := range 23 {
		want = append(want, addHost(t, s, fmt.Sprintf("host %02d é%%_!", i)).Name)
	}
	for _, trouble := range []bool{false, true} {
		var got []string
		for cursor, pages := "", 0; ; pages++ {
			page, next, err := s.Hosts(ctx, store.HostFilter{TroubleFirst: trouble, Page: fleet.Page{Limit: 5, Cursor: cursor}})
			if err != nil || pages > 10 {
				t.Fatalf("page %d: %v", pages, err)
			}
			for _, h := range page {
				got = append(got, h.Name)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("trouble first %v: paged %v", trouble, got)
		}
	}
	var problem *fleet.Invalid
	for _, bad := range []string{"!!", "AAAA"} {
		_, _, err := s.Snapshots(ctx, store.SnapshotFilter{Page: fleet.Page{Cursor: bad}})
		if !errors.As(err, &problem) {
			t.Errorf("cursor %q of snapshots: %v", bad, err)
		}
		if _, _, err := s.Jobs(ctx, fleet.JobFilter{Page: fleet.Page{Cursor: bad}}); !errors.As(err, &problem) {
			t.Errorf("cursor %q of jobs: %v", bad, err)
		}
	}
}

func testGroups(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	r := addRepository(t, s, h.ID)
	g := fleet.SourceGroup{ID: job.GroupID(job.NewULID(start)), Host: h.ID, Name: "Home", Repository: r.ID, Includes: []string{"/home"}, Excludes: []string{},
		Retention: fleet.DefaultRetention, Options: fleet.GroupOptions{ExcludeCaches: true}, CreatedAt: start, UpdatedAt: start}
	write(t, s, func(tx *store.Tx) error { return tx.InsertGroup(ctx, g) })
	other := g
	other.ID, other.Name = job.GroupID(job.NewULID(start)), "hOME"
	if err := s.Write(ctx, func(tx *store.Tx) error { return tx.InsertGroup(ctx, other) }); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("a second group of that name: %v", err)
	}
	j := newJob(h.ID, job.Backup, g.ID)
	for i, end := range []struct {
		state job.State
		at    time.Time
	}{{job.Succeeded, start}, {job.Failed, start.Add(time.Hour)}, {job.Succeeded, start.Add(-time.Hour)}} {
		j.ID, j.State, j.FinishedAt, j.Error = job.NewID(start), end.state, end.at, fmt.Sprint(i)
		write(t, s, func(tx *store.Tx) error { return tx.NoteBackup(ctx, j) })
	}
	got, err := s.Group(ctx, g.ID)
	if err != nil || got.LastState != job.Failed || !got.LastBackupAt.Equal(start) || got.LastError != "1" || !got.Options.ExcludeCaches || got.Retention != g.Retention {
		t.Errorf("Group = %+v, %v", got, err)
	}
	shows := func(state job.State, last string) {
		t.Helper()
		host, err := s.Host(ctx, h.ID)
		if err != nil || host.LastBackupState != state || host.LastError != last {
			t.Errorf("the host shows %q %q, want %q %q; %v", host.LastBackupState, host.LastError, state, last, err)
		}
	}
	shows(job.Failed, "1")
	other.Name = "other"
	write(t, s, func(tx *store.Tx) error { return tx.InsertGroup(ctx, other) })
	j.ID, j.Group, j.State, j.FinishedAt, j.Error = job.NewID(start), other.ID, job.Succeeded, start.Add(2*time.Hour), ""
	write(t, s, func(tx *store.Tx) error { return tx.NoteBackup(ctx, j) })
	shows(job.Failed, "1") // a good group hides no bad one
	if host, _ := s.Host(ctx, h.ID); !host.LastBackupAt.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("last backup at %v", host.LastBackupAt)
	}
	write(t, s, func(tx *store.Tx) error { return tx.DeleteGroup(ctx, g) })
	shows(job.Succeeded, "")
	// The end of a job that was guessed is corrected, though the true one is earlier.
	for _, end := range []struct {
		state job.State
		at    time.Time
	}{{job.Lost, start.Add(3 * time.Hour)}, {job.Succeeded, start.Add(2 * time.Hour)}} {
		j.State, j.FinishedAt = end.state, end.at
		write(t, s, func(tx *store.Tx) error { return tx.NoteBackup(ctx, j) })
	}
	if host, err := s.Host(ctx, h.ID); err != nil || host.LastBackupState != job.Succeeded || !host.LastBackupAt.Equal(start.Add(2*time.Hour)) || !host.LastEndedAt.Equal(host.LastBackupAt) {
		t.Errorf("corrected Host = %+v, %v", host, err)
	}
}
