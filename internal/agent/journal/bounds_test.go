package journal

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

func size(t testing.TB, disk *memDisk) int64 {
	t.Helper()
	node, ok := disk.Names["d/journal"]
	if !ok {
		t.Fatal("no journal")
	}
	return int64(len(node.Content))
}

func omittedIn(t testing.TB, records []api.Record) (lines, omitted int) {
	for _, r := range records {
		if r.Kind == api.RecordLog {
			log := bodyOf[api.Log](t, r)
			lines += len(log.Lines)
			omitted += log.Omitted
		}
	}
	return lines, omitted
}

func TestTheReserveIsTrulyWritten(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	for range 100 {
		mustAppend(t, j, logOf(t, "a", 1, 700))
		if free := int64(len(disk.Names["d/journal"].Durable)) - j.tail; free < j.reserve {
			t.Fatalf("%d bytes are left of a reserve of %d", free, j.reserve)
		}
	}
}

func TestAcknowledge(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	mustAppend(t, j, accepted(t, "a"), ended(t, "a"), accepted(t, "b"))
	for _, c := range []struct {
		cursor, want uint64
		err          error
	}{{2, 2, nil}, {1, 2, nil}, {4, 2, ErrAhead}, {3, 3, nil}} {
		if err := j.Acknowledge(c.cursor); !errors.Is(err, c.err) {
			t.Errorf("Acknowledge(%d): %v", c.cursor, err)
		}
		if got := j.Acknowledged(); got != c.want {
			t.Errorf("after Acknowledge(%d): %d", c.cursor, got)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, "d", small(disk, nil))
	if j.Acknowledged() != 3 || j.LastSeq() != 3 {
		t.Errorf("reopened: acknowledged %d of %d", j.Acknowledged(), j.LastSeq())
	}
}

// TestCompactionFreesWhatMayGo walks through what is freed and what stays.
func TestCompactionFreesWhatMayGo(t *testing.T) {
	day := 24 * time.Hour
	cases := []struct {
		name         string
		end          bool // the job ends
		acknowledge  bool
		later        time.Duration // from the records to the compaction
		logs, states int           // that are left; 40 and 1 or 2 were written
	}{
		{"not acknowledged", true, false, 100 * day, 40, 2},
		{"acknowledged", true, true, day, 0, 2},
		{"acknowledged and old", true, true, 100 * day, 0, 1}, // the newest
		{"unfinished and old", false, true, 100 * day, 40, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			disk, now := newMemDisk(), testStart
			o := small(disk, func() time.Time { return now })
			j := mustOpen(t, "d", o)
			id := j.ID()
			mustAppend(t, j, accepted(t, "a"))
			for range 40 {
				mustAppend(t, j, logOf(t, "a", 1, 8000))
			}
			if c.end {
				mustAppend(t, j, ended(t, "a"))
			}
			if err := j.Sync(); err != nil {
				t.Fatal(err)
			}
			last, before := j.LastSeq(), size(t, disk)
			now = now.Add(c.later)
			if c.acknowledge {
				if err := j.Acknowledge(last); err != nil {
					t.Fatal(err)
				}
			}
			for _, when := range []string{"at once", "reopened"} {
				counts := map[bool]int{}
				for _, r := range readAll(t, j, 0) {
					counts[r.Kind == api.RecordLog]++
				}
				if counts[true] != c.logs || counts[false] != c.states {
					t.Errorf("%s: %d logs and %d states are left", when, counts[true], counts[false])
				}
				if shrunk := size(t, disk) < before/2; shrunk != (c.logs == 0) {
					t.Errorf("%s: %d bytes of %d are left", when, size(t, disk), before)
				}
				if j.LastSeq() != last || j.ID() != id || j.CutBytes() != 0 {
					t.Errorf("%s: last %d, id %s, cut %d", when, j.LastSeq(), j.ID(), j.CutBytes())
				}
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				j = mustOpen(t, "d", o)
			}
			if got := mustAppend(t, j, accepted(t, "b"))[0].Seq; got != last+1 {
				t.Errorf("next is %d after %d", got, last)
			}
			if got := seqs(readAll(t, j, last)); !reflect.DeepEqual(got, []uint64{last + 1}) {
				t.Errorf("read %v", got)
			}
			if c.later < 90*day && !j.Known("a") {
				t.Error("a job is forgotten before its time")
			}
		})
	}
}

