package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit/crashdisk"
)

// witness remembers what a journal has promised, over all its starts.
type witness struct {
	id       string
	promised map[job.ID]map[api.RecordKind][]byte // returned accepted, ended and cancel records
	given    map[string]bool                      // everything ever given to Append
	sent     map[uint64][]byte                    // what Read returned
	cursor   uint64                               // what the server has acknowledged
	jobs     int
}

func newWitness() *witness {
	return &witness{promised: map[job.ID]map[api.RecordKind][]byte{}, given: map[string]bool{}, sent: map[uint64][]byte{}}
}

func content(r api.Record) []byte {
	return fmt.Appendf(nil, "%s %s %d %s", r.Kind, r.Job, r.At, r.Body)
}

// work runs jobs until the power is cut; it returns nil when it came to its end.
func (w *witness) work(t *testing.T, j *Journal, rounds int) error {
	add := func(records ...api.Record) error {
		for _, r := range records {
			w.given[string(content(r))] = true
		}
		written, err := j.Append(records...)
		if err != nil {
			return err
		}
		for _, r := range written {
			if mustSync(r.Kind) {
				if w.promised[r.Job] == nil {
					w.promised[r.Job] = map[api.RecordKind][]byte{}
				}
				w.promised[r.Job][r.Kind] = content(r)
			}
		}
		return nil
	}
	for range rounds {
		w.jobs++
		id := job.ID(fmt.Sprint("job", w.jobs))
		if err := add(accepted(t, id)); err != nil {
			return err
		}
		if err := add(record(t, api.RecordStarted, id, api.Started{PID: w.jobs})); err != nil {
			return err
		}
		for range 4 {
			if err := add(logOf(t, id, 2, 4000)); err != nil {
				return err
			}
		}
		if w.jobs%2 == 0 {
			if err := j.Sync(); err != nil {
				return err
			}
		}
		if w.jobs%3 == 0 {
			if err := add(record(t, api.RecordCancel, id, api.CancelAsked{Cause: job.CauseOperator})); err != nil {
				return err
			}
		}
		if w.jobs%6 != 3 {
			if err := add(ended(t, id), due(t, id+"b", "")); err != nil {
				return err
			}
			if w.jobs%2 == 0 {
				if err := add(accepted(t, id+"b")); err != nil {
					return err
				}
			}
		}
		if err := w.send(j); err != nil {
			return err
		}
	}
	return j.Close()
}

// send is the session: it reads, and the server has what it sent.
func (w *witness) send(j *Journal) error {
	for after := w.cursor; ; {
		some, err := j.Read(after, 30_000)
		if err != nil {
			return err
		}
		if len(some) == 0 {
			return nil
		}
		for _, r := range some {
			w.sent[r.Seq] = content(r)
			after = r.Seq
		}
		w.cursor = after
		if err := j.Acknowledge(after); err != nil {
			return err
		}
	}
}

// check compares a journal that was opened again with what was promised.
func (w *witness) check(t *testing.T, j *Journal) {
	t.Helper()
	if w.id == "" {
		w.id = j.ID()
	}
	if j.ID() != w.id && len(w.sent) > 0 {
		t.Fatal("the journal has a new id")
	}
	w.id = j.ID()
	all := readAll(t, j, 0)
	there := map[string]bool{}
	for _, r := range all {
		there[string(content(r))] = true
	}
	for id, kinds := range w.promised {
		if dueOnly := len(kinds) == 1 && kinds[api.RecordDue] != nil; !j.Noted(id) || !dueOnly && !j.Known(id) {
			t.Fatalf("%s is not known any more", id)
		}
		for kind, want := range kinds {
			if !there[string(want)] {
				t.Fatalf("%s of %s is lost", kind, id)
			}
		}
	}
	open := map[job.ID]Unfinished{}
	for _, one := range j.Unfinished() {
		open[one.ID] = one
	}
	held := map[job.ID]bool{}
	for _, one := range j.Held() {
		held[one.ID] = true
	}
	for id, kinds := range w.promised {
		if kinds[api.RecordDue] != nil && len(kinds) == 1 && !held[id] && !j.Known(id) {
			t.Fatalf("%s is due and not held", id)
		}
		if held[id] && len(kinds) > 1 {
			t.Fatalf("%s is held and was accepted or ended", id)
		}
		if _, ended := kinds[api.RecordEnded]; ended {
			if _, ok := open[id]; ok {
				t.Fatalf("%s has ended and is unfinished", id)
			}
		}
		if _, cancel := kinds[api.RecordCancel]; cancel && kinds[api.RecordEnded] == nil {
			if one, ok := open[id]; ok && one.CancelAsked == nil {
				t.Fatalf("the cancel of %s is lost", id)
			}
		}
	}
	for seq := range w.sent {
		if seq > j.LastSeq() {
			t.Fatalf("record %d was sent, the last is %d", seq, j.LastSeq())
		}
	}
	if err := j.Acknowledge(w.cursor); err != nil { // what welcome says
		t.Fatal(err)
	}
	last := uint64(0)
	for _, r := range all {
		if r.Seq <= last {
			t.Fatalf("record %d after %d", r.Seq, last)
		}
		if r.Seq > w.cursor && r.Seq > last+1 && r.Kind != api.RecordGap {
			t.Fatalf("record %d after %d, and no gap", r.Seq, last)
		}
		last = r.Seq
		got := content(r)
		if sent, ok := w.sent[r.Seq]; ok && !bytes.Equal(got, sent) && !isNote(t, r) {
			t.Fatalf("record %d was sent as %.80q, and is %.80q", r.Seq, sent, got)
		}
		if r.Kind != api.RecordGap && !w.given[string(got)] && !isNote(t, r) {
			t.Fatalf("record %d was never given: %.80q", r.Seq, got)
		}
	}
}

