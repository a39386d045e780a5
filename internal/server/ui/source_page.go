package ui

import (
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// SourcesPage lists the source groups of one host.
type SourcesPage struct {
	Frame Frame
	Head  HostHead
	Cards []GroupCard
	Live  string
}

// SourceFormPage makes or changes one source group.
type SourceFormPage struct {
	Frame        Frame
	Head         HostHead
	Group        job.GroupID // "" for a new one
	Form         SourceForm
	Repositories []fleet.Repository
	Errors       FieldErrors
}

// SourceForm is what was typed. Numbers stay text, so that a wrong one comes
// back as it was.
type SourceForm struct {
	Name             string
	Repository       string
	Includes         string // one per line
	Excludes         string // one per line
	OneFileSystem    bool
	ExcludeCaches    bool
	LimitUploadKiB   string
	RetryLockMinutes string
	KeepLast         string
	KeepHourly       string
	KeepDaily        string
	KeepWeekly       string
	KeepMonthly      string
	KeepYearly       string
	KeepWithinDays   string
}

// wildcardRule is told where a path looks as if it were a pattern.
const wildcardRule = "Wildcards are not expanded here: a path is taken as it is written. Name the folder itself."

// hasWildcard tells whether a path looks like a pattern. A file may be named so.
func hasWildcard(path string) bool { return strings.ContainsAny(path, "*?[") }

// WildcardNote is told when a path looks like a pattern; "" when none does.
func (f SourceForm) WildcardNote() string {
	for _, path := range textLines(f.Includes) {
		if hasWildcard(path) {
			return path + " looks like a pattern. " + wildcardRule
		}
	}
	return ""
}

// newSourceForm is the form of a group to be.
func newSourceForm(repository job.RepositoryID) SourceForm {
	return sourceFormOf(fleet.SourceGroup{Repository: repository, Retention: fleet.DefaultRetention,
		Options: fleet.GroupOptions{ExcludeCaches: true, RetryLockMinutes: fleet.DefaultRetryLockMinutes}})
}

// sourceFormOf is the form of a group as it stands.
func sourceFormOf(group fleet.SourceGroup) SourceForm {
	return SourceForm{
		Name: group.Name, Repository: string(group.Repository),
		Includes: strings.Join(group.Includes, "\n"), Excludes: strings.Join(group.Excludes, "\n"),
		OneFileSystem: group.Options.OneFileSystem, ExcludeCaches: group.Options.ExcludeCaches,
		LimitUploadKiB: strconv.Itoa(group.Options.LimitUploadKiB), RetryLockMinutes: strconv.Itoa(group.Options.RetryLockMinutes),
		KeepLast: strconv.Itoa(group.Retention.KeepLast), KeepHourly: strconv.Itoa(group.Retention.KeepHourly),
		KeepDaily: strconv.Itoa(group.Retention.KeepDaily), KeepWeekly: strconv.Itoa(group.Retention.KeepWeekly),
		KeepMonthly: strconv.Itoa(group.Retention.KeepMonthly), KeepYearly: strconv.Itoa(group.Retention.KeepYearly),
		KeepWithinDays: strconv.Itoa(group.Retention.KeepWithinDays),
	}
}
