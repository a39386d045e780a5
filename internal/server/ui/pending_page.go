package ui

import (
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// PendingPage lists the backups that wait, and why.
type PendingPage struct {
	Frame   Frame
	Tabs    JobTabs
	Host    string // the filter: a name or an id
	Rows    []PendingRow
	MayRun  bool
	MayDrop bool
	Live    string
	Next    string
}

// PendingRow is one backup that waits.
type PendingRow struct {
	Job      fleet.Job
	Title    string
	HostName string
	Why      State  // the reason in a few words
	Words    string // and in full
	Blocker  job.ID // the job that it waits for
	Occasion string // "nightly, for today 02:30", or who asked
	Since    time.Time
	Next     Moment // when it is tried again by itself; zero is as soon as the reason is gone
	Attempts string // "2 of 10"; "" when none is used up
	OnItsWay bool
}

// PendingDropPage asks whether some runs are really to be dropped.
type PendingDropPage struct {
	Frame Frame
	Rows  []PendingRow
	Gone  int // chosen ones that wait no more
	Back  string
}

// waitLooks is how each reason for waiting looks; a test holds it and the reasons
// of package fleet together.
var waitLooks = []struct {
	reason fleet.WaitReason
	tone   Tone
	icon   string
	word   string
}{
	{fleet.WaitsForHost, ToneUnknown, "plug-connected-x", "waits for its host"},
	{fleet.WaitsForPause, ToneHeld, "player-pause", "paused"},
	{fleet.WaitsForBackoff, ToneWarn, "clock", "waits to be tried again"},
	{fleet.WaitsForRepository, ToneWait, "database", "repository is busy"},
	{fleet.WaitsForSlot, ToneWait, "clock", "in line"},
	{fleet.WaitsForQuarantine, ToneHeld, "alert-octagon", "host is quarantined"},
	{fleet.WaitsForAgent, ToneWait, "send", "on its way"},
	{fleet.WaitsForTurn, ToneWait, "clock", "next"},
}

// waitState is why a run waits, in a few words.
func waitState(run fleet.PendingRun, boxName string, w wallClock) State {
	for _, look := range waitLooks {
		if look.reason != run.Reason {
			continue
		}
		state := State{Tone: look.tone, Icon: look.icon, Word: look.word}
		switch run.Reason { //nolint:exhaustive // the others say no more
		case fleet.WaitsForPause:
			state.Word = "paused until " + w.moment(run.Until).Text
		case fleet.WaitsForSlot:
			if run.Position > 0 {
				state.Word = ordinalText(run.Position) + " in line for " + boxName
			}
		}
		return state
	}
	return State{Tone: ToneUnknown, Icon: "help-circle", Word: string(run.Reason)}
}

// waitWords are why a run waits, in full.
func waitWords(run fleet.PendingRun, host fleet.Host, boxName string, w wallClock) string {
	switch run.Reason {
	case fleet.WaitsForHost:
		since := "has not been in contact yet"
		if !host.LastSeenAt.IsZero() {
			since = "has been out of contact since " + w.moment(host.LastSeenAt).Text
		}
		return fmt.Sprintf("%s %s. The run goes as soon as it is back; no attempt is used up.", host.Name, since)
	case fleet.WaitsForPause:
		return "Scheduled runs are paused. It goes on by itself when the pause ends; “Run now” lets it go at once."
	case fleet.WaitsForBackoff:
		text := "The last attempt did not get through, so it waits before the next one."
		if run.Error != "" {
			text = run.Error + " It waits before the next attempt."
		}
		return text
	case fleet.WaitsForRepository:
		return "Another job of " + host.Name + " writes to the same repository. It goes when that one has ended."
	case fleet.WaitsForSlot:
		busy := fmt.Sprintf("%d of %d slots of %s are busy.", run.Busy, run.Slots, boxName)
		if run.Position > 1 {
			return fmt.Sprintf("%s %s before it.", busy, plural(int64(run.Position-1), "run goes", "runs go"))
		}
		return busy + " It goes when one is free."
	case fleet.WaitsForQuarantine:
		return "Two machines use the identity of " + host.Name + ". Decide on its page which one is the true one; then it goes."
	case fleet.WaitsForAgent:
		return "It was sent, and the agent has not written it down yet. That takes a moment."
	case fleet.WaitsForTurn:
		return "Nothing is in its way. It goes within half a minute."
	}
	return ""
}

// pendingRow tells of one run that waits.
func pendingRow(run fleet.PendingRun, host fleet.Host, group fleet.SourceGroup, planned fleet.Schedule, boxName string, w wallClock) PendingRow {
	row := PendingRow{Job: run.Job, Title: jobTitle(run.Job), HostName: host.Name, Why: waitState(run, boxName, w), Words: waitWords(run, host, boxName, w), Blocker: run.Blocker,
		Occasion: occasionText(run.Job, planned, w), Since: run.CreatedAt, Next: w.moment(run.Until), OnItsWay: run.State == job.Sent}
	if run.Attempt > 0 {
		row.Attempts = countText(int64(run.Attempt))
		if group.Options.RetryMax > 0 { // else the group is gone
			row.Attempts += " of " + countText(int64(group.Options.RetryMax))
		}
	}
	return row
}

// occasionText says which moment of which schedule a run is for, or who asked.
func occasionText(one fleet.Job, planned fleet.Schedule, w wallClock) string {
	text := whyText(one)
	if one.IsOccurrence() {
		text = "for " + w.moment(one.ScheduledAt).Text
		if planned.ID != "" {
			text = scheduleTitle(planned) + ", " + text
		}
	}
	if one.Retry > 0 {
		text += ", " + ordinalText(one.Retry) + " retry"
	}
	return text
}
