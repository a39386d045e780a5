package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/restic"
)

// repository is a restic repository as it truly is.
type repository struct {
	world *world
	dir   string // with the files of the locks, which agents remove themselves

	mutex     sync.Mutex
	away      bool
	snapshots []restic.Snapshot
	locks     map[string]restic.Lock
}

func newRepository(w *world, dir string) *repository {
	must(os.MkdirAll(filepath.Join(dir, "locks"), 0o700))
	return &repository{world: w, dir: dir, locks: map[string]restic.Lock{}}
}

func (r *repository) setAway(away bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.away = away
}

func (r *repository) isAway() bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.away
}

func (r *repository) lockFile(id string) string { return filepath.Join(r.dir, "locks", id) }

// lock writes a lock of a process.
func (r *repository) lock(p *process) string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	id := r.world.newHash("lock")
	name, err := os.Hostname()
	must(err)
	r.locks[id] = restic.Lock{Time: p.machine.now(), Hostname: name, Username: "root", PID: p.pid}
	must(os.WriteFile(r.lockFile(id), nil, 0o600))
	return id
}

func (r *repository) unlock(id string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.locks, id)
	_ = os.Remove(r.lockFile(id)) // an agent may have been first
}

// lockIDs lists the locks whose files are there.
func (r *repository) lockIDs() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var ids []string
	for id := range r.locks {
		if _, err := os.Stat(r.lockFile(id)); err != nil {
			delete(r.locks, id)
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// system is where the agent of one life starts restic.
type system struct{ boot *boot }

func (system) LookPath(string) (string, error) { return "/usr/bin/restic", nil }

// Start implements restic.System.
func (s system) Start(c restic.Command) (restic.Child, error) {
	s.boot.machine.awaitAwake()
	s.boot.step()
	s.boot.guard.RLock()
	defer s.boot.guard.RUnlock()
	if s.boot.dead() {
		return nil, errDead
	}
	m := s.boot.machine
	p := &process{machine: m, boot: s.boot, command: c, pid: m.world.newPID(), started: m.now(),
		stopping: make(chan struct{}), dying: make(chan struct{}), gone: make(chan struct{})}
	p.chance = m.world.newChance(chanceOfProcess, m.number<<24|int(m.started.Add(1)))
	child := &child{boot: s.boot, process: p}
	child.stdout, p.stdout = io.Pipe()
	child.stderr, p.stderr = io.Pipe()
	m.mutex.Lock()
	m.procs[p.pid] = p
	m.mutex.Unlock()
	begun := make(chan struct{})
	go p.run(begun)
	<-begun
	return child, nil
}

// FindLeft implements restic.System.
func (s system) FindLeft(jobID string) ([]restic.Process, error) {
	if s.boot.dead() {
		return nil, errDead
	}
	m := s.boot.machine
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var left []restic.Process
	for _, p := range m.procs {
		if p.command.JobID == jobID {
			left = append(left, p.named())
		}
	}
	return left, nil
}

func (s system) find(pid int) *process {
	m := s.boot.machine
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.procs[pid]
}

// Stop implements restic.System.
func (s system) Stop(left restic.Process) error { return s.signal(left, (*process).stop) }

// Kill implements restic.System.
func (s system) Kill(left restic.Process) error { return s.signal(left, (*process).die) }

func (s system) signal(left restic.Process, send func(*process)) error {
	s.boot.step()
	s.boot.guard.RLock()
	defer s.boot.guard.RUnlock()
	if s.boot.dead() {
		return errDead
	}
	if p := s.find(left.PID); p != nil && p.command.JobID == left.JobID {
		send(p)
	}
	return nil
}

// Alive implements restic.System.
func (s system) Alive(pid int) bool { return s.find(pid) != nil }

// child is a process in the hands of the agent that started it.
type child struct {
	boot           *boot
	process        *process
	stdout, stderr *io.PipeReader
}

func (c *child) Process() restic.Process { return c.process.named() }
func (c *child) Stdout() io.Reader       { return c.stdout }
func (c *child) Stderr() io.Reader       { return c.stderr }

// Wait implements restic.Child; for an agent that has crashed nothing goes on.
func (c *child) Wait() restic.ExitCode {
	select {
	case <-c.process.gone:
		return c.process.exit
	case <-c.boot.crashed:
		c.Close()
		return restic.ExitKilled
	}
}

func (c *child) Stop() error { return system{c.boot}.Stop(c.process.named()) }
func (c *child) Kill() error { return system{c.boot}.Kill(c.process.named()) }
func (c *child) Close()      { _, _ = c.stdout.Close(), c.stderr.Close() }

// process is one restic process as it truly is.
type process struct {
	machine *machine
	boot    *boot // of the agent that started it
	command restic.Command
	pid     int
	chance  chance
	started time.Time // by the machine's wall clock

	stdout, stderr  *io.PipeWriter
	stopOnce, once  sync.Once
	stopping, dying chan struct{}
	gone            chan struct{}
	exit            restic.ExitCode // to be read after gone
}

func (p *process) named() restic.Process {
	return restic.Process{PID: p.pid, Started: p.started, JobID: p.command.JobID}
}

func (p *process) stop() { p.stopOnce.Do(func() { close(p.stopping) }) }
func (p *process) die()  { p.once.Do(func() { close(p.dying) }) }

// errStopped and errDied end what a process is doing.
var (
	errStopped = errors.New("interrupted")
	errDied    = errors.New("killed")
)

// pause is work that takes a while.
func (p *process) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.stopping:
		return errStopped
	case <-p.dying:
		return errDied
	}
	p.machine.awaitAwake()
	select {
	case <-p.dying:
		return errDied
	default:
		return nil
	}
}

