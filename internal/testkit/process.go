package testkit

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// stopPatience is how long a process may take to end after a polite stop
// before it is killed.
const stopPatience = 10 * time.Second

// Process is a program that a test started.
type Process struct {
	// Pid is the process id while it runs, and the one it had afterwards.
	Pid int

	process *os.Process
	ended   chan struct{} // closed when it was waited for
	err     error         // of Wait; to be read after ended
}

// Start runs the command until it ends by itself or the test does, and even
// when the test binary is killed: then a guard kills the process. Its output
// goes where the command says.
func Start(t testing.TB, command *exec.Cmd) *Process {
	t.Helper()
	if err := command.Start(); err != nil {
		t.Fatalf("start %s: %v", command.Path, err)
	}
	pid := command.Process.Pid
	process := &Process{Pid: pid, process: command.Process, ended: make(chan struct{})}
	release, err := guard("kill -9 " + strconv.Itoa(pid))
	go func() {
		process.err = command.Wait()
		close(process.ended)
		release()
	}()
	t.Cleanup(process.Stop)
	if err != nil {
		t.Fatalf("guard %s: %v", command.Path, err)
	}
	return process
}

// Stop asks the process to end (SIGTERM), kills it after ten seconds, and
// returns when it is gone. Repeating it is harmless.
func (p *Process) Stop() {
	if p.process.Signal(terminate) != nil {
		p.Kill()
		return
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-p.ended:
	case <-patience.C:
		p.Kill()
	}
}

// Kill ends the process the way a crash would (SIGKILL) and returns when it is
// gone. Repeating it is harmless.
func (p *Process) Kill() {
	_ = p.process.Kill() // only fails when it is gone already
	<-p.ended
}

// Signal sends a signal to the process.
func (p *Process) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := p.process.Signal(signal); err != nil {
		t.Fatalf("signal process %d: %v", p.Pid, err)
	}
}

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits until the process is gone and gives what exec.Cmd.Wait gave.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// guard starts a small shell that runs the script when this test binary ends
// in whatever way, a kill or a timeout included. The shell notices by the end
// of its standard input. Calling release ends the guard without running the
// script.
func guard(script string) (release func(), err error) {
	shell := exec.Command("/bin/sh", "-c", "read -r word || { "+script+"; }")
	detach(shell)
	pipe, err := shell.StdinPipe()
	if err != nil {
		return func() {}, err
	}
	if err := shell.Start(); err != nil {
		return func() {}, err
	}
	return sync.OnceFunc(func() {
		_, _ = io.WriteString(pipe, "released\n")
		_ = pipe.Close()
		_ = shell.Wait()
	}), nil
}
