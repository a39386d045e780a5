package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// recoverAll takes up every job that the journal holds as unfinished.
func (a *Agent) recoverAll() {
	for _, unfinished := range a.journal.Unfinished() {
		info, known := job.InfoOf(unfinished.Accepted.Kind)
		spec, err := job.DecodeSpec(unfinished.Accepted.Kind, unfinished.Accepted.Spec)
		if !known || err != nil {
			a.log.Error("an unfinished job can't be understood", "job", unfinished.ID, "error", err)
			sentence := "The agent was restarted while it ran, and the agent that is here now does not understand its order."
			if err := a.append(api.RecordEnded, unfinished.ID, api.Ended{State: job.Lost, Cause: job.CauseRestarted, Error: sentence}); err != nil {
				a.log.Error("the end of a job could not be written down", "job", unfinished.ID, "error", err)
			}
			continue
		}
		a.log.Info("an unfinished job was found", "job", unfinished.ID, "kind", info.Kind)
		t := a.newTask(unfinished.ID, info, spec, nil)
		t.earlier = &unfinished
		t.occasion, t.since = unfinished.Accepted.Occasion, time.UnixMilli(unfinished.At)
		t.cancelAsked.Store(unfinished.CancelAsked != nil)
		a.live.phase(t.id, job.PhaseFindingOut)
		a.tasks.add(t)
	}
}

// recovery is the finding out about one unfinished job.
type recovery struct {
	agent   *Agent
	task    *task
	remains job.Remains
	// own names the process whose lock may be left.
	own leftLock
	// found is the snapshot that proves the job's work.
	found *restic.Snapshot
	told  bool // the log says that the repository does not answer
	// leftEnded: something of the job was still at work.
	leftEnded bool
	// hooked: the post-hook is over, or was not owed; hookError says how it ended.
	hooked    bool
	hookError error
}

// recover works through the table of job.Recover until the job is ended, is to
// be begun after all, or the agent stops.
func (a *Agent) recover(t *task) (begin bool) {
	r := newRecovery(a, t)
	for attempt := 0; ; {
		left, err := a.options.System.FindLeft(string(t.id))
		if err != nil && !errors.Is(err, restic.ErrProcessesUnknown) {
			// A restic of this job may be at work, so nothing is decided yet.
			a.log.Warn("the processes of a job can't be listed; trying again", "job", t.id, "error", err)
			if !r.waitForRepository(attempt) {
				return false
			}
			attempt++
			continue
		}
		r.remains.ProcessLeft = len(left) > 0
		if !r.remains.ProcessLeft {
			r.runOwedHook()
		}
		r.remains.CancelAsked = t.cancelAsked.Load()
		decision := job.Recover(r.remains)
		switch decision.Step {
		case job.StepEndProcess:
			if !r.endProcesses(left) {
				return false
			}
		case job.StepAsk:
			r.remains.Proof = r.ask()
		case job.StepAskLater:
			if !r.waitForRepository(attempt) {
				return false
			}
			attempt++
			r.remains.Proof = job.NotAsked
		case job.StepStart:
			t.log.add(job.LogInfo, "The agent was restarted before this job had begun.")
			a.live.phase(t.id, "")
			return true
		case job.StepEnd:
			a.finish(t, r.outcome(decision))
			return false
		}
		if t.ctx.Err() != nil {
			return false // it stays unfinished in the journal
		}
	}
}

func newRecovery(a *Agent, t *task) *recovery {
	r := &recovery{agent: a, task: t, remains: job.Remains{
		Kind: t.info.Kind, Last: job.WasAccepted, Troubled: t.earlier.Troubled, Proof: job.NotAsked,
	}}
	r.own = leftLock{Repository: t.repository, Job: t.id, From: time.UnixMilli(t.earlier.At), Until: a.started}
	if begun := t.earlier.Started; begun != nil {
		r.remains.Last = job.WasStarted
		r.own.PID = begun.PID
	}
	if pre := t.earlier.PreHook; pre != nil {
		r.remains.Last = job.WasStarted
		if pre.Error != "" {
			r.remains.Proof = job.Absent // restic did not run
		}
	}
	return r
}

// runOwedHook runs the post-hook of a job that had begun, as soon as nothing of
// it is at work: what its pre-hook stopped must not wait for a repository.
func (r *recovery) runOwedHook() {
	spec, ok := r.task.spec.(*job.BackupSpec)
	if !ok || r.hooked || r.task.ctx.Err() != nil {
		return
	}
	r.hooked = true
	earlier := r.task.earlier
	switch {
	case earlier.PostHook != nil && earlier.PostHook.Over:
		if earlier.PostHook.Error != "" {
			r.hookError = errors.New(earlier.PostHook.Error)
		}
	case spec.PostHook != nil && (earlier.PreHook != nil || earlier.Started != nil || earlier.PostHook != nil || r.leftEnded):
		r.task.log.add(job.LogInfo, "The agent was restarted while this job ran; its post-hook is run now.")
		r.hookError = r.agent.postHook(r.task, spec, job.Lost, "The agent was restarted while it ran.")
	}
}

