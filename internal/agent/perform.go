package agent

import (
	"encoding/json"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// outcome is what carrying out a job came to.
type outcome struct {
	ended api.Ended
	made  *api.SnapshotMade // nil: no snapshot
	// after runs once the end is durable and before the next job may start; nil is
	// nothing.
	after func()
}

// failed is an outcome that is told in one sentence and what to do about it.
func failed(sentence, advice string) outcome {
	return outcome{ended: api.Ended{State: job.Failed, Error: sentence, Summary: &job.Summary{Advice: advice}}}
}

// work carries out each kind of job that is not a look.
var work = map[job.Kind]func(*Agent, *task) outcome{
	job.Backup:    with((*Agent).backup),
	job.Check:     with((*Agent).check),
	job.Unlock:    with((*Agent).unlock),
	job.Provision: with((*Agent).provision),
	job.Init:      with((*Agent).initRepository),
}

// with gives the work of one kind its own type of spec.
func with[S job.Spec](do func(*Agent, *task, S) outcome) func(*Agent, *task) outcome {
	return func(a *Agent, t *task) outcome {
		spec, ok := t.spec.(S)
		if !ok {
			return failed(fmt.Sprintf("The order %T is not one for %q.", t.spec, t.info.Kind), "Update the agent on this machine.")
		}
		return do(a, t, spec)
	}
}

// perform carries a job out and journals how it ended. The policy is asked again:
// it may have changed since a job that begins after a restart was accepted.
func (a *Agent) perform(t *task) {
	if problem := a.policy.refusal(t.info.Kind); problem != "" {
		a.finish(t, failed(problem, ""))
		return
	}
	carryOut, ok := work[t.info.Kind]
	if !ok {
		a.finish(t, failed(fmt.Sprintf("This agent does not know how to carry out %q.", t.info.Kind), "Update the agent on this machine."))
		return
	}
	a.finish(t, carryOut(a, t))
}

// finish journals the end of a job. It is tried until it is on the disk: an end
// that is not written down would be asked for again after a restart.
func (a *Agent) finish(t *task, o outcome) {
	t.log.close()
	var records []api.Record
	if o.made != nil {
		made := *o.made
		made.Snapshot = fitSnapshot(made.Snapshot)
		if record, err := api.NewRecord(api.RecordSnapshot, t.id, a.now(), made); err == nil {
			records = append(records, record)
		} else {
			a.log.Error("a snapshot could not be written down", "job", t.id, "snapshot", made.Snapshot.ID, "error", err)
		}
	}
	o.ended.Summary = fitSummary(o.ended.Summary)
	record, err := api.NewRecord(api.RecordEnded, t.id, a.now(), o.ended)
	if err != nil {
		a.log.Error("the end of a job could not be written down", "job", t.id, "error", err)
		return
	}
	records = append(records, record)
	if t.group != "" {
		a.lastRuns.note(t.group, groupRun{id: t.id, since: t.since, well: o.ended.State.EndedWell()})
	}
	for attempt := 0; ; attempt++ {
		err := a.appendEnd(t, o.ended, records)
		if err == nil {
			break
		}
		a.log.Error("the end of a job could not be written down; trying again", "job", t.id, "error", err)
		if !a.tasks.pause(pause(attempt, a.patience.retryMin, a.patience.retryMax)) {
			return
		}
	}
	a.live.end(t.id)
	a.log.Info("job ended", "job", t.id, "kind", t.info.Kind, "state", o.ended.State, "cause", o.ended.Cause, "error", o.ended.Error)
	if o.after != nil {
		o.after()
	}
}

// appendEnd journals the end of a job together with the retry that follows it, as
// things stand: a cancel or a newer moment may come while the disk takes nothing.
func (a *Agent) appendEnd(t *task, ended api.Ended, records []api.Record) error {
	a.accepting.Lock()
	defer a.accepting.Unlock()
	if !t.cancelAsked.Load() {
		if retry, ok := a.retryRecord(t.id, t.occasion, t.spec, ended); ok {
			records = append(records[:len(records):len(records)], retry)
		}
	}
	if _, err := a.journal.Append(records...); err != nil {
		return err
	}
	t.over.Store(true)
	return nil
}

// began journals that a process is at work for a job. It is not waited for: a
// crash before it is durable is what recovery is for.
func (a *Agent) began(t *task, process restic.Process, argv []string, findings []job.Finding) {
	body := api.Started{PID: process.PID, Command: fitCommand(argv), Findings: fitFindings(findings)}
	if !process.Started.IsZero() {
		body.ProcessStart = process.Started.UnixMilli()
	}
	if err := a.append(api.RecordStarted, t.id, body); err != nil {
		a.log.Error("the start of a job could not be written down", "job", t.id, "error", err)
		return
	}
	a.beside.Go(func() {
		if err := a.journal.Sync(); err != nil {
			a.log.Error("journal could not be written", "job", t.id, "error", err)
		}
	})
}

// accessOf returns how a job's repository is reached.
func (a *Agent) accessOf(t *task) (api.Access, bool) { return a.accessTo(t.repository, t.access) }

// accessTo returns how a repository is reached: as came with the order, or else by
// the plan.
func (a *Agent) accessTo(id job.RepositoryID, came *api.Access) (api.Access, bool) {
	if came != nil && came.Repository == id {
		return *came, true
	}
	return a.plan.access(id)
}

// Bounds of what one record carries, so that it fits whatever paths are in it.
const (
	maxFindings     = 200
	maxFindingsSize = 128 << 10 // bytes of JSON
	maxPathsSize    = 128 << 10 // bytes of JSON
)

// fitFindings cuts a list to what a record holds.
func fitFindings(findings []job.Finding) []job.Finding {
	size := 0
	for i, finding := range findings {
		raw, err := json.Marshal(finding)
		size += len(raw)
		if err != nil || i == maxFindings || size > maxFindingsSize {
			return findings[:i]
		}
	}
	return findings
}

func fitSummary(summary *job.Summary) *job.Summary {
	if summary == nil {
		return nil
	}
	fitted := *summary
	fitted.Findings = fitFindings(summary.Findings)
	fitted.FindingsOmitted += len(summary.Findings) - len(fitted.Findings)
	return &fitted
}

// maxCommand bounds an argument vector, in bytes: many exclusions make it long.
const maxCommand = 16 << 10

// fitCommand cuts an argument vector to what a person can read.
func fitCommand(argv []string) []string {
	size := 0
	for i, arg := range argv {
		if size += len(arg); size > maxCommand {
			return append(argv[:i:i], fmt.Sprintf("… and %d more", len(argv)-i))
		}
	}
	return argv
}

// fitSnapshot cuts the paths of a snapshot to what a record holds.
func fitSnapshot(snapshot job.Snapshot) job.Snapshot {
	size := 0
	for i, path := range snapshot.Paths {
		raw, err := json.Marshal(path)
		size += len(raw)
		if err != nil || size > maxPathsSize {
			snapshot.Paths = append(snapshot.Paths[:i:i], fmt.Sprintf("… and %d more", len(snapshot.Paths)-i))
			break
		}
	}
	return snapshot
}
