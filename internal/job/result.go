package job

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Summary is what a job that ended has to show. Sizes are bytes.
type Summary struct {
	SnapshotID string `json:"snapshot_id,omitempty"`

	FilesNew        int64   `json:"files_new,omitempty"`
	FilesChanged    int64   `json:"files_changed,omitempty"`
	FilesUnmodified int64   `json:"files_unmodified,omitempty"`
	FilesProcessed  int64   `json:"files_processed,omitempty"`
	BytesProcessed  int64   `json:"bytes_processed,omitempty"`
	DataAdded       int64   `json:"data_added,omitempty"`
	DataAddedPacked int64   `json:"data_added_packed,omitempty"`
	Seconds         float64 `json:"seconds,omitempty"`

	// Findings are what was wrong though the job did its work.
	Findings []Finding `json:"findings,omitempty"`
	// FindingsOmitted counts those left out of the bounded list.
	FindingsOmitted int `json:"findings_omitted,omitempty"`
	// Locks are the locks that stood in the way.
	Locks []Lock `json:"locks,omitempty"`
	// Snapshots counts a refreshed list.
	Snapshots int `json:"snapshots,omitempty"`
	// Preview is what a look at sources has counted; the server puts it here.
	Preview *Preview `json:"preview,omitempty"`
	// Check is what a check found, Stats what a count came to.
	Check *CheckResult `json:"check,omitempty"`
	Stats *StatsResult `json:"stats,omitempty"`
	// Advice is one sentence that says what to do next.
	Advice string `json:"advice,omitempty"`
}

// CheckResult is what a check found.
type CheckResult struct {
	Errors int64 `json:"errors"`
	// ReadMiB is how much of the stored data was to be read; ReadAll is all of it.
	ReadMiB int64   `json:"read_mib"`
	ReadAll bool    `json:"read_all"`
	Seconds float64 `json:"seconds"`
	// BrokenPacks are the files below data/ that can't be read any more, the first
	// ones; BrokenCount counts all.
	BrokenPacks []string `json:"broken_packs,omitempty"`
	BrokenCount int      `json:"broken_count"`
	// RepairIndex and Prune are restic's own advice.
	RepairIndex bool `json:"repair_index"`
	Prune       bool `json:"prune"`
}

// StatsResult is what a repository stores and holds, in bytes.
type StatsResult struct {
	// StoredBytes is what it takes on the disk; UncompressedBytes is the same before
	// compression, each piece once.
	StoredBytes       int64 `json:"stored_bytes"`
	UncompressedBytes int64 `json:"uncompressed_bytes"`
	Blobs             int64 `json:"blobs"`
	// RestoredBytes is what all snapshots together would restore to.
	RestoredBytes int64        `json:"restored_bytes"`
	Files         int64        `json:"files"`
	Snapshots     int64        `json:"snapshots"`
	Groups        []GroupStats `json:"groups,omitempty"`
}

// GroupStats is what the snapshots of one source group would restore to.
type GroupStats struct {
	Group     GroupID `json:"source_group_id"`
	Bytes     int64   `json:"bytes"`
	Files     int64   `json:"files"`
	Snapshots int64   `json:"snapshots"`
}

// FindingKind names what was found wrong with a source.
type FindingKind string

// Kinds of findings.
const (
	SourceMissing    FindingKind = "source_missing"
	SourceUnreadable FindingKind = "source_unreadable"
	SourceSymlink    FindingKind = "source_symlink"
	SourceEmpty      FindingKind = "source_empty"
	SourceMoved      FindingKind = "source_other_device"
	MountSkipped     FindingKind = "mount_skipped"
	FileUnreadable   FindingKind = "file_unreadable"
	NothingSaved     FindingKind = "nothing_saved"
	LiveFilesUsed    FindingKind = "vss_fallback"
	// BackupShrank: it is smaller than the last good one by more than its guard allows.
	BackupShrank FindingKind = "backup_shrank"
	// HookFailed: a hook did not end well.
	HookFailed  FindingKind = "hook_failed"
	OtherNotice FindingKind = "notice"
)

