package restic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// MinimumVersion is the oldest restic whose exit codes and messages this package knows: 0.18 ends with 0
// when a source is missing and with 1 when it was interrupted.
const MinimumVersion = "0.19.0"

// versionTimeout bounds "restic version", which touches neither network nor repository.
const versionTimeout = 30 * time.Second

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

// Find returns the restic at path, or the one in PATH when path is empty. Its errors are ErrNotFound,
// *TooOldError, or what kept the program from telling its version.
func Find(ctx context.Context, system System, path string) (Binary, error) {
	name, place := path, path
	if path == "" {
		name, place = "restic", "PATH"
	}
	found, err := system.LookPath(name)
	if err != nil {
		return Binary{}, fmt.Errorf("%w in %s: %w", ErrNotFound, place, err)
	}
	if found, err = filepath.Abs(found); err != nil {
		return Binary{}, fmt.Errorf("find restic: %w", err)
	}
	version, err := askVersion(ctx, system, found)
	if err != nil {
		return Binary{}, err
	}
	binary := Binary{Path: found, Version: version}
	enough, err := atLeast(version, MinimumVersion)
	if err != nil {
		return Binary{}, fmt.Errorf("restic at %s: %w", found, err)
	}
	if !enough {
		return Binary{}, &TooOldError{Binary: binary}
	}
	return binary, nil
}

// askVersion asks the program at path for its version.
func askVersion(ctx context.Context, system System, path string) (string, error) {
	child, err := system.Start(Command{Path: path, Args: []string{"version", "--json"}, Env: passed(DefaultPassEnv)})
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	defer child.Close()
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	// A kill that is refused leaves a process that is waited for all the same.
	defer context.AfterFunc(ctx, func() { _ = child.Kill() })()
	var output []byte
	var reading sync.WaitGroup
	reading.Go(func() {
		output, _ = io.ReadAll(io.LimitReader(child.Stdout(), MaxLine)) // what is cut short does not decode
		_, _ = io.Copy(io.Discard, child.Stdout())
	})
	reading.Go(func() { _, _ = io.Copy(io.Discard, child.Stderr()) })
	code := child.Wait()
	drain(child, &reading)
	if code != ExitOK {
		return "", fmt.Errorf("ask %s for its version: %s", path, code.Sentence())
	}
	var message versionMessage
	if err := json.Unmarshal(output, &message); err != nil || message.Version == "" {
		return "", fmt.Errorf("ask %s for its version: it does not answer like restic %s or newer", path, MinimumVersion)
	}
	return message.Version, nil
}

var versionNumbers = regexp.MustCompile(`^(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?`)

// atLeast compares the leading numbers of two versions; what follows them ("-dev") is ignored.
func atLeast(version, minimum string) (bool, error) {
	have, want := versionNumbers.FindStringSubmatch(version), versionNumbers.FindStringSubmatch(minimum)
	if have == nil || want == nil {
		return false, fmt.Errorf("can't read the version %q", version)
	}
	for i := 1; i < len(have); i++ {
		// A missing third number is the empty string and counts as 0.
		haveNumber, _ := strconv.Atoi(have[i])
		wantNumber, _ := strconv.Atoi(want[i])
		if haveNumber != wantNumber {
			return haveNumber > wantNumber, nil
		}
	}
	return true, nil
}
