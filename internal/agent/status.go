package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// Status is what an agent says of itself on its own machine.
type Status struct {
	Name   string     `json:"name"`
	Host   job.HostID `json:"host_id"`
	Server string     `json:"server"`
	// Running: an agent is at work on this state folder.
	Running   bool `json:"running"`
	PID       int  `json:"pid,omitempty"`
	Connected bool `json:"connected"`
	// Since is when Connected last changed.
	Since time.Time `json:"since"`
	// Quarantined: the server holds this agent back until a person decides.
	Quarantined bool `json:"quarantined,omitempty"`
	// Gone: the host was removed on its server.
	Gone bool        `json:"gone,omitempty"`
	Jobs []StatusJob `json:"jobs"`
	// Held are the runs that are due, and wait.
	Held []StatusHeld `json:"held,omitempty"`
	// Next are the next moments of all schedules, soonest first.
	Next []StatusMoment `json:"next,omitempty"`
	// PlanDigest and PlanTaken are those of the plan in force; "" is that none came.
	PlanDigest string    `json:"plan_digest,omitempty"`
	PlanTaken  time.Time `json:"plan_taken,omitzero"`
	// PausedUntil is zero when no pause is known that goes on.
	PausedUntil time.Time `json:"paused_until,omitzero"`
	// RecordsWaiting counts journal records that the server does not have yet.
	RecordsWaiting uint64 `json:"records_waiting"`
	ResticVersion  string `json:"restic_version"`
	PolicyFile     string `json:"policy_file"`
	// Updated is when anything of this last changed.
	Updated time.Time `json:"updated"`
}

// StatusJob is one job that is not ended.
type StatusJob struct {
	ID      job.ID    `json:"id"`
	Kind    job.Kind  `json:"kind"`
	Waiting bool      `json:"waiting,omitempty"` // for its turn
	Phase   job.Phase `json:"phase,omitempty"`
}

// StatusHeld is one run that is due and has not begun.
type StatusHeld struct {
	ID    job.ID `json:"id"`
	Group string `json:"group"` // its name
	// Waits completes the sentence "it waits …".
	Waits string `json:"waits"`
}

// StatusMoment is one moment of a schedule.
type StatusMoment struct {
	At       time.Time      `json:"at"`
	Schedule job.ScheduleID `json:"schedule_id"`
	Groups   []string       `json:"groups"` // their names
}

// ReadStatus tells how the agent on a state folder is. It needs no running one.
func ReadStatus(dir string) (Status, error) {
	if dir == "" {
		dir = DefaultDir
	}
	s := &state{dir: dir}
	identity, err := s.identity()
	if err != nil {
		return Status{}, err
	}
	var status Status
	if _, err := s.readJSON(statusFile, &status); err != nil {
		return Status{}, err
	}
	status.Name, status.Host, status.Server = identity.Name, identity.Host, identity.Server
	if status.Gone, err = s.gone(); err != nil {
		return Status{}, err
	}
	if !s.busy() {
		status.Running, status.Connected, status.PID = false, false, 0
	}
	return status, nil
}

// statusBoard is the status that is being kept.
type statusBoard struct {
	mutex   sync.Mutex
	current Status
	written []byte        // what the file says, but for when
	changed chan struct{} // holds a token when the file is old
	ack     chan struct{} // holds a token after an acknowledgement
}

func newStatusBoard() *statusBoard {
	return &statusBoard{changed: make(chan struct{}, 1), ack: make(chan struct{}, 1)}
}

// update changes the status; the file follows soon.
func (b *statusBoard) update(a *Agent, change func(*Status)) {
	b.mutex.Lock()
	before := b.current.Connected
	change(&b.current)
	if b.current.Connected != before || b.current.Since.IsZero() {
		b.current.Since = a.options.Now().UTC()
	}
	turned := b.current.Connected != before
	b.mutex.Unlock()
	poke(b.changed)
	if turned {
		poke(a.clock.wake)
	}
}

// link tells whether there is a session, and whether this agent is held back
// since it may be a copy: that outlives the session that said so.
func (b *statusBoard) link() (connected, muted bool, since time.Time) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.current.Connected, b.current.Quarantined, b.current.Since
}

func (b *statusBoard) connected() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.current.Connected && !b.current.Quarantined
}

