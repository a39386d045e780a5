package ui

import (
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

// PauseFormPage makes a pause.
type PauseFormPage struct {
	Frame  Frame
	Form   PauseForm
	Host   fleet.Host // when it is for one; ID "" otherwise
	Tags   []string   // that hosts have
	Ends   []PauseEnd
	Zone   string // whose clock the ends are told by
	Back   string
	Errors FieldErrors
}

// PauseForm is what was typed.
type PauseForm struct {
	Scope  string
	Tag    string
	End    string // a value of PauseEnd
	Exact  string // as <input type=datetime-local> writes it, in Zone
	Reason string
}

// PauseEnd is one of the ends that are offered.
type PauseEnd struct {
	Value string
	Label string
	Until Moment // zero for an exact moment
	until time.Time
}

// endExact is the choice of an end that is typed.
const endExact = "exact"

// pauseEnds are what a person who pauses something usually means.
func pauseEnds(w wallClock) []PauseEnd {
	local := w.now.In(w.zone)
	year, month, day := local.Date()
	ends := []PauseEnd{{Value: "hour", Label: "One hour", until: w.now.Add(time.Hour)}}
	if tonight := time.Date(year, month, day, 22, 0, 0, 0, w.zone); tonight.After(w.now.Add(time.Hour)) {
		ends = append(ends, PauseEnd{Value: "tonight", Label: "Tonight", until: tonight})
	}
	ends = append(ends, PauseEnd{Value: "tomorrow", Label: "Tomorrow morning", until: time.Date(year, month, day+1, 8, 0, 0, 0, w.zone)},
		PauseEnd{Value: "week", Label: "One week", until: time.Date(year, month, day+7, local.Hour(), local.Minute(), 0, 0, w.zone)})
	for i := range ends {
		ends[i].Until = w.moment(ends[i].until)
	}
	return append(ends, PauseEnd{Value: endExact, Label: "An exact moment"})
}

// localMoment is the form of an <input type=datetime-local>.
const localMoment = "2006-01-02T15:04"

// until reads when the pause is to end.
func (f PauseForm) until(w wallClock, invalid *fleet.Invalid) time.Time {
	if f.End == endExact {
		at, err := time.ParseInLocation(localMoment, f.Exact, w.zone)
		if err != nil {
			invalid.Add("exact", "Say when the pause ends, with date and time.")
		}
		return at
	}
	for _, end := range pauseEnds(w) {
		if end.Value == f.End {
			return end.until
		}
	}
	invalid.Add("end", "Choose when the pause ends; without an end backups would stay away unnoticed.")
	return time.Time{}
}

// PauseNote is a pause that holds, where it is shown.
type PauseNote struct {
	ID     string
	What   string // "All schedules", "Schedules of web-1"
	Until  Moment
	By     string
	Reason string
	MayEnd bool // whoever looks may end it
}

// pausedState is the badge of a host that is paused; nil is not.
func pausedState(pauses []fleet.Pause, host fleet.Host, w wallClock) *State {
	var longest fleet.Pause
	for _, pause := range pauses {
		if pause.Covers(host.ID, host.Tags) && pause.Until.After(w.now) && pause.Until.After(longest.Until) {
			longest = pause
		}
	}
	if longest.ID == "" {
		return nil
	}
	return &State{Tone: ToneHeld, Icon: "player-pause", Word: "paused until " + w.moment(longest.Until).Text, Tip: pauseWords(longest, w)}
}

// pauseWords tell a pause in full.
func pauseWords(pause fleet.Pause, w wallClock) string {
	what := map[fleet.PauseScope]string{fleet.PauseFleet: "of the whole fleet", fleet.PauseTag: "of hosts tagged " + pause.Subject, fleet.PauseHost: "of this host"}[pause.Scope]
	text := fmt.Sprintf("%s paused the scheduled runs %s until %s.", pause.CreatedBy, what, w.moment(pause.Until).Text)
	if pause.Reason != "" {
		text += " “" + pause.Reason + "”"
	}
	return text + " It ends by itself. Moments in it are skipped; what a person starts still runs."
}
