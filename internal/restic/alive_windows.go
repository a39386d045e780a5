package restic

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// Alive implements System.
func (machine) Alive(pid int) bool {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return false // Windows' answer for a number that no process has
	}
	if err != nil {
		return true
	}
	defer func() { _ = windows.CloseHandle(process) }()
	var code uint32
	const stillActive = 259
	if windows.GetExitCodeProcess(process, &code) == nil && code != stillActive {
		return false
	}
	name := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(name))
	if windows.QueryFullProcessImageName(process, 0, &name[0], &size) != nil {
		return true
	}
	return mayBeRestic(strings.ToLower(filepath.Base(windows.UTF16ToString(name[:size]))))
}
