package fleet

import (
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// SourceGroup is what to back up on one host.
type SourceGroup struct {
	ID         job.GroupID
	Host       job.HostID
	Name       string // unique on its host
	Repository job.RepositoryID
	Includes   []string
	Excludes   []string
	Options    GroupOptions
	Retention  Retention
	CreatedAt  time.Time
	UpdatedAt  time.Time

	// What its last backup left, for lists; LastJobID "" means never run.
	LastJobID    job.ID
	LastState    job.State
	LastEndedAt  time.Time
	LastBackupAt time.Time
	LastError    string
}

// GroupOptions are how a group is backed up.
type GroupOptions struct {
	OneFileSystem bool `json:"one_file_system"`
	ExcludeCaches bool `json:"exclude_caches"`
	// UseVSS reads from a volume shadow copy, on Windows only.
	UseVSS bool `json:"use_vss"`
	// LimitUploadKiB and LimitDownloadKiB are in KiB per second; 0 is no limit.
	LimitUploadKiB   int `json:"limit_upload_kib"`
	LimitDownloadKiB int `json:"limit_download_kib"`
	// RetryLockMinutes is how long a backup waits for a lock; a check holds one
	// for 20 minutes by default, so the default here is longer.
	RetryLockMinutes int `json:"retry_lock_minutes"`
	// Tags are put on each snapshot beside the group's own.
	Tags []string `json:"tags"`
	// RetryMax is how many attempts a run has; the first one counts, and so does a
	// dispatch that its agent refused or did not answer.
	RetryMax int `json:"retry_max"`
	// RetryBackoffSeconds is the wait before the second attempt; it doubles up to
	// schedule.MaxBackoff.
	RetryBackoffSeconds int `json:"retry_backoff_seconds"`
	// PreHook and PostHook run on the host beside each backup, if its own policy
	// lets them; nil is none.
	PreHook  *job.Hook `json:"pre_hook"`
	PostHook *job.Hook `json:"post_hook"`
	// ShrinkPercent warns of a backup that is smaller than the last good one by
	// more than this share; 0 never does.
	ShrinkPercent int `json:"shrink_percent"`
}

// Defaults of a group's options.
const (
	// DefaultRetryLockMinutes is longer than the time budget of a check.
	DefaultRetryLockMinutes    = 30
	DefaultRetryMax            = 10
	DefaultRetryBackoffSeconds = 60
	DefaultShrinkPercent       = 50
)

// DefaultGroupOptions are those of a new group.
func DefaultGroupOptions() GroupOptions {
	return GroupOptions{ExcludeCaches: true, RetryLockMinutes: DefaultRetryLockMinutes, Tags: []string{},
		RetryMax: DefaultRetryMax, RetryBackoffSeconds: DefaultRetryBackoffSeconds, ShrinkPercent: DefaultShrinkPercent}
}

// Retention says which snapshots a forget would keep. It is stored and checked;
// nothing is forgotten until maintenance exists.
type Retention struct {
	KeepLast    int `json:"keep_last"`
	KeepHourly  int `json:"keep_hourly"`
	KeepDaily   int `json:"keep_daily"`
	KeepWeekly  int `json:"keep_weekly"`
	KeepMonthly int `json:"keep_monthly"`
	KeepYearly  int `json:"keep_yearly"`
	// KeepWithinDays keeps everything younger.
	KeepWithinDays int `json:"keep_within_days"`
}

// DefaultRetention keeps every snapshot of two days, so that hourly backups
// survive the day, and thins out over two years.
var DefaultRetention = Retention{KeepLast: 10, KeepHourly: 48, KeepDaily: 30, KeepWeekly: 12, KeepMonthly: 24, KeepWithinDays: 2}

// Check adds what is wrong with the group's own fields.
func (g *SourceGroup) Check(invalid *Invalid) {
	CheckName(invalid, "name", g.Name)
	g.CheckSources(invalid)
	g.Options.check(invalid)
	g.Retention.check(invalid)
}

// CheckSources adds what is wrong with the paths and exclusions.
func (g *SourceGroup) CheckSources(invalid *Invalid) {
	if len(g.Includes) == 0 {
		invalid.Add("includes", "Name at least one folder or file to back up.")
	}
	for _, path := range g.Includes {
		switch {
		case path == "" || strings.ContainsRune(path, 0):
			invalid.Add("includes", "A path is empty or holds a NUL byte.")
		case len(path) > 4096:
			invalid.Add("includes", "A path is longer than 4096 bytes.")
		case !absolute(path):
			invalid.Add("includes", "%q is not a whole path; begin it with / or, on Windows, with a drive such as C:\\.", path)
		}
	}
	for _, pattern := range g.Excludes {
		if pattern == "" || strings.ContainsRune(pattern, 0) || len(pattern) > 4096 {
			invalid.Add("excludes", "A pattern is empty, longer than 4096 bytes or holds a NUL byte.")
		}
	}
	if len(g.Includes) > 1000 || len(g.Excludes) > 1000 {
		invalid.Add("includes", "A group has at most 1000 paths and 1000 exclusions.")
	}
}

func (o *GroupOptions) check(invalid *Invalid) {
	if o.LimitUploadKiB < 0 {
		invalid.Add("limit_upload_kib", "A limit is 0 (none) or more.")
	}
	if o.LimitDownloadKiB < 0 {
		invalid.Add("limit_download_kib", "A limit is 0 (none) or more.")
	}
	if o.RetryLockMinutes < 0 || o.RetryLockMinutes > 24*60 {
		invalid.Add("retry_lock_minutes", "Waiting for a lock takes 0 to 1440 minutes.")
	}
	if len(o.Tags) > 20 {
		invalid.Add("tags", "A group has at most 20 tags.")
	}
	for _, tag := range o.Tags {
		if !job.ValidTag(tag) {
			invalid.Add("tags", "%q can't be a tag: 1 to 100 bytes without spaces and commas, and rm- is taken.", tag)
		}
	}
	if o.RetryMax < 1 || o.RetryMax > job.MostAttempts {
		invalid.Add("retry_max", "A run has 1 to %d attempts.", job.MostAttempts)
	}
	if o.RetryBackoffSeconds < 1 || o.RetryBackoffSeconds > 30*60 {
		invalid.Add("retry_backoff_seconds", "The wait before the second attempt is 1 to 1800 seconds.")
	}
	if o.ShrinkPercent < 0 || o.ShrinkPercent > 99 {
		invalid.Add("shrink_percent", "The share is 0 (never warn) to 99 percent.")
	}
	for field, hook := range map[string]*job.Hook{"pre_hook": o.PreHook, "post_hook": o.PostHook} {
		if hook == nil {
			continue
		}
		if err := hook.Validate(); err != nil {
			invalid.Add(field, "This hook can't be: %s.", err)
		}
	}
}

func (r Retention) check(invalid *Invalid) {
	sum := 0
	for _, rule := range []int{r.KeepLast, r.KeepHourly, r.KeepDaily, r.KeepWeekly, r.KeepMonthly, r.KeepYearly, r.KeepWithinDays} {
		if rule < 0 || rule > 100000 {
			invalid.Add("retention", "Each number is between 0 and 100000.")
			return
		}
		sum += rule
	}
	if sum == 0 {
		invalid.Add("retention", "Keep at least something: a rule without any number would forget every snapshot.")
	}
}

// absolute accepts whole paths of every system, since a server sets up groups
// for machines of other systems than its own.
func absolute(path string) bool {
	if strings.HasPrefix(path, "/") || strings.HasPrefix(path, `\\`) {
		return true
	}
	return len(path) >= 3 && path[1] == ':' && (path[2] == '\\' || path[2] == '/') &&
		(path[0]|0x20 >= 'a' && path[0]|0x20 <= 'z')
}
