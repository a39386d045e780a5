//go:build unix

package agent

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

var errLockHeld = errors.New("the file is locked by another")

// lockExclusive locks an open file without waiting, until it is closed.
func lockExclusive(file *os.File) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLockHeld
	}
	return err
}
