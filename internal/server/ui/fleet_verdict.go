package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// verdict is the one true sentence on top of the fleet page, made of the counts
// alone: each host stands in exactly one of them.
func verdict(f FleetFigures, alerts int, now time.Time) State {
	state := State{Tone: ToneNone, Icon: "circle-dashed"}
	switch {
	case f.Bad > 0:
		state = State{Tone: ToneBad, Icon: "circle-x"}
	case alerts > 0 || f.Warned > 0:
		state = State{Tone: ToneWarn, Icon: "alert-triangle"}
	case f.Hosts > 0 && f.Good == f.Hosts:
		state = State{Tone: ToneGood, Icon: "circle-check"}
	}
	if alerts > 0 {
		state.Word = plural(int64(alerts), "alert is open. ", "alerts are open. ")
	}
	state.Word += fleetSentence(f, now)
	return state
}

func fleetSentence(f FleetFigures, now time.Time) string {
	hosts := countText(int64(f.Hosts))
	switch {
	case f.Hosts == 0 && f.Removed:
		return "No machine is backed up now: every host was removed."
	case f.Hosts == 0:
		return "No machine is backed up yet."
	case f.Bad > 0:
		return badSentence(f, now)
	case f.None == f.Hosts:
		return plural(int64(f.Hosts), "host has", "hosts have") + " joined; " + firstSentence(f)
	case f.Good == f.Hosts:
		return wellSentence(f, now)
	case f.Hosts == 1:
		return "The last backup of the only host " + strings.TrimPrefix(resultParts(f)[0], "1 ") + "."
	case f.Warned == f.Hosts:
		return "The last backups of all " + hosts + " hosts ended with warnings."
	case f.Other == f.Hosts:
		return "The last backups of all " + hosts + " hosts were cancelled."
	}
	return "The last backups of " + hosts + " hosts: " + listText(resultParts(f)) + "."
}

func badSentence(f FleetFigures, now time.Time) string {
	var text string
	switch {
	case f.Bad == 1 && f.WorstName != "":
		text = fmt.Sprintf("The last backup of %s %s %s", f.WorstName, wentWrong(f.WorstState), agoText(now, f.WorstAt))
	case f.Hosts == 1:
		text = "The last backup of the only host failed or was lost"
	case f.Bad == f.Hosts:
		text = "The last backups of all " + countText(int64(f.Hosts)) + " hosts failed or were lost"
	case f.Bad == 1:
		text = "The last backup of 1 of " + countText(int64(f.Hosts)) + " hosts failed or was lost"
	default:
		text = "The last backups of " + countText(int64(f.Bad)) + " of " + countText(int64(f.Hosts)) + " hosts failed or were lost"
	}
	if f.Bad > 1 && f.WorstName != "" {
		text += fmt.Sprintf("; the latest is %s, %s", f.WorstName, agoText(now, f.WorstAt))
	}
	if parts := resultParts(f); len(parts) > 0 {
		text += ". Of the others, " + listText(parts)
	}
	return text + "."
}

// wentWrong tells a backup that failed from one whose end nobody knows.
func wentWrong(state job.State) string {
	if state == job.Lost {
		return "was lost"
	}
	return "failed"
}

// resultParts counts the hosts whose last backup did not go wrong.
func resultParts(f FleetFigures) []string {
	var parts []string
	add := func(number int, one, many string) {
		if number > 0 {
			parts = append(parts, plural(int64(number), one, many))
		}
	}
	add(f.Good, "ended well", "ended well")
	add(f.Warned, "ended with a warning", "ended with warnings")
	add(f.Other, "was cancelled", "were cancelled")
	switch f.FirstRunning {
	case 0:
		add(f.None, "has none yet", "have none yet")
	case f.None:
		add(f.None, "is running its first", "are running their first")
	default:
		add(f.None, "has none yet", fmt.Sprintf("have none yet (%s running)", countText(int64(f.FirstRunning))))
	}
	return parts
}

// firstSentence is about a fleet in which no backup has ended.
func firstSentence(f FleetFigures) string {
	switch f.FirstRunning {
	case 0:
		return "no backup has ended yet."
	case 1:
		return "the first backup is running."
	}
	return countText(int64(f.FirstRunning)) + " first backups are running."
}

// wellSentence is about a fleet whose last backups all ended well.
func wellSentence(f FleetFigures, now time.Time) string {
	if f.OldestAt.IsZero() {
		if f.Hosts == 1 {
			return "The last backup of the only host ended well."
		}
		return "The last backups of all " + countText(int64(f.Hosts)) + " hosts ended well."
	}
	within := strings.TrimSuffix(agoText(now, f.OldestAt), " ago")
	if within == "just now" {
		within = "minute"
	}
	if f.Hosts == 1 {
		return "The only host was backed up within the last " + within + "."
	}
	return fmt.Sprintf("All %s hosts were backed up within the last %s.", countText(int64(f.Hosts)), within)
}

// listText joins parts as a sentence does.
func listText(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}
