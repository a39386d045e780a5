//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine says on what was measured, without a name.
func machine() string {
	model := "an unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo") // without it the machine has no model
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d cores of %s, %s/%s, %s, loopback", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// load is how many processes wanted a processor in the last minute: what is
// measured beside others tells little.
func load(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatalf("read the load: %v", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// memory is what a process holds, in bytes.
type memory struct {
	resident int64 // with the pages of its program file
	own      int64 // without them
	peak     int64 // the most that was ever resident
}

func memoryOf(t testing.TB, pid int) memory {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatalf("read the memory of a process: %v", err)
	}
	found := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil {
			found[name] = kib << 10
		}
	}
	m := memory{found["VmRSS"], found["RssAnon"], found["VmHWM"]}
	if m.resident == 0 || m.peak == 0 {
		t.Fatalf("read the memory of process %d: it says nothing:\n%s", pid, text)
	}
	return m
}

// busy is how long the threads of a process have been on a processor.
func busy(t testing.TB, pid int) time.Duration {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("read the time of process %d: no threads (%v)", pid, err)
	}
	var total time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended; Go keeps nearly all of them
		}
		nanoseconds, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(nanoseconds, 10, 64)
		if err != nil {
			t.Fatalf("read the time of process %d: %v", pid, err)
		}
		total += time.Duration(n)
	}
	return total
}

// shares watches processes for a while and gives what part of one processor
// each of them took, in percent.
func shares(t testing.TB, during time.Duration, pids ...int) []float64 {
	t.Helper()
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		before[i] = busy(t, pid)
	}
	began := time.Now()
	pause(t, during)
	took := time.Since(began)
	parts := make([]float64, len(pids))
	for i, pid := range pids {
		parts[i] = 100 * float64(busy(t, pid)-before[i]) / float64(took)
	}
	return parts
}

// pause lets the programs alone while they are watched.
func pause(t testing.TB, during time.Duration) {
	t.Helper()
	timer := time.NewTimer(during)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal("the run was ended")
	}
}

// findProgram gives the process that runs the program file, 0 for none.
func findProgram(t testing.TB, program string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatalf("list the processes: %v", err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == program {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			return pid
		}
	}
	return 0
}

// strings0 reads a file of /proc that holds strings ended by zero bytes.
func strings0(t testing.TB, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("look at a process: %v", err)
	}
	var all []string
	for _, part := range bytes.Split(bytes.TrimSuffix(text, []byte{0}), []byte{0}) {
		all = append(all, string(part))
	}
	return all
}

// twoSyncs is what it takes to append a little to a file and make that durable,
// twice: what lies between asking for a job and its start at the least.
func twoSyncs(t testing.TB, dir string) time.Duration {
	t.Helper()
	file, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		t.Fatalf("measure a sync: %v", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()
	began := time.Now()
	for range 2 {
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			t.Fatalf("measure a sync: %v", err)
		}
		if err := file.Sync(); err != nil {
			t.Fatalf("measure a sync: %v", err)
		}
	}
	return time.Since(began)
}
