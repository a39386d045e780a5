package fleet

import (
	"net/url"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Repository is a restic repository.
type Repository struct {
	ID   job.RepositoryID
	Name string
	URL  string // as restic takes it, without credentials
	Host job.HostID
	// Storage is the storage agent that made it, "" for one that was brought.
	Storage job.HostID
	// User is the rest-server user, "" when the backend needs none.
	User string

	CreatedAt     time.Time
	ProvisionedAt time.Time // the rest-server user exists
	ReadyAt       time.Time // the repository itself exists

	// AppendOnly is what the endpoint's harmless test found; AppendOnlyAt is when.
	AppendOnly   bool
	AppendOnlyAt time.Time

	SnapshotCount int
	LatestAt      time.Time // time of the newest snapshot
	ListedAt      time.Time // last full list

	// Check is what the last check that came to a result found; nil is that there was
	// none. CheckJob is that job, CheckedAt when it ended.
	Check     *job.CheckResult
	CheckJob  job.ID
	CheckedAt time.Time
	// CheckMiB is how much the next check reads; 0 is not known.
	CheckMiB int64
	// Stats is what the last count came to; nil is that there was none.
	Stats     *job.StatsResult
	CountedAt time.Time
}

// Ready tells whether backups can go to it.
func (r *Repository) Ready() bool { return !r.ReadyAt.IsZero() }

// RepositorySecrets open a repository. They are sealed in the store.
type RepositorySecrets struct {
	Password crypto.Text // of the rest-server user
	Key      crypto.Text // of the restic repository
}

// CheckRepositoryURL adds what is wrong with the URL of an existing repository.
func CheckRepositoryURL(invalid *Invalid, field, text string) {
	rest, isREST := strings.CutPrefix(text, "rest:")
	switch {
	case text == "":
		invalid.Add(field, "Give the repository's URL, such as rest:https://backup.example:8000/name/.")
		return
	case len(text) > 2000 || strings.ContainsAny(text, "\x00\r\n"):
		invalid.Add(field, "The URL is too long or holds control characters.")
		return
	}
	if !isREST {
		if strings.HasPrefix(text, "-") || strings.Contains(text, "://") && !strings.HasPrefix(text, "s3:") && !strings.HasPrefix(text, "sftp:") && !strings.HasPrefix(text, "swift:") {
			invalid.Add(field, "restic does not know this kind of URL; a rest-server's begins with rest:http.")
		}
		return
	}
	parsed, err := url.Parse(rest)
	switch {
	case err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https":
		invalid.Add(field, "A rest-server's URL looks like rest:https://backup.example:8000/name/.")
	case parsed.User != nil:
		invalid.Add(field, "Leave user and password out of the URL; they have fields of their own.")
	}
}
