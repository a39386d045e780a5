package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"

	"github.com/restic-manager/restic-manager/internal/api"
)

const (
	magic         = "rmjrnl\n"
	formatVersion = 1
	headerSize    = 64
	idSize        = 16

	frameHeader = 28
	markSize    = frameHeader + 8
	// maxFrame leaves a body room to grow by a count of omitted lines.
	maxFrame = frameHeader + 2*255 + api.MaxRecordBody + 1024
	// minFrame is the smallest record, which bounds how many some bytes can hold.
	minFrame = frameHeader + 1

	flagTroubled = 1
)

var (
	// errEnd: the frames end here, zeros follow.
	errEnd = errors.New("end of frames")
	// errDamaged: these bytes are no frame.
	errDamaged = errors.New("damaged frame")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// header is the beginning of a file.
type header struct {
	id      [idSize]byte
	floor   uint64
	written int64
}

func (h header) name() string { return hex.EncodeToString(h.id[:]) }

func (h header) encode() []byte {
	raw := make([]byte, headerSize)
	copy(raw, magic)
	raw[7] = formatVersion
	copy(raw[8:24], h.id[:])
	binary.LittleEndian.PutUint64(raw[24:], h.floor)
	binary.LittleEndian.PutUint64(raw[32:], uint64(h.written))
	binary.LittleEndian.PutUint32(raw[40:], crc32.Checksum(raw[:40], castagnoli))
	return raw
}

// decodeHeader returns errDamaged, or an error of its own for a good header of
// another format.
func decodeHeader(raw []byte) (header, error) {
	if len(raw) < headerSize || string(raw[:7]) != magic ||
		binary.LittleEndian.Uint32(raw[40:]) != crc32.Checksum(raw[:40], castagnoli) {
		return header{}, errDamaged
	}
	if raw[7] != formatVersion {
		return header{}, errors.New("the journal was written by a newer agent")
	}
	h := header{floor: binary.LittleEndian.Uint64(raw[24:]), written: int64(binary.LittleEndian.Uint64(raw[32:]))}
	copy(h.id[:], raw[8:24])
	return h, nil
}

// frame is one frame. Decoded ones share the memory that they were read into.
type frame struct {
	seq   uint64
	at    int64
	kind  []byte
	job   []byte
	flags byte
	body  []byte
}

func markFrame(seq, acknowledged uint64, at int64) frame {
	return frame{seq: seq, at: at, body: binary.LittleEndian.AppendUint64(nil, acknowledged)}
}

func (f frame) mark() bool { return len(f.kind) == 0 }

func (f frame) log() bool { return string(f.kind) == string(api.RecordLog) }

// acknowledged is the cursor that a mark carries.
func (f frame) acknowledged() uint64 { return binary.LittleEndian.Uint64(f.body) }

func (f frame) size() int64 {
	return int64(frameHeader + len(f.kind) + len(f.job) + len(f.body))
}

func (f frame) append(to []byte) []byte {
	start := len(to)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(f.kind)+len(f.job)+len(f.body)))
	to = append(to, 0, 0, 0, 0)
	to = binary.LittleEndian.AppendUint64(to, f.seq)
	to = binary.LittleEndian.AppendUint64(to, uint64(f.at))
	to = append(to, byte(len(f.kind)), byte(len(f.job)), f.flags, 0)
	to = append(to, f.kind...)
	to = append(to, f.job...)
	to = append(to, f.body...)
	binary.LittleEndian.PutUint32(to[start+4:], frameSum(to[start:]))
	return to
}

func frameSum(raw []byte) uint32 {
	return crc32.Update(crc32.Checksum(raw[:4], castagnoli), castagnoli, raw[8:])
}

// frameSize reads the size of a whole frame from its first frameHeader bytes:
// errEnd for length 0, errDamaged for what can't be a frame.
func frameSize(raw []byte) (int, error) {
	if len(raw) < frameHeader {
		return 0, errDamaged
	}
	length := binary.LittleEndian.Uint32(raw)
	if length == 0 {
		return 0, errEnd
	}
	kind, id := uint32(raw[24]), uint32(raw[25])
	isMark := kind == 0
	if length > maxFrame-frameHeader || kind+id > length || raw[27] != 0 || (isMark && (id != 0 || length != 8)) {
		return 0, errDamaged
	}
	return frameHeader + int(length), nil
}

// decodeFrame reads the one frame that raw begins with and returns its size too.
func decodeFrame(raw []byte) (frame, int, error) {
	size, err := frameSize(raw)
	if err != nil {
		return frame{}, 0, err
	}
	if len(raw) < size || binary.LittleEndian.Uint32(raw[4:]) != frameSum(raw[:size]) {
		return frame{}, 0, errDamaged
	}
	rest := raw[frameHeader:size]
	kind, id := int(raw[24]), int(raw[25])
	return frame{
		seq:   binary.LittleEndian.Uint64(raw[8:]),
		at:    int64(binary.LittleEndian.Uint64(raw[16:])),
		kind:  rest[:kind],
		job:   rest[kind : kind+id],
		flags: raw[26],
		body:  rest[kind+id:],
	}, size, nil
}

// follows tells whether f may stand behind a frame numbered last.
func (f frame) follows(last uint64) bool {
	if f.mark() {
		return f.seq >= last
	}
	return f.seq == last+1
}

func allZero(raw []byte) bool { return len(bytes.TrimLeft(raw, "\x00")) == 0 }
