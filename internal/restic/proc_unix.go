//go:build linux || darwin || freebsd

package restic

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// jobHandle is needed on Windows only.
type jobHandle struct{}

func (jobHandle) close() {}

// start starts the command in a process group of its own, so that a signal to the agent's group does not
// reach it and one to its group reaches all that it started.
func start(command *exec.Cmd, jobID string) (*child, error) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	return &child{process: newProcess(command.Process, jobID), command: command}, nil
}

func (c *child) stop() error { return signalGroup(c.process.PID, unix.SIGINT) }
func (c *child) kill() error { return signalGroup(c.process.PID, unix.SIGKILL) }

// signalGroup signals a process group; one that is gone is no error.
func signalGroup(group int, signal unix.Signal) error {
	if err := unix.Kill(-group, signal); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process group %d: %w", group, err)
	}
	return nil
}

// FindLeft implements System: the mark is in the environment.
func (machine) FindLeft(jobID string) ([]Process, error) {
	if jobID == "" {
		return nil, &InvalidError{Field: "job id", Reason: "is empty"}
	}
	pids, err := processIDs()
	if err != nil {
		return nil, fmt.Errorf("find what is left of job %s: %w", jobID, err)
	}
	var left []Process
	for _, pid := range pids {
		if pid == os.Getpid() || !carries(pid, jobID) {
			continue
		}
		// One that ended in between is not left.
		if at, err := startTime(pid); err == nil {
			left = append(left, Process{PID: pid, Started: at, JobID: jobID})
		}
	}
	return left, nil
}

// carries looks for the job's mark. A process whose environment this user may not read belongs to
// somebody else and is none of ours: ours run as this user.
func carries(pid int, jobID string) bool {
	mark := []byte(jobIDVariable + "=" + jobID)
	variables, err := environmentOf(pid)
	if err != nil {
		return false
	}
	for _, variable := range variables {
		if bytes.Equal(variable, mark) {
			return true
		}
	}
	return false
}

// Stop implements System.
func (machine) Stop(p Process) error { return p.signal(unix.SIGINT) }

// Kill implements System.
func (machine) Kill(p Process) error { return p.signal(unix.SIGKILL) }

func (p Process) signal(signal unix.Signal) error {
	if p.JobID == "" || p.PID <= 1 {
		return &InvalidError{Field: "process", Reason: "carries no job id"}
	}
	if !carries(p.PID, p.JobID) {
		return nil
	}
	group, err := unix.Getpgid(p.PID)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the group of process %d: %w", p.PID, err)
	}
	if group != unix.Getpgrp() {
		return signalGroup(group, signal)
	}
	// It has joined this program's group, which must not end with it.
	if err := unix.Kill(p.PID, signal); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.PID, err)
	}
	return nil
}
