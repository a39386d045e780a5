//go:build unix

package agent

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// diskSpace returns the bytes that are free for everyday users, and all.
func diskSpace(path string) (free, total int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0, 0, fmt.Errorf("ask for the space at %s: %w", path, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), int64(stat.Blocks) * int64(stat.Bsize), nil //nolint:unconvert // the types differ per system
}

// deviceOf names the device that a file lies on.
func deviceOf(_ string, info fs.FileInfo) (string, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%x", uint64(stat.Dev)), true //nolint:unconvert // the types differ per system
}

// ownerOf returns the user and group that own a file.
func ownerOf(info fs.FileInfo) (uid, gid int, ok bool) {
	stat, found := info.Sys().(*syscall.Stat_t)
	if !found {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}

// mayGiveAway tells whether this process can make another user own a file.
func mayGiveAway() bool { return os.Geteuid() == 0 }

// hangUp asks a process to read its files again.
func hangUp(pid int) error { return syscall.Kill(pid, syscall.SIGHUP) }
