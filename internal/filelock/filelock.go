// Package filelock owns locks that one process holds on a file until it ends,
// however it ends. It must not know what the file guards.
package filelock

import (
	"errors"
	"fmt"
	"os"
)

// ErrHeld means that another process holds the lock.
var ErrHeld = errors.New("another process holds the lock")

// Take locks the file at path, made with mode 0600 when it is not there, without
// waiting. The lock ends with the returned file's Close, or with the process.
func Take(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := Lock(file); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}
