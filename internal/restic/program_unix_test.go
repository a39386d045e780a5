//go:build unix

package restic_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// sh makes a program of a shell script.
func sh(jobID, text string, lines *[]string) restic.Program {
	return restic.Program{Path: "/bin/sh", Args: []string{"-c", text}, Env: []string{"PATH=/usr/bin:/bin"}, JobID: jobID, Line: func(line restic.Line) {
		if lines != nil {
			*lines = append(*lines, string(line.Source)+": "+line.Text)
		}
	}}
}

func TestProgramEnds(t *testing.T) {
	t.Parallel()
	var lines []string
	ending, err := restic.Runner{}.RunProgram(t.Context(), sh("01PROGRAM", "echo one; echo \"$RM_JOB_ID $HOME\"; exit 7", &lines))
	if err != nil || ending != (restic.Ending{Exit: 7}) {
		t.Errorf("ending = %+v, %v", ending, err)
	}
	if !slices.Equal(lines, []string{"stdout: one", "stdout: 01PROGRAM "}) {
		t.Errorf("lines = %q", lines)
	}
	if ending, err = (restic.Runner{}).RunProgram(t.Context(), sh("01PROGRAM", "kill -9 $$", nil)); err != nil || ending.Exit != restic.ExitKilled || ending.Cause != nil {
		t.Errorf("killed from outside: %+v, %v", ending, err)
	}
	if _, err = (restic.Runner{}).RunProgram(t.Context(), restic.Program{Path: "/not/there", JobID: "01PROGRAM"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	for _, id := range []string{"", "a/b"} {
		var invalid *restic.InvalidError
		if _, err = (restic.Runner{}).RunProgram(t.Context(), sh(id, "true", nil)); !errors.As(err, &invalid) {
			t.Errorf("job id %q: %v", id, err)
		}
	}
}

func TestProgramIsStopped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text   string
		grace  time.Duration
		killed bool
	}{
		"on a signal": {"trap 'exit 9' INT; echo up; while :; do sleep 0.1; done", patience, false},
		"by a kill":   {"trap '' INT TERM HUP; echo up; while :; do sleep 1; done", 200 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("a person's wish")
			program := sh("01STOP"+strconv.FormatBool(c.killed), c.text, nil)
			program.Line = func(restic.Line) { cancel(cause) }
			ending, err := restic.Runner{Grace: c.grace}.RunProgram(ctx, program)
			if err != nil || !errors.Is(ending.Cause, cause) || ending.Killed != c.killed || ending.Exit == restic.ExitOK {
				t.Errorf("ending = %+v, %v", ending, err)
			}
			if left, err := restic.Machine.FindLeft(program.JobID); err != nil || len(left) != 0 {
				t.Errorf("left = %v, %v", left, err)
			}
		})
	}
}

func TestProgramThatIsStoppedBeforeItsStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("a person's wish")
	cancel(cause)
	var lines []string
	if ending, err := (restic.Runner{}).RunProgram(ctx, sh("01EARLY", "echo up", &lines)); err == nil || ending != (restic.Ending{Cause: cause}) || len(lines) > 0 {
		t.Errorf("ending = %+v, %v, %q", ending, err, lines)
	}
}

// TestWhatAProgramLeaves: what stays in its group is killed; what has left it on purpose, as a service does,
// stays and holds nobody up, though it holds the output open.
func TestWhatAProgramLeaves(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pids")
	ending, err := restic.Runner{}.RunProgram(t.Context(), sh("01LEAVES", "cd "+filepath.Dir(pidFile)+"; sleep 600 & echo $! > pids; setsid sh -c 'echo $$ >> pids; exec sleep 600' & "+
		"until [ $(wc -l < pids) = 2 ]; do :; done", nil))
	if err != nil || ending != (restic.Ending{}) {
		t.Fatalf("ending = %+v, %v", ending, err)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	left, err := restic.Machine.FindLeft("01LEAVES")
	if err != nil || len(left) != 1 || len(pids) != 2 || left[0].PID != pids[1] {
		t.Errorf("left = %v, %v, of %v", left, err, pids)
	}
	for _, process := range left {
		if err := syscall.Kill(process.PID, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	testkit.WaitFor(t, patience, "the last of them to be gone", func() bool {
		left, err := restic.Machine.FindLeft("01LEAVES")
		return err == nil && len(left) == 0
	})
}
