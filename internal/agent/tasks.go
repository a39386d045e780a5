package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// stopError is the cause with which a job's context is ended.
type stopError struct{ cause job.Cause }

func (e stopError) Error() string { return "stopped: " + string(e.cause) }

const (
	causeStopped = job.CauseAgentStopped
	causeRemoved = job.CauseHostRemoved
)

// causeOf turns the cause of an ended context into a job's; "" is none of ours.
func causeOf(err error) job.Cause {
	var stop stopError
	switch {
	case errors.As(err, &stop):
		return stop.cause
	case errors.Is(err, restic.ErrNoContact), errors.Is(err, context.DeadlineExceeded):
		return job.CauseTimeout
	}
	return ""
}

// task is one accepted job in memory.
type task struct {
	id     job.ID
	info   job.KindInfo
	spec   job.Spec
	access *api.Access // as it came with the job; nil: the plan says
	log    *jobLog

	occasion job.Occasion
	since    time.Time // when it was accepted

	repository job.RepositoryID
	group      job.GroupID // "" for kinds without one
	// earlier is what the journal holds of a job that is being recovered.
	// It changes only under the mutex of tasks.
	earlier *journal.Unfinished

	ctx         context.Context //nolint:containedctx // it is how the job is ended
	end         context.CancelCauseFunc
	cancelAsked atomic.Bool
	over        atomic.Bool // its end is journalled
}

func (a *Agent) newTask(id job.ID, info job.KindInfo, spec job.Spec, access *api.Access) *task {
	t := &task{id: id, info: info, spec: spec, access: access, log: a.newJobLog(id)}
	t.repository, t.group = spec.Subject()
	return t
}

// excludes tells whether two jobs may not run at once: two of one group, whose
// hooks and memory they share, and two that write to one repository. A job that is
// being recovered only asks its repository.
func excludes(one, other *task) bool {
	if one.group != "" && one.group == other.group {
		return true
	}
	return one.earlier == nil && other.earlier == nil &&
		one.info.Lock != job.LockNone && other.info.Lock != job.LockNone && one.repository == other.repository
}

// tasks are the jobs of this agent that have not ended, in the order in which
// they were accepted.
type tasks struct {
	agent   *Agent
	mutex   sync.Mutex
	base    context.Context //nolint:containedctx // jobs outlive who brings them; nil until opened
	closed  bool
	waiting []*task
	active  map[job.ID]*task
	looks   map[job.ID]context.CancelCauseFunc
	running sync.WaitGroup
	halt    chan struct{} // closed when all jobs are to end
}

func newTasks(a *Agent) *tasks {
	return &tasks{agent: a, active: map[job.ID]*task{}, looks: map[job.ID]context.CancelCauseFunc{}, halt: make(chan struct{})}
}

// open lets jobs start; base outlives them all.
func (ts *tasks) open(base context.Context) {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	ts.base = base
}

func (ts *tasks) isOpen() bool {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	return ts.base != nil && !ts.closed
}

// add lets a job wait for its turn, which may be now.
func (ts *tasks) add(t *task) {
	ts.mutex.Lock()
	if !ts.closed {
		ts.waiting = append(ts.waiting, t)
		ts.startDue()
	}
	ts.mutex.Unlock()
	poke(ts.agent.status.changed)
}

// startDue starts every waiting job that nothing before it excludes.
func (ts *tasks) startDue() {
	var still []*task
	for _, t := range ts.waiting {
		if ts.blocked(t, still) {
			still = append(still, t)
			continue
		}
		t.ctx, t.end = context.WithCancelCause(ts.base)
		ts.active[t.id] = t
		ts.running.Go(func() { ts.run(t) })
	}
	ts.waiting = still
}

func (ts *tasks) blocked(t *task, before []*task) bool {
	for _, other := range ts.active {
		if excludes(t, other) {
			return true
		}
	}
	return slices.ContainsFunc(before, func(other *task) bool { return excludes(t, other) })
}

func (ts *tasks) run(t *task) {
	begin := false
	if t.earlier != nil {
		begin = ts.agent.recover(t)
	} else {
		ts.agent.perform(t)
	}
	t.end(nil)
	ts.mutex.Lock()
	delete(ts.active, t.id)
	if begin {
		// It was accepted before all that wait.
		t.earlier = nil
		ts.waiting = slices.Insert(ts.waiting, 0, t)
	}
	if !ts.closed {
		ts.startDue()
	}
	ts.mutex.Unlock()
	poke(ts.agent.status.changed)
	poke(ts.agent.clock.wake)
}

// backups are the backups that have not ended, by group.
func (ts *tasks) backups() map[job.GroupID]groupRun {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	runs := map[job.GroupID]groupRun{}
	for _, t := range ts.waiting {
		runs[t.group] = t.asRun()
	}
	for _, t := range ts.active {
		if !t.over.Load() {
			runs[t.group] = t.asRun()
		}
	}
	delete(runs, "")
	return runs
}

func (t *task) asRun() groupRun { return groupRun{id: t.id, since: t.since} }

// withdraw takes a job that has not begun out of the line; nil is none.
func (ts *tasks) withdraw(id job.ID) *task {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	at := slices.IndexFunc(ts.waiting, func(t *task) bool { return t.id == id && t.earlier == nil })
	if at < 0 {
		return nil
	}
	t := ts.waiting[at]
	ts.waiting = slices.Delete(ts.waiting, at, at+1)
	ts.startDue()
	return t
}

// find returns a job that is at work or waits to be recovered; nil is none.
func (ts *tasks) find(id job.ID) *task {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	if t := ts.active[id]; t != nil {
		return t
	}
	for _, t := range ts.waiting {
		if t.id == id {
			return t
		}
	}
	return nil
}

// cancel ends a job that is at work. A recovery goes on: it asks for the truth,
// and hears of the wish by cancelAsked.
func (ts *tasks) cancel(t *task, cause stopError) {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	if t.earlier == nil && ts.active[t.id] == t {
		t.end(cause)
	}
}

// stop ends all jobs that are at work and waits for them. Those that wait stay
// in the journal and are started by the next run.
func (ts *tasks) stop(cause stopError) {
	ts.mutex.Lock()
	ts.closed = true
	close(ts.halt)
	ts.waiting = nil
	for _, t := range ts.active {
		t.end(cause)
	}
	ts.mutex.Unlock()
	ts.running.Wait()
}

// pause waits and tells whether the agent's jobs go on. Other than the context of
// a job it does not end with a cancel.
func (ts *tasks) pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ts.halt:
		return false
	}
}

func (ts *tasks) count() int { return len(ts.list()) }

// list describes the jobs for a person.
func (ts *tasks) list() []StatusJob {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	list := []StatusJob{}
	for _, t := range ts.active {
		list = append(list, StatusJob{ID: t.id, Kind: t.info.Kind, Phase: ts.agent.live.phaseOf(t.id)})
	}
	for _, t := range ts.waiting {
		list = append(list, StatusJob{ID: t.id, Kind: t.info.Kind, Waiting: true})
	}
	slices.SortFunc(list, func(one, other StatusJob) int {
		if one.ID < other.ID {
			return -1
		}
		return 1
	})
	return list
}
