package demo

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup keeps the console's Ctrl-C from the process: the demo ends it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// polite can only kill: Windows has no other word for a process without a
// console of ours.
func polite(p *os.Process) error { return p.Kill() }