// endProcesses asks what is left of a job to end, and kills what does not.
func (r *recovery) endProcesses(left []restic.Process) bool {
	r.leftEnded = true
	for _, process := range left {
		// A hook holds no lock.
		if r.own.PID == 0 || r.agent.options.System.Alive(process.PID) {
			r.own.PID = process.PID
		}
		r.task.log.add(job.LogWarn, fmt.Sprintf("The agent was restarted; process %d of this job was still at work and is asked to end.", process.PID))
		if err := r.agent.options.System.Stop(process); err != nil {
			r.agent.log.Warn("a process that is left can't be asked to end", "job", r.task.id, "error", err)
		}
	}
	gone := r.awaitEnd(r.agent.patience.stopGrace)
	if !gone && r.task.ctx.Err() == nil {
		for _, process := range left {
			if err := r.agent.options.System.Kill(process); err != nil {
				r.agent.log.Warn("a process that is left can't be killed", "job", r.task.id, "error", err)
			}
		}
		gone = r.awaitEnd(r.agent.patience.stopGrace)
	}
	r.own.Until = r.agent.options.Now()
	return gone || r.task.ctx.Err() == nil
}

// leftPoll is how often a process of an earlier run is looked for: its end can't
// be waited for, since it is no child of this process.
const leftPoll = 100 * time.Millisecond

func (r *recovery) awaitEnd(wait time.Duration) bool {
	deadline := time.Now().Add(wait)
	for time.Now().Before(deadline) {
		if left, err := r.agent.options.System.FindLeft(string(r.task.id)); err == nil && len(left) == 0 {
			return true
		}
		if !sleep(r.task.ctx, leftPoll) {
			return false
		}
	}
	return false
}

// ask looks for the job's snapshot, and removes the lock that its process left.
func (r *recovery) ask() job.Proof {
	a, t := r.agent, r.task
	access, ok := a.plan.access(t.repository)
	if !ok {
		r.tell("how to reach the repository is not known yet")
		return job.Unanswered
	}
	runner, err := a.runner()
	if err != nil {
		r.tell(err.Error())
		return job.Unanswered
	}
	ctx, cancel := context.WithTimeout(t.ctx, a.patience.question)
	defer cancel()
	call := restic.Call{Repository: repositoryOf(access)}
	spec, ok := t.spec.(*job.BackupSpec)
	if !ok {
		return job.Unanswered // never: snapshots prove backups only
	}
	list, err := runner.Snapshots(ctx, restic.SnapshotsOptions{Call: call, Host: spec.ResticHost, Tags: []string{job.GroupTag(spec.Group)}})
	var refused *restic.ExitError
	if errors.As(err, &refused) && refused.Result.Exit == restic.ExitNoRepository {
		r.task.log.add(job.LogError, "There is no repository at "+access.URL+" any more.")
		return job.Absent
	}
	if err != nil {
		r.tell(a.explainQuery(err, access, a.patience.question).ended.Error)
		return job.Unanswered
	}
	removed, err := a.removeOwnLocks(ctx, runner, call, r.own)
	for _, lock := range removed {
		t.log.add(job.LogInfo, fmt.Sprintf("The lock %.8s that process %d had left is removed.", lock.ID, lock.PID))
	}
	if err != nil {
		t.log.add(job.LogWarn, "A lock may be left; it will be removed later.")
		a.leaveLock(r.own)
	}
	r.found = pickSnapshot(list.Snapshots, t.earlier, a.started, func(snapshot string) bool { return a.journal.MadeByOther(snapshot, t.id) })
	if r.found == nil {
		return job.Absent
	}
	r.remains.Troubled = r.remains.Troubled || savedNothing(r.found)
	return job.Found
}

// savedNothing tells whether a snapshot says that it holds no file.
func savedNothing(s *restic.Snapshot) bool {
	return s.Summary != nil && s.Summary.TotalFilesProcessed == 0
}

// Bounds of the time between the start of a process and that of its snapshot,
// which restic takes before it does anything else.
const (
	// startTolerance allows for clocks that count in different steps.
	startTolerance = time.Second
	// startLag allows for a machine that is slow to run what it has started.
	startLag = 2 * time.Minute
)

