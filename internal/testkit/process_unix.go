//go:build unix

package testkit

import (
	"os/exec"
	"syscall"
)

const terminate = syscall.SIGTERM

// detach keeps the keyboard's interrupt, which goes to the whole process
// group, away from the command.
func detach(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
