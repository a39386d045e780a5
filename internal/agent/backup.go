package agent

import (
	"os/user"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// startPatience is how long the record of a start waits for what the sources
// are like; restic is at work meanwhile.
const startPatience = 50 * time.Millisecond

// backupRun is one backup while it runs.
type backupRun struct {
	watch
	spec    *job.BackupSpec
	looking <-chan inspection
	looked  *inspection // nil while the look goes on
}

// backup runs restic once, with no probe before it and no listing after it.
func (a *Agent) backup(t *task, spec *job.BackupSpec) outcome {
	run := &backupRun{watch: watch{agent: a, task: t}, spec: spec}
	access, ok := a.accessOf(t)
	if !ok {
		return failed("This agent was not told how to reach the repository.", "Restart this agent, so that the server sends it the plan again; then run the job again.")
	}
	var err error
	if run.runner, err = a.runner(); err != nil {
		sentence, advice := explainStart(err)
		return failed(sentence, advice)
	}
	run.call = restic.Call{Repository: repositoryOf(access)}
	return a.withHooks(t, spec, func() outcome {
		run.looking = a.inspect(run.spec)
		result, err := run.runner.Backup(t.ctx, run.options())
		run.awaitLook(inspectionWait)
		return run.conclude(access, result, err)
	})
}

func (r *backupRun) options() restic.BackupOptions {
	call := r.callFor(time.Duration(r.spec.RetryLockSeconds) * time.Second)
	call.LimitUploadKiB = stricter(call.LimitUploadKiB, r.spec.LimitUploadKiB)
	call.LimitDownloadKiB = stricter(call.LimitDownloadKiB, r.spec.LimitDownloadKiB)
	call.Hooks.Started, call.Hooks.Progress = r.started, r.progress
	return restic.BackupOptions{
		Call: call, Host: r.spec.ResticHost, Tags: r.tags(),
		Includes: r.spec.Includes, Excludes: r.spec.Excludes,
		OneFileSystem: r.spec.OneFileSystem, ExcludeCaches: r.spec.ExcludeCaches, UseVSS: r.spec.UseVSS,
	}
}

func (r *backupRun) tags() []string {
	return append([]string{job.GroupTag(r.spec.Group)}, r.spec.Tags...)
}

// awaitLook waits a little for the look at the sources and tells the log.
func (r *backupRun) awaitLook(wait time.Duration) {
	if r.looked != nil {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case looked := <-r.looking:
		r.looked = &looked
		for _, finding := range looked.findings {
			r.task.log.add(job.LogWarn, finding.Path+" "+finding.Detail)
		}
	case <-timer.C:
	}
}

func (r *backupRun) findings() []job.Finding {
	if r.looked == nil {
		return nil
	}
	return r.looked.findings
}

func (r *backupRun) started(process restic.Process, argv []string) {
	r.awaitLook(startPatience)
	r.watch.started(process, argv, r.findings())
}

func (r *backupRun) progress(p restic.Progress) {
	r.agent.live.set(r.task.id, func(live *job.Progress) {
		*live = job.Progress{
			Job: r.task.id, Percent: p.Done,
			FilesDone: int64(p.FilesDone), FilesTotal: int64(p.FilesTotal), BytesDone: int64(p.BytesDone), BytesTotal: int64(p.BytesTotal),
			Errors: int64(p.ErrorCount), ElapsedSeconds: int64(p.Elapsed.Seconds()), RemainingSeconds: int64(p.Remaining.Seconds()),
			CurrentFiles: fitPaths(p.CurrentFiles),
		}
		switch {
		case r.task.ctx.Err() != nil:
			live.Phase = job.PhaseStopping
		case r.away.Load():
			live.Phase = job.PhaseWaitingRepository
		}
	})
}

// conclude turns what came of restic into the end of the job.
func (r *backupRun) conclude(access api.Access, result restic.BackupResult, runErr error) outcome {
	a := r.agent
	proof := evidence{Result: result, RunError: runErr, Sources: r.spec.Includes, Findings: r.findings(), scene: scene{
		Repository: access.URL, LockWait: time.Duration(r.spec.RetryLockSeconds) * time.Second,
		FirstContact: a.policy.FirstContact, Now: a.options.Now(),
	}}
	if runErr != nil {
		a.log.Warn("restic could not be run as it should", "job", r.task.id, "error", runErr)
	}
	var size sizeMemory
	if summary := result.Summary; summary != nil && summary.SnapshotID != "" {
		var shrunk []job.Finding
		size, shrunk = a.measure(r.spec, int64(summary.TotalBytesProcessed))
		proof.Findings = append(slices.Clone(proof.Findings), shrunk...)
	}
	if result.Exit == restic.ExitLocked {
		proof.Locks = r.whoLocks()
	}
	o := outcome{ended: verdict(proof)}
	if id := o.ended.Summary.SnapshotID; id != "" {
		o.made = &api.SnapshotMade{Repository: r.spec.Repository, Snapshot: r.snapshot(result)}
	}
	o.after = func() {
		if o.made != nil {
			looked := inspection{}
			if r.looked != nil {
				looked = *r.looked
			}
			a.rememberSources(r.spec.Group, looked, size)
			a.beside.Go(func() { a.proveAppendOnly(access) })
		}
		r.noteLock(r.spec.Repository, result.Result)
	}
	return o
}

// snapshot describes the snapshot that a backup made from what is known here;
// restic is not asked again.
func (r *backupRun) snapshot(result restic.BackupResult) job.Snapshot {
	made := job.Snapshot{
		ID: result.Summary.SnapshotID, Time: result.Summary.BackupStart, Host: r.spec.ResticHost,
		Paths: r.spec.Includes, Tags: r.tags(), Program: "restic " + r.runner.Binary.Version,
		FilesProcessed: int64(result.Summary.TotalFilesProcessed), BytesProcessed: int64(result.Summary.TotalBytesProcessed),
		DataAdded: int64(result.Summary.DataAdded),
	}
	if who, err := user.Current(); err == nil {
		made.Username = who.Username
	}
	return made
}

// fitPaths keeps live progress far below a frame.
func fitPaths(paths []string) []string {
	fitted := make([]string, 0, len(paths))
	for _, path := range paths {
		fitted = append(fitted, firstLine(path))
	}
	return fitted
}
