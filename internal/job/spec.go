package job

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// Spec is the resolved order of one job, without secrets. It is what the agent
// journals before it begins.
type Spec interface {
	Kind() Kind
	// Validate names the first field that is wrong.
	Validate() error
	// Subject is what the job works on; the group is "" for kinds without one.
	Subject() (RepositoryID, GroupID)
}

// BackupSpec orders one backup of one source group.
type BackupSpec struct {
	Group      GroupID      `json:"group_id"`
	GroupName  string       `json:"group_name"` // for people only
	Repository RepositoryID `json:"repository_id"`
	// ResticHost is the fixed --host since enrolment.
	ResticHost string   `json:"restic_host"`
	Includes   []string `json:"includes"`
	Excludes   []string `json:"excludes,omitempty"`

	OneFileSystem bool `json:"one_file_system,omitempty"`
	ExcludeCaches bool `json:"exclude_caches,omitempty"`
	// RetryLockSeconds is how long restic waits for a lock; 0 is not at all.
	RetryLockSeconds int `json:"retry_lock_seconds"`
	// LimitUploadKiB and LimitDownloadKiB are in KiB per second; 0 is no limit.
	LimitUploadKiB   int `json:"limit_upload_kib,omitempty"`
	LimitDownloadKiB int `json:"limit_download_kib,omitempty"`
	// UseVSS reads from a volume shadow copy; it has a meaning on Windows only.
	UseVSS bool `json:"use_vss,omitempty"`
	// Tags are put on the snapshot beside the group's own.
	Tags []string `json:"tags,omitempty"`
	// RetryMax is how many attempts a run has, the first one counted; at least 1.
	RetryMax int `json:"retry_max"`
	// RetryBackoffSeconds is the wait before the first retry; it doubles.
	RetryBackoffSeconds int `json:"retry_backoff_seconds"`
	// PreHook runs before restic and PostHook after it; nil is none.
	PreHook  *Hook `json:"pre_hook,omitempty"`
	PostHook *Hook `json:"post_hook,omitempty"`
	// ShrinkPercent warns of a backup that is smaller than the last good one by
	// more than this share of it; 0 never does.
	ShrinkPercent int `json:"shrink_percent,omitempty"`
}

// Hook is what runs on the endpoint beside a backup, if its own policy lets it.
type Hook struct {
	// Name is a script that the machine's own policy names.
	Name string `json:"name,omitempty"`
	// Command is an argument vector that the server sends, for policies that
	// allow it. Exactly one of Name and Command is set.
	Command []string `json:"command,omitempty"`
	// TimeoutSeconds is how long it may take; then it is ended.
	TimeoutSeconds int `json:"timeout_seconds"`
}

// Validate names the first field that is wrong.
func (h *Hook) Validate() error {
	switch {
	case (h.Name == "") == (len(h.Command) == 0):
		return fieldError("hook", "has to be either a name or a command")
	case h.TimeoutSeconds < 1 || h.TimeoutSeconds > MaxHookSeconds:
		return fieldError("hook", fmt.Sprintf("may take 1 to %d seconds", MaxHookSeconds))
	case len(h.Command) > 0 && h.Command[0] == "":
		return fieldError("hook", "has an empty program")
	}
	for _, argument := range append([]string{h.Name}, h.Command...) {
		if strings.ContainsRune(argument, 0) {
			return fieldError("hook", "holds a NUL byte")
		}
	}
	return nil
}

// MaxHookSeconds bounds the time of a hook: a day.
const MaxHookSeconds = 24 * 60 * 60

// PreviewSpec orders a look at what a source group would save and what its
// rules take out. Nothing is read but names and sizes.
type PreviewSpec struct {
	Includes      []string `json:"includes"`
	Excludes      []string `json:"excludes,omitempty"`
	OneFileSystem bool     `json:"one_file_system,omitempty"`
	ExcludeCaches bool     `json:"exclude_caches,omitempty"`
}

// GroupTag is the one restic tag of a group, which alone selects its snapshots.
func GroupTag(group GroupID) string { return "rm-group:" + string(group) }

// GroupOfTags returns the group that a snapshot's tags name, or "".
func GroupOfTags(tags []string) GroupID {
	for _, tag := range tags {
		if id, ok := strings.CutPrefix(tag, "rm-group:"); ok {
			return GroupID(id)
		}
	}
	return ""
}

// SnapshotsSpec orders the list of all snapshots of a repository.
type SnapshotsSpec struct {
	Repository RepositoryID `json:"repository_id"`
}

// UnlockSpec orders the removal of one lock whose owner is proved to be gone.
type UnlockSpec struct {
	Repository RepositoryID `json:"repository_id"`
	LockID     string       `json:"lock_id"` // 64 hexadecimal digits
}

