//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// asProgram makes this test binary be the program itself.
const asProgram = "RM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

func TestEverySignalToStopEndsInOrder(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		server := exec.CommandContext(t.Context(), os.Args[0], "serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0")
		server.Env = append(os.Environ(), asProgram+"=1")
		said, err := server.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(said)
		for lines.Scan() && !strings.Contains(lines.Text(), "msg=listening") {
		}
		if err := server.Process.Signal(signal); err != nil {
			t.Error(err)
		}
		for lines.Scan() {
		}
		if err := server.Wait(); err != nil {
			t.Errorf("after %s it ended with %v", signal, err)
		}
	}
}
