package fleet

import (
	"strings"
	"time"
	"unicode"

	"github.com/restic-manager/restic-manager/internal/job"
)

// Host is an enrolled machine. Zero times mean "not yet".
type Host struct {
	ID   job.HostID
	Name string // unique among the hosts that are not removed
	Tags []string
	// ResticHost is the --host of its snapshots, fixed since enrolment.
	ResticHost string
	PublicKey  []byte

	Hostname      string
	OS            string
	Arch          string
	AgentVersion  string
	ResticVersion string
	Allowed       []job.Kind // what its own policy lets through
	Address       string     // where its session comes from

	// Hooks are what its own policy lets run beside a backup: the names of local
	// scripts, and whether commands of the server are allowed.
	HookNames []string
	HooksSent bool

	// Presence says whether the machine is expected to be on.
	Presence Presence

	// Storage is set for a storage agent.
	Storage *Storage

	EnrolledAt time.Time
	LastSeenAt time.Time
	// Online: a node whose lease lives holds its session.
	Online bool
	// ClockOffset is the agent's clock minus the server's at its last hello.
	ClockOffset time.Duration

	// PlanDigest names the plan that its agent said it has, or was sent since; ""
	// is none. PlanAt is since when that is known.
	PlanDigest string
	PlanAt     time.Time

	QuarantinedAt time.Time
	RemovedAt     time.Time

	// What the last backups left, kept on the row so that a list needs no join.
	LastBackupAt    time.Time // end of the last one that succeeded or warned
	LastBackupState job.State // of the last backup that ended in any way
	LastEndedAt     time.Time
	LastJobID       job.ID
	LastError       string
}

// Presence says whether a machine is expected to be on.
type Presence string

// Presences.
const (
	// AlwaysOn: a server; a moment without a backup is trouble.
	AlwaysOn Presence = "always_on"
	// Intermittent: a laptop; while it is off nothing is overdue.
	Intermittent Presence = "intermittent"
)

// Valid tells whether p is a presence at all.
func (p Presence) Valid() bool { return p == AlwaysOn || p == Intermittent }

// IsStorage tells whether the host is a storage agent.
func (h *Host) IsStorage() bool { return h.Storage != nil }

// Storage is the rest-server beside a storage agent.
type Storage struct {
	URL        string // for endpoints, without credentials
	BytesFree  int64
	BytesTotal int64
	// Slots is how many jobs may move data to or from it at once.
	Slots int
}

// Bounds of a rest-server's slots.
const (
	DefaultSlots = 4
	MaxSlots     = 1000
)

// CheckName adds what is wrong with a host's or group's name.
func CheckName(invalid *Invalid, field, name string) {
	switch {
	case strings.TrimSpace(name) == "":
		invalid.Add(field, "Give it a name.")
	case len(name) > 100:
		invalid.Add(field, "A name has at most 100 bytes.")
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl):
		invalid.Add(field, "A name has no control characters and no space around it.")
	}
}

// CheckTags adds what is wrong with a host's tags.
func CheckTags(invalid *Invalid, field string, tags []string) {
	if len(tags) > 20 {
		invalid.Add(field, "A host has at most 20 tags.")
	}
	seen := map[string]bool{}
	for _, tag := range tags {
		switch {
		case tag == "" || len(tag) > 40 || strings.ContainsFunc(tag, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || r == ','
		}):
			invalid.Add(field, "A tag has 1 to 40 bytes without spaces or commas; %q does not.", tag)
		case seen[tag]:
			invalid.Add(field, "The tag %q is there twice.", tag)
		}
		seen[tag] = true
	}
}

// EnrollmentToken is a one-time invitation. Only the hash of its secret is kept.
type EnrollmentToken struct {
	ID         string
	SecretHash string
	Name       string // of the host to be
	Tags       []string
	// ForStorage: only a storage agent may use it.
	ForStorage bool
	// Repository says what the host will back up to.
	Repository RepositoryChoice
	CreatedAt  time.Time
	ExpiresAt  time.Time
	CreatedBy  string
	// UsedBy and UsedKey are set when a host has joined with it.
	UsedBy  job.HostID
	UsedKey []byte
	UsedAt  time.Time
	// SeenAt and the like tell the add-host page that somebody has come.
	SeenAt      time.Time
	SeenAddress string
}

// RepositoryChoice is where a new host will back up to. At most one of Storage
// and URL is set; none means "not a backup client", as for a storage agent.
type RepositoryChoice struct {
	Storage job.HostID // a storage agent that makes a repository
	URL     string     // an existing repository, without credentials
}
