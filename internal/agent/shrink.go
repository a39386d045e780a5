package agent

import (
	"fmt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// sizeMemory is how large the backups of a group are. Sizes are in bytes, as
// restic counts what it went through.
type sizeMemory struct {
	// Usual is what a backup is measured by: the last one that was not too small.
	// 0 is not known.
	Usual int64 `json:"usual,omitempty"`
	// Less is the first of the Times backups in a row that were too small, and
	// alike.
	Less  int64 `json:"less,omitempty"`
	Times int   `json:"times,omitempty"`
}

// shrunkTimes is how many backups in a row must be too small, and alike, until
// their size is the usual one: a loss is pointed out more than once, and a group
// that is meant to be smaller needs nobody to say so.
const shrunkTimes = 3

// next measures a backup by those before it. The words are what to say of one
// that is smaller by more than percent of the usual; "" is nothing.
func (m sizeMemory) next(bytes int64, percent int) (next sizeMemory, words string) {
	tooSmall := func(size, measure int64) bool { return float64(size) < float64(measure)*float64(100-percent)/100 }
	if percent == 0 || !tooSmall(bytes, m.Usual) {
		return sizeMemory{Usual: bytes}, ""
	}
	next = sizeMemory{Usual: m.Usual, Less: bytes, Times: 1}
	if m.Times > 0 && !tooSmall(bytes, m.Less) && !tooSmall(m.Less, bytes) {
		next.Less, next.Times = m.Less, m.Times+1
	}
	words = fmt.Sprintf("%s, which is %d %% less than the usual %s", inBytes(bytes), int(100-float64(bytes)*100/float64(m.Usual)), inBytes(m.Usual))
	if next.Times < shrunkTimes {
		return next, words
	}
	return sizeMemory{Usual: bytes}, words + fmt.Sprintf("; it is the %drd in a row, and from now on this size is the usual one", shrunkTimes)
}

// shrank is the finding about a backup that is too small.
var shrank = findingKind{job.BackupShrank, func(_ int, words string) string { return "The backup is smaller than usual: " + words + "." },
	fmt.Sprintf("Check that nothing is missing from the sources. If it is meant to be smaller, nothing is to be done: after %d alike in a row the new size is the usual one.", shrunkTimes)}

// measure compares a backup that has a snapshot with those before it.
func (a *Agent) measure(spec *job.BackupSpec, bytes int64) (next sizeMemory, findings []job.Finding) {
	memory, err := a.state.memory(spec.Group)
	if err != nil {
		a.log.Warn("how large a group's backups are is not known", "group", spec.Group, "error", err)
	}
	next, words := memory.Size.next(bytes, spec.ShrinkPercent)
	if words != "" {
		findings = []job.Finding{{Kind: job.BackupShrank, Detail: words}}
	}
	return next, findings
}

// inBytes prints a size as a person would say it.
func inBytes(count int64) string {
	value, unit := float64(count), "bytes"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, larger
	}
	if unit == "bytes" {
		return fmt.Sprintf("%d bytes", count)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// blame adds to the end of a job one thing that was wrong though it may have
// done its work.
func blame(ended *api.Ended, finding job.Finding, sentence, advice string) {
	if ended.State == job.Succeeded {
		ended.State = job.Warning
	}
	summary := job.Summary{}
	if ended.Summary != nil {
		summary = *ended.Summary
	}
	summary.Findings = append(summary.Findings[:len(summary.Findings):len(summary.Findings)], finding)
	summary.Advice = joined(summary.Advice, advice)
	ended.Summary, ended.Error = &summary, joined(ended.Error, sentence)
}

func joined(one, other string) string {
	if one == "" {
		return other
	}
	return one + " " + other
}
