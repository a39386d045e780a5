package restic

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
)

// jobIDVariable marks a process, and all that it starts, as belonging to a job.
const jobIDVariable = "RM_JOB_ID"

// ErrProcessesUnknown is returned by FindLeft where the system does not let this program look, or looks
// different from what it knows.
var ErrProcessesUnknown = errors.New("the processes of this machine can't be listed")

// ErrJobBusy is returned by the start of a process whose job id a live process carries already, on systems
// that can tell at once (Windows).
var ErrJobBusy = errors.New("a process of this job is still alive")

// Process names one process beyond the reuse of its number.
type Process struct {
	PID int
	// Started is the system's own record of the start, to the resolution that it keeps (Linux: 10 ms, and
	// off by as much as the clock was set since).
	Started time.Time
	// JobID is the mark that the process carries; empty for one that was started without.
	JobID string
}

// child is a process that this program started and has not yet waited for.
type child struct {
	Process
	command *exec.Cmd
	handle  jobHandle // what Windows needs to kill it; empty elsewhere
}

// wait returns when the process is gone. Its error is of no use: the exit is read from its state.
func (c *child) wait() { _ = c.command.Wait() }

// exit is the code of a process that is gone. killed says that this program has killed it: on Windows the
// code alone does not tell.
func (c *child) exit(killed bool) ExitCode {
	state := c.command.ProcessState
	if state == nil || state.ExitCode() < 0 || killed && state.ExitCode() == killedCode {
		return ExitKilled
	}
	return ExitCode(state.ExitCode())
}

// killedCode is what a killed process ends with where the system has no signals.
const killedCode = 137

func checkJobID(jobID string) error {
	if strings.ContainsAny(jobID, "\x00\\/=") {
		return &InvalidError{Field: "job id", Reason: "contains a character that can't be a mark"}
	}
	return nil
}

// newProcess names a process that was just started. Should the system not tell when that was, it was now.
func newProcess(started *os.Process, jobID string) Process {
	process := Process{PID: started.Pid, Started: time.Now(), JobID: jobID}
	if at, err := startTime(started.Pid); err == nil {
		process.Started = at
	}
	return process
}