// CheckSpec orders the proof of a repository.
type CheckSpec struct {
	Repository RepositoryID `json:"repository_id"`
	// User is the folder in rest-server's data folder, for a storage agent; "" asks
	// an endpoint, which reaches the repository by its URL.
	User string `json:"user,omitempty"`
	// ReadMiB is how much of the stored data is read; 0 is none, unless ReadAll.
	ReadMiB int64 `json:"read_mib,omitempty"`
	ReadAll bool  `json:"read_all,omitempty"`
	// RetryLockSeconds is how long it waits for a lock; 0 is not at all.
	RetryLockSeconds int `json:"retry_lock_seconds"`
	// MostSeconds is how long it may take once it holds its lock, which keeps backups
	// waiting.
	MostSeconds int `json:"most_seconds"`
}

// StatsSpec orders a count of what a repository stores.
type StatsSpec struct {
	Repository RepositoryID `json:"repository_id"`
	User       string       `json:"user,omitempty"` // as in CheckSpec
	// Groups are counted one by one as well.
	Groups []GroupID `json:"source_group_ids,omitempty"`
}

// ProvisionSpec orders one rest-server user to exist, or to be gone.
type ProvisionSpec struct {
	Repository RepositoryID `json:"repository_id"`
	User       string       `json:"user"`
	// PasswordHash is bcrypt; the password itself never reaches the storage agent.
	PasswordHash string `json:"password_hash,omitempty"`
	// Remove takes the user away; the repository's files stay.
	Remove bool `json:"remove,omitempty"`
}

// InitSpec orders an empty repository in the folder of one rest-server user.
type InitSpec struct {
	Repository RepositoryID `json:"repository_id"`
	User       string       `json:"user"`
}

// Kind implements Spec.
func (*BackupSpec) Kind() Kind { return Backup }

// Kind implements Spec.
func (*PreviewSpec) Kind() Kind { return PreviewSources }

// Kind implements Spec.
func (*SnapshotsSpec) Kind() Kind { return Snapshots }

// Kind implements Spec.
func (*UnlockSpec) Kind() Kind { return Unlock }

// Kind implements Spec.
func (*CheckSpec) Kind() Kind { return Check }

// Kind implements Spec.
func (*StatsSpec) Kind() Kind { return Stats }

// Kind implements Spec.
func (*ProvisionSpec) Kind() Kind { return Provision }

// Kind implements Spec.
func (*InitSpec) Kind() Kind { return Init }

// Subject implements Spec.
func (s *BackupSpec) Subject() (RepositoryID, GroupID) { return s.Repository, s.Group }

// Subject implements Spec.
func (s *PreviewSpec) Subject() (RepositoryID, GroupID) { return "", "" }

// Subject implements Spec.
func (s *SnapshotsSpec) Subject() (RepositoryID, GroupID) { return s.Repository, "" }

// Subject implements Spec.
func (s *UnlockSpec) Subject() (RepositoryID, GroupID) { return s.Repository, "" }

// Subject implements Spec.
func (s *CheckSpec) Subject() (RepositoryID, GroupID) { return s.Repository, "" }

// Subject implements Spec.
func (s *StatsSpec) Subject() (RepositoryID, GroupID) { return s.Repository, "" }

// Subject implements Spec.
func (s *ProvisionSpec) Subject() (RepositoryID, GroupID) { return s.Repository, "" }

// Subject implements Spec.
func (s *InitSpec) Subject() (RepositoryID, GroupID) { return s.Repository, "" }

// Validate implements Spec.
func (s *BackupSpec) Validate() error {
	switch {
	case !ValidID(string(s.Group)):
		return fieldError("group_id", "is not an id")
	case s.ResticHost == "":
		return fieldError("restic_host", "is empty")
	case s.RetryLockSeconds < 0:
		return fieldError("retry_lock_seconds", "is negative")
	case s.LimitUploadKiB < 0 || s.LimitDownloadKiB < 0:
		return fieldError("limit_upload_kib", "is negative")
	case s.RetryMax < 1:
		return fieldError("retry_max", "is below 1")
	case s.RetryBackoffSeconds < 1:
		return fieldError("retry_backoff_seconds", "is below 1")
	case s.ShrinkPercent < 0 || s.ShrinkPercent > 99:
		return fieldError("shrink_percent", "is not between 0 and 99")
	}
	if err := validSources(s.Includes, s.Excludes); err != nil {
		return err
	}
	for _, tag := range s.Tags {
		if !ValidTag(tag) {
			return fieldError("tags", "holds a tag that is empty, has a comma or begins with rm-")
		}
	}
	for _, hook := range []*Hook{s.PreHook, s.PostHook} {
		if hook == nil {
			continue
		}
		if err := hook.Validate(); err != nil {
			return err
		}
	}
	return validRepository(s.Repository)
}

