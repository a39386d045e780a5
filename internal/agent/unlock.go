package agent

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// unlock removes one lock by its id after proving that its process is gone. It
// never runs restic's own unlock, which also removes live locks.
func (a *Agent) unlock(t *task, spec *job.UnlockSpec) outcome {
	access, ok := a.accessOf(t)
	if !ok {
		return failed("This agent was not told how to reach the repository.", "Restart this agent, so that the server sends it the plan again; then run the job again.")
	}
	runner, err := a.runner()
	if err != nil {
		return failed(explainStart(err))
	}
	hostname, err := os.Hostname()
	if err != nil {
		return failed("This machine does not tell its name, so nothing can be proved about the lock.", "")
	}
	a.began(t, restic.Process{}, nil, nil)
	ctx, cancel := context.WithTimeout(t.ctx, a.policy.FirstContact)
	defer cancel()
	call := restic.Call{Repository: repositoryOf(access), JobID: string(t.id)}
	read, err := runner.CatLock(ctx, call, spec.LockID)
	if err != nil {
		return a.lockUnread(ctx, runner, call, spec, access, err)
	}
	lock := lockOf(spec.LockID, read.Lock)
	if reason := whyNotRemovable(lock, hostname, a.options.System.Alive); reason != "" {
		o := failed("The lock was not removed: it belongs to"+lockOwner([]job.Lock{lock}, a.options.Now())[len(" by"):]+", and "+reason+".",
			"Wait until that process has ended, or end it there; then try again.")
		o.ended.Summary.Locks = []job.Lock{lock}
		return o
	}
	if o, dead := a.watchLock(t, runner, call, lock); !dead {
		return o
	}
	ctx, cancel = context.WithTimeout(t.ctx, a.policy.FirstContact)
	defer cancel()
	if err := restic.RemoveLock(ctx, call.Repository, spec.LockID); err != nil {
		return failed("The lock could not be removed"+colon(err.Error())+".", "Try again when the repository can be reached.")
	}
	t.log.add(job.LogInfo, fmt.Sprintf("The lock %.8s of process %d is removed; that process is gone.", lock.ID, lock.PID))
	return outcome{ended: api.Ended{State: job.Succeeded, Summary: &job.Summary{Locks: []job.Lock{lock}}}}
}

// watchLock waits whether a lock is renewed, which only a live restic does. It
// reads the lock again right before it may be removed.
func (a *Agent) watchLock(t *task, runner restic.Runner, call restic.Call, lock job.Lock) (o outcome, dead bool) {
	t.log.add(job.LogInfo, fmt.Sprintf("Process %d is not on this machine. The lock is watched for %s: a restic that lives, perhaps in a container of the same name, renews it within 5 minutes.",
		lock.PID, roughly(a.policy.LockWatch)))
	a.live.phase(t.id, job.PhaseFindingOut)
	if !sleep(t.ctx, a.policy.LockWatch) {
		cause := causeOf(context.Cause(t.ctx))
		return outcome{ended: api.Ended{State: job.EndByCause(cause), Cause: cause, Error: "It was stopped before the owner of the lock was proved to be gone."}}, false
	}
	ctx, cancel := context.WithTimeout(t.ctx, a.policy.FirstContact)
	defer cancel()
	locks, err := listLocks(ctx, runner, call)
	if err != nil {
		return failed("The locks could not be read again"+colon(err.Error())+".", "Try again when the repository can be reached."), false
	}
	renewed := false
	for _, other := range locks {
		if other.ID == lock.ID {
			return outcome{}, true
		}
		renewed = renewed || other.Host == lock.Host && other.PID == lock.PID
	}
	if renewed {
		return failed(fmt.Sprintf("The lock was not removed: process %d renewed it while it was watched, so it is alive, perhaps in a container or a clone of this machine.", lock.PID),
			"Find that process and end it there, or wait for its end."), false
	}
	return outcome{ended: api.Ended{State: job.Succeeded, Summary: &job.Summary{Advice: "The lock was gone already."}}}, false
}

// whyNotRemovable says what keeps a lock from being proved dead; "" is nothing.
// restic writes the machine's own name into a lock, not the name that snapshots
// carry.
func whyNotRemovable(lock job.Lock, hostname string, alive func(pid int) bool) string {
	switch {
	case lock.Host != hostname:
		return fmt.Sprintf("only the agent on %s can tell whether that process is gone (this is %s)", lock.Host, hostname)
	case alive(lock.PID):
		return "that process is alive"
	}
	return ""
}

// lockUnread tells a lock that is gone, which is what was asked for, from one
// that can't be read.
func (a *Agent) lockUnread(ctx context.Context, runner restic.Runner, call restic.Call, spec *job.UnlockSpec, access api.Access, err error) outcome {
	var exit *restic.ExitError
	if errors.As(err, &exit) && exit.Result.Exit == restic.ExitFatal {
		if list, listErr := runner.ListLocks(ctx, call); listErr == nil {
			for _, id := range list.IDs {
				if id == spec.LockID {
					return failed("The lock can't be read, so nothing can be proved about its owner.", "Look at it on the storage box: it may be damaged.")
				}
			}
			return outcome{ended: api.Ended{State: job.Succeeded, Summary: &job.Summary{Advice: "The lock was gone already."}}}
		}
	}
	return a.explainQuery(err, access, a.policy.FirstContact)
}
