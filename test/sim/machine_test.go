package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent"
	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit/crashdisk"
)

// machine is one endpoint: its disks, its clock, its processes, and the agent
// that runs on it, if one does.
type machine struct {
	world  *world
	name   string
	number int
	host   job.HostID
	repo   *repository
	// repository is the server's id of repo; "" is the only one of the host.
	repository job.RepositoryID
	groups     []fleet.SourceGroup
	copyOf     *machine // the machine that it is a clone of; nil for a true one

	// What the world does with it, for the world alone.
	returns bool // its agent is going to be started
	gone    bool // for ever
	full    bool
	sure    time.Time // from when on its moments can be proved; zero is ever
	// wasBehind: its clock was ever set back.
	wasBehind bool

	mutex sync.Mutex
	// dir is the agent's state folder. Everything in it is written whole and
	// durably or not at all, so what a crash leaves is a copy of it; the agent that
	// has crashed keeps the original, and what it still writes there is lost.
	dir   string
	disk  *crashdisk.Disk // under the journal
	boot  *boot           // nil while no agent runs
	boots int
	procs map[int]*process

	offset   time.Duration // the wall clock ahead of the truth
	asleepAt time.Time     // the wall clock's while the machine sleeps; zero is awake
	awake    chan struct{} // closed when it wakes
	noNet    bool

	started atomic.Int64 // processes
}

func newMachine(w *world, name string) *machine {
	w.made++
	m := &machine{world: w, name: name, number: w.made, disk: crashdisk.New(), procs: map[int]*process{}, awake: make(chan struct{})}
	close(m.awake)
	m.dir = filepath.Join(w.dir, name+".0")
	return m
}

// now is the machine's wall clock.
func (m *machine) now() time.Time {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if !m.asleepAt.IsZero() {
		return m.asleepAt
	}
	return time.Now().Add(m.offset)
}

// wrong is how much the wall clock is off.
func (m *machine) wrong() time.Duration {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.offset
}

// address is where the machine's connections come from.
func (m *machine) address() string { return "10.0.0." + itoa(m.number) }

// jump sets the wall clock.
func (m *machine) jump(by time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.offset += by
}

// sleep suspends the machine: its wall clock and its processes stand still, and
// nothing is started or reaches the network until it wakes. The agent's timers
// can't be stopped from here; what they do before the next of these is as if done
// at the moment at which the clock stands. Neither its disk nor what it sends is held
// up, which only arrives later: an agent holds locks while it writes, and a bubble
// whose goroutines wait for a lock has no time.
func (m *machine) sleep() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.asleepAt.IsZero() {
		m.asleepAt = time.Now().Add(m.offset)
		m.awake = make(chan struct{})
	}
}

func (m *machine) wake() {
	m.mutex.Lock()
	if !m.asleepAt.IsZero() {
		m.asleepAt = time.Time{}
		close(m.awake)
	}
	m.mutex.Unlock()
	m.world.net.each(func(k *link) {
		if k.boot.machine == m {
			k.look()
		}
	})
}

func (m *machine) asleep() bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return !m.asleepAt.IsZero()
}

func (m *machine) awaitAwake() {
	m.mutex.Lock()
	awake := m.awake
	m.mutex.Unlock()
	<-awake
}

// plug connects the machine with the network, or takes it off: what is being
// sent then waits.
func (m *machine) plug(in bool) {
	m.mutex.Lock()
	m.noNet = !in
	b := m.boot
	m.mutex.Unlock()
	m.world.net.each(func(k *link) {
		if k.boot == b {
			k.setStalled(!in)
		}
	})
}

func (m *machine) offline() bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.noNet
}

func (m *machine) options(b *boot) agent.Options {
	return agent.Options{
		Dir: m.dir, PolicyFile: filepath.Join(m.world.dir, "policy.yaml"), Version: "sim", Log: m.world.logger(m.name), Now: m.now,
		System: system{b}, Journal: journal.Options{Files: files{b}, Reserve: 16 << 10, MaxBytes: 8 << 20},
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			m.awaitAwake()
			b.step()
			return m.world.net.dial(ctx, b)
		},
	}
}

// boot is one life of an agent's process, from its start to its end or crash.
type boot struct {
	machine *machine
	disk    *crashdisk.Disk
	cancel  context.CancelFunc
	ended   chan struct{} // closed when all of it is gone
	err     error         // of Run; to be read after ended
	crashed chan struct{} // closed at a crash: nothing that it does counts any more

	chance chance // for its crash
	// guard is held for reading while something durable is done, so that a crash
	// comes before it or after it.
	guard sync.RWMutex
	steps stepper
}

func (b *boot) dead() bool {
	select {
	case <-b.crashed:
		return true
	default:
		return false
	}
}

// start runs an agent on the machine.
func (m *machine) start() *boot {
	m.mutex.Lock()
	m.boots++
	b := &boot{machine: m, disk: m.disk, ended: make(chan struct{}), crashed: make(chan struct{})}
	b.chance = m.world.newChance(chanceOfBoot, m.number<<16|m.boots)
	if most := m.world.odds().crash; most > 0 {
		b.steps.at, b.steps.kind = 1+b.chance.IntN(most), crashKind(b.chance.IntN(2))
	}
	m.boot = b
	m.mutex.Unlock()
	var ctx context.Context
	ctx, b.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(b.ended)
		a, err := agent.New(m.options(b))
		if err == nil {
			err = a.Run(ctx)
		}
		b.err = err
	}()
	return b
}

