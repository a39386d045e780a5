package restic

import (
	"context"
	"errors"
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
	return BackupResult{}, errors.New("not built yet")
}
