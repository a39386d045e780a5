package ui

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// PreviewPart is what a source group would save, as far as its host has told.
type PreviewPart struct {
	Host job.HostID
	Name string // of the host
	// Job counts, or has counted; "" when nobody has asked.
	Job   job.ID
	State job.State
	// Problem says why there is nothing to show; "" is none.
	Problem string
	Result  *job.Preview
	Spec    job.PreviewSpec
	AskedAt time.Time
	EndedAt time.Time
}

// Waiting tells that the host still counts.
func (p PreviewPart) Waiting() bool { return p.Job != "" && !p.State.Ended() }

// RuleRow is what one rule takes out.
type RuleRow struct {
	job.PreviewRule
	Words string // for a rule that is no pattern; "" for a pattern
}

// Taking are the rules that take something out, the largest first.
func (p PreviewPart) Taking() []RuleRow {
	rows := p.rules(func(rule job.PreviewRule) bool { return rule.Files > 0 || rule.Bytes > 0 || len(rule.Samples) > 0 })
	slices.SortStableFunc(rows, func(a, b RuleRow) int {
		switch {
		case a.Bytes != b.Bytes && a.Bytes > b.Bytes, a.Bytes == b.Bytes && a.Files > b.Files:
			return -1
		case a.Bytes == b.Bytes && a.Files == b.Files:
			return 0
		}
		return 1
	})
	return rows
}

// Idle are the rules that take out nothing.
func (p PreviewPart) Idle() []RuleRow {
	return p.rules(func(rule job.PreviewRule) bool { return rule.Files == 0 && rule.Bytes == 0 && len(rule.Samples) == 0 })
}

func (p PreviewPart) rules(wanted func(job.PreviewRule) bool) []RuleRow {
	if p.Result == nil {
		return nil
	}
	var rows []RuleRow
	for i, rule := range p.Result.Rules {
		if !wanted(rule) {
			continue
		}
		row := RuleRow{PreviewRule: rule}
		switch further := i - len(p.Spec.Excludes); {
		case further == 0 && p.Spec.ExcludeCaches:
			row.Words = "Caches that carry a CACHEDIR.TAG"
		case further >= 0:
			row.Words = "Mounts of other file systems"
		}
		rows = append(rows, row)
	}
	return rows
}

// OutFiles and OutBytes are what all rules take out together.
func (p PreviewPart) OutFiles() (files int64) {
	for _, rule := range p.Result.Rules {
		files += rule.Files
	}
	return files
}

// OutBytes is what all rules take out together.
func (p PreviewPart) OutBytes() (bytes int64) {
	for _, rule := range p.Result.Rules {
		bytes += rule.Bytes
	}
	return bytes
}

// Took is how long the host has counted.
func (p PreviewPart) Took() string {
	return durationText(time.Duration(p.Result.Seconds * float64(time.Second)))
}

// previewOf is the state of a look that was asked for.
func previewOf(one fleet.Job, host fleet.Host) PreviewPart {
	part := PreviewPart{Host: host.ID, Name: host.Name, Job: one.ID, State: one.State, AskedAt: one.CreatedAt, EndedAt: one.FinishedAt}
	if json.Unmarshal(one.Spec, &part.Spec) != nil {
		part.Spec = job.PreviewSpec{} // then all rules are shown as patterns
	}
	if one.Summary != nil {
		part.Result = one.Summary.Preview
	}
	if one.State.Ended() && part.Result == nil {
		part.Problem = one.Error
		if one.Summary != nil && one.Summary.Advice != "" {
			part.Problem += " " + one.Summary.Advice
		}
		if part.Problem == "" {
			part.Problem = "It ended without a result. Ask again."
		}
	}
	return part
}

// doPreview asks a host what a form that is not saved would save.
func (u *UI) doPreview(w http.ResponseWriter, r *http.Request) error {
	host, err := u.Store.Host(r.Context(), job.HostID(r.PathValue("id")))
	if err != nil {
		return err
	}
	part := u.askPreview(r, host)
	if !isPart(r) && part.Job != "" {
		return done(w, r, "/jobs/"+string(part.Job), "")
	}
	return u.answer(w, http.StatusOK, "source_form", "preview", part)
}

// askPreview asks for a look. What keeps it from being asked is told in the
// part, beside the form that is still being filled in.
func (u *UI) askPreview(r *http.Request, host fleet.Host) PreviewPart {
	part := PreviewPart{Host: host.ID, Name: host.Name}
	form := readSourceForm(r, fleet.SourceGroup{}, host)
	made, err := u.Control.CreateJob(r.Context(), visitorOf(r).who, control.NewJob{Host: host.ID, Kind: job.PreviewSources, Preview: &job.PreviewSpec{
		Includes: textLines(form.Includes), Excludes: textLines(form.Excludes), OneFileSystem: form.OneFileSystem, ExcludeCaches: form.ExcludeCaches}})
	if err == nil {
		return previewOf(made, host)
	}
	answer := u.Control.Explain(r.Context(), err)
	part.Problem = answer.Sentence
	if len(answer.Fields) > 0 {
		part.Problem = answer.Fields[0].Sentence
	}
	return part
}

// preview tells how far a look has come.
func (u *UI) preview(w http.ResponseWriter, r *http.Request) error {
	one, err := u.Store.Job(r.Context(), job.ID(r.PathValue("job")))
	if err != nil {
		return err
	}
	if one.Kind != job.PreviewSources || string(one.Host) != r.PathValue("id") {
		return fleet.NotFound("preview", string(one.ID))
	}
	if !isPart(r) {
		return done(w, r, "/jobs/"+string(one.ID), "")
	}
	host, err := u.Store.Host(r.Context(), one.Host)
	if err != nil {
		return err
	}
	return u.answer(w, http.StatusOK, "source_form", "preview", previewOf(one, host))
}

// plainText shows a name of any kind as it is, but for what would act on the
// page or the eye instead of being seen: that comes escaped.
func plainText(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if strings.IndexFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0 {
		return name
	}
	var text strings.Builder
	for _, r := range name {
		if unicode.IsGraphic(r) {
			text.WriteRune(r)
			continue
		}
		escaped := strconv.QuoteRune(r)
		text.WriteString(escaped[1 : len(escaped)-1])
	}
	return text.String()
}