// stop ends the agent politely.
func (m *machine) stop() error {
	m.mutex.Lock()
	b := m.boot
	m.boot = nil
	m.mutex.Unlock()
	if b == nil {
		return nil
	}
	b.cancel()
	<-b.ended
	if b.dead() {
		return nil
	}
	return b.err
}

// crashKind says what a crash takes along.
type crashKind int

const (
	// killed: only the agent's process; restic goes on, and what was written to
	// the disk is there though it was not synced.
	killed crashKind = iota
	// powerCut: everything on the machine.
	powerCut
)

// crash ends the agent's life at once. Its goroutines see nothing but errors from
// now on and end soon; a next life may begin at once.
func (b *boot) crash(kind crashKind) {
	b.guard.Lock()
	defer b.guard.Unlock()
	if b.dead() {
		return
	}
	m := b.machine
	m.mutex.Lock()
	close(b.crashed)
	if m.boot == b {
		m.boot = nil
	}
	if kind == powerCut {
		m.disk = b.disk.AfterPowerCut(b.chance.Rand)
	} else {
		m.disk = b.disk.AfterKill()
	}
	dir := filepath.Join(m.world.dir, m.name+"."+itoa(m.boots))
	copyFolder(dir, m.dir)
	m.dir = dir
	var procs []*process
	for _, p := range m.procs {
		procs = append(procs, p)
	}
	m.mutex.Unlock()
	if kind == powerCut {
		for _, p := range procs {
			p.die()
		}
	}
	b.cancel()
	m.world.net.each(func(k *link) {
		if k.boot != b {
			return
		}
		if kind == powerCut {
			k.stall() // nobody is left to tell the server
			_ = k.agent.Close()
			return
		}
		k.cut()
	})
}

// dials counts the connections of a life.
func (b *boot) dials() int {
	b.steps.mutex.Lock()
	defer b.steps.mutex.Unlock()
	b.steps.dialled++
	return b.machine.boots<<10 | b.steps.dialled
}

// stepper counts what a life does that outlasts it, and may end it at one of those.
type stepper struct {
	mutex         sync.Mutex
	done, dialled int
	at            int // the crash comes before this one; 0 is never
	kind          crashKind
}

// step is called before everything that outlasts the agent.
func (b *boot) step() {
	b.steps.mutex.Lock()
	b.steps.done++
	now, kind := b.steps.done == b.steps.at, b.steps.kind
	b.steps.mutex.Unlock()
	if now {
		b.crash(kind)
	}
}

// errDead is what everything answers after a crash.
var errDead = errors.New("this agent has crashed")

// files is the disk under the journal of one life.
type files struct{ boot *boot }

// do runs something on the disk, unless the crash came first.
func (b *boot) do(what func() error) error {
	b.step()
	b.guard.RLock()
	defer b.guard.RUnlock()
	if b.dead() {
		return errDead
	}
	return what()
}

func (f files) MakeDir(string) error { return f.boot.do(func() error { return nil }) }

// name leaves out the state folder, which is another one in each life.
func (f files) name(path string) string { return filepath.Base(path) }

func (f files) Open(path string) (journal.File, error) {
	return f.open(func() (*crashdisk.File, error) { return f.boot.disk.Open(f.name(path)) })
}

func (f files) Create(path string) (journal.File, error) {
	return f.open(func() (*crashdisk.File, error) { return f.boot.disk.Create(f.name(path)) })
}

func (f files) open(how func() (*crashdisk.File, error)) (journal.File, error) {
	var opened *crashdisk.File
	err := f.boot.do(func() (err error) { opened, err = how(); return err })
	if err != nil {
		return nil, err
	}
	return file{f.boot, opened}, nil
}

func (f files) Rename(from, to string) error {
	return f.boot.do(func() error { return f.boot.disk.Rename(f.name(from), f.name(to)) })
}

func (f files) Remove(path string) error {
	return f.boot.do(func() error { return f.boot.disk.Remove(f.name(path)) })
}

func (f files) SyncDir(string) error {
	return f.boot.do(func() error { return f.boot.disk.SyncDir("") })
}

// Lock is that of the life: a crash gives it back.
func (f files) Lock(path string) (lock io.Closer, err error) {
	err = f.boot.do(func() (err error) { lock, err = f.boot.disk.Lock(f.name(path)); return err })
	if errors.Is(err, crashdisk.ErrLocked) {
		err = journal.ErrInUse
	}
	return lock, err
}

type file struct {
	boot *boot
	*crashdisk.File
}

func (f file) WriteAt(data []byte, at int64) (n int, err error) {
	err = f.boot.do(func() (err error) { n, err = f.File.WriteAt(data, at); return err })
	return n, err
}

func (f file) Sync() error { return f.boot.do(f.File.Sync) }
