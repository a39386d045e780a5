//go:build unix

package rig

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// WriteFiles fills the folder with count different files of size bytes, a
// hundred in each folder below it. The same folder name gives the same content.
func WriteFiles(t testing.TB, root string, count, size int) {
	t.Helper()
	seed := [32]byte{}
	copy(seed[:], filepath.Base(root))
	random := rand.NewChaCha8(seed)
	content := make([]byte, size)
	for i := range count {
		folder := filepath.Join(root, fmt.Sprintf("%03d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatalf("make files: %v", err)
			}
		}
		_, _ = random.Read(content) // never fails
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file-%06d", i)), content, 0o644); err != nil {
			t.Fatalf("make files: %v", err)
		}
	}
}

// processes gives the ids of the processes whose environment fits. A process
// that ended but was not waited for has none.
func processes(t testing.TB, fits func(environment []byte) bool) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatalf("list the processes: %v", err)
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err == nil && fits(environment) {
			found = append(found, pid)
		}
	}
	return found
}