// run is the life of the process.
func (p *process) run(begun chan<- struct{}) {
	code := p.work(begun)
	p.machine.mutex.Lock()
	delete(p.machine.procs, p.pid)
	p.machine.mutex.Unlock()
	p.exit = code
	_, _ = p.stdout.Close(), p.stderr.Close()
	close(p.gone)
}

func (p *process) work(begun chan<- struct{}) restic.ExitCode {
	if p.command.Args[0] == "backup" {
		return p.backup(begun)
	}
	close(begun)
	if err := p.pause(p.chance.between(time.Millisecond, time.Second)); err != nil {
		return p.cutOff(err)
	}
	if p.command.Args[0] == "version" {
		p.say(map[string]any{"message_type": "version", "version": "0.19.1"})
		return restic.ExitOK
	}
	if p.machine.repo.isAway() {
		return p.fail(restic.ExitFatal, "unable to open config file: dial tcp 10.9.9.9:8000: connect: connection refused")
	}
	switch last := p.command.Args[len(p.command.Args)-1]; p.command.Args[0] {
	case "snapshots":
		p.say(p.machine.repo.list(p.flag("--host"), p.flag("--tag")))
	case "list":
		for _, id := range p.machine.repo.lockIDs() {
			_, _ = io.WriteString(p.stdout, id+"\n")
		}
	case "cat":
		p.machine.repo.mutex.Lock()
		lock, ok := p.machine.repo.locks[last]
		p.machine.repo.mutex.Unlock()
		if !ok {
			return p.fail(restic.ExitFatal, "lock "+last+" does not exist")
		}
		p.say(lock)
	default:
		panic("the scripted restic does not know " + p.command.Args[0])
	}
	return restic.ExitOK
}

// cutOff is how a process ends that was told to.
func (p *process) cutOff(err error) restic.ExitCode {
	if errors.Is(err, errDied) {
		return restic.ExitKilled
	}
	return p.fail(restic.ExitInterrupted, "interrupted")
}

func (p *process) fail(code restic.ExitCode, message string) restic.ExitCode {
	p.complain(map[string]any{"message_type": "exit_error", "code": int(code), "message": "Fatal: " + message})
	return code
}

// say and complain write one message; nobody may be left to read it.
func (p *process) say(message any)      { write(p.stdout, message) }
func (p *process) complain(message any) { write(p.stderr, message) }

func write(to io.Writer, message any) {
	var line bytes.Buffer
	must(json.NewEncoder(&line).Encode(message))
	_, _ = to.Write(line.Bytes())
}

func (p *process) flag(name string) string {
	for _, arg := range p.command.Args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
	}
	return ""
}

func (p *process) flags(name string) []string {
	var values []string
	for _, arg := range p.command.Args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

func (r *repository) list(host, tags string) []restic.Snapshot {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	list := []restic.Snapshot{}
	for _, s := range r.snapshots {
		fits := host == "" || s.Hostname == host
		for tag := range strings.SplitSeq(tags, ",") {
			fits = fits && (tag == "" || slices.Contains(s.Tags, tag))
		}
		if fits {
			list = append(list, s)
		}
	}
	return list
}

// newHash makes an id as restic has them, another one each time.
func (w *world) newHash(of string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", of, w.hashes.Add(1)))
	return hex.EncodeToString(sum[:])
}

// newPID is above what this machine gives to a process of its own.
func (w *world) newPID() int { return 10_000_000 + int(w.pids.Add(1)) }
