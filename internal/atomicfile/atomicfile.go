// Package atomicfile owns the writing of small files so that a reader or a
// crash sees the old content or the new, never a part. It must not know what
// the files hold.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write replaces the file at path, durably: content and name survive a power
// cut once it returns.
func Write(path string, content []byte, mode fs.FileMode) error {
	temp, err := writeTemp(path, content, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", path, err), os.Remove(temp))
	}
	return SyncDir(filepath.Dir(path))
}

// Create is Write for a file that must not exist yet; the error is then
// fs.ErrExist.
func Create(path string, content []byte, mode fs.FileMode) error {
	temp, err := writeTemp(path, content, mode)
	if err != nil {
		return err
	}
	linked := os.Link(temp, path)
	if err := errors.Join(linked, os.Remove(temp)); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

func writeTemp(path string, content []byte, mode fs.FileMode) (name string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", fmt.Errorf("write beside %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, werr := file.Write(content)
	if err := errors.Join(werr, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return "", fmt.Errorf("write beside %s: %w", path, err)
	}
	return file.Name(), nil
}
