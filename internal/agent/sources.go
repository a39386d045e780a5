package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/internal/job"
)

// sourcesDir is the folder of the state folder with what each group's sources
// were like at their last good backup.
const sourcesDir = "sources"

// inspectionWait bounds how long a job waits at its end for a look at its
// sources that hangs, as it can on a dead network mount.
const inspectionWait = 2 * time.Second

func isSeparator(r rune) bool { return r < utf8.RuneSelf && os.IsPathSeparator(uint8(r)) }

// groupMemory is what is remembered of one group between backups.
type groupMemory struct {
	Sources map[string]sourceMemory `json:"sources"`
	// Size is how large its backups are.
	Size sizeMemory `json:"size"`
}

type sourceMemory struct {
	Device   string `json:"device"`
	HadFiles bool   `json:"had_files"`
}

// inspection is what the sources of one job are like.
type inspection struct {
	findings []job.Finding
	seen     map[string]sourceMemory
}

func memoryFile(group job.GroupID) string {
	return filepath.Join(sourcesDir, string(group)+".json")
}

func (s *state) memory(group job.GroupID) (groupMemory, error) {
	memory := groupMemory{}
	_, err := s.readJSON(memoryFile(group), &memory)
	if memory.Sources == nil {
		memory.Sources = map[string]sourceMemory{}
	}
	return memory, err
}

func (s *state) remember(group job.GroupID, memory groupMemory) error {
	if err := os.MkdirAll(s.path(sourcesDir), 0o700); err != nil {
		return fmt.Errorf("remember sources: %w", err)
	}
	return s.writeJSON(memoryFile(group), memory)
}

// inspect looks at each source beside restic, never in its way.
func (a *Agent) inspect(spec *job.BackupSpec) <-chan inspection {
	answer := make(chan inspection, 1)
	memory, err := a.state.memory(spec.Group)
	if err != nil {
		a.log.Warn("what the sources were like before is not known", "group", spec.Group, "error", err)
	}
	// The goroutine ends with the look; one that hangs on a dead mount can't be
	// ended by anyone and is left.
	go func() {
		looked := inspectSources(spec.Includes, memory)
		if spec.OneFileSystem {
			looked.findings = append(looked.findings, skippedMounts(spec.Includes, spec.Excludes)...)
		}
		answer <- looked
	}()
	return answer
}

// inspectSources looks at each path and compares it with what is remembered.
func inspectSources(paths []string, memory groupMemory) inspection {
	result := inspection{seen: map[string]sourceMemory{}}
	for _, path := range paths {
		finding, seen := inspectSource(path, memory.Sources[path])
		if finding.Kind != "" {
			finding.Path = path
			result.findings = append(result.findings, finding)
		}
		if seen.HadFiles {
			result.seen[path] = seen
		}
	}
	return result
}

func inspectSource(path string, before sourceMemory) (finding job.Finding, seen sourceMemory) {
	// A slash at the end would follow a link here, as restic does not.
	bare := path
	if trimmed := strings.TrimRightFunc(path, isSeparator); trimmed != "" && trimmed != filepath.VolumeName(path) {
		bare = trimmed
	}
	info, err := os.Lstat(bare)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		detail := "does not exist"
		if before.HadFiles {
			detail = "does not exist, though it was there at the last backup"
		}
		return job.Finding{Kind: job.SourceMissing, Detail: detail}, seen
	case err != nil:
		return job.Finding{Kind: job.SourceUnreadable, Detail: err.Error()}, seen
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(bare)
		if err != nil {
			target = "an unknown place"
		}
		return job.Finding{Kind: job.SourceSymlink, Detail: "is a symbolic link to " + target}, seen
	}
	if info.IsDir() {
		empty, err := isEmpty(bare)
		if err != nil {
			return job.Finding{Kind: job.SourceUnreadable, Detail: err.Error()}, seen
		}
		if empty {
			detail := "is an empty folder"
			if before.HadFiles {
				detail = "is an empty folder, though it held files at the last backup"
			}
			return job.Finding{Kind: job.SourceEmpty, Detail: detail}, seen
		}
	}
	device, _ := deviceOf(bare, info)
	seen = sourceMemory{Device: device, HadFiles: true}
	if before.Device != "" && device != "" && before.Device != device {
		return job.Finding{Kind: job.SourceMoved, Detail: "lies on another device than at the last backup"}, seen
	}
	return job.Finding{}, seen
}

func isEmpty(dir string) (bool, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	_, err = folder.ReadDir(1)
	closeErr := folder.Close()
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, errors.Join(err, closeErr)
}

// rememberSources keeps what was seen after a backup that saved something.
func (a *Agent) rememberSources(group job.GroupID, looked inspection, size sizeMemory) {
	memory, err := a.state.memory(group)
	if err != nil {
		a.log.Warn("what the sources were like before is not known", "group", group, "error", err)
	}
	for path, seen := range looked.seen {
		memory.Sources[path] = seen
	}
	memory.Size = size
	if err := a.state.remember(group, memory); err != nil {
		a.log.Warn("what the sources are like could not be stored", "group", group, "error", err)
	}
}
