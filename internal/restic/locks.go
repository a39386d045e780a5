package restic

import (
	"context"
	"errors"
	"time"
)

// Lock is what restic wrote into a lock.
type Lock struct {
	Time      time.Time `json:"time"`
	Exclusive bool      `json:"exclusive"`
	Hostname  string    `json:"hostname"`
	Username  string    `json:"username"`
	PID       int       `json:"pid"`
	UID       uint32    `json:"uid"`
	GID       uint32    `json:"gid"`
}

// ListLocksResult is the answer of ListLocks.
type ListLocksResult struct {
	Result
	IDs []string
}

// CatLockResult is the answer of CatLock.
type CatLockResult struct {
	Result
	Lock Lock
}

// ListLocks lists the ids of the locks in the repository, taking none itself.
func (r Runner) ListLocks(ctx context.Context, call Call) (ListLocksResult, error) {
	return ListLocksResult{}, errors.New("not built yet")
}

// CatLock reads one lock, taking none itself. A lock that is gone by now is an *ExitError with ExitFatal.
func (r Runner) CatLock(ctx context.Context, call Call, lockID string) (CatLockResult, error) {
	return CatLockResult{}, errors.New("not built yet")
}

// RemoveLock removes one lock by its id: a DELETE at a rest-server, the file in a local repository. A lock
// that is gone already is no error. It never judges whether the lock is stale.
func RemoveLock(ctx context.Context, repository Repository, lockID string) error {
	return errors.New("not built yet")
}
