package journal

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

func due(t testing.TB, id job.ID, skip job.Cause) api.Record {
	return record(t, api.RecordDue, id, api.Due{Group: "g", Occasion: job.Occasion{Schedule: "s", ScheduledAt: 7}, Skip: skip})
}

func heldIDs(j *Journal) []job.ID {
	ids := []job.ID{}
	for _, one := range j.Held() {
		ids = append(ids, one.ID)
	}
	return ids
}

// TestHeld walks through what is held, known and noted after a few records.
func TestHeld(t *testing.T) {
	cases := []struct {
		name         string
		records      []api.Record
		held         []job.ID
		known, noted []job.ID // of a, b and c
		endedLast    job.ID
	}{
		{"nothing", nil, []job.ID{}, nil, nil, ""},
		{"due", []api.Record{due(t, "a", "")}, []job.ID{"a"}, nil, []job.ID{"a"}, ""},
		{"in their order", []api.Record{due(t, "b", ""), due(t, "a", "")}, []job.ID{"b", "a"}, nil, []job.ID{"a", "b"}, ""},
		{"said twice", []api.Record{due(t, "a", ""), due(t, "a", "")}, []job.ID{"a"}, nil, []job.ID{"a"}, ""},
		{"accepted", []api.Record{due(t, "a", ""), accepted(t, "a")}, []job.ID{}, []job.ID{"a"}, []job.ID{"a"}, ""},
		{"ended while it was held", []api.Record{due(t, "a", ""), ended(t, "a")}, []job.ID{}, []job.ID{"a"}, []job.ID{"a"}, "a"},
		{"due after its end", []api.Record{ended(t, "a"), due(t, "a", "")}, []job.ID{}, []job.ID{"a"}, []job.ID{"a"}, ""},
		{"skipped", []api.Record{due(t, "a", job.CausePaused)}, []job.ID{}, nil, []job.ID{"a"}, ""},
		{"skipped, and accepted all the same", []api.Record{due(t, "a", job.CausePaused), accepted(t, "a")}, []job.ID{}, []job.ID{"a"}, []job.ID{"a"}, ""},
		{"replaced", []api.Record{due(t, "a", ""), ended(t, "a"), due(t, "b", "")}, []job.ID{"b"}, []job.ID{"a"}, []job.ID{"a", "b"}, ""},
		{"retried", []api.Record{accepted(t, "a"), ended(t, "a"), due(t, "b", "")}, []job.ID{"b"}, []job.ID{"a"}, []job.ID{"a", "b"}, ""},
		{"ended, then a report", []api.Record{accepted(t, "a"), ended(t, "a"), record(t, api.RecordReport, "", api.Report{})}, []job.ID{}, []job.ID{"a"}, []job.ID{"a"}, "a"},
		{"ended, then a log", []api.Record{accepted(t, "b"), ended(t, "a"), logOf(t, "b", 1, 5)}, []job.ID{}, []job.ID{"a", "b"}, []job.ID{"a", "b"}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			disk := newMemDisk()
			j := mustOpen(t, "d", small(disk, nil))
			mustAppend(t, j, c.records...)
			for _, when := range []string{"at once", "after a kill"} {
				if got := heldIDs(j); !slices.Equal(got, c.held) {
					t.Errorf("%s: held %v", when, got)
				}
				for _, id := range []job.ID{"a", "b", "c"} {
					if j.Known(id) != slices.Contains(c.known, id) || j.Noted(id) != slices.Contains(c.noted, id) {
						t.Errorf("%s: %s: known %v, noted %v", when, id, j.Known(id), j.Noted(id))
					}
				}
				if got := j.EndedLast(); got != c.endedLast {
					t.Errorf("%s: %q ended last", when, got)
				}
				j = mustOpen(t, "d", small(disk.afterKill(), nil))
			}
		})
	}
}

func TestHeldSaysAllThatItsRecordSays(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	said := api.Due{Group: "g", Occasion: job.Occasion{Schedule: "s", ScheduledAt: 7, Root: "r", Retry: 2}, NotBefore: 99}
	written := mustAppend(t, j, accepted(t, "r"), record(t, api.RecordDue, "a", said))
	want := []Held{{ID: "a", At: testStart.UnixMilli(), Due: said, Seq: written[1].Seq}}
	for range 2 {
		if got := j.Held(); !reflect.DeepEqual(got, want) {
			t.Errorf("held %+v", got)
		}
		j = mustOpen(t, "d", small(disk.afterKill(), nil))
	}
}

