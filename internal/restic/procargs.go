package restic

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// procargsEnvironment takes the environment out of what macOS returns for kern.procargs2: the number of
// arguments (32 bits, little endian on every machine that Go supports), the program's path, zero bytes up
// to an alignment, the arguments and the environment, each ended by a zero byte.
func procargsEnvironment(raw []byte) ([][]byte, error) {
	if len(raw) < 4 {
		return nil, errors.New("read a process's environment: it is too short")
	}
	count, rest := binary.LittleEndian.Uint32(raw), raw[4:]
	end := bytes.IndexByte(rest, 0)
	if end < 0 {
		return nil, errors.New("read a process's environment: its program has no end")
	}
	rest = bytes.TrimLeft(rest[end:], "\x00")
	parts := bytes.Split(rest, []byte{0})
	if uint64(count) > uint64(len(parts)) {
		return nil, errors.New("read a process's environment: it has fewer arguments than it says")
	}
	return parts[count:], nil
}
