package agent

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit/crashdisk"
)

// cutDisk is a disk that loses power, under an agent's journal.
type cutDisk struct{ *crashdisk.Disk }

func (d cutDisk) Open(path string) (journal.File, error)   { return openedOn(d.Disk.Open(path)) }
func (d cutDisk) Create(path string) (journal.File, error) { return openedOn(d.Disk.Create(path)) }
func (d cutDisk) Lock(string) (io.Closer, error)           { return io.NopCloser(nil), nil }

func openedOn(file *crashdisk.File, err error) (journal.File, error) {
	if err != nil {
		return nil, err
	}
	return file, nil
}

// coverage counts how often each moment of each group is told of in the journal.
func (r *clockRig) coverage(every time.Duration) map[job.GroupID]map[int64]int {
	r.t.Helper()
	records, err := r.journal.Read(0, 8<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	told := map[job.GroupID]map[int64]int{}
	for _, record := range records {
		body, err := record.Decode()
		if err != nil {
			r.t.Fatal(err)
		}
		due, ok := body.(*api.Due)
		if !ok {
			continue
		}
		if told[due.Group] == nil {
			told[due.Group] = map[int64]int{}
		}
		for at := due.ScheduledAt; at <= max(due.Until, due.ScheduledAt); at += every.Milliseconds() {
			told[due.Group][at]++
		}
	}
	return told
}

// TestNoMomentIsLostToAPowerCut cuts the power before every step that the disk
// takes while moments fall due, are missed and replace each other. The agent lives
// on for a while, as it does on a disk that fails.
func TestNoMomentIsLostToAPowerCut(t *testing.T) {
	const every = 30 * time.Minute
	plan := planOf(2, ruleOf("*/30 * * * *"))
	end := noon.Add(7 * time.Hour)
	for cut, reached := 1, true; reached; cut++ {
		disk := crashdisk.New()
		r := newClockRigOn(t, plan, cutDisk{disk})
		disk.CutAt = disk.Steps + cut
		for r.now.Before(end) {
			if r.now.Equal(noon.Add(70 * time.Minute)) {
				r.now = noon.Add(220 * time.Minute) // it was asleep
			}
			r.now = r.now.Add(10 * time.Minute)
			r.look()
		}
		reached = disk.Steps >= disk.CutAt
		_ = r.Close() // the disk is gone
		disk = disk.AfterPowerCut(rand.New(rand.NewPCG(uint64(cut), 1)))
		disk.CutAt, r.disk = 0, cutDisk{disk}
		r.open(r.options.Dir)
		r.look()
		told := r.coverage(every)
		for _, group := range plan.Groups {
			for at := noon.Add(every); !at.After(end); at = at.Add(every) {
				if times := told[group.Group][at.UnixMilli()]; times != 1 {
					t.Errorf("cut before step %d: %s is told of %d times", cut, at, times)
				}
			}
		}
		for _, held := range r.journal.Held() {
			if held.Due.ScheduledAt != end.UnixMilli() {
				t.Errorf("cut before step %d: held = %+v", cut, held)
			}
		}
		if held := r.journal.Held(); len(held) != len(plan.Groups) {
			t.Errorf("cut before step %d: %d are held", cut, len(held))
		}
	}
}
