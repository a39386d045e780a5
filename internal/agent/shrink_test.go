package agent

import (
	"os"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/job"
)

func TestSizesInARow(t *testing.T) {
	const guard = 50
	for name, sizes := range map[string][]struct {
		bytes int64
		warns bool
	}{
		"steady":                         {{100, false}, {90, false}, {100, false}},
		"grows":                          {{100, false}, {1000, false}, {499, true}},
		"just within":                    {{100, false}, {50, false}},
		"just beyond":                    {{100, false}, {49, true}},
		"shrinks slowly":                 {{100, false}, {60, false}, {40, false}, {21, false}},
		"stays small":                    {{100, false}, {10, true}, {11, true}, {10, true}, {10, false}, {4, true}},
		"small once":                     {{100, false}, {10, true}, {100, false}, {10, true}, {10, true}, {10, true}, {10, false}},
		"small ones that are not alike":  {{100, false}, {40, true}, {10, true}, {1, true}, {30, true}, {30, true}, {30, true}, {30, false}},
		"to nothing":                     {{100, false}, {0, true}, {0, true}, {0, true}, {0, false}, {100, false}, {10, true}},
		"the first one is measured none": {{0, false}, {5, false}},
	} {
		var memory sizeMemory
		for i, size := range sizes {
			var words string
			if memory, words = memory.next(size.bytes, guard); (words != "") != size.warns {
				t.Errorf("%s: number %d of %d bytes says %q", name, i+1, size.bytes, words)
			}
		}
	}
	memory := sizeMemory{Usual: 10 << 30}
	next, words := memory.next(5<<20, 50)
	if words != "5.0 MiB, which is 99 % less than the usual 10.0 GiB" || next.Usual != memory.Usual {
		t.Errorf("%q, %+v", words, next)
	}
	if next, words = next.next(1, 0); words != "" || next.Usual != 1 {
		t.Errorf("without a guard: %q, %+v", words, next)
	}
}

func TestBackupThatShrinks(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	big := r.writeRandom("source/big", 100<<10)
	gone := r.write("more/file", strings.Repeat("x", 10))
	r.start()
	run := func() (string, job.State) {
		spec := r.backupSpec(r.source, gone)
		spec.ShrinkPercent = 50
		ended := r.peer.awaitEnded(r.peer.ask(job.Backup, spec, &r.access))
		return ended.Error, ended.State
	}
	if words, state := run(); state != job.Succeeded {
		t.Fatalf("first: %s %s", state, words)
	}
	if err := os.Remove(big); err != nil {
		t.Fatal(err)
	}
	if words, state := run(); state != job.Warning || !strings.Contains(words, "smaller than usual: 16 bytes, which is 99 % less than the usual 100.0 KiB.") {
		t.Errorf("second: %s %s", state, words)
	}
	// A source that goes is named beside it.
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if words, state := run(); state != job.Warning || !strings.Contains(words, "Not there, and so not saved: "+gone) || !strings.Contains(words, "smaller than usual") {
		t.Errorf("third: %s %s", state, words)
	}
}
