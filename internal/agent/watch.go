package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// watch follows the one restic process that works for a job: its log, what it
// waits for, and the locks in its way.
type watch struct {
	agent   *Agent
	task    *task
	runner  restic.Runner
	call    restic.Call // without hooks, for questions beside it
	process restic.Process
	// away: restic tries in vain to reach the repository. It tells of its progress
	// all the same.
	away atomic.Bool

	mutex    sync.Mutex
	locks    []job.Lock // that stand in the way, as last seen
	lockedAt time.Time  // when any did last
}

// within ends with cause when restic has worked for longer than most. Its time begins
// anew while it waits for a lock.
func (w *watch) within(parent context.Context, most time.Duration, cause error) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	var timer sync.WaitGroup
	timer.Go(func() {
		for left := most; sleep(ctx, left); {
			w.mutex.Lock()
			left = time.Until(w.lockedAt.Add(most))
			w.mutex.Unlock()
			if left <= 0 {
				cancel(cause)
				return
			}
		}
	})
	return ctx, func() { cancel(nil); timer.Wait() }
}

// callFor is the call of the process itself; Started is for the caller to set.
func (w *watch) callFor(retryLock time.Duration) restic.Call {
	call := w.call
	call.JobID, call.RetryLock = string(w.task.id), retryLock
	call.LimitUploadKiB, call.LimitDownloadKiB = w.agent.policy.Limits.UploadKiB, w.agent.policy.Limits.DownloadKiB
	call.Hooks = restic.Hooks{
		Line: w.line, Notice: w.notice, Silence: w.silence, FirstContact: w.agent.policy.FirstContact,
		// A lock is as silent as a repository that is away: it is found before the wait for the first contact is over.
		SilenceAfter: min(w.agent.patience.silence, w.agent.policy.FirstContact/2),
	}
	return call
}

func (w *watch) started(process restic.Process, argv []string, findings []job.Finding) {
	w.process = process
	w.agent.began(w.task, process, argv, findings)
	w.agent.live.set(w.task.id, func(*job.Progress) {})
}

func (w *watch) line(line restic.Line) {
	level := job.LogInfo
	switch line.Source { //nolint:exhaustive // all others are information
	case restic.LineStderr:
		level = job.LogWarn
	case restic.LineError:
		level = job.LogError
	}
	w.task.log.add(level, line.Text)
}

func (w *watch) notice(notice restic.Notice) {
	switch notice.Kind { //nolint:exhaustive // all others change no phase
	case restic.NoticeRetrying:
		w.away.Store(true)
		w.agent.live.phase(w.task.id, job.PhaseWaitingRepository)
	case restic.NoticeReached:
		w.away.Store(false)
		w.agent.live.phase(w.task.id, "")
	}
}

// silence finds out why nothing is heard: a lock prints nothing.
func (w *watch) silence(ctx context.Context, _ time.Duration) (reached bool) {
	ctx, cancel := context.WithTimeout(ctx, w.agent.patience.question)
	defer cancel()
	locks, err := listLocks(ctx, w.runner, w.call)
	if ctx.Err() != nil && err == nil {
		return false
	}
	if err != nil {
		w.agent.live.phase(w.task.id, job.PhaseWaitingRepository)
		return false
	}
	locks = withoutOwn(locks, w.process)
	w.mutex.Lock()
	w.locks = locks
	if len(locks) > 0 {
		w.lockedAt = time.Now()
	}
	w.mutex.Unlock()
	if len(locks) == 0 {
		return true
	}
	if w.agent.live.phase(w.task.id, job.PhaseWaitingLock) {
		w.task.log.add(job.LogWarn, "waiting: the repository is locked"+lockOwner(locks, w.agent.options.Now()))
	}
	return true
}

// whoLocks names the locks that a backup gave up for.
func (w *watch) whoLocks() []job.Lock {
	w.mutex.Lock()
	known := w.locks
	w.mutex.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.task.ctx), w.agent.patience.question)
	defer cancel()
	if locks, err := listLocks(ctx, w.runner, w.call); err == nil && len(locks) > 0 {
		return locks
	}
	return known
}

// noteLock notes the lock that a process may have left. An interrupt that meets
// restic while it writes its lock leaves it too.
func (w *watch) noteLock(repository job.RepositoryID, result restic.Result) {
	if result.Process.PID != 0 && (result.Killed || result.Exit == restic.ExitKilled || result.Exit == restic.ExitInterrupted) {
		w.agent.leaveLock(leftLock{Repository: repository, Job: w.task.id, PID: result.Process.PID, From: result.Process.Started, Until: result.Ended})
	}
}