func TestAFullJournalShortensItsOldestText(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	mustAppend(t, j, accepted(t, "a"))
	const written = 200 // of 8,000 bytes: three times the bound
	for i := range written {
		mustAppend(t, j, logOf(t, "a", 4, 2000))
		if i%50 == 0 {
			mustAppend(t, j, accepted(t, job.ID(fmt.Sprint("job", i))))
		}
	}
	mustAppend(t, j, ended(t, "a"))
	all := readAll(t, j, 0)
	for i, r := range all {
		if r.Seq != uint64(i)+1 {
			t.Fatalf("record %d stands at %d", r.Seq, i)
		}
	}
	if len(all) != written+6 {
		t.Fatalf("%d records", len(all))
	}
	lines, omitted := omittedIn(t, all)
	if lines+omitted != 4*written || omitted == 0 || lines < 4*written/8 || int64(omitted) != j.Omitted() {
		t.Errorf("%d lines, %d omitted, counted %d", lines, omitted, j.Omitted())
	}
	firstWhole := slices.IndexFunc(all, func(r api.Record) bool { return r.Kind == api.RecordLog && len(bodyOf[api.Log](t, r).Lines) > 0 })
	for _, r := range all[firstWhole:] {
		if r.Kind == api.RecordLog && bodyOf[api.Log](t, r).Omitted > 0 {
			t.Fatalf("record %d was shortened, though older text is there", r.Seq)
		}
	}
	if got := size(t, disk); got > j.maxBytes+j.reserve+j.step {
		t.Errorf("%d bytes, more than %d", got, j.maxBytes)
	}
}

func TestAcknowledgedTextGoesBeforeTheRest(t *testing.T) {
	j := mustOpen(t, "d", small(newMemDisk(), nil))
	mustAppend(t, j, accepted(t, "a"))
	for range 20 {
		mustAppend(t, j, logOf(t, "a", 1, 8000))
	}
	mustAppend(t, j, ended(t, "a"), accepted(t, "b"))
	if err := j.Acknowledge(j.LastSeq()); err != nil {
		t.Fatal(err)
	}
	from := j.LastSeq()
	for range 50 {
		mustAppend(t, j, logOf(t, "b", 1, 8000))
	}
	mustAppend(t, j, ended(t, "b"))
	lines, omitted := omittedIn(t, readAll(t, j, from))
	if lines != 50 || omitted != 0 || j.Omitted() != 0 {
		t.Errorf("%d lines, %d omitted, counted %d", lines, omitted, j.Omitted())
	}
}

func TestStateMayExceedTheBound(t *testing.T) {
	o := small(newMemDisk(), nil)
	o.MaxBytes = 20 << 10
	j := mustOpen(t, "d", o)
	for i := range 400 {
		mustAppend(t, j, accepted(t, job.ID(fmt.Sprint("job", i))))
	}
	got := mustAppend(t, j, logOf(t, "job1", 3, 10))
	if got[0].Seq != 0 || j.Omitted() != 3 {
		t.Errorf("log record %d, %d omitted", got[0].Seq, j.Omitted())
	}
	mustAppend(t, j, ended(t, "job1"))
	of, err := j.RecordsOf("job1")
	if err != nil || len(of) != 3 || bodyOf[api.Log](t, of[1]).Omitted != 3 {
		t.Errorf("%+v, %v", of, err)
	}
}

func TestAFullDiskTakesStateAndCountsText(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	disk.Capacity = disk.Used()
	warn := record(t, api.RecordLog, "a", api.Log{Lines: []job.LogLine{{Level: job.LogError, Text: "no space left"}}})
	mustAppend(t, j, accepted(t, "a"))
	left := 0
	for range 50 {
		if mustAppend(t, j, logOf(t, "a", 2, 100))[0].Seq == 0 {
			left += 2
		}
	}
	if mustAppend(t, j, warn)[0].Seq != 0 {
		t.Fatal("there was room for more text")
	}
	left++
	if left == 1 || left == 101 || int64(left) != j.Omitted() {
		t.Fatalf("%d lines were left out, %d counted", left, j.Omitted())
	}
	if open := j.Unfinished(); !open[0].Troubled {
		t.Error("a warning that found no room is forgotten")
	}
	for i := range 10 {
		mustAppend(t, j, accepted(t, job.ID(fmt.Sprint("job", i))))
	}
	mustAppend(t, j, ended(t, "job0"), record(t, api.RecordSnapshot, "job0", api.SnapshotMade{}), record(t, api.RecordReport, "", api.Report{Topic: api.ReportLockLeft}))
	for _, capacity := range []int64{disk.Capacity, 0} {
		disk.Capacity = capacity // first full as before, then not
		j = mustOpen(t, "d", small(disk.afterKill(), nil))
		if len(j.Unfinished()) != 10 || j.CutBytes() != 0 {
			t.Fatalf("%d unfinished, cut %d", len(j.Unfinished()), j.CutBytes())
		}
	}

	// Full again, until nothing at all goes in; what is in stays.
	disk.Capacity = disk.Used()
	accepts := 0
	for {
		_, err := j.Append(accepted(t, job.ID(fmt.Sprint("more", accepts))))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		accepts++
	}
	if accepts < 30 {
		t.Errorf("a reserve of %d bytes took %d jobs", j.reserve, accepts)
	}
	j = mustOpen(t, "d", small(disk.afterKill(), nil))
	if len(j.Unfinished()) != 10+accepts || j.CutBytes() != 0 {
		t.Errorf("%d unfinished, cut %d", len(j.Unfinished()), j.CutBytes())
	}
}

