package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	"github.com/restic-manager/restic-manager/internal/testkit/crashdisk"
)

// world is one simulation: a server, machines, what is between them, and the
// truth about every restic that ran.
type world struct {
	t    testing.TB
	dir  string
	log  io.Writer // of both sides; nil is nowhere
	net  *network
	node *node // nil while no server runs

	machines []*machine
	truth    *truth

	mutex sync.Mutex
	rand  *rand.Rand
	odds  odds

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
}

// simulate runs do in a bubble, in a world that begins on a day of 2026.
func simulate(t *testing.T, seed uint64, do func(*world)) {
	t.Helper()
	dir := fastDir(t)
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, rand: rand.New(rand.NewPCG(seed, 1))}
		w.odds.longest = 10 * time.Minute
		if *verbose {
			w.log = &lockedWriter{to: os.Stderr}
		}
		w.net, w.truth = newNetwork(w), newTruth(w)
		must(os.MkdirAll(filepath.Join(dir, "source"), 0o700))
		must(os.WriteFile(filepath.Join(dir, "source", "file"), []byte("content"), 0o600))
		must(os.WriteFile(filepath.Join(dir, "policy.yaml"), nil, 0o600))
		w.passUntil(time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC))
		defer w.end()
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
			w.t.Errorf("the agent of %s ended with %v", m.name, err)
		}
		m.mutex.Lock()
		for _, p := range m.procs {
			p.die()
		}
		m.mutex.Unlock()
	}
	if w.node != nil {
		w.node.stop()
	}
	w.net.each((*link).cut)
}

// number is random in [0, n).
func (w *world) number(n int) int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.rand.IntN(n)
}

// between is a random time.
func (w *world) between(shortest, longest time.Duration) time.Duration {
	if longest <= shortest {
		return shortest
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return shortest + time.Duration(w.rand.Int64N(int64(longest-shortest)))
}

// latency is how long something is on its way.
func (w *world) latency() time.Duration { return w.between(0, 20*time.Millisecond) }

func (w *world) cutPower(disk *crashdisk.Disk) *crashdisk.Disk {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return disk.AfterPowerCut(w.rand)
}

func (w *world) crashStep() (at int, kind crashKind) {
	if w.odds.crash == 0 {
		return 0, killed
	}
	return 1 + w.number(w.odds.crash), crashKind(w.number(2))
}

func (w *world) backupScript(*machine) script {
	s := script{takes: w.between(3*time.Second, w.odds.longest)}
	if n := len(w.odds.endings); n > 0 {
		s.ending = w.odds.endings[w.number(n)]
	}
	return s
}

// enrol makes a machine, joins it to the server, and gives it a source group.
func (w *world) enrol(name string) (*machine, fleet.SourceGroup) {
	w.t.Helper()
	ctx := w.t.Context()
	m := newMachine(w, name, len(w.machines)+1)
	w.machines = append(w.machines, m)
	_, token, err := w.node.CreateEnrollmentToken(ctx, auth.Server, control.NewEnrollment{Name: name,
		Repository: fleet.RepositoryChoice{URL: m.repo.dir},
		Access:     &fleet.RepositorySecrets{Key: crypto.NewText("restic")}})
	must(err)
	installing := &boot{machine: m, disk: m.disk, crashed: make(chan struct{})}
	identity, err := agent.Enrol(ctx, m.options(installing), agent.EnrolOptions{Server: "http://" + serverAddress, Token: token, Insecure: true})
	must(err)
	m.host = identity.Host
	group, err := w.node.CreateGroup(ctx, auth.Server, fleet.SourceGroup{Host: m.host, Name: "files", Includes: []string{filepath.Join(w.dir, "source")},
		Options: fleet.DefaultGroupOptions()})
	must(err)
	return m, group
}

// job is how a job stands at the server; "" is that it is not known there.
func (w *world) job(id job.ID) fleet.Job {
	j, err := w.node.store.Job(context.Background(), id)
	if errors.Is(err, fleet.ErrNotFound) {
		return fleet.Job{}
	}
	must(err)
	return j
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// lockedWriter puts the simulated time in front of each line.
type lockedWriter struct {
	mutex sync.Mutex
	to    io.Writer
}

func (l *lockedWriter) Write(text []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_, _ = io.WriteString(l.to, time.Now().UTC().Format("02T15:04:05.000 ")+strings.TrimRight(string(bytes.TrimPrefix(text, []byte("time="))), "\n")+"\n")
	return len(text), nil
}
