//go:build linux || darwin || freebsd

package restic

import (
	"io/fs"
	"syscall"
)

// deviceOf is the number of the file system that an entry lies on.
func deviceOf(info fs.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(stat.Dev) //nolint:unconvert // the types differ per system
}
