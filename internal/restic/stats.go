package restic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// StatsMode says what "restic stats" counts.
type StatsMode string

// Modes.
const (
	// StatsRaw counts what is stored, each piece once.
	StatsRaw StatsMode = "raw-data"
	// StatsRestored counts what a restore of all these snapshots would write.
	StatsRestored StatsMode = "restore-size"
)

// StatsOptions says what is counted. Empty filters count all snapshots.
type StatsOptions struct {
	Call
	Mode StatsMode
	// Tag selects the snapshots that carry it; "" is all.
	Tag string
}

// StatsResult is the answer of Stats.
type StatsResult struct {
	Result
	Stats Stats
}

// Stats is restic's own account. What a mode does not count is 0.
type Stats struct {
	Bytes             uint64  `json:"total_size"`
	UncompressedBytes uint64  `json:"total_uncompressed_size"`
	CompressionRatio  float64 `json:"compression_ratio"` // uncompressed by stored
	Files             uint64  `json:"total_file_count"`
	Blobs             uint64  `json:"total_blob_count"`
	Snapshots         uint64  `json:"snapshots_count"`
}

// Stats counts what a repository holds.
func (r Runner) Stats(ctx context.Context, options StatsOptions) (StatsResult, error) {
	if options.Mode != StatsRaw && options.Mode != StatsRestored {
		return StatsResult{}, &InvalidError{Field: "mode", Reason: "is none that is known"}
	}
	args := []string{"--mode=" + string(options.Mode)}
	if options.Tag != "" {
		if err := checkTags([]string{options.Tag}); err != nil {
			return StatsResult{}, err
		}
		args = append(args, "--tag="+options.Tag)
	}
	var answer StatsResult
	var err error
	answer.Result, err = r.query(ctx, options.Call, "stats", args, func(stdout io.Reader, _ *record) (err error) {
		answer.Stats, err = decodeStats(stdout)
		return err
	})
	return answer, err
}

func decodeStats(reader io.Reader) (Stats, error) {
	var stats Stats
	if err := json.NewDecoder(&capped{Reader: reader, left: maxAnswer}).Decode(&stats); err != nil {
		return Stats{}, fmt.Errorf("decode the statistics: %w", err)
	}
	return stats, nil
}
