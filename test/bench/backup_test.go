//go:build linux

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// timed is one backup through the agent.
type timed struct {
	job    job.ID
	asked  time.Time
	restic execution
	shown  time.Time // when a reader of the job's events was told of its end
}

func (b timed) start() time.Duration { return b.restic.started.Sub(b.asked) }
func (b timed) tell() time.Duration  { return b.shown.Sub(b.restic.ended) }
func (b timed) whole() time.Duration { return b.shown.Sub(b.asked) }

// backUp runs one backup and follows it to its end, which has to be good.
func (s *smallFleet) backUp(t testing.TB, group job.GroupID) timed {
	t.Helper()
	b := timed{asked: time.Now()}
	b.job = s.server.API.BackUp(t, s.endpoint.HostID, group).ID
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	state, shown, err := s.follow(ctx, b.job)
	if err != nil || state != job.Succeeded {
		t.Fatalf("backup %s ended %q: %v\n%s", b.job, state, err, s.server.API.Log(t, b.job))
	}
	b.shown, b.restic = shown, s.watched.first(t, b.asked)
	return b
}

// follow reads a job's events until the one that says how it ended.
func (s *smallFleet) follow(ctx context.Context, id job.ID) (job.State, time.Time, error) {
	body, err := s.events(ctx, id)
	if err != nil {
		return "", time.Time{}, err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		now := time.Now()
		var told rig.Job
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			return "", now, err
		}
		if told.State.Ended() {
			return told.State, now, nil
		}
	}
	return "", time.Time{}, errors.Join(errors.New("the events ended before the job"), lines.Err())
}

// runNow measures what lies between a person's wish and restic, and between
// restic's end and what a person sees.
func (s *smallFleet) runNow(t testing.TB, table *figures) {
	t.Helper()
	source := s.endpoint.WriteFiles(t, "little", 100, 1<<10)
	group := s.server.API.AddGroup(t, s.endpoint.HostID, rig.Group{Name: "little", Includes: []string{source}})
	s.backUp(t, group.ID) // the first one fills the cache
	var starts, tells, syncs samples
	for range *runs {
		backup := s.backUp(t, group.ID)
		starts, tells = append(starts, backup.start()), append(tells, backup.tell())
		syncs = append(syncs, twoSyncs(t, s.server.Dir))
	}
	over := starts.at(50) - syncs.at(50)
	table.add("“run now” asked → restic process started", starts.spread(), "p50 ≤ 20 ms + 2 fsyncs",
		fmt.Sprintf("2 fsyncs here p50 %s, so %s more; %d runs", ms(syncs.at(50)), ms(over), *runs))
	table.add("restic ended → shown finished", tells.spread(), "≤ 20 ms", "as the job's event stream tells it; 2 fsyncs are in it too")
}

// manyFiles is what the design calls a backup of many small files.
const (
	manyFiles = 10_000
	smallFile = 1 << 10
)

// fresh fills a folder with small files that were never saved.
func (s *smallFleet) fresh(t testing.TB, round int) string {
	t.Helper()
	if err := os.RemoveAll(s.sources); err != nil {
		t.Fatal(err)
	}
	rig.WriteFiles(t, filepath.Join(s.sources, fmt.Sprintf("round-%d", round)), manyFiles, smallFile)
	return s.sources
}

// besideBareRestic saves the same amount of new files in turn through the agent
// and by restic alone, called as the agent calls it.
func (s *smallFleet) besideBareRestic(t testing.TB, table *figures) {
	t.Helper()
	group := s.server.API.AddGroup(t, s.endpoint.HostID, rig.Group{Name: "many", Includes: []string{s.fresh(t, 0)}})
	s.bare = s.learnCommand(t, group.ID)
	var through, bare, around, extra samples
	var ratios []float64
	var last timed
	for pair := range *pairs {
		for turn := range 2 {
			s.fresh(t, 1+2*pair+turn)
			if (pair+turn)%2 == 0 {
				last = s.backUp(t, group.ID)
				through, around = append(through, last.whole()), append(around, last.start()+last.tell())
			} else {
				bare = append(bare, s.bare.run(t))
			}
		}
		extra = append(extra, through[pair]-bare[pair])
		ratios = append(ratios, float64(through[pair])/float64(bare[pair]))
	}
	slices.Sort(ratios)
	middle := (ratios[(len(ratios)-1)/2] + ratios[len(ratios)/2]) / 2
	table.add("backup of 10,000 new small files ÷ bare restic", fmt.Sprintf("%.3f ×", middle), "≤ 1.03 ×",
		fmt.Sprintf("median of %d pairs, %.3f to %.3f; the fastest took %s and %s", *pairs, ratios[0], ratios[len(ratios)-1], ms(through.at(0)), ms(bare.at(0))))
	table.add("backup of 10,000 new small files − bare restic", ms(extra.at(50)), "≤ 50 ms",
		fmt.Sprintf("median; before and after the restic process the agent's way takes %s", ms(around.at(50))))

	db := openStore(t, s.server)
	defer func() { _ = db.Close() }()
	rows, lines := logRows(t, db, last.job)
	table.add("log rows that such a backup leaves", fmt.Sprint(rows), "≤ 100 an hour", fmt.Sprintf("%d lines; a row holds up to 64 KiB of them", lines))
}

