package restic

import (
	"context"
	"errors"
)

// MinimumVersion is the oldest restic whose exit codes and messages this package knows: 0.18 ends with 0
// when a source is missing and with 1 when it was interrupted.
const MinimumVersion = "0.19.0"

// Binary is a restic that was asked for its version.
type Binary struct {
	Path    string // absolute
	Version string // as in "0.19.1"
}

// ErrNotFound is returned by Find when there is no restic.
var ErrNotFound = errors.New("restic was not found")

// TooOldError is returned by Find for a restic below MinimumVersion.
type TooOldError struct {
	Binary Binary
}

func (e *TooOldError) Error() string {
	return "restic " + e.Binary.Version + " at " + e.Binary.Path + " is too old: " + MinimumVersion + " or newer is needed"
}

// Find returns the restic at path, or the one in PATH when path is empty.
func Find(ctx context.Context, path string) (Binary, error) {
	return Binary{}, errors.New("not built yet")
}
