//go:build darwin || freebsd

package agent

import (
	"errors"
	"syscall"
)

// isRestic tells whether a process of this machine is alive and may be restic.
// One that can't be looked at counts as alive; its name is not asked for.
func isRestic(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
