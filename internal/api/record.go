package api

import (
	"encoding/json"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/job"
)

// RecordKind is the type of one journal record.
type RecordKind string

// The records of the agent's journal, in the one order that a host has.
const (
	// RecordDue comes before all others of its run, if a schedule or a failed
	// attempt asked for it.
	RecordDue      RecordKind = "due"
	RecordAccepted RecordKind = "accepted"
	RecordStarted  RecordKind = "started"
	RecordLog      RecordKind = "log"
	RecordEnded    RecordKind = "ended"
	RecordSnapshot RecordKind = "snapshot"
	RecordReport   RecordKind = "report"
	RecordGap      RecordKind = "gap"
	// RecordCancel says that an accepted job was asked to end, so that the wish
	// outlives the agent. What became of it is for the ended record to say.
	RecordCancel RecordKind = "cancel"
	// RecordHook says that a hook of a job began or is over, so that a post-hook
	// that is owed outlives the agent.
	RecordHook RecordKind = "hook"
)

// Record is one entry of the agent's journal and what is sent of it.
type Record struct {
	Seq  uint64     `json:"seq"` // 1 is the first of a journal
	Kind RecordKind `json:"kind"`
	// Job is empty for records that belong to no job.
	Job  job.ID          `json:"job_id,omitempty"`
	At   int64           `json:"at"` // milliseconds since 1970, UTC, the agent's clock
	Body json.RawMessage `json:"body"`
}

// Due says that a backup should run: the moment of a schedule came, or an
// attempt failed for a cause worth retrying. Unless Skip says otherwise the agent
// holds it until the server sends it as a job or cancels it, and begins it by
// itself when the server is away.
type Due struct {
	Group job.GroupID `json:"group_id"`
	job.Occasion
	// NotBefore is when it may begin, in milliseconds since 1970, UTC, by the
	// agent's clock; 0 is at once.
	NotBefore int64 `json:"not_before,omitempty"`
	// Skip is why nothing is to be begun; "" is that it is.
	Skip job.Cause `json:"skip,omitempty"`
	// By is the job that stands for a skipped one; "" is none.
	By job.ID `json:"by,omitempty"`
	// Until and Moments tell of several skipped moments in one record: the last of
	// them, in milliseconds since 1970, UTC, and how many. 0 is the one moment.
	Until   int64 `json:"until,omitempty"`
	Moments int   `json:"moments,omitempty"`
}

// Accepted says that a job is on the agent's disk and will be seen through.
type Accepted struct {
	Kind   job.Kind   `json:"kind"`
	Origin job.Origin `json:"origin"`
	job.Occasion
	Spec json.RawMessage `json:"spec"` // without secrets
}

// HookSide says which hook of a job a record is about.
type HookSide string

// Hooks of a job.
const (
	HookPre  HookSide = "pre"
	HookPost HookSide = "post"
)

// HookRun says that a hook began, or that it is over.
type HookRun struct {
	Side HookSide `json:"side"`
	Over bool     `json:"over,omitempty"`
	// Error is why it did not end well, in one sentence; "" when it did.
	Error string `json:"error,omitempty"`
}

// Started says that the work began, and by which process.
type Started struct {
	PID int `json:"pid,omitempty"` // 0 when the work is no process of its own
	// ProcessStart is when that process began, in milliseconds since 1970.
	ProcessStart int64 `json:"process_start,omitempty"`
	// Command is the argument vector, which never holds a secret.
	Command  []string      `json:"command,omitempty"`
	Findings []job.Finding `json:"findings,omitempty"`
}

// Log carries lines of a job's log, in order.
type Log struct {
	Lines []job.LogLine `json:"lines"`
	// Omitted counts lines left out before these, to keep the log bounded.
	Omitted int `json:"omitted,omitempty"`
}

// Ended says how a job ended. There is one for each accepted job, and one for a
// cancelled id that was never accepted.
type Ended struct {
	State    job.State    `json:"state"`
	Cause    job.Cause    `json:"cause,omitempty"`
	Trouble  job.Trouble  `json:"trouble,omitempty"`
	By       job.ID       `json:"by,omitempty"` // the job that stands for a skipped one
	ExitCode *int         `json:"exit_code,omitempty"`
	Error    string       `json:"error,omitempty"` // one sentence for a person
	Summary  *job.Summary `json:"summary,omitempty"`
}

