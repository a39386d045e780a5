package restic

import (
	"context"
	"errors"
	"time"
)

// SnapshotsOptions filters a list of snapshots; empty filters let all pass.
type SnapshotsOptions struct {
	Call
	Host string
	// Tags must all be on a snapshot.
	Tags []string
	// IDs asks for these snapshots only.
	IDs []string
}

// Snapshot is one snapshot as restic lists it.
type Snapshot struct {
	ID             string           `json:"id"`
	Time           time.Time        `json:"time"`
	Parent         string           `json:"parent"` // empty: none
	Tree           string           `json:"tree"`
	Original       string           `json:"original"` // the id before its tags were changed; empty: never
	Paths          []string         `json:"paths"`
	Hostname       string           `json:"hostname"`
	Username       string           `json:"username"`
	Tags           []string         `json:"tags"`
	Excludes       []string         `json:"excludes"`
	ProgramVersion string           `json:"program_version"`
	Summary        *SnapshotSummary `json:"summary"` // nil: written by an old restic
}

// SnapshotSummary is what a backup stored about itself in its snapshot.
type SnapshotSummary struct {
	BackupStart         time.Time `json:"backup_start"`
	BackupEnd           time.Time `json:"backup_end"`
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
}

// SnapshotsResult is the answer of Snapshots.
type SnapshotsResult struct {
	Result
	Snapshots []Snapshot
}

// Snapshots lists snapshots without a lock, oldest first as restic prints them.
func (r Runner) Snapshots(ctx context.Context, options SnapshotsOptions) (SnapshotsResult, error) {
	return SnapshotsResult{}, errors.New("not built yet")
}
