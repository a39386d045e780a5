package restic

import (
	"fmt"
	"os"
	"os/exec"
)

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
