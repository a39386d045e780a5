package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// truth is what restic was really made to do. It judges each backup when it
// begins, by nothing that a side says.
type truth struct {
	world *world

	mutex    sync.Mutex
	attempts []*attempt
	roots    map[job.ID]job.ID // of every id that ran
}

// attempt is what one backup process truly did.
type attempt struct {
	job     job.ID
	machine *machine
	boot    *boot
	begun   time.Time // by the true clock
	ended   time.Time // zero: it is still at work
	exit    restic.ExitCode
	// snapshot is what it left, however it ended; "" is nothing.
	snapshot string
	// alone: no server could have kept it from beginning.
	alone bool
}

func (a *attempt) String() string {
	return fmt.Sprintf("%s on %s from %s to %s: %s, snapshot %.8s", a.job, a.machine.name, a.begun.Format(time.TimeOnly), a.ended.Format(time.TimeOnly), a.exit, a.snapshot)
}

// well: it told that it had done its work.
func (a *attempt) well() bool {
	return !a.ended.IsZero() && (a.exit == restic.ExitOK || a.exit == restic.ExitIncomplete)
}

func newTruth(w *world) *truth { return &truth{world: w, roots: map[job.ID]job.ID{}} }

// maxRetries bounds how far an id is looked for among the retries of another.
const maxRetries = 20

// rootOf is the first run of the chain that an id belongs to, as far as that run
// or an earlier retry has begun.
func (t *truth) rootOf(id job.ID) job.ID {
	if root, ok := t.roots[id]; ok {
		return root
	}
	root := id
	for known, first := range t.roots {
		if known != first || known[:10] != id[:10] { // a retry keeps the time of its root
			continue
		}
		for n := 1; n <= maxRetries; n++ {
			if retry, err := job.RetryID(first, n); err == nil && retry == id {
				root = first
			}
		}
	}
	t.roots[id] = root
	return root
}

// begin notes a backup that begins, and returns what notes its end.
func (t *truth) begin(p *process) func(code restic.ExitCode, snapshot string) {
	alone := !t.world.hasSession(p.boot)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	a := &attempt{job: job.ID(p.command.JobID), machine: p.machine, boot: p.boot, begun: time.Now(), alone: alone}
	root := t.rootOf(a.job)
	for _, other := range t.attempts {
		switch {
		case t.roots[other.job] != root:
		case other.ended.IsZero() && !t.world.apart(a, other):
			t.world.fault("two attempts of one occurrence at once: %s, and now %s on %s", other, a.job, a.machine.name)
		case other.well() && (other.machine == a.machine || !a.alone && t.world.toldWell(other.job)):
			t.world.fault("an attempt after one that ended well: %s, and now %s on %s", other, a.job, a.machine.name)
		}
		if other.machine == a.machine && other.ended.IsZero() && !other.boot.dead() {
			t.world.fault("two backups into one repository at once: %s, and now %s on %s", other, a.job, a.machine.name)
		}
	}
	t.attempts = append(t.attempts, a)
	return func(code restic.ExitCode, snapshot string) {
		t.mutex.Lock()
		defer t.mutex.Unlock()
		a.ended, a.exit, a.snapshot = time.Now(), code, snapshot
	}
}

// apart exempts the one case in which nobody can know better: two copies of one
// machine, of which no server speaks with both. One that begins without a server
// is right to begin what both hold; and a server that has lost its copy, or holds
// it back since a person called the other one true, can't hear what it does. In the
// same way an end is none that the server was never told by a copy.
func (w *world) apart(one, other *attempt) bool {
	return one.machine != other.machine && (one.alone || other.alone || !w.hasSession(other.boot))
}

// toldWell tells whether the server knows that a job ended well.
func (w *world) toldWell(id job.ID) bool {
	n := w.server()
	if n == nil || n.dead() {
		return false
	}
	j, err := n.store.Job(context.Background(), id)
	return err == nil && j.State.EndedWell()
}

// of lists what ran for one job.
func (t *truth) of(id job.ID) []*attempt {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return slices.DeleteFunc(slices.Clone(t.attempts), func(a *attempt) bool { return a.job != id })
}

func (t *truth) all() []*attempt {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return slices.Clone(t.attempts)
}

// hasSession tells whether a life of an agent is being spoken with.
func (w *world) hasSession(b *boot) bool {
	n := w.server()
	if n == nil || n.dead() || b.machine.offline() {
		return false
	}
	open := false
	w.net.each(func(k *link) { open = open || k.boot == b && k.node == n && !k.isStalled() })
	return open && slices.ContainsFunc(n.Sessions(b.machine.host), sessionOf(b.machine))
}
