package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

var testStart = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// small bounds, so that tests reach them.
func small(files Files, now func() time.Time) Options {
	if now == nil {
		now = func() time.Time { return testStart }
	}
	return Options{Files: files, Reserve: 8 << 10, MaxBytes: 512 << 10, Recent: 1, Now: now}
}

func mustOpen(t testing.TB, dir string, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func record(t testing.TB, kind api.RecordKind, id job.ID, body any) api.Record {
	t.Helper()
	r, err := api.NewRecord(kind, id, testStart.UnixMilli(), body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func accepted(t testing.TB, id job.ID) api.Record {
	return record(t, api.RecordAccepted, id, api.Accepted{Kind: job.Backup, Origin: job.ByPerson, Spec: json.RawMessage(`{"group":"g"}`)})
}

func ended(t testing.TB, id job.ID) api.Record {
	return record(t, api.RecordEnded, id, api.Ended{State: job.Succeeded})
}

// logOf makes a log record of lines lines of size bytes.
func logOf(t testing.TB, id job.ID, lines, size int) api.Record {
	log := api.Log{}
	for range lines {
		log.Lines = append(log.Lines, job.LogLine{At: 1, Level: job.LogInfo, Text: strings.Repeat("x", size)})
	}
	return record(t, api.RecordLog, id, log)
}

func mustAppend(t testing.TB, j *Journal, records ...api.Record) []api.Record {
	t.Helper()
	written, err := j.Append(records...)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func readAll(t testing.TB, j *Journal, after uint64) []api.Record {
	t.Helper()
	var all []api.Record
	for {
		some, err := j.Read(after, 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
		after = some[len(some)-1].Seq
	}
}

func seqs(records []api.Record) []uint64 {
	list := []uint64{}
	for _, r := range records {
		list = append(list, r.Seq)
	}
	return list
}

func bodyOf[T any](t testing.TB, r api.Record) T {
	t.Helper()
	var body T
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatal(err)
	}
	return body
}

func TestRecordsSurviveAReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, Options{})
	if len(j.ID()) != 32 || j.LastSeq() != 0 {
		t.Fatalf("new journal: id %q, last %d", j.ID(), j.LastSeq())
	}
	written := mustAppend(t, j, accepted(t, "a"),
		record(t, api.RecordStarted, "a", api.Started{PID: 7}), logOf(t, "a", 2, 10), accepted(t, "b"))
	mustAppend(t, j, ended(t, "a"), ended(t, "never seen"))
	id := j.ID()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(ended(t, "b")); !errors.Is(err, ErrClosed) {
		t.Fatalf("append after close: %v", err)
	}

	j = mustOpen(t, dir, Options{})
	defer j.Close()
	if j.ID() != id || j.LastSeq() != 6 || j.CutBytes() != 0 || j.Damage() != "" {
		t.Fatalf("reopened: id %q, last %d, cut %d, damage %q", j.ID(), j.LastSeq(), j.CutBytes(), j.Damage())
	}
	got := readAll(t, j, 0)
	if !reflect.DeepEqual(got[:4], written) || !reflect.DeepEqual(seqs(got), []uint64{1, 2, 3, 4, 5, 6}) {
		t.Fatalf("read %+v", got)
	}
	for id, want := range map[job.ID]bool{"a": true, "b": true, "never seen": true, "c": false} {
		if j.Known(id) != want {
			t.Errorf("Known(%q) = %v", id, !want)
		}
	}
	open := j.Unfinished()
	if len(open) != 1 || open[0].ID != "b" || open[0].Accepted.Kind != job.Backup || open[0].Started != nil {
		t.Fatalf("unfinished %+v", open)
	}
	of, err := j.RecordsOf("a")
	if err != nil || !reflect.DeepEqual(seqs(of), []uint64{1, 2, 3, 5}) {
		t.Fatalf("records of a: %v, %v", seqs(of), err)
	}
}

func TestUnfinishedSaysWhatIsKnown(t *testing.T) {
	warns := api.Log{Lines: []job.LogLine{{Level: job.LogInfo, Text: "fine"}, {Level: job.LogWarn, Text: "not fine"}}}
	cases := []struct {
		name     string
		records  []api.Record
		started  bool
		cancel   job.Cause
		troubled bool
	}{
		{"accepted", nil, false, "", false},
		{"started", []api.Record{record(t, api.RecordStarted, "a", api.Started{PID: 7})}, true, "", false},
		{"started with findings", []api.Record{record(t, api.RecordStarted, "a", api.Started{Findings: []job.Finding{{Kind: job.SourceMissing}}})}, true, "", true},
		{"quiet log", []api.Record{logOf(t, "a", 3, 5)}, false, "", false},
		{"log that warns", []api.Record{record(t, api.RecordLog, "a", warns)}, false, "", true},
		{"another's log", []api.Record{record(t, api.RecordLog, "b", warns)}, false, "", false},
		{"cancel", []api.Record{record(t, api.RecordCancel, "a", api.CancelAsked{Cause: job.CauseOperator})}, false, job.CauseOperator, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			disk := newMemDisk()
			j := mustOpen(t, "d", small(disk, nil))
			mustAppend(t, j, append([]api.Record{accepted(t, "a")}, c.records...)...)
			for _, when := range []string{"at once", "after a kill"} {
				open := j.Unfinished()
				if len(open) != 1 {
					t.Fatalf("%s: unfinished %+v", when, open)
				}
				got := open[0]
				if (got.Started != nil) != c.started || got.Troubled != c.troubled || (got.CancelAsked != nil) != (c.cancel != "") {
					t.Errorf("%s: %+v", when, got)
				}
				if got.CancelAsked != nil && got.CancelAsked.Cause != c.cancel {
					t.Errorf("%s: cancel by %s", when, got.CancelAsked.Cause)
				}
				j = mustOpen(t, "d", small(disk.afterKill(), nil))
			}
		})
	}
}

func TestUnfinishedSaysHowItsHooksStand(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	pre := api.HookRun{Side: api.HookPre, Over: true, Error: "It ended with exit code 1."}
	post := api.HookRun{Side: api.HookPost}
	mustAppend(t, j, accepted(t, "a"), record(t, api.RecordHook, "a", api.HookRun{Side: api.HookPre}), record(t, api.RecordHook, "a", pre),
		record(t, api.RecordHook, "a", post), accepted(t, "b"), record(t, api.RecordHook, "unknown", post))
	for _, when := range []string{"at once", "after a power cut"} {
		open := j.Unfinished()
		if len(open) != 2 || !reflect.DeepEqual(open[0].PreHook, &pre) || !reflect.DeepEqual(open[0].PostHook, &post) || open[1].PreHook != nil || open[1].PostHook != nil {
			t.Fatalf("%s: unfinished %+v", when, open)
		}
		j = mustOpen(t, "d", small(disk.afterPowerCut(rand.New(rand.NewPCG(1, 2))), nil))
	}
}

func TestAnEndedIDIsNotAcceptedAnew(t *testing.T) {
	j := mustOpen(t, "d", small(newMemDisk(), nil))
	mustAppend(t, j, ended(t, "a"), accepted(t, "a"))
	if open := j.Unfinished(); len(open) != 0 {
		t.Fatalf("unfinished %+v", open)
	}
}

func TestOnlyDurableRecordsAreRead(t *testing.T) {
	j := mustOpen(t, "d", small(newMemDisk(), nil))
	mustAppend(t, j, accepted(t, "a"))
	<-j.Changed()
	mustAppend(t, j, logOf(t, "a", 1, 10))
	if got := seqs(readAll(t, j, 0)); !reflect.DeepEqual(got, []uint64{1}) {
		t.Fatalf("before the sync: %v", got)
	}
	select {
	case <-j.Changed():
		t.Fatal("signalled before anything new was durable")
	default:
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	<-j.Changed()
	if got := seqs(readAll(t, j, 1)); !reflect.DeepEqual(got, []uint64{2}) {
		t.Fatalf("after the sync: %v", got)
	}
}

func TestReadIsBoundedButNotEmpty(t *testing.T) {
	j := mustOpen(t, "d", small(newMemDisk(), nil))
	mustAppend(t, j, accepted(t, "a"), logOf(t, "a", 1, 1000), logOf(t, "a", 1, 1000), logOf(t, "a", 1, 1000), ended(t, "a"))
	for _, c := range []struct {
		after uint64
		bytes int
		want  []uint64
	}{
		{1, 1, []uint64{2}}, {1, 2200, []uint64{2, 3}}, {1, 1 << 20, []uint64{2, 3, 4, 5}}, {5, 1 << 20, []uint64{}}, {99, 1, []uint64{}},
	} {
		got, err := j.Read(c.after, c.bytes)
		if err != nil || !reflect.DeepEqual(seqs(got), c.want) {
			t.Errorf("Read(%d, %d) = %v, %v; want %v", c.after, c.bytes, seqs(got), err, c.want)
		}
	}
}

func TestBadRecordsAreRefused(t *testing.T) {
	j := mustOpen(t, "d", small(newMemDisk(), nil))
	for name, bad := range map[string]api.Record{
		"no kind":      {Body: json.RawMessage(`{}`)},
		"no body":      {Kind: api.RecordReport},
		"not JSON":     {Kind: api.RecordReport, Body: json.RawMessage(`{"a":`)},
		"wrong body":   {Kind: api.RecordAccepted, Job: "a", Body: json.RawMessage(`[1]`)},
		"no job":       {Kind: api.RecordEnded, Body: json.RawMessage(`{}`)},
		"long job":     {Kind: api.RecordReport, Job: job.ID(strings.Repeat("j", 256)), Body: json.RawMessage(`{}`)},
		"too long":     {Kind: api.RecordReport, Body: json.RawMessage(`"` + strings.Repeat("x", api.MaxRecordBody) + `"`)},
		"endless kind": {Kind: api.RecordKind(strings.Repeat("k", 256)), Body: json.RawMessage(`{}`)},
	} {
		if _, err := j.Append(accepted(t, "good"), bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if j.LastSeq() != 0 || j.Known("good") {
		t.Errorf("a refused append left something: last %d", j.LastSeq())
	}
}

func TestASecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Fatalf("second open: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, dir, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentAppendsShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemDisk()
		j := mustOpen(t, "d", small(disk, nil))
		gate := make(chan struct{})
		disk.OnSync = func() { <-gate }
		before := disk.Syncs
		done := make(chan error)
		for i := range 20 {
			go func() {
				_, err := j.Append(accepted(t, job.ID(fmt.Sprint("job", i))))
				done <- err
			}()
		}
		synctest.Wait() // one syncs, the others have written and wait
		if j.LastSeq() != 20 {
			t.Errorf("%d records written while the first sync runs", j.LastSeq())
		}
		close(gate)
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got := disk.Syncs - before; got != 2 {
			t.Errorf("%d syncs for 20 appends, want 2", got)
		}
		if len(readAll(t, j, 0)) != 20 || len(j.Unfinished()) != 20 {
			t.Error("records are missing")
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	o := small(newMemDisk(), nil)
	o.MaxBytes = 16 << 20 // so that no text has to go, however slow the reader
	j := mustOpen(t, "d", o)
	const writers, each = 8, 40
	done := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := range each {
				id := job.ID(fmt.Sprintf("job-%d-%d", w, i))
				for _, batch := range [][]api.Record{{accepted(t, id)}, {logOf(t, id, 4, 1000)}, {ended(t, id)}} {
					if _, err := j.Append(batch...); err != nil {
						done <- err
						return
					}
				}
			}
			done <- nil
		}()
	}
	counts := map[api.RecordKind]int{}
	after, finished := uint64(0), 0
	for finished < writers || after < j.LastSeq() {
		some, err := j.Read(after, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range some {
			if r.Seq != after+1 {
				t.Fatalf("record %d after %d", r.Seq, after)
			}
			after = r.Seq
			counts[r.Kind]++
		}
		if len(some) > 0 {
			if err := j.Acknowledge(after); err != nil {
				t.Fatal(err)
			}
			continue
		}
		select {
		case err := <-done:
			finished++
			if err != nil {
				t.Fatal(err)
			}
		case <-j.Changed():
		}
	}
	if counts[api.RecordAccepted] != writers*each || counts[api.RecordEnded] != writers*each || counts[api.RecordLog] != writers*each {
		t.Errorf("read %v", counts)
	}
	if len(j.Unfinished()) != 0 || j.Omitted() != 0 {
		t.Errorf("unfinished %d, omitted %d", len(j.Unfinished()), j.Omitted())
	}
}

func TestAFailedSyncBreaksTheJournal(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	mustAppend(t, j, accepted(t, "a"))
	disk.SyncErr = syscall.EIO
	if _, err := j.Append(ended(t, "a")); !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("append: %v", err)
	}
	disk.SyncErr = nil // the next one would lie
	if _, err := j.Append(accepted(t, "b")); !errors.Is(err, ErrBroken) {
		t.Fatalf("append to a broken journal: %v", err)
	}
	if err := j.Sync(); !errors.Is(err, ErrBroken) {
		t.Fatalf("sync of a broken journal: %v", err)
	}
	if got := seqs(readAll(t, j, 0)); !reflect.DeepEqual(got, []uint64{1}) {
		t.Fatalf("read %v of a broken journal", got)
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	disk.WriteErr = syscall.EIO
	if _, err := j.Append(accepted(t, "a")); !errors.Is(err, syscall.EIO) {
		t.Fatalf("append: %v", err)
	}
	if _, err := j.Append(accepted(t, "b")); !errors.Is(err, ErrBroken) {
		t.Fatalf("append after a write that could not be wiped: %v", err)
	}
	disk.WriteErr = nil
	j = mustOpen(t, "d", small(disk.afterKill(), nil))
	if j.LastSeq() != 0 || j.Known("a") {
		t.Fatal("a refused record is there")
	}
}

func TestMadeByOther(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	made := api.SnapshotMade{Snapshot: job.Snapshot{ID: "s1"}}
	mustAppend(t, j, accepted(t, "one"), record(t, api.RecordSnapshot, "one", made), ended(t, "one"), accepted(t, "two"))
	for range 2 {
		if j.MadeByOther("s1", "one") || !j.MadeByOther("s1", "two") || j.MadeByOther("s2", "two") {
			t.Error("a snapshot is given to another job than its own")
		}
		j = mustOpen(t, "d", small(disk.afterKill(), nil))
	}
}
