package testkit

import (
	"net"
	"testing"
	"time"
)

// WaitFor asks after pollSoonest, and more seldom the longer it waits: many tests
// that wait for minutes beside each other would else have a machine to themselves.
const (
	pollSoonest = 10 * time.Millisecond
	pollLatest  = 250 * time.Millisecond
	pollShare   = 20 // of the time that it has waited, one part is the next wait
)

// WaitFor asks condition again and again, on the test's own goroutine, until
// it is true, and fails the test when it is not after the timeout. The name
// says in the failure what was waited for. It is for the state of other
// processes; for time inside the program use testing/synctest.
func WaitFor(t testing.TB, timeout time.Duration, name string, condition func() bool) {
	t.Helper()
	begun := time.Now()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	next := time.NewTimer(pollSoonest)
	defer next.Stop()
	for !condition() {
		select {
		case <-next.C:
			next.Reset(min(max(pollSoonest, time.Since(begun)/pollShare), pollLatest))
		case <-deadline.C:
			t.Fatalf("waited %s for %s", timeout, name)
		}
	}
}

// FreePort gives a TCP port of 127.0.0.1 that nobody listened on a moment ago.
// Prefer port 0 wherever the program says which one it got.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatalf("give back the free port: %v", err)
	}
	return port
}
