package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// diskSpace returns the bytes that are free for this user, and all.
func diskSpace(path string) (free, total int64, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for the space at %s: %w", path, err)
	}
	var available, all, allFree uint64
	if err := windows.GetDiskFreeSpaceEx(name, &available, &all, &allFree); err != nil {
		return 0, 0, fmt.Errorf("ask for the space at %s: %w", path, err)
	}
	return int64(available), int64(all), nil
}

// deviceOf names the volume that a file lies on by its serial number.
func deviceOf(path string, _ fs.FileInfo) (string, bool) {
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(path) + `\`)
	if err != nil {
		return "", false
	}
	var serial uint32
	if err := windows.GetVolumeInformation(root, nil, 0, &serial, nil, nil, nil, 0); err != nil {
		return "", false
	}
	return fmt.Sprintf("%x", serial), true
}

// ownerOf has no answer: access lists are inherited from the folder.
func ownerOf(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }

// mayGiveAway is never needed: access lists are inherited from the folder.
func mayGiveAway() bool { return false }

// hangUp has no counterpart; rest-server reads its users again by itself.
func hangUp(int) error { return errors.New("this system has no SIGHUP") }
