package sim

import (
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// truth is what restic was really made to do.
type truth struct {
	world *world

	mutex    sync.Mutex
	attempts []*attempt
	roots    map[job.ID]job.ID // of every id that ran
}

func newTruth(w *world) *truth { return &truth{world: w, roots: map[job.ID]job.ID{}} }

// maxRetries bounds how far an id is looked for among the retries of another.
const maxRetries = 100

// rootOf is the first run of the chain that an id belongs to.
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
func (t *truth) begin(p *process) func(code restic.ExitCode, snapshot string, warned bool) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	id := job.ID(p.command.JobID)
	root := t.rootOf(id)
	for _, other := range t.attempts {
		if t.roots[job.ID(other.job)] != root {
			continue
		}
		if other.ended.IsZero() {
			t.world.t.Errorf("two attempts of %s run at once: %s on %s since %v, and now %s on %s", root, other.job, other.machine.name, other.begun, id, p.machine.name)
		}
		if other.job == string(id) && other.snapshot != "" {
			t.world.t.Errorf("%s runs again, though it has left a snapshot at %v", id, other.ended)
		}
	}
	a := &attempt{job: string(id), machine: p.machine, number: len(t.attempts), begun: time.Now()}
	t.attempts = append(t.attempts, a)
	return func(code restic.ExitCode, snapshot string, warned bool) {
		t.mutex.Lock()
		defer t.mutex.Unlock()
		a.ended, a.exit, a.snapshot, a.warned = time.Now(), code, snapshot, warned
	}
}

// of lists what ran for one job.
func (t *truth) of(id job.ID) []attempt {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	var list []attempt
	for _, a := range t.attempts {
		if a.job == string(id) {
			list = append(list, *a)
		}
	}
	return list
}
