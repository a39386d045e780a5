package sim

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// planted are faults that were put into the programs on purpose, each by one
// change of their text. The simulation must find each of them.
var planted = []struct {
	name     string
	file     string
	old, new string
}{
	{"a job is begun without the journal", "internal/agent/accept.go",
		"	if err := a.append(api.RecordAccepted, id, accepted); err != nil {\n		return nil, err\n	}\n", ""},
	{"a moment is known by a watermark instead of a set", "internal/agent/clock.go",
		"return a.journal.Noted(job.DueID(one.id, group, moment))", "return !moment.After(c.markSaved)"},
	{"the server acknowledges before it commits", "internal/server/control/apply.go",
		"	var after effects\n	err := c.store.Write(", "	var after effects\n	s.mu.Lock()\n	s.cursor = to\n	s.mu.Unlock()\n	wake(s.acks)\n	err := c.store.Write("},
	{"the disk lies about its syncs", "test/sim/machine_test.go",
		"return f.boot.do(f.File.Sync)", "return f.boot.do(func() error { return nil })"},
	{"what ended well is tried again", "internal/job/retry.go",
		"case Failed, Lost, Cancelled:", "case Failed, Lost, Cancelled, Succeeded:"},
	{"a cancel of a run that was not begun is not kept", "internal/agent/accept.go",
		"return a.append(api.RecordEnded, cancel.ID, endBefore(cancel))", "return nil"},
	{"a restarted agent does not look for the restic that it left", "internal/agent/recover.go",
		"r.remains.ProcessLeft = len(left) > 0", "r.remains.ProcessLeft = false"},
	{"a restarted agent does not believe a snapshot", "internal/agent/recover.go",
		"	return job.Found\n", "	return job.Absent\n"},
	{"two jobs write to one repository", "internal/agent/tasks.go",
		"return one.info.Lock != job.LockNone && other.info.Lock != job.LockNone && one.repository == other.repository", "return false"},
	{"the end of a job is written down only if that works at once", "internal/agent/perform.go",
		"		if !a.tasks.pause(pause(attempt, a.patience.retryMin, a.patience.retryMax)) {\n			return\n		}\n", "		return\n"},
}

// seedsForFaults is how many worlds a fault may live through unseen.
const seedsForFaults = 60

// TestPlantedFaultsAreFound builds this test anew with each fault in it.
func TestPlantedFaultsAreFound(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("it builds the programs ten times")
	}
	root, err := filepath.Abs("../..")
	must(err)
	for _, fault := range planted {
		t.Run(strings.ReplaceAll(fault.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			original := filepath.Join(root, fault.file)
			text, err := os.ReadFile(original)
			must(err)
			if strings.Count(string(text), fault.old) != 1 {
				t.Fatalf("%s has changed: what this fault replaces is there %d times", fault.file, strings.Count(string(text), fault.old))
			}
			changed := filepath.Join(dir, "changed.go")
			must(os.WriteFile(changed, []byte(strings.Replace(string(text), fault.old, fault.new, 1)), 0o600))
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
			must(err)
			must(os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))

			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", filepath.Join(dir, "sim.test"), "./test/sim")
			build.Dir = root
			if output, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, output)
			}
			run := exec.CommandContext(ctx, filepath.Join(dir, "sim.test"), "-test.run=TestSimulation$", "-test.failfast", "-test.parallel=1", "-seeds", itoa(seedsForFaults))
			run.Dir = filepath.Join(root, "test", "sim")
			run.Env = append(os.Environ(), "TMPDIR="+dir)
			output, err := run.CombinedOutput()
			switch {
			case ctx.Err() != nil:
				t.Fatalf("it took too long\n%.4000s", output)
			case err == nil:
				t.Errorf("%d worlds did not show it", seedsForFaults)
			default:
				t.Logf("found: %s", firstFinding(string(output)))
			}
		})
	}
}

// firstFinding is the first line in which a world complained.
func firstFinding(output string) string {
	for line := range strings.Lines(output) {
		if strings.Contains(line, "_test.go:") || strings.HasPrefix(line, "panic:") {
			return strings.TrimSpace(line)
		}
	}
	return output
}
