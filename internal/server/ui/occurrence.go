package ui

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// Occurrence is one moment of a schedule for one group, or a range of skipped
// ones: its run, followed by the retries of it.
type Occurrence []fleet.Job

// first and last are the two ends of the chain of retries.
func (o Occurrence) first() fleet.Job { return o[0] }
func (o Occurrence) last() fleet.Job  { return o[len(o)-1] }

// occurrences puts runs and their retries together, the newest moment first.
func occurrences(jobs []fleet.Job) []Occurrence {
	chains := map[job.ID]Occurrence{}
	for _, one := range jobs {
		root := one.Occasion().RootOf(one.ID)
		chains[root] = append(chains[root], one)
	}
	list := make([]Occurrence, 0, len(chains))
	for _, chain := range chains {
		slices.SortFunc(chain, func(a, b fleet.Job) int { return cmp.Compare(a.Retry, b.Retry) })
		list = append(list, chain)
	}
	slices.SortFunc(list, func(a, b Occurrence) int {
		if c := b.until().Compare(a.until()); c != 0 {
			return c
		}
		return cmp.Compare(b.first().ID, a.first().ID)
	})
	return list
}

// until is the moment, of a range the last one.
func (o Occurrence) until() time.Time {
	if one := o.first(); !one.ScheduledTo.IsZero() {
		return one.ScheduledTo
	}
	return o.first().ScheduledAt
}

// began is when the first run of the chain began; zero is not yet.
func (o Occurrence) began() time.Time { return o.first().StartedAt }

// late is how long after its moment the first run began; 0 is on time.
func (o Occurrence) late() time.Duration {
	if began := o.began(); !began.IsZero() && o.first().IsOccurrence() {
		if span := began.Sub(o.first().ScheduledAt); span > schedule.OnTime {
			return span
		}
	}
	return 0
}

// alone tells that the agent began the run by itself: the server never sent it.
func alone(one fleet.Job) bool {
	return one.SentAt.IsZero() && !one.StartedAt.IsZero() && one.Origin != job.ByPerson
}

func (o Occurrence) skippedFor(cause job.Cause) bool {
	return o.last().State == job.Skipped && o.last().Cause == cause
}

// outcomes are what the filter of a history offers. One occurrence may be in
// several: it was late, was retried, and failed.
var outcomes = []struct {
	Choice
	fits func(Occurrence) bool
}{
	{Choice{"ran", "did its work"}, func(o Occurrence) bool { return o.last().State.EndedWell() }},
	{Choice{"failed", "failed or lost"}, func(o Occurrence) bool {
		return slices.Contains([]job.State{job.Failed, job.Lost, job.Cancelled}, o.last().State)
	}},
	{Choice{"late", "began late"}, func(o Occurrence) bool { return o.late() > 0 }},
	{Choice{"retried", "was tried again"}, func(o Occurrence) bool { return o.last().Retry > 0 }},
	{Choice{"alone", "begun by the agent itself"}, func(o Occurrence) bool { return slices.ContainsFunc(o, alone) }},
	{Choice{"overlapped", "skipped: overlapped"}, func(o Occurrence) bool { return o.skippedFor(job.CauseOverlapped) }},
	{Choice{"coalesced", "skipped: coalesced"}, func(o Occurrence) bool { return o.skippedFor(job.CauseCoalesced) }},
	{Choice{"missed", "skipped: missed"}, func(o Occurrence) bool { return o.skippedFor(job.CauseMissed) }},
	{Choice{"paused", "skipped: paused"}, func(o Occurrence) bool { return o.skippedFor(job.CausePaused) }},
	{Choice{"satisfied", "not needed any more"}, func(o Occurrence) bool { return o.skippedFor(job.CauseSatisfied) }},
	{Choice{"given-up", "abandoned or dropped"}, func(o Occurrence) bool {
		return o.skippedFor(job.CauseAbandoned) || o.skippedFor(job.CauseDropped)
	}},
	{Choice{"open", "waits or runs"}, func(o Occurrence) bool { return !o.last().State.Ended() }},
}

func outcomeChoices() []Choice {
	choices := make([]Choice, len(outcomes))
	for i, one := range outcomes {
		choices[i] = one.Choice
	}
	return choices
}

