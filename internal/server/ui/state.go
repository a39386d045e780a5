package ui

import (
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Tone is the colour family of a state. It never stands alone: an icon and a
// word go with it.
type Tone string

// Tones.
const (
	ToneGood    Tone = "good"
	ToneRun     Tone = "run"  // moving
	ToneWait    Tone = "wait" // will move
	ToneWarn    Tone = "warn"
	ToneBad     Tone = "bad"
	ToneNone    Tone = "none"    // nothing to judge yet
	ToneUnknown Tone = "unknown" // the evidence is missing
	ToneHeld    Tone = "held"    // a person must decide
)

// State is the one component that says how something stands: icon, word and
// colour, with the rule and the evidence on hover, focus or tap.
type State struct {
	Tone Tone
	Icon string
	Word string
	Tip  string    // the rule and the evidence; "" shows none
	At   time.Time // since when; zero shows no age
}

// jobLook is how one state of a job looks.
type jobLook struct {
	state job.State
	tone  Tone
	icon  string
}

// jobLooks covers job.States; a test holds the two together.
var jobLooks = []jobLook{
	{job.Queued, ToneWait, "clock"},
	{job.Sent, ToneWait, "send"},
	{job.Running, ToneRun, "loader-2"},
	{job.Succeeded, ToneGood, "circle-check"},
	{job.Warning, ToneWarn, "alert-triangle"},
	{job.Failed, ToneBad, "circle-x"},
	{job.Cancelled, ToneNone, "ban"},
	{job.Lost, ToneUnknown, "help-circle"},
	{job.Skipped, ToneNone, "player-skip-forward"},
}

// ruleOf gives the sentence of a state from its registration.
func ruleOf(state job.State) string {
	for _, info := range job.States {
		if info.State == state {
			return info.Sentence
		}
	}
	return ""
}

func lookOf(state job.State) State {
	for _, look := range jobLooks {
		if look.state == state {
			return State{Tone: look.tone, Icon: look.icon, Word: string(state), Tip: ruleOf(state)}
		}
	}
	return State{Tone: ToneUnknown, Icon: "help-circle", Word: string(state)}
}

// jobState is the state of a job with its evidence.
func jobState(one fleet.Job) State {
	shown := lookOf(one.State)
	if one.State.Ended() {
		shown.At = one.FinishedAt // what goes on shows how long it takes instead
	}
	if one.Cause != "" {
		shown.Tip += " " + causeSentence(one.Cause)
	}
	if one.Error != "" {
		shown.Tip += " " + one.Error
	}
	return shown
}

// lastResult is how the last backup of a host ended, and when.
func lastResult(host fleet.Host) State {
	return resultState(host.LastBackupState, host.LastEndedAt, host.LastError)
}

// groupResult is how the last backup of a group ended, and when.
func groupResult(group fleet.SourceGroup) State {
	return resultState(group.LastState, group.LastEndedAt, group.LastError)
}

func resultState(state job.State, endedAt time.Time, reason string) State {
	if state == "" {
		return State{Tone: ToneNone, Icon: "circle-dashed", Word: "no backup yet",
			Tip: "No backup has ended here so far."}
	}
	shown := lookOf(state)
	shown.Tip = "The last backup: " + shown.Tip
	if reason != "" {
		shown.Tip += " " + reason
	}
	shown.At = endedAt
	return shown
}

// connection tells whether a host's agent is in contact.
func connection(host fleet.Host) State {
	switch {
	case !host.RemovedAt.IsZero():
		return State{Tone: ToneNone, Icon: "ban", Word: "removed", At: host.RemovedAt,
			Tip: "Its key is refused for ever. Its snapshots stay in the repository."}
	case !host.QuarantinedAt.IsZero():
		return State{Tone: ToneHeld, Icon: "alert-octagon", Word: "quarantined", At: host.QuarantinedAt,
			Tip: "Two sessions claim to be this host. Nothing is taken from the newer one until you decide."}
	case host.Online:
		return State{Tone: ToneGood, Icon: "plug-connected", Word: "online",
			Tip: "The agent holds a session with this server."}
	case host.LastSeenAt.IsZero():
		return State{Tone: ToneNone, Icon: "circle-dashed", Word: "not seen yet",
			Tip: "The agent has joined but never held a session."}
	}
	return State{Tone: ToneUnknown, Icon: "plug-connected-x", Word: "no contact", At: host.LastSeenAt,
		Tip: "The agent holds no session. It goes on by itself and reports when it is back."}
}

// noRestic tells whether a host that has been seen has no restic to work with.
func noRestic(host fleet.Host) bool {
	return host.ResticVersion == "" && !host.LastSeenAt.IsZero() && host.RemovedAt.IsZero()
}

// causes says why a job ended, one sentence per cause; a test holds it and the
// causes of package job together.
var causes = []struct {
	cause    job.Cause
	sentence string
}{
	{job.CauseOperator, "A person asked for its end."},
	{job.CauseAgentStopped, "The agent was stopped."},
	{job.CauseShutdown, "The machine was shut down."},
	{job.CauseSleep, "The machine went to sleep."},
	{job.CauseTimeout, "It took longer than it may."},
	{job.CauseKilled, "Its process was killed."},
	{job.CauseRestarted, "The agent was restarted while it ran, and told from the repository what became of it."},
	{job.CauseHostRemoved, "The host was removed."},
	{job.CauseNoContact, "The host was out of contact for too long."},
	{job.CauseSessionEnded, "The connection to the host ended."},
	{job.CausePaused, "Scheduled runs were paused at its moment."},
	{job.CauseOverlapped, "Another run of its source group was still at work at its moment."},
	{job.CauseCoalesced, "Another run of its source group does its work."},
	{job.CauseMissed, "The machine was off at its moment, and its schedule catches nothing up."},
	{job.CauseSatisfied, "A later backup of its source group has done its work."},
	{job.CauseAbandoned, "What it was for is gone or switched off, or all its attempts are used up."},
	{job.CauseDropped, "A person took it out of the line."},
}

func causeSentence(cause job.Cause) string {
	for _, one := range causes {
		if one.cause == cause {
			return one.sentence
		}
	}
	return fmt.Sprintf("It ended for the cause %q.", cause)
}

// phases says what a running job is waiting for, or does beside its work.
var phases = []struct {
	phase job.Phase
	word  string
	rule  string
}{
	{job.PhaseWaitingLock, "waiting for a lock", "Another restic process holds the repository. The job goes on when the lock is gone."},
	{job.PhaseWaitingRepository, "waiting for the repository", "The repository does not answer. restic asks again by itself."},
	{job.PhaseFindingOut, "finding out", "The agent was restarted and asks the repository what became of this job."},
	{job.PhaseStopping, "stopping", "restic was asked to stop and is putting its things away; this can take a minute."},
	{job.PhasePreHook, "in its pre-hook", "What is to run before the backup is at work. The backup begins when it has ended well."},
	{job.PhasePostHook, "in its post-hook", "restic has ended. What is to run after the backup is at work."},
}

// sending is what a backup does after it has read all files.
var sending = State{Tone: ToneWait, Icon: "send", Word: "100 % read; still sending",
	Tip: "All files are read. restic is still sending what is new, and saves the snapshot afterwards."}

// phaseState is what a running job is doing; "" is plain running.
func phaseState(phase job.Phase) State {
	for _, one := range phases {
		if one.phase == phase {
			return State{Tone: ToneWait, Icon: "clock", Word: one.word, Tip: one.rule}
		}
	}
	return lookOf(job.Running)
}
