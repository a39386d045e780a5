package restic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
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
	var answer ListLocksResult
	var err error
	answer.Result, err = r.query(ctx, call, "list", []string{"--no-lock", "locks"},
		func(stdout io.Reader, _ *record) (err error) {
			answer.IDs, err = decodeIDs(stdout)
			return err
		})
	return answer, err
}

// CatLock reads one lock, taking none itself. A lock that is gone by now is an *ExitError with ExitFatal.
func (r Runner) CatLock(ctx context.Context, call Call, lockID string) (CatLockResult, error) {
	if !isID(lockID) {
		return CatLockResult{}, &InvalidError{Field: "lock id", Reason: "is not 64 hexadecimal digits"}
	}
	var answer CatLockResult
	var err error
	answer.Result, err = r.query(ctx, call, "cat", []string{"--no-lock", "lock", lockID},
		func(stdout io.Reader, _ *record) (err error) {
			answer.Lock, err = decodeLock(stdout)
			return err
		})
	return answer, err
}

// RemoveLock removes one lock by its id: a DELETE at a rest-server, the file in a local repository. A lock
// that is gone already is no error. Whether the lock may go is for its caller to prove. Its errors are
// *InvalidError, ErrUnsupportedRepository, *HTTPError, and those of the network or the file system.
func RemoveLock(ctx context.Context, repository Repository, lockID string) error {
	if !isID(lockID) {
		return &InvalidError{Field: "lock id", Reason: "is not 64 hexadecimal digits"}
	}
	if folder, local := repository.Local(); local {
		return removeLockFile(folder, lockID)
	}
	status, err := restDelete(ctx, repository, "locks", lockID)
	if err != nil {
		return fmt.Errorf("remove lock %s: %w", lockID, err)
	}
	if status == http.StatusNotFound || status >= 200 && status < 300 {
		return nil
	}
	return fmt.Errorf("remove lock %s: %w", lockID, &HTTPError{Method: http.MethodDelete, Status: status})
}

func removeLockFile(folder, lockID string) error {
	locks := filepath.Join(folder, "locks")
	// A wrong folder must not look like a lock that is gone.
	if _, err := os.Stat(locks); err != nil {
		return fmt.Errorf("remove lock %s: %w", lockID, err)
	}
	if err := os.Remove(filepath.Join(locks, lockID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove lock %s: %w", lockID, err)
	}
	return nil
}

func decodeLock(reader io.Reader) (Lock, error) {
	var lock Lock
	if err := json.NewDecoder(&capped{Reader: reader, left: MaxLine}).Decode(&lock); err != nil {
		return Lock{}, fmt.Errorf("decode a lock: %w", err)
	}
	if lock.Time.IsZero() {
		return Lock{}, errors.New("decode a lock: it has no time")
	}
	return lock, nil
}

// decodeIDs reads one id per line.
func decodeIDs(reader io.Reader) ([]string, error) {
	var ids []string
	var wrong error
	err := readLines(&capped{Reader: reader, left: maxAnswer}, func(line []byte, _ bool) {
		if !isID(string(line)) {
			wrong = errors.New("decode a list of ids: a line is not an id")
			return
		}
		ids = append(ids, string(line))
	})
	return ids, errors.Join(err, wrong)
}

// isID reports whether the text is one of restic's ids in full: SHA-256 in lower-case hexadecimal digits.
func isID(text string) bool {
	if len(text) != 64 {
		return false
	}
	for _, digit := range []byte(text) {
		if (digit < '0' || digit > '9') && (digit < 'a' || digit > 'f') {
			return false
		}
	}
	return true
}
