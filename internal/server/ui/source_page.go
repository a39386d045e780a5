package ui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
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
	// Gap is the smallest time between two runs of the group; 0 when no schedule
	// runs it.
	Gap     time.Duration
	Preview PreviewPart
	Errors  FieldErrors
}

// Wrong tells whether anything is wrong with one of some fields, which then must
// not be hidden.
func (p SourceFormPage) Wrong(fields ...string) bool {
	return slices.ContainsFunc(p.Errors, func(one fleet.FieldError) bool { return slices.Contains(fields, one.Field) })
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

// hasVSS tells whether a host can read from a volume shadow copy.
func hasVSS(host fleet.Host) bool { return host.OS == "windows" }

// HasVSS tells whether the host can read from a volume shadow copy.
func (p SourceFormPage) HasVSS() bool { return hasVSS(p.Head.Host) }

// PresetBox is one preset of exclusions, and whether all of it is there.
type PresetBox struct {
	fleet.Preset
	On bool
}

// Presets are those that mean something on the host.
func (p SourceFormPage) Presets() []PresetBox {
	var boxes []PresetBox
	excludes := textLines(p.Form.Excludes)
	for _, preset := range fleet.PresetsFor(p.Head.Host.OS) {
		missing := slices.ContainsFunc(preset.Patterns, func(pattern string) bool { return !slices.Contains(excludes, pattern) })
		boxes = append(boxes, PresetBox{preset, !missing})
	}
	return boxes
}

// KeepNotes points out what of the rule that stands in the form no schedule can
// fill.
func (p SourceFormPage) KeepNotes() []string {
	var group fleet.SourceGroup
	if fields, _ := fieldErrors(p.Form.fill(&group)); slices.ContainsFunc(fields, func(one fleet.FieldError) bool {
		return one.Field == "retention" || strings.HasPrefix(one.Field, "keep_")
	}) {
		return nil
	}
	return group.Retention.Notes(p.Gap)
}

// RetryNote says what the numbers of the retry come to.
func (f SourceForm) RetryNote() string {
	attempts, err := strconv.Atoi(strings.TrimSpace(f.RetryMax))
	first, firstErr := strconv.Atoi(strings.TrimSpace(f.RetryBackoffSeconds))
	if err != nil || firstErr != nil || attempts < 1 || attempts > 100 || first < 1 {
		return ""
	}
	return retryWords(attempts, time.Duration(first)*time.Second)
}

// retryWords says what a number of attempts and the wait before the second come
// to: "tries 10 times over about 2 h 30 min".
func retryWords(attempts int, first time.Duration) string {
	if attempts == 1 {
		return "tries once"
	}
	var over time.Duration
	for attempt := 1; attempt < attempts; attempt++ {
		over += schedule.Backoff(first, attempt)
	}
	return fmt.Sprintf("tries %d times over about %s", attempts, aboutText(over))
}

// aboutText is a span of time without what nobody plans by.
func aboutText(span time.Duration) string {
	hours, minutes := int(span.Hours()), int(span.Minutes())%60
	switch {
	case span < 2*time.Minute:
		return plural(int64(span.Seconds()), "second", "seconds")
	case span < 2*time.Hour:
		return plural(int64(span.Round(time.Minute).Minutes()), "minute", "minutes")
	case span >= 48*time.Hour:
		return plural(int64(span.Round(24*time.Hour).Hours()/24), "day", "days")
	case minutes < 15:
		return plural(int64(hours), "hour", "hours")
	case minutes < 45:
		return fmt.Sprintf("%d½ hours", hours)
	}
	return plural(int64(hours+1), "hour", "hours")
}

// SpeedNote says how fast a backup may be.
func (f SourceForm) SpeedNote() string {
	up, down := limitText(f.LimitUploadKiB), limitText(f.LimitDownloadKiB)
	switch {
	case up == "" && down == "":
		return "no limit"
	case up == "":
		return "down " + down
	case down == "":
		return "up " + up
	}
	return "up " + up + ", down " + down
}

// limitText is a limit in KiB per second; "" is none.
func limitText(text string) string {
	limit, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil || limit < 1 {
		return ""
	}
	return bytesText(limit*1024) + "/s"
}

// GuardNote says when a backup is warned of for being small.
func (f SourceForm) GuardNote() string {
	share, err := strconv.Atoi(strings.TrimSpace(f.ShrinkPercent))
	if err != nil || share < 1 || share > 99 {
		return "does not look at the size"
	}
	return fmt.Sprintf("warns when a backup is smaller by more than %d %%", share)
}

// HooksNote says what is run beside a backup.
func (f SourceForm) HooksNote() string {
	var parts []string
	for _, hook := range []struct{ when, what string }{{"before", f.PreHook.what()}, {"after", f.PostHook.what()}} {
		if hook.what != "" {
			parts = append(parts, hook.when+": "+hook.what)
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, " · ")
}

// what is run, in a word; "" is nothing.
func (f HookForm) what() string {
	if name, named := strings.CutPrefix(f.Choice, namedHook); named {
		return name
	}
	if lines := textLines(f.Command); f.Choice != "" && len(lines) > 0 {
		return lines[0]
	}
	return ""
}

// HookField is one hook with what the host's own policy lets be chosen.
type HookField struct {
	Name    string // of the field
	Label   string
	Help    string
	Form    HookForm
	Choices []HookChoice
	// Command tells whether a command may be typed.
	Command bool
	// Stale says that the policy does not allow what is chosen; "" is none.
	Stale  string
	Errors FieldErrors
}

// HookChoice is one line to choose from.
type HookChoice struct{ Value, Label string }

// Hooks are the two hooks of the form; none when the host's policy allows none
// and none is set.
func (p SourceFormPage) Hooks() []HookField {
	pre := p.hook("pre_hook", "Before the backup", "When it fails, nothing is backed up.", p.Form.PreHook)
	post := p.hook("post_hook", "After the backup", "It runs however the backup ended.", p.Form.PostHook)
	if len(pre.Choices) == 1 && len(post.Choices) == 1 {
		return nil
	}
	return []HookField{pre, post}
}

func (p SourceFormPage) hook(name, label, help string, form HookForm) HookField {
	host := p.Head.Host
	field := HookField{Name: name, Label: label, Help: help, Form: form, Choices: []HookChoice{{"", "Nothing"}}, Errors: p.Errors}
	for _, script := range host.HookNames {
		field.Choices = append(field.Choices, HookChoice{namedHook + script, script})
	}
	if host.HooksSent {
		field.Choices = append(field.Choices, HookChoice{commandHook, "A command…"})
	}
	if !slices.ContainsFunc(field.Choices, func(one HookChoice) bool { return one.Value == form.Choice }) {
		field.Choices = append(field.Choices, HookChoice{form.Choice, form.what() + " (not allowed there)"})
		field.Stale = fmt.Sprintf("The policy file on %s does not allow this any more. Backups fail until it does, or until something else is chosen here.", host.Name)
	}
	field.Command = host.HooksSent || form.Choice == commandHook
	return field
}
