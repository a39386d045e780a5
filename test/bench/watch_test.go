//go:build linux

package bench

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/internal/testkit"
)

// execution is one run of a watched program.
type execution struct {
	started time.Time
	ended   time.Time // zero while it runs
}

// executions knows when a program file was started and when it ended, by what
// the kernel tells of its openings: /proc counts starts in hundredths of a
// second only. Runs must not overlap.
type executions struct {
	mutex sync.Mutex
	open  int
	all   []execution
}

// watchProgram watches a program file, which must be nobody else's, until the
// test ends.
func watchProgram(t testing.TB, program string) *executions {
	t.Helper()
	handle, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatalf("watch a program: %v", err)
	}
	// A file that can wait is closed under a read; a bare handle is not.
	events := os.NewFile(uintptr(handle), "inotify")
	if _, err := unix.InotifyAddWatch(handle, program, unix.IN_OPEN|unix.IN_CLOSE); err != nil {
		t.Fatalf("watch a program: %v", err)
	}
	e := &executions{}
	done := make(chan struct{})
	go func() { defer close(done); e.read(events) }()
	t.Cleanup(func() { _ = events.Close(); <-done })
	return e
}

func (e *executions) read(events *os.File) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := events.Read(buffer)
		now := time.Now()
		if errors.Is(err, os.ErrClosed) || n == 0 {
			return
		}
		for rest := buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			mask := binary.NativeEndian.Uint32(rest[4:])
			length := binary.NativeEndian.Uint32(rest[12:])
			rest = rest[unix.SizeofInotifyEvent+int(length):]
			e.note(mask, now)
		}
	}
}

// note counts openings: a program opens its own file again while it starts.
func (e *executions) note(mask uint32, now time.Time) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	switch {
	case mask&unix.IN_OPEN != 0:
		if e.open == 0 {
			e.all = append(e.all, execution{started: now})
		}
		e.open++
	case mask&unix.IN_CLOSE != 0 && e.open > 0:
		e.open--
		e.all[len(e.all)-1].ended = now
	}
}

// after gives the first run that began after a time, and whether there is one.
func (e *executions) after(asked time.Time) (execution, bool) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	i := slices.IndexFunc(e.all, func(run execution) bool { return run.started.After(asked) })
	if i < 0 {
		return execution{}, false
	}
	run := e.all[i]
	if i == len(e.all)-1 && e.open > 0 {
		run.ended = time.Time{}
	}
	return run, true
}

// first waits for the run that began after a time to have ended.
func (e *executions) first(t testing.TB, asked time.Time) (run execution) {
	t.Helper()
	testkit.WaitFor(t, time.Minute, "restic to end", func() bool {
		found, ok := e.after(asked)
		run = found
		return ok && !run.ended.IsZero()
	})
	return run
}
