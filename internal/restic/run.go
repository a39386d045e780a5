package restic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// drainTime is how long the output is read on after restic itself has ended: a process that it left behind
// may hold the pipes open for ever.
const drainTime = 5 * time.Second

// read consumes all of stdout.
type read func(stdout io.Reader, record *record) error

// run starts restic and watches over it until it has ended. The error says that it could not be started or
// its output not be understood; everything else is in the result.
func (r Runner) run(ctx context.Context, call Call, command string, args []string, stdout read) (Result, error) {
	if err := r.check(call); err != nil {
		return Result{}, fmt.Errorf("restic %s: %w", command, err)
	}
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("restic %s: not started: %w", command, context.Cause(ctx))
	}
	arguments := append(append([]string{command}, call.arguments()...), args...)
	record := newRecord(call)
	child, err := r.system().Start(Command{Path: r.Binary.Path, Args: arguments, Env: r.environment(call), JobID: call.JobID})
	if err != nil {
		return Result{}, fmt.Errorf("start restic %s: %w", command, err)
	}
	defer child.Close()
	if call.Hooks.Started != nil {
		call.Hooks.Started(child.Process(), append([]string{r.Binary.Path}, arguments...))
	}

	var stdoutErr, stderrErr error
	var readers sync.WaitGroup
	readers.Go(func() {
		stream := heard{Reader: child.Stdout(), record: record, stdout: true}
		stdoutErr = stdout(stream, record)
		// What is left must be taken, or restic would block on a full pipe.
		_, _ = io.Copy(io.Discard, stream)
	})
	readers.Go(func() {
		stderrErr = readLines(heard{Reader: child.Stderr(), record: record}, record.stderr)
	})
	end := r.supervise(ctx, child, call.Hooks, record)
	if drain(child, &readers) {
		stdoutErr, stderrErr = unlessClosed(stdoutErr), unlessClosed(stderrErr)
	}

	result := record.finish()
	result.Exit, result.Process, result.Ended = end.exit, child.Process(), end.at
	result.Cause, result.Interrupted, result.Killed = end.cause, end.interrupted, end.killed
	if err := errors.Join(stdoutErr, stderrErr, end.err); err != nil {
		return result, fmt.Errorf("restic %s: %w", command, err)
	}
	return result, nil
}

// drain waits for the readers of a child that is gone, and tells whether they had to be cut off.
func drain(child Child, readers *sync.WaitGroup) (cut bool) {
	drained := make(chan struct{})
	go func() { readers.Wait(); close(drained) }()
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-drained:
		return false
	case <-timer.C:
		child.Close()
		<-drained
		return true
	}
}

// unlessClosed drops the error of a read that was ended here.
func unlessClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// query runs an operation whose answer is worth nothing unless restic ended with 0.
func (r Runner) query(ctx context.Context, call Call, command string, args []string, stdout read) (Result, error) {
	var answerErr error
	result, err := r.run(ctx, call, command, args, func(stream io.Reader, record *record) error {
		answerErr = stdout(stream, record)
		return nil
	})
	if err != nil {
		return result, err
	}
	if result.Exit != ExitOK {
		return result, &ExitError{Operation: command, Result: result}
	}
	if answerErr != nil {
		return result, fmt.Errorf("restic %s: %w", command, answerErr)
	}
	return result, nil
}

func (r Runner) check(call Call) error {
	if r.Binary.Path == "" {
		return ErrNotFound
	}
	if err := call.Repository.Validate(); err != nil {
		return err
	}
	if _, local := call.Repository.Local(); !local && r.CacheDir == "" {
		return &InvalidError{Field: "cache folder", Reason: "is empty"}
	}
	return checkJobID(call.JobID)
}

func (r Runner) grace() time.Duration {
	if r.Grace > 0 {
		return r.Grace
	}
	return StopGrace
}

func (r Runner) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
