package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// children are the processes of a demo, in the order of their start.
type children struct {
	logs   string
	failed context.CancelCauseFunc
	out    io.Writer

	mu     sync.Mutex
	all    []*child
	ready  bool // the demo is up: an agent may be stopped
	ending bool
	stop   chan struct{} // closed when ending
}

type child struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has ended
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// diedError says that a process of the demo ended by itself.
type diedError struct{ name, log string }

func (d *diedError) Error() string {
	return fmt.Sprintf("%s ended by itself; see %s", d.name, d.log)
}

func newChildren(logs string, out io.Writer, failed context.CancelCauseFunc) *children {
	return &children{logs: logs, out: out, failed: failed, stop: make(chan struct{})}
}

// awayFor is how long an agent stays away that was stopped from outside: enough
// for its host to be seen offline.
const awayFor = 3 * time.Minute

// start starts a process that lives as long as the demo, which ends with it.
func (c *children) start(name, program string, args ...string) (*child, error) {
	child, err := c.launch(name, program, args...)
	if err != nil {
		return nil, err
	}
	go func() {
		<-child.done
		if !c.isEnding() {
			c.failed(&diedError{name, child.log.Name()})
		}
	}()
	return child, nil
}

// keep starts a process that may be stopped from outside to see what that does,
// and comes back after a while.
func (c *children) keep(name, program string, args ...string) error {
	child, err := c.launch(name, program, args...)
	if err != nil {
		return err
	}
	go func() {
		<-child.done
		c.mu.Lock()
		ending, ready := c.ending, c.ready
		c.mu.Unlock()
		if ending {
			return
		}
		if !ready {
			c.failed(&diedError{name, child.log.Name()})
			return
		}
		fmt.Fprintf(c.out, "  %s has ended; it comes back in %.0f minutes.\n", name, awayFor.Minutes())
		select {
		case <-time.After(awayFor):
		case <-c.stop:
			return
		}
		if err := c.keep(name, program, args...); err != nil && !c.isEnding() {
			c.failed(err)
		}
	}()
	return nil
}

func (c *children) isEnding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// launch starts a process. Its output goes to a file of its own, and it does not
// see the terminal's Ctrl-C.
func (c *children) launch(name, program string, args ...string) (*child, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return nil, fmt.Errorf("start %s: the demo is ending", name)
	}
	log, err := os.OpenFile(filepath.Join(c.logs, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	started := &child{name, cmd, log, make(chan struct{})}
	c.all = append(c.all, started)
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(started.done)
	}()
	return started, nil
}

// Times that a process has to end politely. Agents may have a restic to stop.
const stopTimeout = 30 * time.Second

// open says that the demo is up.
func (c *children) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = true
}

// last is the one that was started last.
func (c *children) last() *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[len(c.all)-1]
}

// end stops all processes, the last started first.
func (c *children) end() error {
	c.mu.Lock()
	c.ending = true
	close(c.stop)
	all := c.all
	c.mu.Unlock()
	var errs []error
	// The endpoints are independent of each other, so all are asked at once and
	// waited for in turn; server and rest-server stay until the agents are gone.
	for i := len(all) - 1; i >= 2; i-- {
		errs = append(errs, all[i].ask())
	}
	for i := len(all) - 1; i >= 0; i-- {
		errs = append(errs, all[i].ask(), all[i].wait())
	}
	return errors.Join(errs...)
}

func (c *child) ask() error {
	if err := polite(c.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	return nil
}

func (c *child) wait() error {
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-c.done:
		return c.log.Close()
	case <-timer.C:
	}
	err := c.cmd.Process.Kill()
	<-c.done
	return errors.Join(fmt.Errorf("stop %s: it had to be killed", c.name), err, c.log.Close())
}

// output runs a program to its end and returns what it printed.
func (c *children) output(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	return string(out), wordsOf(program, err)
}

// feed runs a program to its end with text on its standard input.
func (c *children) feed(ctx context.Context, text, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(text)
	_, err := cmd.Output()
	return wordsOf(program, err)
}

func wordsOf(program string, err error) error {
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("run %s: %w: %s", filepath.Base(program), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return fmt.Errorf("run %s: %w", filepath.Base(program), err)
}
