package restic

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// processIDs lists this machine's processes.
func processIDs() ([]int, error) {
	processes, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, errors.Join(ErrProcessesUnknown, err)
	}
	pids := make([]int, 0, len(processes))
	for i := range processes {
		pids = append(pids, int(processes[i].Proc.P_pid))
	}
	return pids, nil
}

// environmentOf reads the environment that a process was started with. The system shows it to the same
// user and to root only.
func environmentOf(pid int) ([][]byte, error) {
	raw, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil {
		return nil, err
	}
	return procargsEnvironment(raw)
}

// startTime reads when a process was started.
func startTime(pid int) (time.Time, error) {
	process, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the start of process %d: %w", pid, err)
	}
	return time.Unix(process.Proc.P_starttime.Unix()), nil
}
