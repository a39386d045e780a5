package testkit

import (
	"net"
	"testing"
	"time"
)

// pollEvery is how often WaitFor asks.
const pollEvery = 10 * time.Millisecond

// WaitFor asks condition again and again, on the test's own goroutine, until
// it is true, and fails the test when it is not after the timeout. The name
// says in the failure what was waited for. It is for the state of other
// processes; for time inside the program use testing/synctest.
func WaitFor(t testing.TB, timeout time.Duration, name string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
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
