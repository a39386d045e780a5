package restic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// BackupOptions is one run of "restic backup".
type BackupOptions struct {
	Call
	// Host is the name that the snapshot carries; required.
	Host string
	// Tags must not contain a comma: restic would make two tags of it.
	Tags []string
	// Includes are paths as bytes, taken literally; at least one.
	Includes []string
	// Excludes are restic's patterns; nothing in them is expanded.
	Excludes      []string
	OneFileSystem bool
	ExcludeCaches bool
	// ExcludeLargerThan is in bytes; 0 means no limit.
	ExcludeLargerThan int64
	// UseVSS reads from a volume shadow copy where the system has them (Windows); restic falls back to the
	// live files with no more than a notice.
	UseVSS bool
}

// BackupResult is what a backup left.
type BackupResult struct {
	Result
	// Summary is nil when restic ended before it had one.
	Summary *BackupSummary
}

// BackupSummary is restic's summary message.
type BackupSummary struct {
	FilesNew            uint64    `json:"files_new"`
	FilesChanged        uint64    `json:"files_changed"`
	FilesUnmodified     uint64    `json:"files_unmodified"`
	DirsNew             uint64    `json:"dirs_new"`
	DirsChanged         uint64    `json:"dirs_changed"`
	DirsUnmodified      uint64    `json:"dirs_unmodified"`
	DataBlobs           int64     `json:"data_blobs"`
	TreeBlobs           int64     `json:"tree_blobs"`
	DataAdded           uint64    `json:"data_added"`
	DataAddedPacked     uint64    `json:"data_added_packed"`
	TotalFilesProcessed uint64    `json:"total_files_processed"`
	TotalBytesProcessed uint64    `json:"total_bytes_processed"`
	TotalDuration       float64   `json:"total_duration"` // seconds
	BackupStart         time.Time `json:"backup_start"`
	BackupEnd           time.Time `json:"backup_end"`
	SnapshotID          string    `json:"snapshot_id"` // full id; empty when none was made
}

// Progress is one status message of a backup.
type Progress struct {
	Done                  float64 // 0 to 1, of the bytes that restic knows of so far
	FilesDone, FilesTotal uint64
	BytesDone, BytesTotal uint64
	ErrorCount            uint64
	CurrentFiles          []string
	Elapsed, Remaining    time.Duration // Remaining 0 means not known
}

// Backup runs one backup. The error is set only when restic could not be run or its output not be read;
// how a run ended, well or badly, is in the result.
func (r Runner) Backup(ctx context.Context, options BackupOptions) (BackupResult, error) {
	args, err := options.arguments()
	if err != nil {
		return BackupResult{}, fmt.Errorf("restic backup: %w", err)
	}
	includes, err := r.writeIncludes(options.Includes)
	if err != nil {
		return BackupResult{}, fmt.Errorf("restic backup: %w", err)
	}
	defer func() { _ = os.Remove(includes) }()
	var answer BackupResult
	answer.Result, err = r.run(ctx, options.Call, "backup", append(args, "--files-from-raw="+includes),
		func(stdout io.Reader, record *record) error {
			return record.messages(stdout, backupMessages, func(decoded message) {
				switch body := decoded.(type) {
				case *statusMessage:
					if record.hooks.Progress != nil {
						record.hooks.Progress(body.progress(record))
					}
				case *BackupSummary:
					answer.Summary = body
					record.line(LineSummary, body.sentence())
				}
			})
		})
	return answer, err
}

// arguments are the flags of this backup. Excludes are arguments because restic expands $NAME in exclude
// files, trims their lines and can't have a newline in one.
func (o BackupOptions) arguments() ([]string, error) {
	if o.Host == "" {
		return nil, &InvalidError{Field: "host", Reason: "is empty"}
	}
	if err := checkTags(o.Tags); err != nil {
		return nil, err
	}
	args := []string{"--host=" + o.Host, "--group-by=host,tags"}
	for _, tag := range o.Tags {
		args = append(args, "--tag="+tag)
	}
	for _, pattern := range o.Excludes {
		if pattern == "" || strings.ContainsRune(pattern, 0) {
			return nil, &InvalidError{Field: "exclude", Reason: "is empty or contains a zero byte"}
		}
		args = append(args, "--exclude="+pattern)
	}
	if o.OneFileSystem {
		args = append(args, "--one-file-system")
	}
	if o.ExcludeCaches {
		args = append(args, "--exclude-caches")
	}
	if o.ExcludeLargerThan > 0 {
		args = append(args, "--exclude-larger-than="+strconv.FormatInt(o.ExcludeLargerThan, 10))
	}
	if o.UseVSS {
		args = append(args, shadowCopyFlags...)
	}
	return args, nil
}

// checkTags refuses what restic would read as two tags or none.
func checkTags(tags []string) error {
	for _, tag := range tags {
		if tag == "" || strings.ContainsAny(tag, ",\x00") || strings.TrimSpace(tag) != tag {
			return &InvalidError{Field: "tag", Reason: "is empty, contains a comma or begins or ends with a space"}
		}
	}
	return nil
}

// writeIncludes writes the paths, each ended by a zero byte, to a file that only this user can read: the
// one form in which restic takes any name literally.
func (r Runner) writeIncludes(includes []string) (name string, err error) {
	if len(includes) == 0 {
		return "", &InvalidError{Field: "includes", Reason: "are empty"}
	}
	var list strings.Builder
	for _, path := range includes {
		if path == "" || strings.ContainsRune(path, 0) {
			return "", &InvalidError{Field: "include", Reason: "is empty or contains a zero byte"}
		}
		list.WriteString(path)
		list.WriteByte(0)
	}
	file, err := os.CreateTemp(r.TempDir, "restic-includes-*")
	if err != nil {
		return "", fmt.Errorf("write the list of includes: %w", err)
	}
	_, err = file.WriteString(list.String())
	if err = errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(file.Name())
		return "", fmt.Errorf("write the list of includes: %w", err)
	}
	return file.Name(), nil
}

func (m *statusMessage) progress(record *record) Progress {
	progress := Progress{
		Done:      min(max(m.PercentDone, 0), 1),
		FilesDone: m.FilesDone, FilesTotal: m.TotalFiles,
		BytesDone: m.BytesDone, BytesTotal: m.TotalBytes,
		ErrorCount: m.ErrorCount,
		Elapsed:    seconds(m.SecondsElapsed), Remaining: seconds(m.SecondsRemaining),
	}
	for _, path := range m.CurrentFiles {
		progress.CurrentFiles = append(progress.CurrentFiles, record.clean(path))
	}
	return progress
}

// seconds converts without overflow: restic's guess of what remains may be absurd.
func seconds(count uint64) time.Duration {
	return time.Duration(min(count, uint64(math.MaxInt64/int64(time.Second)))) * time.Second
}

// sentence is the summary for the log.
func (s *BackupSummary) sentence() string {
	snapshot := "no snapshot"
	if s.SnapshotID != "" {
		snapshot = "snapshot " + s.SnapshotID[:min(8, len(s.SnapshotID))]
	}
	return fmt.Sprintf("files: %d new, %d changed, %d unmodified; %d bytes read from %d files, %d bytes added (%d stored) in %.0f s; %s",
		s.FilesNew, s.FilesChanged, s.FilesUnmodified, s.TotalBytesProcessed, s.TotalFilesProcessed,
		s.DataAdded, s.DataAddedPacked, s.TotalDuration, snapshot)
}