// Finding is one thing that was wrong, with the path it is about.
type Finding struct {
	Kind   FindingKind `json:"kind"`
	Path   string      `json:"path,omitempty"`
	Detail string      `json:"detail,omitempty"`
}

// Lock is one restic lock as a person needs to see it.
type Lock struct {
	ID        string    `json:"id"`
	Host      string    `json:"host"`
	User      string    `json:"user"`
	PID       int       `json:"pid"`
	Time      time.Time `json:"time"`
	Exclusive bool      `json:"exclusive"`
}

// Snapshot is what restic reports of one snapshot. Sizes are bytes.
type Snapshot struct {
	ID       string    `json:"id"` // 64 hexadecimal digits
	Time     time.Time `json:"time"`
	Host     string    `json:"host"`
	Username string    `json:"username,omitempty"`
	Paths    []string  `json:"paths"`
	Tags     []string  `json:"tags,omitempty"`
	Tree     string    `json:"tree,omitempty"`
	Parent   string    `json:"parent,omitempty"`
	Program  string    `json:"program,omitempty"`
	// The counts are zero for snapshots of restic before 0.17.
	FilesProcessed int64 `json:"files_processed,omitempty"`
	BytesProcessed int64 `json:"bytes_processed,omitempty"`
	DataAdded      int64 `json:"data_added,omitempty"`
}

// Preview is what a source group would save and what its rules take out. Sizes
// are bytes as the file system tells them.
type Preview struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	// Rules has one entry for each exclusion in the order given, and after them
	// one for cache folders and one for other file systems when those are on.
	Rules []PreviewRule `json:"rules"`
	// Missing are the paths that do not exist.
	Missing []string `json:"missing,omitempty"`
	// Unreadable counts the folders that could not be listed.
	Unreadable int64 `json:"unreadable,omitempty"`
	// Partial: the time for it ran out before all was counted.
	Partial bool    `json:"partial,omitempty"`
	Seconds float64 `json:"seconds"`
}

// PreviewRule is what one rule takes out of a source group.
type PreviewRule struct {
	Pattern string `json:"pattern"`
	Files   int64  `json:"files"`
	Bytes   int64  `json:"bytes"`
	// Samples are the largest things that it takes out, at most five.
	Samples []PreviewSample `json:"samples,omitempty"`
}

// PreviewSample is one file or folder that a rule takes out.
type PreviewSample struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Progress is the live state of a running job: overwritten, never kept.
type Progress struct {
	Job     ID      `json:"job_id"`
	Phase   Phase   `json:"phase,omitempty"`
	Percent float64 `json:"percent"` // 0 to 1; 0 while the total is not known

	FilesDone  int64 `json:"files_done"`
	FilesTotal int64 `json:"files_total"`
	BytesDone  int64 `json:"bytes_done"`
	BytesTotal int64 `json:"bytes_total"`
	Errors     int64 `json:"errors"`

	ElapsedSeconds   int64    `json:"elapsed_seconds"`
	RemainingSeconds int64    `json:"remaining_seconds"` // 0 is not known
	CurrentFiles     []string `json:"current_files,omitempty"`
}

// LogLine is one line of a job's log.
type LogLine struct {
	At    int64    `json:"at"` // milliseconds since 1970, UTC, the agent's clock
	Level LogLevel `json:"level"`
	Text  string   `json:"text"`
}

// Plain is the line as plain text without a line end. What is not graphic comes
// escaped: names of files are in it, and they must not make up lines nor command
// the terminal of whoever reads it.
func (l LogLine) Plain() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %-5s ", time.UnixMilli(l.At).UTC().Format("2006-01-02T15:04:05.000Z"), l.Level)
	for _, r := range l.Text {
		if unicode.IsGraphic(r) {
			text.WriteRune(r)
			continue
		}
		escaped := strconv.QuoteRune(r)
		text.WriteString(escaped[1 : len(escaped)-1])
	}
	return text.String()
}

// LogLevel grades a log line.
type LogLevel string

// Levels.
const (
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)
