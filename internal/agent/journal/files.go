package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/restic-manager/restic-manager/internal/atomicfile"
	"github.com/restic-manager/restic-manager/internal/filelock"
)

// Files is the disk, as far as a journal needs it: the seam where tests cut the
// power and fill the disk.
type Files interface {
	// MakeDir makes a folder that only its owner may enter, if there is none.
	MakeDir(dir string) error
	// Open opens an existing file; fs.ErrNotExist when there is none.
	Open(path string) (File, error)
	// Create makes an empty file that only its owner may read, in place of any other.
	Create(path string) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// Lock takes the lock at path until it is closed; ErrInUse when another has it.
	Lock(path string) (io.Closer, error)
}

// File is one open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Sync() error
	Close() error
}

// disk is the real one.
type disk struct{}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (disk) MakeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}

func (disk) Open(path string) (File, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return diskFile{file}, nil
}

func (disk) Create(path string) (File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{file}, nil
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }

func (disk) Remove(path string) error { return os.Remove(path) }

func (disk) SyncDir(dir string) error { return atomicfile.SyncDir(dir) }

func (disk) Lock(path string) (io.Closer, error) {
	file, err := filelock.Take(path)
	if errors.Is(err, filelock.ErrHeld) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, err
	}
	return file, nil
}
