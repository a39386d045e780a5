package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// errCheckTime ends a check that has held its lock for as long as it may.
var errCheckTime = errors.New("the time for a check is over")

// maxBroken is how many broken packs are named.
const maxBroken = 100

// repositoryFor is the way to a repository from here: on a storage agent the files
// themselves, elsewhere what the plan or the order says. The problem is an outcome.
func (a *Agent) repositoryFor(id job.RepositoryID, user string, came *api.Access) (repository restic.Repository, shown string, problem *outcome) {
	access, ok := a.accessTo(id, came)
	switch {
	case !ok || access.Key == "":
		o := failed("This agent was not told how to reach the repository.", "Restart this agent, so that the server sends it the plan again; then run the job again.")
		return repository, "", &o
	case user == "":
		return repositoryOf(access), access.URL, nil
	case a.policy.Storage == nil:
		o := failed("This machine is no storage box, and was asked about the files of one.", "Look at the policy file of the agent there.")
		return repository, "", &o
	}
	place, problem := a.openPlace(user)
	if problem != nil {
		return repository, "", problem
	}
	defer place.close()
	if state, err := place.look(); err != nil || state != placeComplete {
		if err == nil {
			err = fmt.Errorf("it is %s", state)
		}
		o := failed("There is no repository in the folder of "+user+colon(err.Error())+".", "Look at it on the storage box.")
		return repository, "", &o
	}
	return restic.Repository{URL: place.target(), Password: access.Key}, place.target(), nil
}

// check proves a repository. Its lock keeps all others waiting, so it has a time.
func (a *Agent) check(t *task, spec *job.CheckSpec) outcome {
	repository, shown, problem := a.repositoryFor(spec.Repository, spec.User, t.access)
	if problem != nil {
		return *problem
	}
	runner, err := a.runner()
	if err != nil {
		return failed(explainStart(err))
	}
	a.removeLeftOf(t.ctx, spec.Repository, repository)
	w := &watch{agent: a, task: t, runner: runner, call: restic.Call{Repository: repository}}
	call := w.callFor(time.Duration(spec.RetryLockSeconds) * time.Second)
	call.Hooks.Started = func(process restic.Process, argv []string) { w.started(process, argv, nil) }
	ctx, stop := w.within(t.ctx, time.Duration(spec.MostSeconds)*time.Second, errCheckTime)
	defer stop()
	begun := a.options.Now()
	result, err := runner.Check(ctx, restic.CheckOptions{Call: call, ReadMiB: spec.ReadMiB, ReadAll: spec.ReadAll})
	found := job.CheckResult{ReadMiB: spec.ReadMiB, ReadAll: spec.ReadAll, Seconds: a.options.Now().Sub(begun).Seconds()}
	var o outcome
	switch cause := result.Cause; {
	case errors.Is(cause, errCheckTime):
		o = failed(fmt.Sprintf("The check was ended after %s, so that backups need not wait any longer. What it had found by then is in the log.", roughly(time.Duration(spec.MostSeconds)*time.Second)),
			"Let it read less, or give it more time.")
		o.ended.Cause = job.CauseTimeout
	case err != nil:
		o = a.explainQuery(err, api.Access{URL: shown}, a.policy.FirstContact)
		if result.Exit == restic.ExitLocked {
			o.ended.Trouble, o.ended.Summary.Locks = job.TroubleLocked, w.whoLocks()
		}
	default:
		o = checked(result, found)
	}
	o.after = func() { w.noteLock(spec.Repository, result.Result) }
	return o
}

// checked is the end of a check that came to a result.
func checked(result restic.CheckResult, found job.CheckResult) outcome {
	said := *result.Summary
	found.Errors, found.BrokenCount = said.Errors, len(said.BrokenPacks)
	found.BrokenPacks = said.BrokenPacks[:min(len(said.BrokenPacks), maxBroken)]
	found.RepairIndex, found.Prune = said.SuggestRepairIndex, said.SuggestPrune
	code := int(result.Exit)
	ended := api.Ended{State: job.Succeeded, ExitCode: &code, Summary: &job.Summary{Check: &found}}
	if said.Errors == 0 {
		return outcome{ended: ended}
	}
	ended.State, ended.Trouble = job.Failed, job.TroubleDamaged
	var words []string
	if found.BrokenCount > 0 {
		words = append(words, fmt.Sprintf("%d of its packs can't be read", found.BrokenCount))
	}
	if found.RepairIndex {
		words = append(words, "its index is not whole")
	}
	ended.Error = fmt.Sprintf("The repository is damaged: restic counts %d errors%s.", said.Errors, colon(strings.Join(words, ", ")))
	ended.Summary.Advice = "Change nothing in it and make no prune. Copy the repository's folder if there is room, then follow restic's troubleshooting guide; the log has restic's own words."
	return outcome{ended: ended}
}

// lookStats counts what a repository stores and holds.
func (a *Agent) lookStats(ctx context.Context, spec job.Spec, came *api.Access) lookAnswer {
	asked, ok := spec.(*job.StatsSpec)
	if !ok {
		return lookAnswer{ended: failed(fmt.Sprintf("The order %T is not one for a count.", spec), "Update the agent on this machine.").ended}
	}
	repository, shown, problem := a.repositoryFor(asked.Repository, asked.User, came)
	if problem != nil {
		return lookAnswer{ended: problem.ended}
	}
	runner, err := a.runner()
	if err != nil {
		return lookAnswer{ended: failed(explainStart(err)).ended}
	}
	count := func(mode restic.StatsMode, tag string) (restic.Stats, error) {
		call := restic.Call{Repository: repository, RetryLock: a.patience.question}
		asked := call
		// restic says nothing before it has counted all.
		call.Hooks = restic.Hooks{FirstContact: a.policy.FirstContact, SilenceAfter: min(a.patience.silence, a.policy.FirstContact/2),
			Silence: func(ctx context.Context, _ time.Duration) bool {
				ctx, cancel := context.WithTimeout(ctx, a.patience.question)
				defer cancel()
				_, err := runner.ListLocks(ctx, asked)
				return err == nil
			}}
		result, err := runner.Stats(ctx, restic.StatsOptions{Call: call, Mode: mode, Tag: tag})
		return result.Stats, err
	}
	stats := &job.StatsResult{}
	raw, err := count(restic.StatsRaw, "")
	if err == nil {
		stats.StoredBytes, stats.UncompressedBytes, stats.Blobs, stats.Snapshots = int64(raw.Bytes), int64(raw.UncompressedBytes), int64(raw.Blobs), int64(raw.Snapshots)
		raw, err = count(restic.StatsRestored, "")
		stats.RestoredBytes, stats.Files = int64(raw.Bytes), int64(raw.Files)
	}
	for _, group := range asked.Groups {
		if err != nil {
			break
		}
		raw, err = count(restic.StatsRestored, job.GroupTag(group))
		stats.Groups = append(stats.Groups, job.GroupStats{Group: group, Bytes: int64(raw.Bytes), Files: int64(raw.Files), Snapshots: int64(raw.Snapshots)})
	}
	if err != nil {
		return lookAnswer{ended: a.explainQuery(err, api.Access{URL: shown}, a.policy.FirstContact).ended}
	}
	return lookAnswer{ended: api.Ended{State: job.Succeeded, Summary: &job.Summary{Stats: stats}}}
}