// command is one call of restic, with its secrets.
type command struct {
	args, env []string
}

// learnCommand runs a backup through the agent and takes from the process what
// it was called with, so that bare restic can be called the same way.
func (s *smallFleet) learnCommand(t testing.TB, group job.GroupID) command {
	t.Helper()
	asked := time.Now()
	id := s.server.API.BackUp(t, s.endpoint.HostID, group).ID
	pid := 0
	testkit.WaitFor(t, 10*time.Second, "restic to start", func() bool {
		if _, ok := s.watched.after(asked); ok {
			pid = findProgram(t, s.restic)
		}
		return pid != 0
	})
	learned := command{strings0(t, fmt.Sprintf("/proc/%d/cmdline", pid)), strings0(t, fmt.Sprintf("/proc/%d/environ", pid))}
	// The agent removes its list of sources with the end of the job.
	for i, arg := range learned.args {
		if list, ok := strings.CutPrefix(arg, "--files-from-raw="); ok {
			kept := filepath.Join(s.endpoint.FilesDir, "sources")
			copyFile(t, list, kept)
			learned.args[i] = "--files-from-raw=" + kept
		}
	}
	s.server.API.WaitJob(t, id, job.Succeeded)
	return learned
}

// run calls restic and gives how long it took from before its start until it was
// waited for.
func (c command) run(t testing.TB) time.Duration {
	t.Helper()
	restic := exec.Command(c.args[0], c.args[1:]...)
	restic.Env = c.env
	restic.Stdout = writer{io.Discard} // a pipe that is read, as the agent has it
	var said strings.Builder
	restic.Stderr = &said
	began := time.Now()
	if err := restic.Run(); err != nil {
		t.Fatalf("bare restic: %v\n%s", err, said.String())
	}
	return time.Since(began)
}

// writer hides what kind of writer it holds.
type writer struct{ io.Writer }

// cancels ends backups at random moments and looks for what they left.
func (s *smallFleet) cancels(t testing.TB, table *figures) {
	t.Helper()
	group := s.server.API.AddGroup(t, s.endpoint.HostID, rig.Group{Name: "cancelled", Includes: []string{s.fresh(t, -1)}})
	usual := s.backUp(t, group.ID).whole()
	ends := map[job.State]int{}
	var waits samples
	for round := range *cancels {
		s.fresh(t, -2-round)
		id := s.server.API.BackUp(t, s.endpoint.HostID, group.ID).ID
		pause(t, rand.N(usual))
		wished := time.Now()
		answer, err := s.server.API.Ask(t.Context(), "POST", "/jobs/"+string(id)+"/cancel", nil)
		if err != nil || answer.Status != 202 && answer.Status != 409 { // 409: it had ended
			t.Fatalf("cancel: %d %v", answer.Status, err)
		}
		state := s.server.API.WaitJob(t, id).State
		ends[state]++
		if state == job.Cancelled {
			waits = append(waits, time.Since(wished))
		}
	}
	left := len(s.endpoint.Children(t))
	table.add(fmt.Sprintf("locks left by %d cancels", *cancels), fmt.Sprint(s.locks(t)), "0",
		fmt.Sprintf("%d processes left; %d were cancelled, %s after the wish, the others had ended", left, ends[job.Cancelled], ms(waits.at(50))))
}

// locks counts the locks in the endpoint's repository.
func (s *smallFleet) locks(t testing.TB) int {
	t.Helper()
	list := exec.Command(s.restic, "list", "locks", "--no-lock", "--quiet")
	list.Env = s.bare.env
	var said strings.Builder
	list.Stderr = &said
	output, err := list.Output()
	if err != nil {
		t.Fatalf("list the locks: %v\n%s", err, said.String())
	}
	return len(strings.Fields(string(output)))
}
