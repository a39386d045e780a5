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
	b.mutex.Unlock()
	poke(b.changed)
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
	line("Records", "%d not yet at the server", s.RecordsWaiting)
	restic := s.ResticVersion
	if restic == "" {
		restic = "none found"
	}
	line("restic", "%s", restic)
	line("Policy", "%s", s.PolicyFile)
	return out.String()
}
