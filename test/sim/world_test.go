package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// world is one simulation: a server, machines, what is between them, and the
// truth about every restic that ran.
type world struct {
	t    testing.TB
	dir  string
	log  keptLog // of both sides
	seed uint64
	net  *network

	machines   []*machine
	box        job.HostID // of the rest-server that gives slots; "" is none
	truth      *truth
	drainEvery time.Duration // and beat are how often the server does what nobody asks for
	beat       time.Duration
	chance     chance   // for what the world does to itself
	copies     [][]byte // of the database, oldest first
	schedules  []*asked
	changed    map[job.GroupID]bool // whose retry rules were changed
	ended      map[job.ID]job.State // of jobs that will not change any more
	quiet      time.Time            // when the schedules ended
	made       int                  // machines
	lives      int                  // of the server

	// What makes some things unprovable.
	clones, cloned     bool
	putsBack, restored bool
	// rewinds: a server may know less than it has acknowledged.
	rewinds atomic.Bool

	mutex   sync.Mutex
	node    *node // nil while no server runs
	luck    odds
	history []string // what was done, for whoever reads a failure

	script

	hashes, pids atomic.Int64
}

// odds say how often what goes wrong by itself.
type odds struct {
	// endings has one entry for each way in which a backup may end, drawn evenly;
	// empty is that all end well.
	endings []ending
	// longest is how long a backup may take at most.
	longest time.Duration
	// crash is how many steps a life of an agent lasts at most before it is cut off
	// at one of them; 0 is for ever.
	crash int
	// serverCrash is the same for the server, in messages.
	serverCrash int
}

// longestLife is how long a world may last, which lasts a second, by a clock outside.
const longestLife = 4 * time.Minute

// simulate runs do in a bubble, in a world that begins on a day of 2026.
func simulate(t *testing.T, seed uint64, do func(*world)) {
	t.Helper()
	dir := fastDir(t)
	stuck := time.AfterFunc(longestLife, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("the world of seed %d does not go on: in a bubble, time waits for who waits for a lock", seed))
	})
	defer stuck.Stop()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, seed: seed, drainEvery: 30 * time.Second, beat: time.Minute}
		w.chance = w.newChance(chanceOfScript, 0)
		w.setOdds(odds{longest: 10 * time.Minute})
		w.log.echo, w.log.heard = *verbose, w.hear
		w.net, w.truth = newNetwork(w), newTruth(w)
		must(os.MkdirAll(filepath.Join(dir, "source"), 0o700))
		must(os.WriteFile(filepath.Join(dir, "source", "file"), []byte("content"), 0o600))
		must(os.WriteFile(filepath.Join(dir, "policy.yaml"), nil, 0o600))
		w.passUntil(time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC))
		defer w.end()
		defer w.tell()
		do(w)
	})
}

// fastDir is a folder in memory where the system has one: that nothing of it
// outlives a power cut is no loss, since power is only cut in the simulation.
func fastDir(t *testing.T) string {
	const shared = "/dev/shm"
	if info, err := os.Stat(shared); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shared, "restic-manager-sim-*") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// pass lets time go by.
func (w *world) pass(d time.Duration) { <-time.After(d) }

func (w *world) passUntil(at time.Time) {
	if wait := time.Until(at); wait > 0 {
		w.pass(wait)
	}
}

// until lets time go by until something is so, and fails after a bound.
func (w *world) until(what string, bound time.Duration, so func() bool) {
	w.t.Helper()
	for end := time.Now().Add(bound); !so(); w.pass(time.Second) {
		if time.Now().After(end) {
			w.t.Fatalf("%v later: not %s", bound, what)
		}
	}
}

// end stops everything, so that the bubble can.
func (w *world) end() {
	for _, m := range w.machines {
		m.wake()
		m.plug(true)
		if err := m.stop(); err != nil {
			w.fault("the agent of %s ended with %v", m.name, err)
		}
		m.mutex.Lock()
		for _, p := range m.procs {
			p.die()
		}
		m.mutex.Unlock()
	}
	if n := w.server(); n != nil {
		n.stop()
	}
	w.net.each((*link).cut)
}

// server is the one that runs; nil is none.
func (w *world) server() *node {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.node
}

func (w *world) setNode(n *node) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.node = n
}

// fault is a broken promise.
func (w *world) fault(format string, args ...any) {
	w.note("WRONG: "+format, args...)
	w.t.Errorf("%s: "+format, append([]any{time.Now().UTC().Format("Jan 02 15:04:05")}, args...)...)
}

// hear listens for what only an agent can tell: that its server has acknowledged
// what it then did not know.
func (w *world) hear(line []byte) {
	if bytes.Contains(line, []byte("the server knows less of the journal than before")) && !w.rewinds.Load() {
		w.t.Errorf("something was acknowledged before it was durable: %s", line)
	}
}

// tell says how a world that failed came to be, and how to see it again.
func (w *world) tell() {
	if !w.t.Failed() {
		return
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.t.Logf("what was done before:\n%s\neverything: %s\nto run it again: go test ./test/sim -run 'TestSimulation$' -seed %d",
		strings.Join(w.history[max(0, len(w.history)-40):], "\n"), w.log.save(w.seed), w.seed)
}

// note keeps what is done to the world.
func (w *world) note(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.mutex.Lock()
	w.history = append(w.history, time.Now().UTC().Format("Jan 02 15:04:05 ")+what)
	w.mutex.Unlock()
	w.logger("world").Info(what) //nolint:sloglint // it is what a person reads
}

func (w *world) setOdds(o odds) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.luck = o
}

func (w *world) odds() odds {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.luck
}

// newPlay is what a backup does.
func (w *world) newPlay(c chance) play {
	o := w.odds()
	p := play{takes: c.between(3*time.Second, o.longest)}
	if n := len(o.endings); n > 0 {
		p.ending = o.endings[c.IntN(n)]
	}
	return p
}

// enrol makes a machine and joins it to the server.
func (w *world) enrol(name string) *machine {
	w.t.Helper()
	ctx := w.t.Context()
	m := newMachine(w, name)
	m.repo = newRepository(w, filepath.Join(w.dir, name+".repository"))
	w.machines = append(w.machines, m)
	_, token, err := w.server().CreateEnrollmentToken(ctx, auth.Server, control.NewEnrollment{Name: name,
		Repository: fleet.RepositoryChoice{URL: m.repo.dir},
		Access:     &fleet.RepositorySecrets{Key: crypto.NewText("restic")}})
	must(err)
	installing := &boot{machine: m, disk: m.disk, crashed: make(chan struct{})}
	identity, err := agent.Enrol(ctx, m.options(installing), agent.EnrolOptions{Server: "http://" + serverAddress, Token: token, Insecure: true})
	must(err)
	m.host = identity.Host
	return m
}

// job is how a job stands at the server; "" is that it is not known there.
func (w *world) job(id job.ID) fleet.Job {
	j, err := w.server().store.Job(context.Background(), id)
	if errors.Is(err, fleet.ErrNotFound) {
		return fleet.Job{}
	}
	must(err)
	return j
}

// copyFolder copies the state of an agent as it is. A file that is being replaced
// at that moment goes under a name that may be gone when it is its turn; the copy
// begins anew then.
func copyFolder(to, from string) {
	for {
		must(os.RemoveAll(to))
		err := os.CopyFS(to, os.DirFS(from))
		if err == nil {
			return
		}
		if !errors.Is(err, fs.ErrNotExist) {
			panic(err)
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
