package restic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// goneTime is how long what a program has left behind may take to be gone after it was killed; on Windows
// the next process of a job can't start before.
const (
	goneTime = time.Second
	gonePoll = 10 * time.Millisecond
)

// Program is a program of this machine that runs for a job beside restic.
type Program struct {
	Path string
	Args []string // without the program itself
	// Env is all of its environment but the job's mark.
	Env []string
	// JobID marks the program, so that FindLeft finds it after a crash; required.
	JobID string
	// Line gets each line that it prints; nil means nobody reads them.
	Line func(Line)
}

// Ending is how a program ended.
type Ending struct {
	Exit ExitCode
	// Cause says why this program ended it, or did not start it: context.Cause. Nil means that it ended by itself.
	Cause error
	// Killed is set when it did not end after it was asked to.
	Killed bool
}

// RunProgram runs a program until it has ended, and ends it with ctx as restic is ended: it is asked, given
// the grace time, then killed with its group. What it leaves in that group is killed too. The error says that
// it could not be run.
func (r Runner) RunProgram(ctx context.Context, p Program) (Ending, error) {
	if err := checkJobID(p.JobID); err != nil || p.JobID == "" {
		return Ending{}, errors.Join(err, &InvalidError{Field: "job id", Reason: "is missing or can't be a mark"})
	}
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		return Ending{Cause: cause}, fmt.Errorf("not started: %w", cause)
	}
	env := append(append([]string(nil), p.Env...), jobIDVariable+"="+p.JobID)
	child, err := r.system().Start(Command{Path: p.Path, Args: p.Args, Env: env, JobID: p.JobID})
	if err != nil {
		return Ending{}, fmt.Errorf("start %s: %w", p.Path, err)
	}
	defer child.Close()
	record := newRecord(Call{Hooks: Hooks{Line: p.Line}})
	take := func(source LineSource) func([]byte, bool) {
		return func(line []byte, _ bool) {
			record.mutex.Lock()
			defer record.mutex.Unlock()
			record.line(source, bounded(string(line)))
		}
	}
	var outErr, errErr error
	var readers sync.WaitGroup
	readers.Go(func() { outErr = readLines(child.Stdout(), take(LineStdout)) })
	readers.Go(func() { errErr = readLines(child.Stderr(), take(LineStderr)) })
	end := r.supervise(ctx, child, Hooks{}, record)
	if drain(child, &readers) {
		outErr, errErr = unlessClosed(outErr), unlessClosed(errErr)
	}
	r.awaitGone(p.JobID)
	ending := Ending{Exit: end.exit, Cause: end.cause, Killed: end.killed}
	if err := errors.Join(outErr, errErr, end.err); err != nil {
		return ending, fmt.Errorf("run %s: %w", p.Path, err)
	}
	return ending, nil
}

// awaitGone gives what was killed a moment. What has left its group on purpose, as a service does that a
// script has started, is not waited for any longer.
func (r Runner) awaitGone(jobID string) {
	deadline := time.NewTimer(goneTime)
	defer deadline.Stop()
	poll := time.NewTicker(gonePoll)
	defer poll.Stop()
	for {
		left, err := r.system().FindLeft(jobID)
		if err != nil || len(left) == 0 {
			return
		}
		select {
		case <-deadline.C:
			return
		case <-poll.C:
		}
	}
}
