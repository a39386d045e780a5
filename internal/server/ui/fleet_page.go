package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// FleetPage is the first page: may I close this tab?
type FleetPage struct {
	Frame   Frame
	Figures FleetFigures
	Verdict State // the sentence is its word
	Alerts  []AlertPanel
	Filter  FleetFilter
	Tags    []string
	States  []Choice
	Rows    []FleetRow
	Storage []StorageRow
	// Live is where the live part is fetched again.
	Live string
	Next string // address of the next page, "" for the last
}

// FleetFigures are counts over the whole fleet, whatever is filtered. Hosts are
// the endpoints; storage agents are counted apart.
type FleetFigures struct {
	Hosts     int
	Online    int // agents, those of storage boxes too
	Running   int // jobs
	Queued    int // jobs
	Good      int // hosts by their last backup
	Warned    int
	Bad       int
	Other     int // such as cancelled
	None      int // without any backup so far
	Snapshots int
	Storage   int // storage agents
	// WorstName and WorstAt are of the host whose backup went wrong last, as far
	// as that is known.
	WorstName string
	WorstAt   time.Time
	// OldestAt is the oldest "last good backup" of all hosts; zero when it is
	// not known, or when a host has none.
	OldestAt time.Time
}

// Agents counts all of them.
func (f FleetFigures) Agents() int { return f.Hosts + f.Storage }

// FleetFilter narrows the list; it is the page's query.
type FleetFilter struct {
	Text  string
	Tag   string
	State string // a value of fleetStates
}

// Narrow tells whether anything is filtered.
func (f FleetFilter) Narrow() bool { return f != FleetFilter{} }

// FleetRow is one endpoint.
type FleetRow struct {
	Host       fleet.Host
	Result     State
	Connection State
	Running    []RunningJob
	Queued     int
}

// CanRepeat tells whether the mend is one click away.
func (r FleetRow) CanRepeat() bool {
	return (r.Result.Tone == ToneBad || r.Result.Tone == ToneUnknown) && r.Host.LastJobID != "" &&
		r.Host.Online && len(r.Running) == 0 && r.Queued == 0
}

// StorageRow is one storage agent.
type StorageRow struct {
	Host         fleet.Host
	Connection   State
	Repositories int
	Disk         Bar // used part of its disk
}

// RunningJob is a job that is running now, with what it says of itself.
type RunningJob struct {
	ID    job.ID
	Title string
	Bar   Bar
}

// AlertPanel is one open alert. The sentence says what to do.
type AlertPanel struct {
	Alert    fleet.Alert
	HostName string
	Link     string // where to act on it, "" for nowhere
}

// verdict is the one true sentence on top of the fleet page.
func verdict(f FleetFigures, alerts int, now time.Time) State {
	bad := State{Tone: ToneBad, Icon: "circle-x"}
	warn := State{Tone: ToneWarn, Icon: "alert-triangle"}
	none := State{Tone: ToneNone, Icon: "circle-dashed"}
	switch {
	case f.Hosts == 0:
		none.Word = "No machine is backed up yet."
		return none
	case f.Bad > 0:
		bad.Word = badSentence(f, now)
		return bad
	case alerts > 0:
		warn.Word = plural(int64(alerts), "alert is open. ", "alerts are open. ") + wellSentence(f, now)
		return warn
	case f.Warned > 0:
		warn.Word = fmt.Sprintf("%s with a warning.", lastBackups(f.Warned, f.Hosts, "ended"))
		return warn
	case f.None > 0:
		none.Word = fmt.Sprintf("%s well; %s no backup yet.", lastBackups(f.Good, f.Hosts, "ended"), haveText(f.None))
		if f.None == f.Hosts {
			none.Word = plural(int64(f.Hosts), "host has", "hosts have") + " joined; no backup has ended yet."
		}
		return none
	case f.Other > 0:
		none.Word = fmt.Sprintf("%s well; the others were stopped before their end.", lastBackups(f.Good, f.Hosts, "ended"))
		return none
	}
	return State{Tone: ToneGood, Icon: "circle-check", Word: wellSentence(f, now)}
}

func badSentence(f FleetFigures, now time.Time) string {
	if f.Bad == 1 && f.WorstName != "" {
		rest := "."
		if f.Hosts > 1 {
			rest = fmt.Sprintf("; %d of the other %d ended theirs well.", f.Good+f.Warned, f.Hosts-1)
		}
		return fmt.Sprintf("The last backup of %s went wrong %s%s", f.WorstName, agoText(now, f.WorstAt), rest)
	}
	text := lastBackups(f.Bad, f.Hosts, "went") + " wrong"
	if f.WorstName != "" {
		text += fmt.Sprintf("; the latest is %s, %s", f.WorstName, agoText(now, f.WorstAt))
	}
	return text + "."
}

// lastBackups begins a sentence about the last backups of some of all hosts.
func lastBackups(some, all int, verb string) string {
	noun := "backups"
	if some == 1 {
		noun = "backup"
	}
	if all == 1 {
		return "The last backup of the only host " + verb
	}
	return fmt.Sprintf("The last %s of %s of %s hosts %s", noun, countText(int64(some)), countText(int64(all)), verb)
}

func wellSentence(f FleetFigures, now time.Time) string {
	if f.Good+f.Warned < f.Hosts || f.OldestAt.IsZero() {
		return lastBackups(f.Good+f.Warned, f.Hosts, "ended") + " well."
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

func haveText(number int) string {
	if number == 1 {
		return "1 has"
	}
	return fmt.Sprintf("%d have", number)
}
