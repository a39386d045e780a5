package restic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Offsets in FreeBSD's struct kinfo_proc on 64-bit machines (sys/user.h). Its size is part of the system's
// binary interface and checked before anything is believed.
const (
	kinfoSize        = 1088
	kinfoPIDOffset   = 72
	kinfoStartOffset = 336
)

// kinfo asks for process structures and cuts them apart.
func kinfo(name string, args ...int) ([][]byte, error) {
	raw, err := unix.SysctlRaw(name, args...)
	if err != nil {
		return nil, err
	}
	if strconv.IntSize != 64 || len(raw) < kinfoSize || len(raw)%kinfoSize != 0 ||
		binary.LittleEndian.Uint32(raw) != kinfoSize {
		return nil, fmt.Errorf("%w: this FreeBSD describes a process in another way", ErrProcessesUnknown)
	}
	var entries [][]byte
	for ; len(raw) > 0; raw = raw[kinfoSize:] {
		entries = append(entries, raw[:kinfoSize])
	}
	return entries, nil
}

// processIDs lists this machine's processes.
func processIDs() ([]int, error) {
	entries, err := kinfo("kern.proc.proc")
	if err != nil {
		return nil, errors.Join(ErrProcessesUnknown, err)
	}
	pids := make([]int, 0, len(entries))
	for _, entry := range entries {
		pids = append(pids, int(int32(binary.LittleEndian.Uint32(entry[kinfoPIDOffset:]))))
	}
	return pids, nil
}

// environmentOf reads the environment that a process was started with.
func environmentOf(pid int) ([][]byte, error) {
	raw, err := unix.SysctlRaw("kern.proc.env", pid)
	if err != nil {
		return nil, err
	}
	return bytes.Split(raw, []byte{0}), nil
}

// startTime reads when a process was started.
func startTime(pid int) (time.Time, error) {
	entries, err := kinfo("kern.proc.pid", pid)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the start of process %d: %w", pid, err)
	}
	seconds := binary.LittleEndian.Uint64(entries[0][kinfoStartOffset:])
	micros := binary.LittleEndian.Uint64(entries[0][kinfoStartOffset+8:])
	return time.Unix(int64(seconds), int64(micros)*1000), nil
}
