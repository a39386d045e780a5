//go:build darwin || freebsd

package restic

import (
	"errors"
	"syscall"
)

// Alive implements System; the name of the process is not asked for.
func (machine) Alive(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
