package restic

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
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

// child is a process of this machine that this program started and has not yet waited for.
type child struct {
	process Process
	command *exec.Cmd
	handle  jobHandle // what Windows needs to kill it; empty elsewhere
	streams *streams
	killed  atomic.Bool
}

// Process implements Child.
func (c *child) Process() Process { return c.process }

// Stdout implements Child.
func (c *child) Stdout() io.Reader { return c.streams.stdout }

// Stderr implements Child.
func (c *child) Stderr() io.Reader { return c.streams.stderr }

// Wait implements Child.
func (c *child) Wait() ExitCode {
	_ = c.command.Wait() // its error is of no use: the exit is read from the state
	state := c.command.ProcessState
	// On Windows the code alone does not tell that this program has killed it.
	if state == nil || state.ExitCode() < 0 || c.killed.Load() && state.ExitCode() == killedCode {
		return ExitKilled
	}
	return ExitCode(state.ExitCode())
}

// Stop implements Child.
func (c *child) Stop() error { return c.stop() }

// Kill implements Child.
func (c *child) Kill() error {
	c.killed.Store(true)
	return c.kill()
}

// Close implements Child.
func (c *child) Close() {
	c.streams.closeReaders()
	c.handle.close()
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

// mayBeRestic judges a program's name; our own programs begin like restic's.
func mayBeRestic(name string) bool {
	return strings.Contains(name, "restic") && !strings.HasPrefix(name, "restic-manager")
}