// ValidTag tells whether a snapshot may carry tag beside the group's own: restic
// splits a tag at a comma, and what begins with rm- is this program's.
func ValidTag(tag string) bool {
	return tag != "" && len(tag) <= 100 && !strings.HasPrefix(tag, "rm-") && !strings.ContainsFunc(tag, func(r rune) bool {
		return r == ',' || unicode.IsControl(r) || unicode.IsSpace(r)
	})
}

// Validate implements Spec.
func (s *PreviewSpec) Validate() error { return validSources(s.Includes, s.Excludes) }

func validSources(includes, excludes []string) error {
	if len(includes) == 0 {
		return fieldError("includes", "is empty")
	}
	for _, path := range includes {
		if path == "" || strings.ContainsRune(path, 0) {
			return fieldError("includes", "holds an empty path or a NUL byte")
		}
	}
	for _, pattern := range excludes {
		if pattern == "" || strings.ContainsRune(pattern, 0) {
			return fieldError("excludes", "holds an empty pattern or a NUL byte")
		}
	}
	return nil
}

// Validate implements Spec.
func (s *SnapshotsSpec) Validate() error { return validRepository(s.Repository) }

// Validate implements Spec.
func (s *UnlockSpec) Validate() error {
	if !lockIDPattern.MatchString(s.LockID) {
		return fieldError("lock_id", "is not 64 hexadecimal digits")
	}
	return validRepository(s.Repository)
}

// MaxCheckSeconds bounds the time of a check: a week.
const MaxCheckSeconds = 7 * 24 * 60 * 60

// Validate implements Spec.
func (s *CheckSpec) Validate() error {
	switch {
	case s.ReadMiB < 0 || s.ReadMiB > 0 && s.ReadAll:
		return fieldError("read_mib", "is negative, or goes with read_all")
	case s.RetryLockSeconds < 0:
		return fieldError("retry_lock_seconds", "is negative")
	case s.MostSeconds < 1 || s.MostSeconds > MaxCheckSeconds:
		return fieldError("most_seconds", fmt.Sprintf("is not 1 to %d", MaxCheckSeconds))
	}
	return validPlace(s.Repository, s.User)
}

// MaxStatsGroups bounds how many groups one count goes through.
const MaxStatsGroups = 100

// Validate implements Spec.
func (s *StatsSpec) Validate() error {
	if len(s.Groups) > MaxStatsGroups {
		return fieldError("source_group_ids", fmt.Sprintf("are more than %d", MaxStatsGroups))
	}
	for _, group := range s.Groups {
		if !ValidID(string(group)) {
			return fieldError("source_group_ids", "holds what is no id")
		}
	}
	return validPlace(s.Repository, s.User)
}

// validPlace is of a repository and of the folder that it has on a storage box, or "".
func validPlace(id RepositoryID, user string) error {
	if user != "" {
		if err := validUser(user); err != nil {
			return err
		}
	}
	return validRepository(id)
}

// Validate implements Spec.
func (s *ProvisionSpec) Validate() error {
	if err := validUser(s.User); err != nil {
		return err
	}
	if !s.Remove && !bcryptPattern.MatchString(s.PasswordHash) {
		return fieldError("password_hash", "is not a bcrypt hash")
	}
	return validRepository(s.Repository)
}

// Validate implements Spec.
func (s *InitSpec) Validate() error {
	if err := validUser(s.User); err != nil {
		return err
	}
	return validRepository(s.Repository)
}

var (
	lockIDPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	bcryptPattern = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)
	// rest-server allows letters, digits and @ . _ -; ours begin with a letter
	// or digit, so that no name is a path of its own.
	userPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

func validUser(user string) error {
	if !userPattern.MatchString(user) {
		return fieldError("user", "may hold only letters, digits and . _ -")
	}
	return nil
}

func validRepository(id RepositoryID) error {
	if !ValidID(string(id)) {
		return fieldError("repository_id", "is not an id")
	}
	return nil
}

func fieldError(field, problem string) error { return fmt.Errorf("%s %s", field, problem) }

// DecodeSpec reads the spec of kind and validates it. Kinds without a
// registration are refused.
func DecodeSpec(kind Kind, raw []byte) (Spec, error) {
	info, ok := InfoOf(kind)
	if !ok {
		return nil, fmt.Errorf("decode job spec: kind %q is not known", kind)
	}
	spec := info.newSpec()
	if err := json.Unmarshal(raw, spec); err != nil {
		return nil, fmt.Errorf("decode %s spec: %w", kind, err)
	}
	if err := spec.Validate(); err != nil {
		return nil, fmt.Errorf("decode %s spec: %w", kind, err)
	}
	return spec, nil
}
