package restic

import (
	"io"
	"os/exec"
)

// System starts processes, and finds and ends those that an earlier run of this program left. It is the
// seam between what this package knows of restic and the machine; a simulation puts a scripted restic here.
type System interface {
	// LookPath finds a program by its path, or by its name among the machine's programs.
	LookPath(name string) (path string, err error)
	// Start starts a process. Its errors are ErrJobBusy and the system's own.
	Start(Command) (Child, error)
	// FindLeft returns the live processes that carry the job's id.
	FindLeft(jobID string) ([]Process, error)
	// Stop asks a process that was found left, and all that belongs to it, to end, if it still carries its
	// job's id. Kill ends them at once. Neither waits; one that is gone is no error.
	Stop(Process) error
	Kill(Process) error
	// Alive tells whether a process is alive and may be restic. One that can't be looked at counts as
	// alive, one that only waits to be reaped does not.
	Alive(pid int) bool
}

// Command is a process to be started. It gets no stdin.
type Command struct {
	Path string
	Args []string // without the program itself
	Env  []string // all of it
	// JobID marks the process and all that it starts; empty is no mark.
	JobID string
}

// Child is a process that this program started.
type Child interface {
	Process() Process
	// Stdout and Stderr end when the process has closed them, or with Close.
	Stdout() io.Reader
	Stderr() io.Reader
	// Wait returns how the process ended once it is gone. It is called once.
	Wait() ExitCode
	// Stop asks the process to end, Kill ends it and all that it started. Neither waits; both may come after
	// the end.
	Stop() error
	Kill() error
	// Close ends the reading of both streams and gives back what the system holds for the child. It comes
	// after Wait and may be repeated.
	Close()
}

// Machine is the machine that this program runs on.
var Machine System = machine{}

type machine struct{}

// LookPath implements System.
func (machine) LookPath(name string) (string, error) { return exec.LookPath(name) }

// Start implements System.
func (machine) Start(c Command) (Child, error) {
	process := exec.Command(c.Path, c.Args...)
	process.Env = c.Env
	streams, err := openStreams(process)
	if err != nil {
		return nil, err
	}
	child, err := start(process, c.JobID)
	if err != nil {
		streams.closeAll()
		return nil, err
	}
	streams.closeWriters()
	child.streams = streams
	return child, nil
}

// system is where the processes of r run.
func (r Runner) system() System {
	if r.System != nil {
		return r.System
	}
	return Machine
}