// isNote tells whether r is one that the journal makes of omitted text.
func isNote(t *testing.T, r api.Record) bool {
	if r.Kind != api.RecordLog {
		return false
	}
	log := bodyOf[api.Log](t, r)
	return len(log.Lines) == 0 && log.Omitted > 0
}

// TestPowerCutAtEveryStep cuts the power before each step that the journal makes
// on the disk, and once more at a random step of the start after that.
func TestPowerCutAtEveryStep(t *testing.T) {
	options := func(disk *memDisk) Options {
		o := small(disk, func() time.Time { return testStart })
		o.Reserve, o.MaxBytes = 16<<10, 192<<10
		return o
	}
	const rounds = 10
	whole := newMemDisk()
	w := newWitness()
	j := mustOpen(t, "d", options(whole))
	if err := w.work(t, j, rounds); err != nil {
		t.Fatal(err)
	}
	if j.header.floor == 0 {
		t.Fatal("the work never made the journal compact itself")
	}
	steps, every := whole.Steps, 1
	if testing.Short() {
		every = 7
	}
	cuts, torn := 0, 0
	for first := 1; first <= steps; first += every {
		random := rand.New(rand.NewPCG(uint64(first), 1))
		w, disk := newWitness(), newMemDisk()
		disk.CutAt = first
		for range 2 {
			j, err := Open("d", options(disk))
			if err == nil {
				if disk.CutAt == first && w.jobs == 0 {
					w.id = j.ID()
				} else {
					w.check(t, j)
					if j.CutBytes() > 0 {
						torn++
					}
				}
				err = w.work(t, j, rounds)
			}
			if err == nil {
				break // this start made less steps than the cut waits for
			}
			if !errors.Is(err, crashdisk.ErrPowerCut) {
				t.Fatalf("cut before step %d: %v", first, err)
			}
			cuts++
			disk = disk.afterPowerCut(random)
			disk.CutAt = 1 + random.IntN(steps)
		}
		disk = disk.afterPowerCut(random)
		j, err := Open("d", options(disk))
		if err != nil {
			t.Fatalf("cut before step %d, then the power stays: %v", first, err)
		}
		w.check(t, j)
		if len(disk.asides()) > 0 && j.ID() != w.id {
			t.Fatal("a power cut was taken for a damaged header")
		}
		if err := w.work(t, j, 1); err != nil {
			t.Fatal(err)
		}
		again := mustOpen(t, "d", options(disk))
		if again.CutBytes() != 0 {
			t.Fatalf("cut before step %d: the repaired journal is damaged: %s", first, again.Damage())
		}
		w.check(t, again)
	}
	t.Logf("%d steps, %d power cuts, %d of them left a torn end", steps, cuts, torn)
	if torn == 0 {
		t.Error("no cut left a torn end: the disk of this test is too kind")
	}
}

// TestAKillLosesNothing ends only the process: all that was written is there.
func TestAKillLosesNothing(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	mustAppend(t, j, accepted(t, "a"), record(t, api.RecordStarted, "a", api.Started{PID: 1}), logOf(t, "a", 1, 100))
	mustAppend(t, j, record(t, api.RecordReport, "", api.Report{Topic: api.ReportLockLeft}))
	j = mustOpen(t, "d", small(disk.afterKill(), nil))
	if got := readAll(t, j, 0); len(got) != 4 || j.CutBytes() != 0 {
		t.Fatalf("%d records, cut %d", len(got), j.CutBytes())
	}
	if disk.Names["d/journal"].Unsynced() {
		t.Error("what the killed process had not synced was read without a sync")
	}
}

// TestAKillAndLaterAPowerCut kills the process before each step of its start, of some
// work and of a compaction, lets the next one promise something, and cuts the power.
func TestAKillAndLaterAPowerCut(t *testing.T) {
	options := func(disk *memDisk) Options {
		o := small(disk, func() time.Time { return testStart })
		o.Reserve, o.MaxBytes = 16<<10, 192<<10
		return o
	}
	const rounds = 10
	whole := newMemDisk()
	if err := newWitness().work(t, mustOpen(t, "d", options(whole)), rounds); err != nil {
		t.Fatal(err)
	}
	for killed := 1; killed <= whole.Steps; killed++ {
		w, disk := newWitness(), newMemDisk()
		disk.CutAt = killed
		j, err := Open("d", options(disk))
		if err == nil {
			err = w.work(t, j, rounds)
		}
		if err != nil && !errors.Is(err, crashdisk.ErrPowerCut) {
			t.Fatal(err)
		}
		disk = disk.afterKill()
		j = mustOpen(t, "d", options(disk))
		mustAppend(t, j, accepted(t, "promised"))
		after := mustOpen(t, "d", options(disk.afterPowerCut(rand.New(rand.NewPCG(uint64(killed), 2)))))
		if !after.Known("promised") {
			t.Fatalf("killed before step %d: what the next start promised is lost", killed)
		}
	}
}
