package api

import (
	"encoding/json"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// Challenge opens a session. The agent checks the key against the fingerprint
// it was enrolled with before it says anything.
type Challenge struct {
	Version     int    `json:"version"`
	ServerKey   []byte `json:"server_key"` // Ed25519 public key
	ServerNonce []byte `json:"server_nonce"`
}

// Hello answers a challenge.
type Hello struct {
	Version    int        `json:"version"`
	Host       job.HostID `json:"host_id"`
	AgentKey   []byte     `json:"agent_key"` // Ed25519 public key
	AgentNonce []byte     `json:"agent_nonce"`
	// Proof signs AgentProof over this handshake.
	Proof []byte `json:"proof"`

	JournalID string `json:"journal_id"` // random, one per journal
	// Counter grows by one with each connect and is durable before the hello.
	Counter uint64 `json:"counter"`
	LastSeq uint64 `json:"last_seq"`
	// Acked is the largest cursor that this agent was ever told.
	Acked      uint64   `json:"acked"`
	PlanDigest string   `json:"plan_digest"`
	Unfinished []job.ID `json:"unfinished"`
	// Held are the runs that are due, and wait for the server's word.
	Held  []job.ID `json:"held"`
	Clock int64    `json:"clock"` // milliseconds since 1970, UTC
	Facts Facts    `json:"facts"`
	// AuditHead is the newest that this agent was ever told.
	AuditHead AuditHead `json:"audit_head"`
}

// AuditHead is where the sealed audit log of the server stands. Agents keep it,
// so that whoever rewrites the log can't rewrite what was told of it.
type AuditHead struct {
	Number uint64 `json:"number"` // of the newest seal; 0 is none
	Hash   []byte `json:"hash"`
}

// Facts describe the machine and its programs.
type Facts struct {
	Hostname      string `json:"hostname"`
	OS            string `json:"os"`
	Arch          string `json:"arch"`
	AgentVersion  string `json:"agent_version"`
	ResticVersion string `json:"restic_version"`
	// Allowed lists the job kinds that the agent's own policy lets through.
	Allowed []job.Kind `json:"allowed"`
	// Storage is set for a storage agent.
	Storage *StorageFacts `json:"storage,omitempty"`
	// Hooks are what the agent's own policy lets run beside a backup.
	Hooks HookFacts `json:"hooks"`
	// RestoreRoots come with the feature that needs them.
}

// HookFacts are what the agent's own policy lets run beside a backup.
type HookFacts struct {
	// Names are the local scripts that a group may choose from.
	Names []string `json:"names,omitempty"`
	// Sent: commands that the server sends are allowed.
	Sent bool `json:"sent,omitempty"`
}

// StorageFacts describe the rest-server beside a storage agent.
type StorageFacts struct {
	// URL is where endpoints reach the rest-server, without credentials.
	URL        string `json:"url"`
	BytesFree  int64  `json:"bytes_free"`
	BytesTotal int64  `json:"bytes_total"`
}

// Welcome ends the handshake well. It is sent again on a session that was
// quarantined when a person has decided that it is the true one.
type Welcome struct {
	// Proof signs ServerProof over this handshake.
	Proof  []byte `json:"proof"`
	Cursor uint64 `json:"cursor"`
	Clock  int64  `json:"clock"` // milliseconds since 1970, UTC
	// Quarantined: this session looks like a copy of another. Nothing is taken
	// from it or given to it until a person decides; it keeps its records.
	Quarantined bool `json:"quarantined,omitempty"`
	// Counter, when not zero, is the value to go on counting from: a person
	// decided that this session is the true one.
	Counter   uint64    `json:"counter,omitempty"`
	Intervals Intervals `json:"intervals"`
	// AuditHead is the newest seal.
	AuditHead AuditHead `json:"audit_head"`
}

// Intervals are the delays that the server sets for an agent.
type Intervals struct {
	// ReconnectMin and ReconnectMax bound the full jitter of the next attempt, in
	// milliseconds: each wait is random in [0, min(max, min*2^n)).
	ReconnectMin int64 `json:"reconnect_min_ms"`
	ReconnectMax int64 `json:"reconnect_max_ms"`
	Ping         int64 `json:"ping_ms"`
}

// Defaults of the delays, used until a server has set others.
const (
	DefaultReconnectMin = time.Second
	DefaultReconnectMax = 30 * time.Second
	DefaultPing         = 20 * time.Second
)

// Access is how one repository is reached. It holds secrets: it is sealed on
// the agent's disk and never logged.
type Access struct {
	Repository job.RepositoryID `json:"repository_id"`
	URL        string           `json:"url"` // without credentials
	Username   string           `json:"username,omitempty"`
	Password   string           `json:"password,omitempty"`
	// Key is the password of the restic repository.
	Key string `json:"key"`
}

// String hides what Access holds.
func (a Access) String() string { return "access to repository " + string(a.Repository) }

// GoString hides what Access holds.
func (a Access) GoString() string { return a.String() }

// Plan is all that a host should know when its server is away.
type Plan struct {
	Digest       string           `json:"digest"` // of everything below
	ResticHost   string           `json:"restic_host"`
	Repositories []Access         `json:"repositories"`
	Groups       []job.BackupSpec `json:"groups"`
	Schedules    []PlanSchedule   `json:"schedules"`
	// PausedUntil is in milliseconds since 1970, UTC; 0 is not paused. No moment
	// before it starts anything.
	PausedUntil int64 `json:"paused_until,omitempty"`
}

// PlanSchedule is one enabled schedule of the host.
type PlanSchedule struct {
	ID job.ScheduleID `json:"id"`
	schedule.Rule
	Groups []job.GroupID `json:"groups"`
}

// Job asks for one job. It carries its whole resolved spec and may be repeated.
type Job struct {
	ID     job.ID     `json:"id"`
	Kind   job.Kind   `json:"kind"`
	Origin job.Origin `json:"origin"`
	job.Occasion
	Spec json.RawMessage `json:"spec"`
	// Access is the repository that the spec names; nil for kinds that need none.
	Access *Access `json:"access,omitempty"`
}

// Cancel asks for the end of a job; also of one the agent has never seen.
type Cancel struct {
	ID job.ID `json:"id"`
	// State is how a job ends that the agent has not begun: cancelled or skipped.
	State job.State `json:"state"`
	Cause job.Cause `json:"cause"`
	// Error is why, in one sentence for a person.
	Error string `json:"error,omitempty"`
}

// Refused says that the agent can't take a job now: it is not on its disk and
// will not run. The server asks again later.
type Refused struct {
	Job    job.ID `json:"job_id"`
	Reason string `json:"reason"` // one sentence for a person
}

// Gone tells a removed host that it is removed. Signature is the server's, over
// GoneProof.
type Gone struct {
	ServerKey []byte `json:"server_key"`
	Signature []byte `json:"signature"`
}

// Ack says that every record up to Cursor is durable on the server.
type Ack struct {
	JournalID string `json:"journal_id"`
	Cursor    uint64 `json:"cursor"`
}

// Records carries journal records in order.
type Records struct {
	JournalID string   `json:"journal_id"`
	Items     []Record `json:"items"`
}

// Answer carries the result of a look, in one or more parts of at most MaxBatch.
type Answer struct {
	Job  job.ID `json:"job_id"`
	More bool   `json:"more,omitempty"` // further parts follow
	// Ended is set on the last part.
	Ended     *Ended         `json:"ended,omitempty"`
	Snapshots []job.Snapshot `json:"snapshots,omitempty"`
	Preview   *job.Preview   `json:"preview,omitempty"`
}

// Unsupported answers a message of a type that the receiver does not know.
type Unsupported struct {
	Type string `json:"type"`
}

// EnrolRequest asks to join with a one-time token. It may be repeated with the
// same key: the first answer may have been lost.
type EnrolRequest struct {
	Secret   string `json:"secret"`
	AgentKey []byte `json:"agent_key"`
	Nonce    []byte `json:"nonce"`
	// Proof signs EnrolProof: the asker holds the key.
	Proof []byte `json:"proof"`
	Facts Facts  `json:"facts"`
}

// EnrolResponse is the answer to an EnrolRequest that was accepted.
type EnrolResponse struct {
	Host      job.HostID `json:"host_id"`
	Name      string     `json:"name"`
	ServerKey []byte     `json:"server_key"`
}

// Identity is the server's proof that it holds its key.
type Identity struct {
	ServerKey []byte `json:"server_key"`
	// Signature signs IdentityProof over the asker's nonce.
	Signature []byte `json:"signature"`
}
