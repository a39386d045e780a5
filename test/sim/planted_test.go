package sim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/testkit"
)

// planted are faults that were put into the programs on purpose, each by one
// change of their text, and by what alsoPlanted has under its name where one alone
// would come to nothing. The simulation must find each of them.
var planted = []struct {
	name     string
	file     string
	old, new string
	test     string // which tests are to find it
	finds    string // what a world says of it, as an expression
}{
	{"a job is begun without the journal", "internal/agent/accept.go",
		"	if err := a.append(api.RecordAccepted, id, accepted); err != nil {\n		return nil, err\n	}\n", "",
		"TestSimulation", "an attempt after one that ended well"},
	{"a moment is known by a watermark instead of a set", "internal/agent/clock.go",
		"return c.agent.journal.Noted(job.DueID(one.id, group, moment))", "return !moment.After(c.markSaved)",
		"TestSimulation", "nothing tells of the moment"},
	{"the server acknowledges before it commits", "internal/server/control/apply.go",
		"	var after effects\n	err := c.store.Write(", "	var after effects\n	s.mu.Lock()\n	s.cursor = to\n	s.mu.Unlock()\n	wake(s.acks)\n	time.Sleep(time.Millisecond)\n	err := c.store.Write(",
		"TestServerDiesAtEachMessage", "acknowledged before it was durable"},
	{"the disk lies about its syncs", "test/sim/machine_test.go",
		"return f.boot.do(f.File.Sync)", "return f.boot.do(func() error { return nil })",
		"TestSimulation", "an attempt after one that ended well|could not apply|restic has saved it|is not settled|the server knows nothing of"},
	{"what ended well is tried again", "internal/job/retry.go",
		"case Failed, Lost, Cancelled:", "case Failed, Lost, Cancelled, Succeeded:",
		"TestSimulation", "an attempt after one that ended well|is succeeded .* was not tried again"},
	{"a cancel of a run that was not begun is not kept", "internal/agent/accept.go",
		"return a.append(api.RecordEnded, cancel.ID, endBefore(cancel))", "return nil",
		"TestSimulation", "is not settled"},
	{"a restarted agent does not look for the restic that it left", "internal/agent/recover.go",
		"r.remains.ProcessLeft = len(left) > 0", "r.remains.ProcessLeft = false",
		"TestSimulation", "but restic has saved it"},
	{"a restarted agent does not believe a snapshot", "internal/agent/recover.go",
		"	return job.Found\n", "	return job.Absent\n",
		"TestSimulation", "restic has saved it"},
	{"two jobs write to one repository", "internal/agent/tasks.go",
		"return one.earlier == nil && other.earlier == nil &&", "return false &&",
		"TestSimulation", "two backups into one repository at once"},
	{"what failed for a cause that passes is not tried again", "internal/agent/perform.go",
		"if retry, ok := a.retryRecord(t.id, t.occasion, t.spec, ended); ok {", "if retry, ok := a.retryRecord(t.id, t.occasion, t.spec, ended); ok && false {",
		"TestSimulation", "was not tried again"},
}

type change struct{ file, old, new string }

// alsoPlanted takes away what else keeps a fault from showing.
var alsoPlanted = map[string][]change{
	"what ended well is tried again": {
		{"internal/agent/accept.go", `if done := a.doneBefore(asked); done != "" {`, `if done := a.doneBefore(asked); done != "" && false {`},
		{"internal/server/control/apply_due.go", `doneBefore(ctx, body.Occasion); err != nil || done != "" {`, `doneBefore(ctx, body.Occasion); err != nil || done != "" && false {`},
	},
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
			replaced := map[string]string{}
			for n, one := range append(alsoPlanted[fault.name], change{fault.file, fault.old, fault.new}) {
				original := filepath.Join(root, one.file)
				text, err := os.ReadFile(original)
				must(err)
				if strings.Count(string(text), one.old) != 1 {
					t.Fatalf("%s has changed: what this fault replaces is there %d times", one.file, strings.Count(string(text), one.old))
				}
				replaced[original] = filepath.Join(dir, itoa(n)+".go")
				must(os.WriteFile(replaced[original], []byte(strings.Replace(string(text), one.old, one.new, 1)), 0o600))
			}
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": replaced})
			must(err)
			must(os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))

			build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", filepath.Join(dir, "sim.test"), "./test/sim")
			build.Dir = root
			if output, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, output)
			}
			for first := 1; first <= seedsForFaults; {
				said, ended := runWorlds(t, dir, fault.test, first)
				if ended == nil {
					break
				}
				for line := range strings.Lines(said) {
					if strings.Contains(line, "world_test.go:") && regexp.MustCompile(fault.finds).MatchString(line) {
						t.Logf("found: %s", strings.TrimSpace(line))
						return
					}
				}
				// A fault can show itself in another way before: what was printed says in which world.
				seed := regexp.MustCompile(`-run 'TestSimulation\$' -seed (\d+)`).FindStringSubmatch(said)
				if seed == nil {
					t.Fatalf("it ended with %v, but not for this fault:\n%.6000s", ended, said)
				}
				t.Logf("found something else first:\n%.2000s", said)
				first, err = strconv.Atoi(seed[1])
				must(err)
				first++
			}
			t.Errorf("%d worlds did not show it", seedsForFaults)
		})
	}
}

// runWorlds runs the test that was built in dir from a seed on until one fails. It
// returns what was printed and how it ended.
func runWorlds(t *testing.T, dir, test string, first int) (said string, ended error) {
	output, err := os.Create(filepath.Join(dir, "output"))
	must(err)
	defer func() { _ = output.Close() }()
	run := exec.Command(filepath.Join(dir, "sim.test"), "-test.run=^"+test+"$", "-stop", "-test.timeout=4m",
		"-first", itoa(first), "-seeds", itoa(seedsForFaults-first+1))
	run.Dir, run.Stdout, run.Stderr = ".", output, output
	run.Env = append(os.Environ(), "TMPDIR="+dir)
	ended = testkit.Start(t, run).Wait()
	printed, err := os.ReadFile(output.Name())
	must(err)
	return string(printed), ended
}
