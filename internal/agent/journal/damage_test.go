package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit/crashdisk"
)

// sample makes a journal of ten records, some of them sent, and returns its
// file, its records and where the frame of each ends.
func sample(t testing.TB) (content []byte, records []api.Record, ends []int64) {
	disk := newMemDisk()
	o := small(disk, nil)
	o.Reserve = 1 << 10
	j := mustOpen(t, "d", o)
	mustAppend(t, j, accepted(t, "a"), logOf(t, "a", 2, 30), accepted(t, "b"), ended(t, "a"))
	if err := j.Acknowledge(4); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, logOf(t, "b", 1, 300), record(t, api.RecordStarted, "b", api.Started{PID: 3}))
	mustAppend(t, j, logOf(t, "b", 1, 20), record(t, api.RecordCancel, "b", api.CancelAsked{Cause: job.CauseOperator}), ended(t, "b"), accepted(t, "c"))
	records = readAll(t, j, 0)
	if err := walk(j.file, headerSize, j.tail, func(f frame, offset int64) error {
		if !f.mark() {
			ends = append(ends, offset+f.size())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(disk.Names["d/journal"].Content), records, ends
}

// diskWith has content as its journal.
func diskWith(content []byte) *memDisk {
	disk := newMemDisk()
	node := &crashdisk.Inode{Content: bytes.Clone(content), Durable: bytes.Clone(content)}
	disk.Names["d/journal"], disk.DurableNames["d/journal"] = node, node
	return disk
}

// TestDamageOnAFullDisk: that the damage can't be kept keeps no backup waiting.
func TestDamageOnAFullDisk(t *testing.T) {
	whole, records, ends := sample(t)
	whole[ends[4]+40] ^= 0x10
	disk := diskWith(whole)
	disk.Capacity = disk.Used()
	j := mustOpen(t, "d", small(disk, nil))
	if len(disk.asides()) != 0 || !strings.Contains(j.Damage(), "could not be kept") {
		t.Errorf("set aside %v, damage %q", disk.asides(), j.Damage())
	}
	if got := readAll(t, j, 0); len(got) != 6 || !reflect.DeepEqual(got[:5], records[:5]) {
		t.Errorf("read %v", seqs(got))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDamage(t *testing.T) {
	whole, records, ends := sample(t)
	last := uint64(len(records))
	end := ends[last-1]
	header, _ := decodeHeader(whole)
	id := header.name()
	flip := func(at int64) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0x10; return b }
	}
	cases := []struct {
		name   string
		damage func([]byte) []byte
		kept   int  // records before the damage
		aside  bool // whole frames were behind it
		newID  bool
	}{
		{"none", func(b []byte) []byte { return b }, 10, false, false},
		{"torn last frame", func(b []byte) []byte { clear(b[end-7:]); return b }, 9, false, false},
		{"bit in the last frame", flip(end - 3), 9, false, false},
		{"bit in the last frame's length", flip(ends[8]), 9, false, false},
		{"bit in the last frame's number", flip(ends[8] + 9), 9, false, false},
		{"last frame cleared at its head", func(b []byte) []byte { clear(b[ends[8] : ends[8]+20]); return b }, 9, false, false},
		{"garbage behind", func(b []byte) []byte { copy(b[end+100:], "garbage"); return b }, 10, false, false},
		{"bit in the middle", flip(ends[4] + 40), 5, true, false},
		{"frames cleared in the middle", func(b []byte) []byte { clear(b[ends[4]:ends[6]]); return b }, 5, true, false},
		{"a frame taken out", func(b []byte) []byte { return append(b[:ends[4]:ends[4]], b[ends[5]:]...) }, 5, true, false},
		{"a frame repeated", func(b []byte) []byte {
			return append(append(bytes.Clone(b[:ends[9]]), b[ends[8]:ends[9]]...), b[ends[9]:]...)
		}, 10, true, false},
		{"shortened in a frame", func(b []byte) []byte { return b[:ends[7]+9] }, 8, false, false},
		{"shortened between frames", func(b []byte) []byte { return b[:ends[7]] }, 8, false, false},
		{"bit in the header", flip(9), 0, false, true},
		{"empty", func(b []byte) []byte { return nil }, 0, false, true},
		{"another file", func(b []byte) []byte { return []byte(strings.Repeat("not a journal ", 500)) }, 0, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			damaged := c.damage(bytes.Clone(whole))
			disk := diskWith(damaged)
			j := mustOpen(t, "d", small(disk, nil))
			if (j.ID() != id) != c.newID {
				t.Errorf("id %s, was %s", j.ID(), id)
			}
			if (j.Damage() == "") != (c.name == "none") {
				t.Errorf("damage %q", j.Damage())
			}
			got := readAll(t, j, 0)
			if c.name == "none" {
				if !reflect.DeepEqual(got, records) || j.Acknowledged() != 4 {
					t.Errorf("read %v, acknowledged %d", seqs(got), j.Acknowledged())
				}
				return
			}
			if wantAside := c.aside || c.newID; (len(disk.asides()) == 1) != wantAside {
				t.Errorf("set aside %v", disk.asides())
			}
			for _, name := range disk.asides() {
				kept := disk.Names[name].Content
				if strings.Contains(name, ":") || !bytes.Contains(damaged, kept) || len(kept) != int(j.CutBytes()) {
					t.Errorf("%s has %d bytes, %d were cut", name, len(kept), j.CutBytes())
				}
				if !strings.Contains(j.Damage(), name) {
					t.Errorf("%q does not name %s", j.Damage(), name)
				}
			}
			if c.newID {
				if len(got) != 0 || j.LastSeq() != 0 {
					t.Errorf("a new journal with %d records", len(got))
				}
				return
			}
			if len(got) != c.kept+1 || !reflect.DeepEqual(got[:c.kept], records[:c.kept]) {
				t.Fatalf("read %v", seqs(got))
			}
			gap := bodyOf[api.Gap](t, got[c.kept])
			if got[c.kept].Kind != api.RecordGap || gap.From != uint64(c.kept)+1 || gap.To < max(last, gap.From) || gap.Reason == "" || got[c.kept].Seq != gap.To+1 {
				t.Errorf("gap record %d is %+v", got[c.kept].Seq, gap)
			}
			next := mustAppend(t, j, accepted(t, "next"))[0].Seq
			if next <= last {
				t.Errorf("number %d is used again", next)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			again := mustOpen(t, "d", small(disk, nil))
			if again.CutBytes() != 0 || again.Damage() != "" || again.LastSeq() != next || len(readAll(t, again, 0)) != c.kept+2 {
				t.Errorf("opened again: cut %d, %q, last %d", again.CutBytes(), again.Damage(), again.LastSeq())
			}
		})
	}
}

// TestNumbersStayUsedThoughTheirMarksAreLost damages a compacted file, in which
// a few bytes can stand for many numbers.
func TestNumbersStayUsedThoughTheirMarksAreLost(t *testing.T) {
	disk := newMemDisk()
	j := mustOpen(t, "d", small(disk, nil))
	mustAppend(t, j, accepted(t, "a"))
	for range 4000 {
		mustAppend(t, j, logOf(t, "a", 1, 10))
	}
	mustAppend(t, j, ended(t, "a"))
	last := j.LastSeq()
	if err := j.Acknowledge(last); err != nil {
		t.Fatal(err)
	}
	if j.header.floor != last {
		t.Fatal("the journal did not compact itself")
	}
	content := disk.Names["d/journal"].Content
	clear(content[headerSize:])
	j = mustOpen(t, "d", small(diskWith(content), nil))
	if j.Damage() == "" || j.LastSeq() <= last {
		t.Errorf("damage %q, last %d, was %d", j.Damage(), j.LastSeq(), last)
	}
}

// TestNumbersOfAnEarlierRepairStayUsed damages the mark of a repair, which has
// given up more numbers than its bytes could hold.
func TestNumbersOfAnEarlierRepairStayUsed(t *testing.T) {
	whole, _, ends := sample(t)
	disk := diskWith(whole[:ends[7]])
	j := mustOpen(t, "d", small(disk, nil))
	next := mustAppend(t, j, accepted(t, "next"))[0].Seq
	disk.Names["d/journal"].Content[ends[7]+9] ^= 1
	j = mustOpen(t, "d", small(disk.afterKill(), nil))
	if got := readAll(t, j, 0); j.LastSeq() <= next || bodyOf[api.Gap](t, got[8]).To < next || got[8].Seq <= next {
		t.Errorf("last %d, was %d, read %v", j.LastSeq(), next, seqs(got))
	}
}

func TestAMarkWithoutItsGapGetsOne(t *testing.T) {
	whole, _, ends := sample(t)
	clear(whole[ends[7]:])
	copy(whole[ends[7]:], markFrame(500, 4, 0).append(nil))
	for name, torn := range map[string]string{"gap absent": "", "gap torn": "torn"} {
		copy(whole[ends[7]+markSize:], torn)
		j := mustOpen(t, "d", small(diskWith(whole), nil))
		got := readAll(t, j, 0)
		if len(got) != 9 || j.Damage() == "" {
			t.Fatalf("%s: read %v, damage %q", name, seqs(got), j.Damage())
		}
		if gap := bodyOf[api.Gap](t, got[8]); gap.From != 9 || gap.To < 500 || got[8].Seq <= gap.To {
			t.Errorf("%s: record %d is %+v", name, got[8].Seq, gap)
		}
	}
}

func TestARepairThatIsCutOffIsDoneAgain(t *testing.T) {
	source := newMemDisk()
	j := mustOpen(t, "d", small(source, nil))
	for i := range 100 {
		mustAppend(t, j, accepted(t, job.ID(fmt.Sprint("job", i))))
	}
	records, last := readAll(t, j, 0), j.LastSeq()
	whole := bytes.Clone(source.Names["d/journal"].Content)
	whole[j.index.find(0)+8*(j.tail-headerSize)/100] ^= 1 // in the eighth or near
	clean := diskWith(whole)
	kept := len(readAll(t, mustOpen(t, "d", small(clean, nil)), 0)) - 1
	for step := 1; step <= clean.Steps; step++ {
		for luck := range uint64(20) {
			disk := diskWith(whole)
			disk.CutAt = step
			if _, err := Open("d", small(disk, nil)); !errors.Is(err, crashdisk.ErrPowerCut) {
				t.Fatalf("step %d: %v", step, err)
			}
			disk = disk.afterPowerCut(randomOf(luck))
			j := mustOpen(t, "d", small(disk, nil))
			got := readAll(t, j, 0)
			if !reflect.DeepEqual(got[:kept], records[:kept]) || j.LastSeq() <= last || bodyOf[api.Gap](t, got[kept]).From != uint64(kept)+1 {
				t.Fatalf("step %d: read %v of %d", step, seqs(got), j.LastSeq())
			}
			if len(disk.asides()) == 0 {
				t.Fatalf("step %d: nothing is set aside", step)
			}
		}
	}
}

func TestAnotherFormatIsLeftAlone(t *testing.T) {
	whole, _, _ := sample(t)
	h, _ := decodeHeader(whole)
	raw := h.encode()
	raw[7] = formatVersion + 1
	copy(whole, resum(raw))
	disk := diskWith(whole)
	if _, err := Open("d", small(disk, nil)); err == nil || !strings.Contains(err.Error(), "newer agent") {
		t.Fatalf("open: %v", err)
	}
	if !bytes.Equal(disk.Names["d/journal"].Content, whole) {
		t.Error("the file was changed")
	}
	if _, err := Open("d", small(disk, nil)); errors.Is(err, ErrInUse) {
		t.Error("a failed open keeps the lock")
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(markFrame(7, 3, 1).append(nil))
	f.Add(frame{seq: 1, at: 2, kind: []byte("ended"), job: []byte("a"), body: []byte(`{}`)}.append(nil))
	f.Add(make([]byte, frameHeader))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, size, err := decodeFrame(raw)
		if err != nil {
			if !errors.Is(err, errEnd) && !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := got.append(nil); int64(size) != got.size() || !bytes.Equal(again, raw[:size]) {
			t.Fatalf("%x was read as %+v, which is %x", raw, got, again)
		}
		if got.mark() {
			got.acknowledged()
		}
	})
}

// FuzzOpen damages a good file: what is before the damage stays, nothing is
// invented, and no number is used again.
func FuzzOpen(f *testing.F) {
	whole, records, ends := sample(f)
	f.Add(uint32(0), []byte{1}, uint32(len(whole)))
	f.Add(uint32(ends[3]), []byte{0, 0, 0, 0}, uint32(len(whole)))
	f.Add(uint32(ends[5]+3), []byte("garbage"), uint32(len(whole)))
	f.Add(uint32(ends[9]), []byte{9}, uint32(ends[9]+10))
	f.Add(uint32(len(whole)), []byte{}, uint32(ends[2]))
	f.Fuzz(func(t *testing.T, at uint32, garbage []byte, length uint32) {
		damaged := bytes.Clone(whole)
		copy(damaged[min(int(at), len(damaged)):], garbage)
		damaged = damaged[:min(int(length), len(damaged))]
		first := 0
		for first < len(damaged) && damaged[first] == whole[first] {
			first++
		}
		disk := diskWith(damaged)
		j := mustOpen(t, "d", small(disk, nil))
		got := readAll(t, j, 0)
		if first < headerSize-20 {
			if len(got) != 0 {
				t.Fatalf("read %v behind a damaged header", seqs(got))
			}
		} else {
			kept := 0
			for kept < len(ends) && ends[kept] <= int64(first) {
				kept++
			}
			if len(got) < kept {
				t.Fatalf("damage at %d, %d records are before it, read %v", first, kept, seqs(got))
			}
			for i, r := range got {
				if i < len(records) && reflect.DeepEqual(r, records[i]) {
					continue
				}
				if r.Kind != api.RecordGap || i < kept {
					t.Fatalf("damage at %d: record %d is %+v", first, i, r)
				}
			}
		}
		checkOpensClean(t, disk, j)
	})
}

// FuzzOpenBytes opens any bytes at all.
func FuzzOpenBytes(f *testing.F) {
	whole, _, ends := sample(f)
	f.Add(whole)
	f.Add(whole[:ends[4]])
	f.Add([]byte{})
	f.Add(header{}.encode())
	f.Add(markFrame(1<<63, 1<<62, 0).append(header{}.encode()))
	f.Fuzz(func(t *testing.T, content []byte) {
		disk := diskWith(content)
		j, err := Open("d", small(disk, nil))
		if err != nil {
			if strings.Contains(err.Error(), "newer agent") {
				return
			}
			t.Fatal(err)
		}
		checkOpensClean(t, disk, j)
	})
}

func checkOpensClean(t *testing.T, disk *memDisk, j *Journal) {
	t.Helper()
	id, last := j.ID(), j.LastSeq()
	next := mustAppend(t, j, accepted(t, "next"))
	if next[0].Seq <= last {
		t.Fatalf("record %d after %d", next[0].Seq, last)
	}
	got := readAll(t, j, 0)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, "d", small(disk, nil))
	if again.ID() != id || again.LastSeq() != last+1 || again.Damage() != "" || !reflect.DeepEqual(readAll(t, again, 0), got) {
		t.Fatalf("opened again: last %d, was %d, %q", again.LastSeq(), last+1, again.Damage())
	}
}

func randomOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// resum makes the checksum of a header right.
func resum(raw []byte) []byte {
	binary.LittleEndian.PutUint32(raw[40:], crc32.Checksum(raw[:40], castagnoli))
	return raw
}

func heapInUse() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// BenchmarkAppendAccepted is one synced record on the real disk.
func BenchmarkAppendAccepted(b *testing.B) {
	j := mustOpen(b, b.TempDir(), Options{})
	defer j.Close()
	spec, _ := json.Marshal(strings.Repeat("s", 1500))
	n := 0
	for b.Loop() {
		n++
		r := record(b, api.RecordAccepted, job.ID(fmt.Sprint("job", n)), api.Accepted{Kind: job.Backup, Spec: spec})
		r.At = time.Now().UnixMilli()
		mustAppend(b, j, r)
	}
}

// BenchmarkOpen reads a journal of about 200 MiB, and says how much memory an
// open one holds.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	j := mustOpen(b, dir, Options{})
	for i := range 20_000 {
		id := job.ID(fmt.Sprint("job", i))
		mustAppend(b, j, record(b, api.RecordStarted, id, api.Started{PID: 1}), logOf(b, id, 10, 950))
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	var held uint64
	for b.Loop() {
		before := heapInUse()
		j := mustOpen(b, dir, Options{})
		held = heapInUse() - before
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(held), "held-bytes")
}
