package restic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
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

// Snapshots lists snapshots without a lock, oldest first as restic prints them. An id in the filter that
// does not exist is only a notice of restic; the list is shorter then.
func (r Runner) Snapshots(ctx context.Context, options SnapshotsOptions) (SnapshotsResult, error) {
	args := []string{"--no-lock"}
	if options.Host != "" {
		args = append(args, "--host="+options.Host)
	}
	if err := checkTags(options.Tags); err != nil {
		return SnapshotsResult{}, err
	}
	if len(options.Tags) > 0 {
		args = append(args, "--tag="+strings.Join(options.Tags, ","))
	}
	for _, id := range options.IDs {
		if !isID(id) {
			return SnapshotsResult{}, &InvalidError{Field: "snapshot id", Reason: "is not 64 hexadecimal digits"}
		}
	}
	args = append(append(args, "--"), options.IDs...)
	var answer SnapshotsResult
	var err error
	answer.Result, err = r.query(ctx, options.Call, "snapshots", args,
		func(stdout io.Reader, _ *record) (err error) {
			answer.Snapshots, err = decodeSnapshots(stdout)
			return err
		})
	return answer, err
}

// decodeSnapshots reads the list one by one, so that only one snapshot is held twice.
func decodeSnapshots(reader io.Reader) ([]Snapshot, error) {
	decoder := json.NewDecoder(&capped{Reader: reader, left: maxAnswer})
	token, err := decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("decode the list of snapshots: %w", err)
	}
	if token == nil {
		return nil, nil
	}
	if token != json.Delim('[') {
		return nil, errors.New("decode the list of snapshots: it is not a list")
	}
	var snapshots []Snapshot
	for decoder.More() {
		var snapshot Snapshot
		if err := decoder.Decode(&snapshot); err != nil {
			return nil, fmt.Errorf("decode a snapshot: %w", err)
		}
		if !isID(snapshot.ID) {
			return nil, errors.New("decode a snapshot: it has no id")
		}
		snapshots = append(snapshots, snapshot)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("decode the list of snapshots: %w", err)
	}
	return snapshots, nil
}
