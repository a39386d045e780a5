package ui

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// SourceForm is what was typed. Numbers stay text, so that a wrong one comes
// back as it was.
type SourceForm struct {
	Name                string
	Repository          string
	Includes            string   // one per line
	Excludes            string   // one per line
	Presets             []string // the ids of those that are ticked
	OneFileSystem       bool
	ExcludeCaches       bool
	UseVSS              bool
	Tags                string // separated by spaces
	LimitUploadKiB      string
	LimitDownloadKiB    string
	RetryMax            string
	RetryBackoffSeconds string
	RetryLockMinutes    string
	ShrinkPercent       string
	PreHook             HookForm
	PostHook            HookForm
	KeepLast            string
	KeepHourly          string
	KeepDaily           string
	KeepWeekly          string
	KeepMonthly         string
	KeepYearly          string
	KeepWithinDays      string
}

// HookForm is one hook as it was typed.
type HookForm struct {
	Choice         string // "" is none, commandHook, or namedHook and a name
	Command        string // one argument per line
	TimeoutSeconds string
}

// Choices of a hook.
const (
	commandHook = "command"
	namedHook   = "name:"
)

// newHookSeconds is the time that the form offers for a hook.
const newHookSeconds = 300

// newSourceForm is the form of a group to be.
func newSourceForm(repository job.RepositoryID) SourceForm {
	return sourceFormOf(fleet.SourceGroup{Repository: repository, Retention: fleet.DefaultRetention, Options: fleet.DefaultGroupOptions()})
}

// sourceFormOf is the form of a group as it stands.
func sourceFormOf(group fleet.SourceGroup) SourceForm {
	o, r := group.Options, group.Retention
	return SourceForm{
		Name: group.Name, Repository: string(group.Repository),
		Includes: strings.Join(group.Includes, "\n"), Excludes: strings.Join(group.Excludes, "\n"),
		OneFileSystem: o.OneFileSystem, ExcludeCaches: o.ExcludeCaches, UseVSS: o.UseVSS, Tags: strings.Join(o.Tags, " "),
		LimitUploadKiB: strconv.Itoa(o.LimitUploadKiB), LimitDownloadKiB: strconv.Itoa(o.LimitDownloadKiB),
		RetryMax: strconv.Itoa(o.RetryMax), RetryBackoffSeconds: strconv.Itoa(o.RetryBackoffSeconds), RetryLockMinutes: strconv.Itoa(o.RetryLockMinutes),
		ShrinkPercent: strconv.Itoa(o.ShrinkPercent), PreHook: hookFormOf(o.PreHook), PostHook: hookFormOf(o.PostHook),
		KeepLast: strconv.Itoa(r.KeepLast), KeepHourly: strconv.Itoa(r.KeepHourly), KeepDaily: strconv.Itoa(r.KeepDaily),
		KeepWeekly: strconv.Itoa(r.KeepWeekly), KeepMonthly: strconv.Itoa(r.KeepMonthly), KeepYearly: strconv.Itoa(r.KeepYearly),
		KeepWithinDays: strconv.Itoa(r.KeepWithinDays),
	}
}

func hookFormOf(hook *job.Hook) HookForm {
	form := HookForm{TimeoutSeconds: strconv.Itoa(newHookSeconds)}
	if hook == nil {
		return form
	}
	form.Choice, form.Command, form.TimeoutSeconds = commandHook, strings.Join(hook.Command, "\n"), strconv.Itoa(hook.TimeoutSeconds)
	if hook.Name != "" {
		form.Choice = namedHook + hook.Name
	}
	return form
}

// readSourceForm takes what was sent. What a page did not show, since the host
// has no use for it, stays as it is in known.
func readSourceForm(r *http.Request, known fleet.SourceGroup, host fleet.Host) SourceForm {
	value := r.PostFormValue
	form := SourceForm{
		Name: strings.TrimSpace(value("name")), Repository: value("repository_id"), Includes: value("includes"), Excludes: value("excludes"),
		Presets: r.PostForm["preset"], OneFileSystem: value("one_file_system") != "", ExcludeCaches: value("exclude_caches") != "",
		UseVSS: known.Options.UseVSS, Tags: value("tags"),
		LimitUploadKiB: value("limit_upload_kib"), LimitDownloadKiB: value("limit_download_kib"), RetryMax: value("retry_max"),
		RetryBackoffSeconds: value("retry_backoff_seconds"), RetryLockMinutes: value("retry_lock_minutes"), ShrinkPercent: value("shrink_percent"),
		PreHook: readHook(r, "pre_hook", known.Options.PreHook), PostHook: readHook(r, "post_hook", known.Options.PostHook),
		KeepLast: value("keep_last"), KeepHourly: value("keep_hourly"), KeepDaily: value("keep_daily"), KeepWeekly: value("keep_weekly"),
		KeepMonthly: value("keep_monthly"), KeepYearly: value("keep_yearly"), KeepWithinDays: value("keep_within_days"),
	}
	if hasVSS(host) {
		form.UseVSS = value("use_vss") != ""
	}
	excludes := textLines(form.Excludes)
	for _, preset := range fleet.PresetsFor(host.OS) {
		if slices.Contains(form.Presets, preset.ID) {
			excludes = withPatterns(excludes, preset.Patterns)
		}
	}
	form.Excludes = strings.Join(excludes, "\n")
	return form
}

