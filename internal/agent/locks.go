package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// leftLocksFile holds the locks that killed processes may have left, until they
// are removed.
const leftLocksFile = "locks-left.json"

// lockTolerance allows for the resolution of a process's start time.
const lockTolerance = 2 * time.Second

// leftLock names a process that is gone and may have left its lock.
type leftLock struct {
	Repository job.RepositoryID `json:"repository_id"`
	Job        job.ID           `json:"job_id"`
	PID        int              `json:"pid"`
	// From and Until bound when that process can have written a lock.
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// lockLedger is the durable list of them.
type lockLedger struct {
	mutex   sync.Mutex
	changed chan struct{} // holds a token when there is a new one
}

// leaveLock notes a lock to be removed and wakes who does it.
func (a *Agent) leaveLock(left leftLock) {
	a.locks.mutex.Lock()
	list, err := a.state.leftLocks()
	if err == nil {
		err = a.state.writeJSON(leftLocksFile, append(list, left))
	}
	a.locks.mutex.Unlock()
	if err != nil {
		a.log.Error("a lock that may be left could not be noted", "job", left.Job, "error", err)
	}
	poke(a.locks.changed)
}

func (s *state) leftLocks() ([]leftLock, error) {
	var list []leftLock
	_, err := s.readJSON(leftLocksFile, &list)
	return list, err
}

func (a *Agent) forgetLock(done leftLock) error {
	a.locks.mutex.Lock()
	defer a.locks.mutex.Unlock()
	list, err := a.state.leftLocks()
	if err != nil {
		return err
	}
	return a.state.writeJSON(leftLocksFile, slices.DeleteFunc(list, func(l leftLock) bool { return l.Job == done.Job && l.PID == done.PID }))
}

// removeLeftLocks removes what killed processes left, and tries again until it
// is done. Each first failure and each removal is reported.
func (a *Agent) removeLeftLocks(ctx context.Context) {
	told := map[job.ID]bool{}
	for attempt := 0; ; {
		list, err := a.state.leftLocks()
		if err != nil {
			a.log.Error("the list of locks that are left can't be read", "error", err)
		}
		remaining := 0
		for _, left := range list {
			if err := a.removeLeft(ctx, left); err != nil {
				remaining++
				if !told[left.Job] && ctx.Err() == nil {
					told[left.Job] = true
					a.log.Warn("a lock may be left and can't be removed yet", "job", left.Job, "error", err)
					a.report(api.Report{Topic: api.ReportLockLeft, Repository: left.Repository,
						Detail: fmt.Sprintf("Process %d of job %s was killed; its lock could not be removed yet.", left.PID, left.Job)})
				}
			}
		}
		if remaining == 0 {
			attempt = 0
			select {
			case <-a.locks.changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		timer := time.NewTimer(pause(attempt, a.patience.retryMin, a.patience.retryMax))
		attempt++
		select {
		case <-timer.C:
		case <-a.locks.changed:
		case <-a.plan.next():
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// removeLeftOf removes what is left in one repository, for a job that has come with
// what opens it. A storage agent keeps that for no longer.
func (a *Agent) removeLeftOf(ctx context.Context, id job.RepositoryID, repository restic.Repository) {
	list, err := a.state.leftLocks()
	if err != nil {
		a.log.Error("the list of locks that are left can't be read", "error", err)
	}
	for _, left := range list {
		if left.Repository != id {
			continue
		}
		if err := a.removeLeftFrom(ctx, repository, left); err != nil {
			a.log.Warn("a lock may be left and can't be removed yet", "job", left.Job, "error", err)
		}
	}
}

func (a *Agent) removeLeft(ctx context.Context, left leftLock) error {
	access, ok := a.plan.access(left.Repository)
	if !ok {
		return errors.New("how to reach the repository is not known")
	}
	return a.removeLeftFrom(ctx, repositoryOf(access), left)
}

func (a *Agent) removeLeftFrom(ctx context.Context, repository restic.Repository, left leftLock) error {
	runner, err := a.runner()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.patience.question)
	defer cancel()
	removed, err := a.removeOwnLocks(ctx, runner, restic.Call{Repository: repository}, left)
	if err != nil {
		return err
	}
	if err := a.forgetLock(left); err != nil {
		return err
	}
	for _, lock := range removed {
		a.log.Info("lock of a killed process removed", "job", left.Job, "lock", lock.ID)
		a.report(api.Report{Topic: api.ReportLockRemoved, Repository: left.Repository, OK: true,
			Detail: fmt.Sprintf("The lock %.8s of process %d of job %s, which was killed, is removed.", lock.ID, lock.PID, left.Job)})
	}
	return nil
}

// removeOwnLocks removes the locks that a process of this machine which is
// proved to be gone wrote while it lived, each by its id.
func (a *Agent) removeOwnLocks(ctx context.Context, runner restic.Runner, call restic.Call, left leftLock) ([]job.Lock, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("learn this machine's name: %w", err)
	}
	locks, err := listLocks(ctx, runner, call)
	if err != nil {
		return nil, err
	}
	var removed []job.Lock
	for _, lock := range locks {
		inTime := !lock.Time.Before(left.From.Add(-lockTolerance)) && !lock.Time.After(left.Until.Add(lockTolerance))
		if lock.Host != hostname || !inTime || left.PID != 0 && lock.PID != left.PID || a.options.System.Alive(lock.PID) {
			continue
		}
		if err := restic.RemoveLock(ctx, call.Repository, lock.ID); err != nil {
			return removed, fmt.Errorf("remove lock: %w", err)
		}
		removed = append(removed, lock)
	}
	return removed, nil
}

// listLocks reads all locks of a repository without taking one. A lock that
// goes meanwhile is left out.
func listLocks(ctx context.Context, runner restic.Runner, call restic.Call) ([]job.Lock, error) {
	list, err := runner.ListLocks(ctx, call)
	if err != nil {
		return nil, err
	}
	var locks []job.Lock
	for _, id := range list.IDs {
		read, err := runner.CatLock(ctx, call, id)
		var gone *restic.ExitError
		if errors.As(err, &gone) && gone.Result.Exit == restic.ExitFatal && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return locks, err
		}
		locks = append(locks, lockOf(id, read.Lock))
	}
	slices.SortFunc(locks, func(one, other job.Lock) int { return other.Time.Compare(one.Time) })
	return locks, nil
}

func lockOf(id string, lock restic.Lock) job.Lock {
	return job.Lock{ID: id, Host: lock.Hostname, User: lock.Username, PID: lock.PID, Time: lock.Time, Exclusive: lock.Exclusive}
}

func withoutOwn(locks []job.Lock, own restic.Process) []job.Lock {
	hostname, err := os.Hostname()
	if err != nil {
		return locks
	}
	return slices.DeleteFunc(locks, func(l job.Lock) bool { return l.Host == hostname && l.PID == own.PID })
}