func TestADueRecordIsDurableBeforeItCanBeSent(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	mustAppend(t, j, due(t, "a", ""))
	if disk.Names["d/journal"].Unsynced() || len(readAll(t, j, 0)) != 1 {
		t.Error("what is due is not on the disk")
	}
	if _, err := j.Append(due(t, "", "")); err == nil {
		t.Error("a run without an id was taken")
	}
	if _, err := j.Append(api.Record{Kind: api.RecordDue, Job: "b", Body: []byte(`{"retry":"many"}`)}); err == nil {
		t.Error("a body that can't be read was taken")
	}
}

// TestCompactionKeepsWhatIsHeld lets half a year pass over acknowledged records.
func TestCompactionKeepsWhatIsHeld(t *testing.T) {
	disk, now := newMemDisk(), testStart
	o := small(disk, func() time.Time { return now })
	j := mustOpen(t, "d", o)
	mustAppend(t, j, due(t, "held", ""), due(t, "skipped", job.CauseMissed), due(t, "done", ""), accepted(t, "done"))
	for range 40 {
		mustAppend(t, j, logOf(t, "done", 1, 8000))
	}
	mustAppend(t, j, ended(t, "done"))
	before := size(t, disk)
	now = now.Add(180 * 24 * time.Hour)
	if err := j.Acknowledge(j.LastSeq()); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at once", "reopened"} {
		if left := readAll(t, j, 0); len(left) != 2 || left[0].Job != "held" || left[1].Seq != j.LastSeq() || size(t, disk) > before/2 {
			t.Errorf("%s: %d records are left, %d bytes", when, len(left), size(t, disk))
		}
		if got := heldIDs(j); !slices.Equal(got, []job.ID{"held"}) {
			t.Errorf("%s: held %v", when, got)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = mustOpen(t, "d", o)
	}
	mustAppend(t, j, accepted(t, "held"))
	if len(j.Held()) != 0 || len(j.Unfinished()) != 1 {
		t.Error("what was held for long is not accepted")
	}
}

// TestAnEndWhoseCompanyIsLost cuts off what was appended together with an end.
func TestAnEndWhoseCompanyIsLost(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	mustAppend(t, j, accepted(t, "a"))
	mustAppend(t, j, ended(t, "a"), due(t, "b", ""))
	torn := disk.afterKill()
	clear(torn.Names["d/journal"].Content[j.tail-3 : j.tail])
	j = mustOpen(t, "d", small(torn, nil))
	if j.Damage() == "" || j.EndedLast() != "a" || len(j.Held()) != 0 {
		t.Errorf("damage %q, ended last %q, held %v", j.Damage(), j.EndedLast(), heldIDs(j))
	}
	mustAppend(t, j, due(t, "b", ""))
	if j.EndedLast() != "" || len(j.Held()) != 1 {
		t.Errorf("ended last %q, held %v", j.EndedLast(), heldIDs(j))
	}
}

// TestAClockAheadForgetsNothing compacts while the clock is wrong by a year: what
// ran stays known.
func TestAClockAheadForgetsNothing(t *testing.T) {
	disk, now := newMemDisk(), testStart
	o := small(disk, func() time.Time { return now })
	o.Recent = 0 // as an agent has it
	j := mustOpen(t, "d", o)
	mustAppend(t, j, accepted(t, "ran"), ended(t, "ran"), accepted(t, "logged"))
	for range 40 {
		mustAppend(t, j, logOf(t, "logged", 1, 8000))
	}
	mustAppend(t, j, ended(t, "logged"))
	before := size(t, disk)
	now = now.Add(365 * 24 * time.Hour)
	if err := j.Acknowledge(j.LastSeq()); err != nil {
		t.Fatal(err)
	}
	if size(t, disk) > before/2 {
		t.Fatal("it was not compacted, so nothing is shown")
	}
	now = testStart
	if j = mustOpen(t, "d", small(disk.afterKill(), nil)); !j.Known("ran") || !j.Known("logged") {
		t.Error("what ran is forgotten")
	}
	if left := readAll(t, j, 0); len(left) != 4 {
		t.Errorf("%d state records are left, want 4", len(left))
	}
}
