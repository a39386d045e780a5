package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// lookAnswer is what a look has found.
type lookAnswer struct {
	snapshots []job.Snapshot
	preview   *job.Preview
	ended     api.Ended
}

// lookWork answers each kind of look.
var lookWork = map[job.Kind]func(*Agent, context.Context, job.Spec, *api.Access) lookAnswer{
	job.Snapshots:      (*Agent).lookSnapshots,
	job.PreviewSources: (*Agent).lookPreview,
	job.Stats:          (*Agent).lookStats,
}

// look answers a read-only question. It is not journalled and ends with its
// session.
func (ts *tasks) look(session context.Context, s *session, asked *api.Job) {
	ctx, cancel := context.WithCancelCause(session)
	ts.mutex.Lock()
	_, repeated := ts.looks[asked.ID]
	if !repeated {
		ts.looks[asked.ID] = cancel
	}
	ts.mutex.Unlock()
	if repeated {
		cancel(nil)
		return
	}
	s.looks.Go(func() error {
		defer func() {
			ts.mutex.Lock()
			delete(ts.looks, asked.ID)
			ts.mutex.Unlock()
			cancel(nil)
		}()
		for _, answer := range parts(asked.ID, ts.agent.answerLook(ctx, asked)) {
			s.say(session, answer)
		}
		return nil
	})
}

// stopLook ends a look that is at work and tells whether there was one.
func (ts *tasks) stopLook(id job.ID, cause stopError) bool {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	cancel, ok := ts.looks[id]
	if ok {
		cancel(cause)
	}
	return ok
}

func (a *Agent) answerLook(ctx context.Context, asked *api.Job) lookAnswer {
	spec, problem := a.admit(asked)
	if problem != "" {
		return lookAnswer{ended: api.Ended{State: job.Failed, Error: problem}}
	}
	answer, ok := lookWork[asked.Kind]
	if !ok {
		return lookAnswer{ended: api.Ended{State: job.Failed, Error: fmt.Sprintf("This agent does not know how to answer %q.", asked.Kind)}}
	}
	return answer(a, ctx, spec, asked.Access)
}

// parts cuts the answer to a look into messages that fit a frame.
func parts(id job.ID, found lookAnswer) []*api.Answer {
	answers := []*api.Answer{{Job: id}}
	size := 0
	for _, snapshot := range found.snapshots {
		raw, err := json.Marshal(snapshot)
		if err != nil {
			continue // a snapshot has nothing that can't be encoded
		}
		last := answers[len(answers)-1]
		if size+len(raw) > api.MaxBatch && len(last.Snapshots) > 0 {
			last.More = true
			last = &api.Answer{Job: id}
			answers = append(answers, last)
			size = 0
		}
		last.Snapshots = append(last.Snapshots, snapshot)
		size += len(raw)
	}
	last := answers[len(answers)-1]
	last.Preview, last.Ended = found.preview, &found.ended
	return answers
}

// lookSnapshots lists the snapshots of a repository.
func (a *Agent) lookSnapshots(ctx context.Context, spec job.Spec, came *api.Access) lookAnswer {
	id, _ := spec.Subject()
	access, ok := a.accessTo(id, came)
	if !ok {
		return lookAnswer{ended: failed("This agent was not told how to reach the repository.", "").ended}
	}
	runner, err := a.runner()
	if err != nil {
		sentence, advice := explainStart(err)
		return lookAnswer{ended: failed(sentence, advice).ended}
	}
	ctx, cancel := context.WithTimeout(ctx, a.policy.FirstContact)
	defer cancel()
	list, err := runner.Snapshots(ctx, restic.SnapshotsOptions{Call: restic.Call{Repository: repositoryOf(access)}})
	if err != nil {
		return lookAnswer{ended: a.explainQuery(err, access, a.policy.FirstContact).ended}
	}
	snapshots := make([]job.Snapshot, 0, len(list.Snapshots))
	for _, snapshot := range list.Snapshots {
		snapshots = append(snapshots, fitSnapshot(snapshotOf(snapshot)))
	}
	return lookAnswer{snapshots: snapshots, ended: api.Ended{State: job.Succeeded, Summary: &job.Summary{Snapshots: len(snapshots)}}}
}

// explainQuery says why a question to a repository, which was given the time
// waited, has no answer.
func (a *Agent) explainQuery(err error, access api.Access, waited time.Duration) outcome {
	var exit *restic.ExitError
	if !errors.As(err, &exit) {
		if cause := causeOf(err); cause != "" {
			return outcome{ended: api.Ended{State: job.EndByCause(cause), Cause: cause, Error: "It was stopped before it had an answer."}}
		}
		return failed(explainStart(err))
	}
	s := scene{Repository: access.URL, FirstContact: waited, Now: a.options.Now(), Message: exit.Result.Message}
	if cause := causeOf(exit.Result.Cause); cause != "" && cause != job.CauseTimeout {
		return outcome{ended: api.Ended{State: job.EndByCause(cause), Cause: cause, Error: "It was stopped before it had an answer."}}
	}
	what := troubleOf(exit.Result)
	if exit.Result.Cause != nil {
		what, s.Message = job.TroubleUnreachable, lastRetry(exit.Result)
	}
	o := failed(explain(what, s))
	if exit.Result.Exit >= 0 {
		code := int(exit.Result.Exit)
		o.ended.ExitCode = &code
	}
	return o
}

func snapshotOf(s restic.Snapshot) job.Snapshot {
	out := job.Snapshot{ID: s.ID, Time: s.Time, Host: s.Hostname, Username: s.Username, Paths: s.Paths, Tags: s.Tags,
		Tree: s.Tree, Parent: s.Parent, Program: s.ProgramVersion}
	if s.Summary != nil {
		out.FilesProcessed, out.BytesProcessed = int64(s.Summary.TotalFilesProcessed), int64(s.Summary.TotalBytesProcessed)
		out.DataAdded = int64(s.Summary.DataAdded)
	}
	return out
}
