package journal

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Unfinished is a job that was accepted and has not ended.
type Unfinished struct {
	ID       job.ID
	At       int64 // when it was accepted, milliseconds since 1970
	Accepted api.Accepted
	// Started is nil when the work had not begun.
	Started   *api.Started
	StartedAt int64 // milliseconds since 1970; 0 when not started
	// PreHook and PostHook are the last that was said of each hook; nil is that it
	// did not begin.
	PreHook, PostHook *api.HookRun
	// CancelAsked is nil when nobody asked for its end.
	CancelAsked *api.CancelAsked
	// Troubled: findings, or log lines that warn, were journalled for it.
	Troubled bool

	seq uint64 // of its accepted record
}

// Held is a run that is due and was neither accepted nor ended.
type Held struct {
	ID  job.ID
	At  int64 // when it was journalled, milliseconds since 1970
	Due api.Due
	Seq uint64 // of its due record
}

// key stands for the id of a job or a snapshot in sets that only grow.
type key [16]byte

func keyOf[T ~string](id T) key {
	sum := sha256.Sum256([]byte(id))
	return key(sum[:16])
}

// trace is the most that is remembered of a job for as long as its records are kept.
type trace uint8

const (
	wasDue    trace = iota + 1 // or a moment of it was skipped
	wasTaken                   // accepted or ended
	endedWell                  // and it did its work
)

// jobs is what the records say of jobs.
type jobs struct {
	// noted has every id of a due, accepted or ended record.
	noted      map[key]trace
	held       map[job.ID]*Held
	unfinished map[job.ID]*Unfinished
	// made names the job of each snapshot, by its id.
	made      map[key]key
	endedLast job.ID
}

func newJobs() jobs {
	return jobs{noted: map[key]trace{}, held: map[job.ID]*Held{}, unfinished: map[job.ID]*Unfinished{}, made: map[key]key{}}
}

// fact is what one record says of its job, decoded before it is written, so that
// a body that can't be read never enters a journal.
type fact struct {
	due      *api.Due // nil also when it could not be read
	accepted *api.Accepted
	started  *api.Started
	cancel   *api.CancelAsked
	hook     *api.HookRun
	made     string // the id of a snapshot
	well     bool   // of an end: the job did its work
	troubled bool
	lines    int // of a log, the omitted ones not counted
}

func factOf(kind api.RecordKind, body json.RawMessage) (fact, error) {
	var said fact
	var err error
	switch kind { //nolint:exhaustive // all others say nothing of how a job stands
	case api.RecordDue:
		said.due = new(api.Due)
		err = json.Unmarshal(body, said.due)
	case api.RecordAccepted:
		said.accepted = new(api.Accepted)
		err = json.Unmarshal(body, said.accepted)
	case api.RecordStarted:
		said.started = new(api.Started)
		err = json.Unmarshal(body, said.started)
		said.troubled = len(said.started.Findings) > 0
	case api.RecordCancel:
		said.cancel = new(api.CancelAsked)
		err = json.Unmarshal(body, said.cancel)
	case api.RecordHook:
		said.hook = new(api.HookRun)
		err = json.Unmarshal(body, said.hook)
	case api.RecordSnapshot:
		var made api.SnapshotMade
		err = json.Unmarshal(body, &made)
		said.made = made.Snapshot.ID
	case api.RecordEnded:
		var ended struct { // the summary can be long, and all of them are read at each start
			State job.State `json:"state"`
		}
		err = json.Unmarshal(body, &ended)
		said.well = ended.State.EndedWell()
	case api.RecordLog:
		var log api.Log
		err = json.Unmarshal(body, &log)
		said.lines = len(log.Lines)
		said.troubled = slices.ContainsFunc(log.Lines, func(line job.LogLine) bool {
			return line.Level == job.LogWarn || line.Level == job.LogError
		})
	}
	if err != nil {
		return fact{}, fmt.Errorf("decode %s record: %w", kind, err)
	}
	return said, nil
}

// learn takes in one record. An id that is known is not accepted anew, nor held
// again; one that was only skipped may be.
func (s *jobs) learn(kind api.RecordKind, id job.ID, seq uint64, at int64, said fact) {
	switch kind { //nolint:exhaustive // all others stand behind it
	case api.RecordEnded:
		s.endedLast = id
	case api.RecordGap, api.RecordReport: // what a repair adds
	default:
		s.endedLast = ""
	}
	switch kind { //nolint:exhaustive // all others are about a job that is open
	case api.RecordDue:
		before := s.noted[keyOf(id)]
		s.noted[keyOf(id)] = max(before, wasDue)
		if said.due != nil && said.due.Skip == "" && id != "" && before < wasTaken && s.held[id] == nil {
			s.held[id] = &Held{ID: id, At: at, Due: *said.due, Seq: seq}
		}
		return
	case api.RecordAccepted:
		if s.noted[keyOf(id)] >= wasTaken {
			return
		}
		s.noted[keyOf(id)] = wasTaken
		delete(s.held, id)
		s.unfinished[id] = &Unfinished{ID: id, At: at, Accepted: *said.accepted, seq: seq}
		return
	case api.RecordEnded:
		s.noted[keyOf(id)] = max(s.noted[keyOf(id)], wasTaken)
		if said.well {
			s.noted[keyOf(id)] = endedWell
		}
		delete(s.held, id)
		delete(s.unfinished, id)
		return
	case api.RecordSnapshot:
		s.made[keyOf(said.made)] = keyOf(id)
		return
	}
	open := s.unfinished[id]
	if open == nil {
		return
	}
	open.Troubled = open.Troubled || said.troubled
	switch kind { //nolint:exhaustive // all others say no more
	case api.RecordStarted:
		open.Started, open.StartedAt = said.started, at
	case api.RecordCancel:
		open.CancelAsked = said.cancel
	case api.RecordHook:
		switch said.hook.Side {
		case api.HookPre:
			open.PreHook = said.hook
		case api.HookPost:
			open.PostHook = said.hook
		}
	}
}

// learnFrame is learn for a frame of the file. Bodies of logs are not decoded;
// their flag says what matters. A body that this build can't read, though its
// checksum is right, was written by another build: what it says is left out. Such
// a run is not held: nobody here could begin it.
func (s *jobs) learnFrame(f frame) {
	if f.mark() {
		return
	}
	kind := api.RecordKind(f.kind)
	said := fact{troubled: f.flags&flagTroubled != 0}
	if kind != api.RecordLog {
		var err error
		if said, err = factOf(kind, f.body); err != nil {
			said = fact{accepted: new(api.Accepted), started: new(api.Started), cancel: new(api.CancelAsked), hook: new(api.HookRun)}
		}
	}
	s.learn(kind, job.ID(f.job), f.seq, f.at, said)
}

func (s *jobs) open() []Unfinished {
	list := make([]Unfinished, 0, len(s.unfinished))
	for _, one := range s.unfinished {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b Unfinished) int { return cmp.Compare(a.seq, b.seq) })
	return list
}

func (s *jobs) waiting() []Held {
	list := make([]Held, 0, len(s.held))
	for _, one := range s.held {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b Held) int { return cmp.Compare(a.Seq, b.Seq) })
	return list
}

// isOpen tells whether a job may still begin or end by what was journalled of it.
func (s *jobs) isOpen(id job.ID) bool { return s.held[id] != nil || s.unfinished[id] != nil }