func readHook(r *http.Request, name string, known *job.Hook) HookForm {
	if !r.PostForm.Has(name) {
		return hookFormOf(known)
	}
	return HookForm{Choice: r.PostFormValue(name), Command: r.PostFormValue(name + "_command"), TimeoutSeconds: r.PostFormValue(name + "_timeout")}
}

// withPatterns adds those patterns to excludes that are not there yet.
func withPatterns(excludes, patterns []string) []string {
	for _, pattern := range patterns {
		if !slices.Contains(excludes, pattern) {
			excludes = append(excludes, pattern)
		}
	}
	return excludes
}

// fill writes the form into group and tells all that is wrong with it.
func (f SourceForm) fill(group *fleet.SourceGroup) error {
	group.Name, group.Repository = f.Name, job.RepositoryID(f.Repository)
	group.Includes, group.Excludes = textLines(f.Includes), textLines(f.Excludes)
	o, r := &group.Options, &group.Retention
	o.OneFileSystem, o.ExcludeCaches, o.UseVSS, o.Tags = f.OneFileSystem, f.ExcludeCaches, f.UseVSS, words(f.Tags)
	var invalid fleet.Invalid
	for _, number := range []struct {
		field, text string
		into        *int
	}{
		{"limit_upload_kib", f.LimitUploadKiB, &o.LimitUploadKiB}, {"limit_download_kib", f.LimitDownloadKiB, &o.LimitDownloadKiB},
		{"retry_max", f.RetryMax, &o.RetryMax}, {"retry_backoff_seconds", f.RetryBackoffSeconds, &o.RetryBackoffSeconds},
		{"retry_lock_minutes", f.RetryLockMinutes, &o.RetryLockMinutes}, {"shrink_percent", f.ShrinkPercent, &o.ShrinkPercent},
		{"keep_last", f.KeepLast, &r.KeepLast}, {"keep_hourly", f.KeepHourly, &r.KeepHourly}, {"keep_daily", f.KeepDaily, &r.KeepDaily},
		{"keep_weekly", f.KeepWeekly, &r.KeepWeekly}, {"keep_monthly", f.KeepMonthly, &r.KeepMonthly},
		{"keep_yearly", f.KeepYearly, &r.KeepYearly}, {"keep_within_days", f.KeepWithinDays, &r.KeepWithinDays},
	} {
		fillNumber(&invalid, number.field, number.text, number.into)
	}
	o.PreHook, o.PostHook = f.PreHook.fill(&invalid, "pre_hook"), f.PostHook.fill(&invalid, "post_hook")
	if invalid.Err() == nil {
		group.Check(&invalid)
	}
	return invalid.Err()
}

// fill gives the hook that was chosen; nil is none.
func (f HookForm) fill(invalid *fleet.Invalid, field string) *job.Hook {
	if f.Choice == "" {
		return nil
	}
	hook := &job.Hook{}
	if name, named := strings.CutPrefix(f.Choice, namedHook); named {
		hook.Name = name
	} else if hook.Command = textLines(f.Command); len(hook.Command) == 0 {
		invalid.Add(field+"_command", "Say what to run: the program in the first line, one argument in each further one.")
	}
	fillNumber(invalid, field+"_timeout", f.TimeoutSeconds, &hook.TimeoutSeconds)
	return hook
}

// fillNumber writes a number that was typed; nothing is 0.
func fillNumber(invalid *fleet.Invalid, field, text string, into *int) {
	text = strings.TrimSpace(text)
	if text == "" {
		text = "0"
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		invalid.Add(field, "%q is not a number.", text)
		return
	}
	*into = value
}

// textLines are the lines of a text area without empty ones. Spaces belong to
// the names of files and stay.
func textLines(text string) []string {
	var list []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		if strings.TrimSpace(line) != "" {
			list = append(list, line)
		}
	}
	return list
}
