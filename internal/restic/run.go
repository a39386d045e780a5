package restic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	process := exec.Command(r.Binary.Path, append(append([]string{command}, call.arguments()...), args...)...)
	process.Env = r.environment(call)
	streams, err := openStreams(process)
	if err != nil {
		return Result{}, fmt.Errorf("restic %s: %w", command, err)
	}
	defer streams.closeAll()
	record := newRecord(call)
	child, err := start(process, call.JobID)
	if err != nil {
		return Result{}, fmt.Errorf("start restic %s: %w", command, err)
	}
	streams.closeWriters()
	if call.Hooks.Started != nil {
		call.Hooks.Started(child.Process, process.Args)
	}

	var stdoutErr, stderrErr error
	var readers sync.WaitGroup
	readers.Go(func() {
		stream := heard{Reader: streams.stdout, record: record, stdout: true}
		stdoutErr = stdout(stream, record)
		// What is left must be taken, or restic would block on a full pipe.
		_, _ = io.Copy(io.Discard, stream)
	})
	readers.Go(func() {
		stderrErr = readLines(heard{Reader: streams.stderr, record: record}, record.stderr)
	})
	end := supervise(ctx, child, r.grace(), call.Hooks, record)
	drained := make(chan struct{})
	go func() { readers.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-time.After(drainTime):
		streams.closeReaders()
		<-drained
		stdoutErr, stderrErr = unlessClosed(stdoutErr), unlessClosed(stderrErr)
	}

	result := record.finish()
	result.Exit, result.Process, result.Ended = end.exit, child.Process, end.at
	result.Cause, result.Interrupted, result.Killed = end.cause, end.interrupted, end.killed
	if err := errors.Join(stdoutErr, stderrErr, end.err); err != nil {
		return result, fmt.Errorf("restic %s: %w", command, err)
	}
	return result, nil
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

// streams are the two pipes of a child; it gets no stdin.
type streams struct {
	stdout, stderr             *os.File
	stdoutWriter, stderrWriter *os.File
}

func openStreams(process *exec.Cmd) (*streams, error) {
	var s streams
	var err error
	if s.stdout, s.stdoutWriter, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("open a pipe: %w", err)
	}
	if s.stderr, s.stderrWriter, err = os.Pipe(); err != nil {
		s.closeAll()
		return nil, fmt.Errorf("open a pipe: %w", err)
	}
	process.Stdout, process.Stderr = s.stdoutWriter, s.stderrWriter
	return &s, nil
}

// Closing twice, or a nil file, is harmless.
func (s *streams) closeWriters() { _, _ = s.stdoutWriter.Close(), s.stderrWriter.Close() }
func (s *streams) closeReaders() { _, _ = s.stdout.Close(), s.stderr.Close() }
func (s *streams) closeAll()     { s.closeWriters(); s.closeReaders() }
