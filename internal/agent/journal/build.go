package journal

import (
	"errors"
	"fmt"
	"path/filepath"
)

// builtFile is a whole new journal that still has another name.
type builtFile struct {
	path       string
	tail, size int64
	index      index
}

// build writes and syncs a new file beside path, with the frames that fill puts
// into it and room behind them. It leaves nothing behind when it fails.
func build(files Files, path string, h header, room int64, fill func(put func(frame) error) error) (builtFile, error) {
	b := builtFile{path: filepath.Join(filepath.Dir(path), newName), tail: headerSize}
	file, err := files.Create(b.path)
	if err != nil {
		return b, fmt.Errorf("write new journal: %w", err)
	}
	pending, start := h.encode(), int64(0)
	flush := func() error {
		_, err := file.WriteAt(pending, start)
		start += int64(len(pending))
		pending = pending[:0]
		return err
	}
	last := uint64(0)
	err = fill(func(f frame) error {
		b.index.note(last, b.tail)
		last = f.seq
		b.tail += f.size()
		pending = f.append(pending)
		if len(pending) < readAhead {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	b.size = b.tail + room
	zeros := make([]byte, readAhead)
	for at := b.tail; at < b.size && err == nil; at += readAhead {
		_, err = file.WriteAt(zeros[:min(readAhead, b.size-at)], at)
	}
	if err = errors.Join(err, syncUnless(err, file), file.Close()); err != nil {
		return b, fmt.Errorf("write new journal: %w", errors.Join(err, files.Remove(b.path)))
	}
	return b, nil
}