func (b *statusBoard) noteAcknowledged()             { poke(b.ack) }
func (b *statusBoard) acknowledged() <-chan struct{} { return b.ack }

// writeStatus stores the status as it is now, unless the file says so already:
// the disk of an idle machine is left asleep.
func (a *Agent) writeStatus() error {
	b := a.status
	b.mutex.Lock()
	status := b.current
	b.mutex.Unlock()
	status.Name, status.Host, status.Server = a.identity.Name, a.identity.Host, a.identity.Server
	status.PID, status.PolicyFile = os.Getpid(), a.policy.File
	status.Updated = time.Time{}
	status.Jobs = a.tasks.list()
	a.addTimes(&status)
	if last, done := a.journal.LastSeq(), a.journal.Acknowledged(); last > done {
		status.RecordsWaiting = last - done
	}
	content, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	b.mutex.Lock()
	old := bytes.Equal(content, b.written)
	b.mutex.Unlock()
	if old {
		return nil
	}
	status.Updated = a.options.Now().UTC()
	if err := a.state.writeJSON(statusFile, status); err != nil {
		return err
	}
	b.mutex.Lock()
	b.written = content
	b.mutex.Unlock()
	return nil
}

// keepStatus writes the status file on every change and now and then.
func (a *Agent) keepStatus(ctx context.Context) {
	a.status.update(a, func(s *Status) { s.Running = true })
	ticker := time.NewTicker(a.patience.statusEvery)
	defer ticker.Stop()
	for {
		if err := a.writeStatus(); err != nil {
			a.log.Warn("the status file could not be written", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-a.status.changed:
		}
	}
}

// nextShown is how many moments the status names.
const nextShown = 5

// addTimes says what is due, and when.
func (a *Agent) addTimes(status *Status) {
	now, table := a.options.Now(), a.plan.timetable()
	status.Held = a.clock.waiting()
	status.Next = table.nextMoments(now, nextShown)
	status.PlanDigest, status.PlanTaken = a.plan.digest(), table.taken.UTC()
	if table.pausedUntil.After(now) {
		status.PausedUntil = table.pausedUntil.UTC()
	}
}

// fewNames lists names for one line.
func fewNames(names []string) string {
	const most = 3
	text := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// Text is the status as a person reads it.
func (s Status) Text() string {
	var out strings.Builder
	line := func(label, format string, values ...any) {
		fmt.Fprintf(&out, "%-12s %s\n", label+":", fmt.Sprintf(format, values...))
	}
	line("Host", "%s (%s)", s.Name, s.Host)
	line("Server", "%s", s.Server)
	switch since := s.Since.Local().Format(time.RFC1123); {
	case s.Gone:
		line("State", "removed on its server; nothing runs here any more. To join again, with a new token: restic-manager-agent enroll --replace --server URL")
	case !s.Running:
		line("State", "no agent is running; start it with: restic-manager-agent run")
	case s.Connected && s.Quarantined:
		line("State", "held back by the server since %s, because another agent with this identity was seen", since)
	case s.Connected:
		line("State", "connected since %s", since)
	default:
		line("State", "not connected since %s; jobs go on, and the agent keeps trying", since)
	}
	for _, j := range s.Jobs {
		state := "running"
		if j.Waiting {
			state = "waits for its turn"
		} else if j.Phase != "" {
			state = strings.ReplaceAll(string(j.Phase), "_", " ")
		}
		line("Job", "%s %s: %s", j.Kind, j.ID, state)
	}
	for _, held := range s.Held {
		line("Due", "%s %s: waits %s", held.Group, held.ID, held.Waits)
	}
	for _, moment := range s.Next {
		line("Next", "%s %s", moment.At.Local().Format(time.RFC1123), fewNames(moment.Groups))
	}
	if !s.PausedUntil.IsZero() {
		line("Paused", "until %s; no schedule starts anything before", s.PausedUntil.Local().Format(time.RFC1123))
	}
	if s.PlanDigest == "" {
		line("Plan", "none came from the server yet")
	} else {
		line("Plan", "%.12s, taken %s", s.PlanDigest, s.PlanTaken.Local().Format(time.RFC1123))
	}
	line("Records", "%d not yet at the server", s.RecordsWaiting)
	restic := s.ResticVersion
	if restic == "" {
		restic = "none found"
	}
	line("restic", "%s", restic)
	line("Policy", "%s", s.PolicyFile)
	return out.String()
}