// pickSnapshot returns the first snapshot that the process of a job can have made
// and that no other job is known to have made; nil is none. By the process's own
// start it is found whatever was done to the clock since. Without it the job was
// cut off before or as its process began: then it is one from after its acceptance
// and from before this agent was restarted.
func pickSnapshot(list []restic.Snapshot, begun *journal.Unfinished, restarted time.Time, others func(snapshot string) bool) *restic.Snapshot {
	since := time.UnixMilli(begun.At).Add(-startTolerance)
	var until time.Time // zero: the clock was set back meanwhile, and says nothing
	if !restarted.Before(since) {
		until = restarted.Add(startLag)
	}
	if begun.Started != nil && begun.Started.ProcessStart > 0 {
		start := time.UnixMilli(begun.Started.ProcessStart)
		since, until = start.Add(-startTolerance), start.Add(startLag)
	}
	var first *restic.Snapshot
	for i, snapshot := range list {
		if snapshot.Time.Before(since) || !until.IsZero() && snapshot.Time.After(until) || others(snapshot.ID) {
			continue
		}
		if first == nil || snapshot.Time.Before(first.Time) {
			first = &list[i]
		}
	}
	return first
}

// tell says once in the job's log why the truth is not known yet.
func (r *recovery) tell(reason string) {
	r.agent.log.Info("the repository can't be asked about an unfinished job yet", "job", r.task.id, "reason", reason)
	if !r.told {
		r.told = true
		r.task.log.add(job.LogWarn, "The agent was restarted while this job ran. Whether its snapshot exists can't be found out yet: "+firstLine(reason))
	}
}

// waitForRepository waits before the repository is asked again; another plan
// may bring the right password sooner.
func (r *recovery) waitForRepository(attempt int) bool {
	timer := time.NewTimer(pause(attempt, r.agent.patience.retryMin, r.agent.patience.retryMax))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.agent.plan.next():
	case <-r.task.ctx.Done():
		return false
	}
	return true
}

func (r *recovery) outcome(decision job.Decision) outcome {
	o := outcome{ended: api.Ended{State: decision.State, Cause: decision.Cause, Summary: &job.Summary{}}}
	if asked := r.task.earlier.CancelAsked; asked != nil && decision.State == job.Cancelled {
		o.ended.Cause = asked.Cause
	}
	if begun := r.task.earlier.Started; begun != nil {
		o.ended.Summary.Findings = begun.Findings
	}
	switch decision.State { //nolint:exhaustive // job.Recover ends a job in no other state but a success, which needs no words
	case job.Lost:
		o.ended.Error = "The agent was restarted while it ran, and no snapshot of it was found."
		if r.remains.Kind != job.Backup {
			o.ended.Error = "The agent was restarted while it ran; what it had done is not known."
		}
		o.ended.Summary.Advice = "Run it again; what was sent so far need not be sent again."
	case job.Cancelled:
		o.ended.Error = "It was cancelled; the agent was restarted meanwhile."
	case job.Warning:
		o.ended.Error = "The agent was restarted while it ran. Its snapshot is complete as far as restic went, but its log has warnings."
		o.ended.Summary.Advice = "Look at the job's log."
	}
	if r.found != nil {
		snapshot := snapshotOf(*r.found)
		o.made = &api.SnapshotMade{Repository: r.task.repository, Snapshot: snapshot}
		if s := r.found.Summary; s != nil {
			findings := o.ended.Summary.Findings
			o.ended.Summary = summaryOf(&restic.BackupSummary{SnapshotID: r.found.ID,
				FilesNew: s.FilesNew, FilesChanged: s.FilesChanged, FilesUnmodified: s.FilesUnmodified,
				TotalFilesProcessed: s.TotalFilesProcessed, TotalBytesProcessed: s.TotalBytesProcessed,
				DataAdded: s.DataAdded, DataAddedPacked: s.DataAddedPacked, TotalDuration: s.BackupEnd.Sub(s.BackupStart).Seconds()})
			o.ended.Summary.Findings = findings
		}
		if savedNothing(r.found) {
			o.ended.Error = "The agent was restarted while it ran. " + nothingSaved.sentence(1, "")
			o.ended.Summary.Advice = nothingSaved.advice
			o.ended.Summary.Findings = append(slices.Clone(o.ended.Summary.Findings), job.Finding{Kind: job.NothingSaved})
		}
		o.ended.Summary.SnapshotID = r.found.ID
		r.task.log.add(job.LogInfo, fmt.Sprintf("The agent was restarted while this job ran; its snapshot %.8s was found.", r.found.ID))
		if spec, ok := r.task.spec.(*job.BackupSpec); ok { // as all are that a snapshot proves
			size, shrunk := r.agent.measure(spec, snapshot.BytesProcessed)
			for _, finding := range shrunk {
				blame(&o.ended, finding, shrank.sentence(1, finding.Detail), shrank.advice)
			}
			o.after = func() { r.agent.rememberSources(spec.Group, inspection{}, size) }
		}
	}
	if r.remains.Kind == job.Check {
		// Its lock keeps all others out. It was not asked for yet, as after a backup.
		o.after = func() { r.agent.leaveLock(r.own) }
	}
	if pre := r.task.earlier.PreHook; pre != nil && pre.Error != "" && decision.State == job.Lost {
		o = hookFailed(errors.New(pre.Error))
	}
	if r.hookError != nil {
		blameHook(&o.ended, r.hookError.Error())
	}
	return o
}