// SnapshotMade names a snapshot that a job made.
type SnapshotMade struct {
	Repository job.RepositoryID `json:"repository_id"`
	Snapshot   job.Snapshot     `json:"snapshot"`
}

// CancelAsked says why an accepted job should end.
type CancelAsked struct {
	Cause job.Cause `json:"cause"`
}

// ReportTopic says what a report is about.
type ReportTopic string

// Topics.
const (
	// ReportAppendOnly: whether the repository let this host delete.
	ReportAppendOnly ReportTopic = "append_only"
	// ReportLockLeft: a lock of this host's that could not be removed yet.
	ReportLockLeft ReportTopic = "lock_left"
	// ReportLockRemoved: such a lock is gone.
	ReportLockRemoved ReportTopic = "lock_removed"
	// ReportQuarantine: something in the agent's own state was set aside.
	ReportQuarantine ReportTopic = "quarantine"
)

// Report is a fact about a host that no job yields.
type Report struct {
	Topic      ReportTopic      `json:"topic"`
	Repository job.RepositoryID `json:"repository_id,omitempty"`
	OK         bool             `json:"ok"`
	Detail     string           `json:"detail,omitempty"`
}

// Gap says that records were lost before they could be sent.
type Gap struct {
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Reason string `json:"reason"`
}

// RecordInfo describes one kind of journal record.
type RecordInfo struct {
	Kind     RecordKind
	Since    int
	Sentence string
	make     func() any
}

// RecordCatalogue is the one list of journal records.
var RecordCatalogue = []RecordInfo{
	{RecordDue, 1, "A backup should run, or its moment was skipped.", func() any { return new(Due) }},
	{RecordAccepted, 1, "The job is on the agent's disk and will be seen through.", func() any { return new(Accepted) }},
	{RecordStarted, 1, "The work of a job began.", func() any { return new(Started) }},
	{RecordLog, 1, "Lines of a job's log, in order.", func() any { return new(Log) }},
	{RecordEnded, 1, "How a job ended; its log is complete before.", func() any { return new(Ended) }},
	{RecordSnapshot, 1, "A snapshot that a job made.", func() any { return new(SnapshotMade) }},
	{RecordReport, 1, "A fact about the host that no job yields.", func() any { return new(Report) }},
	{RecordGap, 1, "Records that were lost before they could be sent.", func() any { return new(Gap) }},
	{RecordHook, 1, "A hook of a job began, or is over.", func() any { return new(HookRun) }},
	{RecordCancel, 1, "An accepted job was asked to end.", func() any { return new(CancelAsked) }},
}

// NewRecord encodes body for a journal; the journal sets the sequence.
func NewRecord(kind RecordKind, id job.ID, at int64, body any) (Record, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return Record{}, fmt.Errorf("encode %s record: %w", kind, err)
	}
	if len(raw) > MaxRecordBody {
		return Record{}, fmt.Errorf("encode %s record: %d bytes are more than %d", kind, len(raw), MaxRecordBody)
	}
	return Record{Kind: kind, Job: id, At: at, Body: raw}, nil
}

// Decode returns a pointer to the typed body of r. Unknown kinds are refused.
func (r Record) Decode() (any, error) {
	for _, info := range RecordCatalogue {
		if info.Kind != r.Kind {
			continue
		}
		if len(r.Body) > MaxRecordBody {
			return nil, fmt.Errorf("decode %s record %d: %d bytes are more than %d", r.Kind, r.Seq, len(r.Body), MaxRecordBody)
		}
		body := info.make()
		if err := json.Unmarshal(r.Body, body); err != nil {
			return nil, fmt.Errorf("decode %s record %d: %w", r.Kind, r.Seq, err)
		}
		return body, nil
	}
	return nil, fmt.Errorf("decode record %d: kind %.40q is not known", r.Seq, r.Kind)
}
