package restic

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// Alive implements System.
func (machine) Alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false
	}
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if err != nil || begin < 0 || end < begin || end+2 >= len(stat) {
		return true
	}
	const zombie, dead = 'Z', 'X'
	if state := stat[end+2]; state == zombie || state == dead {
		return false
	}
	return mayBeRestic(string(stat[begin+1 : end]))
}