func TestTheFileAlwaysEndsWithZeros(t *testing.T) {
	for short, want := range map[int64]error{frameHeader - 1: ErrFull, frameHeader: nil} {
		disk := newMemDisk()
		j := mustOpen(t, "d", small(disk, nil))
		disk.Capacity = disk.Used()
		r := record(t, api.RecordReport, "", api.Report{})
		empty := frame{kind: []byte(r.Kind), body: r.Body}.size()
		r = record(t, api.RecordReport, "", api.Report{Detail: strings.Repeat("x", int(j.size-j.tail-short-empty)-len(`,"detail":""`))})
		if _, err := j.Append(r); !errors.Is(err, want) {
			t.Errorf("%d bytes left: %v", short, err)
		}
		if j.size-j.tail != short && want == nil {
			t.Errorf("%d bytes are left, not %d", j.size-j.tail, short)
		}
		if j = mustOpen(t, "d", small(disk.afterKill(), nil)); j.Damage() != "" {
			t.Errorf("%d bytes left: %s", short, j.Damage())
		}
	}
}

func TestOmittedTextIsReported(t *testing.T) {
	for _, roomAgain := range []bool{true, false} {
		t.Run(fmt.Sprint("room again ", roomAgain), func(t *testing.T) {
			disk := newMemDisk()
			j := mustOpen(t, "d", small(disk, nil))
			disk.Capacity = disk.Used()
			mustAppend(t, j, accepted(t, "a"))
			for range 40 {
				mustAppend(t, j, logOf(t, "a", 2, 100))
			}
			if roomAgain {
				disk.Capacity = 0
				if mustAppend(t, j, logOf(t, "a", 2, 100))[0].Seq == 0 {
					t.Fatal("no room on an empty disk")
				}
			}
			mustAppend(t, j, ended(t, "a"))
			all := readAll(t, j, 0)
			lines, omitted := omittedIn(t, all)
			written := 80
			if roomAgain {
				written += 2
			}
			if lines+omitted != written || omitted == 0 || int64(omitted) != j.Omitted() {
				t.Errorf("%d lines, %d omitted, counted %d", lines, omitted, j.Omitted())
			}
			if last := all[len(all)-1]; last.Kind != api.RecordEnded {
				t.Errorf("last is %s", last.Kind)
			}
		})
	}
}

func TestRewind(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	mustAppend(t, j, accepted(t, "a")) // 1
	for range 40 {                     // 2 to 41
		mustAppend(t, j, logOf(t, "a", 1, 8000))
	}
	mustAppend(t, j, ended(t, "a"), accepted(t, "b")) // 42, 43
	if err := j.Acknowledge(43); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cursor uint64
		gap    *api.Gap
	}{
		{43, nil},
		{41, nil},
		{10, &api.Gap{From: 11, To: 41}},
		{0, &api.Gap{From: 2, To: 41}},
	} {
		if err := j.Acknowledge(43); err != nil {
			t.Fatal(err)
		}
		got, err := j.Rewind(c.cursor)
		if err != nil {
			t.Fatal(err)
		}
		if got != nil {
			if got.Reason == "" {
				t.Error("a gap without a reason")
			}
			got.Reason = ""
		}
		if !reflect.DeepEqual(got, c.gap) {
			t.Errorf("Rewind(%d) = %+v, want %+v", c.cursor, got, c.gap)
		}
		if j.Acknowledged() != c.cursor {
			t.Errorf("acknowledged %d", j.Acknowledged())
		}
	}
	if got := seqs(readAll(t, j, 0)); !reflect.DeepEqual(got, []uint64{1, 42, 43}) {
		t.Errorf("left are %v", got)
	}
	if _, err := j.Rewind(44); !errors.Is(err, ErrAhead) {
		t.Errorf("Rewind(44): %v", err)
	}
	if _, err := j.Rewind(0); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, "d", small(disk.afterKill(), nil))
	if j.Acknowledged() != 0 {
		t.Errorf("after a kill %d is acknowledged: its records could be freed", j.Acknowledged())
	}
}