// fitsOutcome tells whether an occurrence passes a filter; "" lets all pass.
func fitsOutcome(o Occurrence, wanted string) bool {
	for _, one := range outcomes {
		if one.Value == wanted {
			return one.fits(o)
		}
	}
	return true
}

// words says in one sentence what became of an occurrence.
func (o Occurrence) words() string {
	one := o.last()
	switch one.State { //nolint:exhaustive // all others have ended
	case job.Skipped:
		return skippedWords(one)
	case job.Queued, job.Sent:
		if one.Retry > 0 {
			return fmt.Sprintf("The %s retry waits for its turn.", ordinalText(one.Retry))
		}
		return "It waits for its turn."
	case job.Running:
		return "It runs now" + o.delayWords() + "."
	}
	text := "It did its work"
	switch {
	case one.State == job.Warning:
		text = "It did its work, with warnings"
	case !one.State.EndedWell():
		text = map[job.State]string{job.Failed: "It failed", job.Lost: "It was lost", job.Cancelled: "It was cancelled"}[one.State]
	}
	text += o.delayWords()
	if one.Retry > 0 {
		text += ", after " + plural(int64(one.Retry), "retry", "retries")
	}
	switch {
	case one.Error != "":
		return text + ". " + one.Error
	case one.Cause != "":
		return text + ". " + causeSentence(one.Cause)
	}
	return text + "."
}

// delayWords say how late a run began, and why, as far as there is evidence.
func (o Occurrence) delayWords() string {
	one, late := o.first(), o.late()
	switch {
	case late == 0 && slices.ContainsFunc(o, alone):
		return "; the agent began it by itself while the server was away"
	case late == 0:
		return ""
	}
	text := fmt.Sprintf(", %s late", spanText(late))
	switch held := one.SentAt.Sub(one.ScheduledAt); {
	case alone(one):
		return text + ": the agent began it by itself while the server was away"
	case one.Attempt > one.Retry:
		return text + ": the agent did not take it at first"
	case one.CreatedAt.Sub(one.ScheduledAt) > schedule.OnTime:
		return text + ": its machine was off or out of contact at its moment"
	case held > schedule.OnTime:
		return text + ": it waited for its turn"
	}
	return text
}

// skippedWords say why a moment was not run.
func skippedWords(one fleet.Job) string {
	if one.Moments > 1 {
		many := countText(int64(one.Moments)) + " moments "
		switch one.Cause { //nolint:exhaustive // the others are of one moment each
		case job.CauseCoalesced:
			return many + "were coalesced into one run: the machine was off or busy."
		case job.CauseMissed:
			return many + "were missed: the machine was off, and this schedule catches nothing up."
		case job.CausePaused:
			return many + "were skipped: scheduled runs were paused."
		case job.CauseOverlapped:
			return many + "were skipped: a run of the same group was still at work."
		}
		return many + "were skipped."
	}
	if one.Error != "" {
		return one.Error
	}
	return causeSentence(one.Cause)
}

// ordinalText is a place in a line.
func ordinalText(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n, suffix)
}

// byWords say who began it, or who let it go.
func (o Occurrence) byWords() string {
	one := o.last()
	switch {
	case one.AskedBy != "":
		return one.AskedBy
	case slices.ContainsFunc(o, alone):
		return "the agent itself"
	case one.State == job.Skipped && one.Cause == job.CauseDropped:
		return "a person"
	case one.State == job.Skipped && slices.Contains([]job.Cause{job.CauseAbandoned, job.CauseSatisfied}, one.Cause):
		return "the server"
	}
	return "the schedule"
}

// occurrenceState is the state of an occurrence with icon and word.
func occurrenceState(o Occurrence) State {
	one := o.last()
	shown := lookOf(one.State)
	shown.Tip = ""
	switch {
	case one.State == job.Skipped && one.Cause == job.CausePaused:
		shown.Tone, shown.Icon, shown.Word = ToneHeld, "player-pause", "paused"
	case one.State == job.Skipped && (one.Cause == job.CauseMissed || one.Cause == job.CauseAbandoned):
		shown.Tone, shown.Icon, shown.Word = ToneWarn, "calendar-x", string(one.Cause)
	case one.State == job.Skipped && one.Cause != "":
		shown.Word = string(one.Cause)
	case one.State.EndedWell() && one.Retry > 0:
		shown.Word += " after retry"
	}
	return shown
}
