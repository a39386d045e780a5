package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
)

const readAhead = 64 << 10

// window reads a file forward in pieces.
type window struct {
	file io.ReaderAt
	end  int64 // bytes from here on are not looked at
	at   int64 // where buf begins in the file
	buf  []byte
}

// peek returns up to n bytes at offset, fewer only at the end. They are valid
// until the next peek.
func (w *window) peek(offset int64, n int) ([]byte, error) {
	if offset+int64(n) > w.end {
		n = int(max(0, w.end-offset))
	}
	if offset >= w.at && offset+int64(n) <= w.at+int64(len(w.buf)) {
		return w.buf[offset-w.at:][:n], nil
	}
	want := int(min(int64(max(n, readAhead)), w.end-offset))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf = w.buf[:want]
	w.at = offset
	got, err := w.file.ReadAt(w.buf, offset)
	w.buf = w.buf[:got]
	if got < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read journal at %d: %w", offset, err)
	}
	return w.buf[:n], nil
}

// frameAt reads the frame at offset: errEnd or errDamaged when there is none.
func (w *window) frameAt(offset int64) (frame, int64, error) {
	head, err := w.peek(offset, frameHeader)
	if err != nil {
		return frame{}, 0, err
	}
	size, err := frameSize(head)
	if err != nil {
		return frame{}, 0, err
	}
	raw, err := w.peek(offset, size)
	if err != nil {
		return frame{}, 0, err
	}
	f, _, err := decodeFrame(raw)
	return f, int64(size), err
}

// walk calls visit for each frame in [from, to), which must hold whole frames.
// The frame's memory is valid only in the call. visit ends the walk with io.EOF.
func walk(file io.ReaderAt, from, to int64, visit func(f frame, offset int64) error) error {
	w := window{file: file, end: to}
	for offset := from; offset < to; {
		f, size, err := w.frameAt(offset)
		if err != nil {
			return fmt.Errorf("read journal frame at %d: %w", offset, err)
		}
		if err := visit(f, offset); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		offset += size
	}
	return nil
}

// found is what a look through a file found.
type found struct {
	header header
	last   uint64 // number of the last good frame
	tail   int64  // where good frames end
	size   int64
	// dirty is where the bytes that must be cut end; tail when all is well.
	dirty int64
	// possible is the highest number that the cut bytes can have held.
	possible uint64
	// shortened: the file ends without the zeros that belong there, or before
	// the records that it was written with.
	shortened bool
	// behind: whole frames stand behind the damage.
	behind bool
	// lostFrom is the first number that is lost, and owed a gap. It is last+1, or
	// less when a repair was cut off between its mark and its gap; 0 for none.
	lostFrom uint64
}

func (f found) clean() bool { return f.dirty == f.tail && !f.shortened && f.lostFrom == 0 }

// look reads a whole file and calls visit for each good frame before the first
// damage. errDamaged means that the header itself is damaged.
func look(file File, visit func(f frame, offset int64)) (found, error) {
	size, err := file.Size()
	if err != nil {
		return found{}, fmt.Errorf("read journal: %w", err)
	}
	w := window{file: file, end: size}
	raw, err := w.peek(0, headerSize)
	if err != nil {
		return found{}, err
	}
	seen := found{size: size, tail: headerSize}
	if seen.header, err = decodeHeader(raw); err != nil {
		return seen, err
	}
	for {
		f, n, err := w.frameAt(seen.tail)
		if errors.Is(err, errEnd) || errors.Is(err, errDamaged) {
			break
		}
		if err != nil {
			return seen, err
		}
		if !f.follows(seen.last) {
			break
		}
		visit(f, seen.tail)
		switch {
		case !f.mark():
			seen.lostFrom = 0
		case f.seq > seen.last && f.seq > seen.header.floor && seen.lostFrom == 0:
			seen.lostFrom = seen.last + 1
		}
		seen.last = f.seq
		seen.tail += n
	}
	if seen.dirty, err = lastNonZero(&w, seen.tail); err != nil {
		return seen, err
	}
	seen.shortened = size-seen.tail < frameHeader || seen.last < seen.header.floor
	seen.possible = max(seen.last, seen.header.floor)
	if seen.clean() {
		return seen, nil
	}
	if seen.lostFrom == 0 {
		seen.lostFrom = seen.last + 1
	}
	seen.possible += uint64(seen.dirty-seen.tail)/minFrame + 1
	if seen.shortened {
		seen.possible += 1 << 24 // more than any file here has held
	}
	highest, err := behind(&w, seen.tail, seen.dirty, seen.last)
	if err != nil {
		return seen, err
	}
	seen.behind = highest > 0
	seen.possible = max(seen.possible, highest)
	return seen, nil
}

// lastNonZero returns where the zeros at the end of the file begin, at least from.
func lastNonZero(w *window, from int64) (int64, error) {
	last := from
	for offset := from; offset < w.end; offset += readAhead {
		raw, err := w.peek(offset, readAhead)
		if err != nil {
			return 0, err
		}
		if allZero(raw) {
			continue
		}
		for i := len(raw) - 1; i >= 0; i-- {
			if raw[i] != 0 {
				last = offset + int64(i) + 1
				break
			}
		}
	}
	return last, nil
}

// behind returns the highest number of a whole frame in [from, to), at whatever
// offset it begins; 0 when there is none. JSON holds no zero bytes, so that no
// text in a record can look like the head of a frame.
func behind(w *window, from, to int64, last uint64) (uint64, error) {
	highest := uint64(0)
	for offset := from; offset < to; {
		head, err := w.peek(offset, frameHeader)
		if err != nil {
			return 0, err
		}
		if len(head) < frameHeader {
			break
		}
		seq := binary.LittleEndian.Uint64(head[8:])
		if _, err := frameSize(head); err != nil || seq < last || seq-last > 1<<32 {
			offset++
			continue
		}
		f, n, err := w.frameAt(offset)
		if errors.Is(err, errDamaged) {
			offset++
			continue
		}
		if err != nil {
			return 0, err
		}
		highest = max(highest, f.seq)
		offset += n
	}
	return highest, nil
}

// index finds a sequence number in the file. It has one entry per readAhead
// bytes, so that the largest journal costs some ten kilobytes.
type index []indexEntry

type indexEntry struct {
	before uint64 // number of the frame before offset
	offset int64
}

func (x *index) note(before uint64, offset int64) {
	if n := len(*x); n == 0 || offset-(*x)[n-1].offset >= readAhead {
		*x = append(*x, indexEntry{before, offset})
	}
}

// find returns an offset at or before the first frame numbered above seq.
func (x index) find(seq uint64) int64 {
	i := sort.Search(len(x), func(i int) bool { return x[i].before > seq })
	if i == 0 {
		return headerSize
	}
	return x[i-1].offset
}
