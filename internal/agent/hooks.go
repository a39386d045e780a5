package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// hookAdvice is what to do about a hook that did not end well.
const hookAdvice = "What the hook printed is in the job's log. Put it right on this machine or in the source group."

// errHookTimeout ends a hook that takes too long.
var errHookTimeout = errors.New("the hook took too long")

// hook is one hook of a job that the policy lets run.
type hook struct {
	side    api.HookSide
	title   string // for a person: The pre-hook "stop-db"
	argv    []string
	timeout time.Duration
}

// hookError says in one sentence why a hook did not end well.
type hookError struct {
	sentence string
	stopped  error // why this agent ended it, other than for its time; nil when it did not
}

func (e *hookError) Error() string { return e.sentence }

// hookOf asks the policy for a hook; nil is none. Its error is a *hookError.
func (p Policy) hookOf(side api.HookSide, asked *job.Hook) (*hook, error) {
	if asked == nil {
		return nil, nil //nolint:nilnil // most jobs have none
	}
	h := &hook{side: side, argv: asked.Command, timeout: time.Duration(asked.TimeoutSeconds) * time.Second}
	if asked.Name == "" {
		h.title = fmt.Sprintf("The %s-hook %q", side, firstLine(asked.Command[0]))
		if !p.Hooks.Sent {
			return nil, &hookError{sentence: fmt.Sprintf("%s was not run: this machine's own policy in %s lets no command of the server run.", h.title, p.File)}
		}
		return h, nil
	}
	h.title = fmt.Sprintf("The %s-hook %q", side, asked.Name)
	script, ok := p.Hooks.Scripts[asked.Name]
	if !ok {
		return nil, &hookError{sentence: fmt.Sprintf("%s was not run: this machine's own policy in %s names no such script.", h.title, p.File)}
	}
	if problem := scriptProblem(script[0]); problem != "" {
		return nil, &hookError{sentence: fmt.Sprintf("%s was not run: %s.", h.title, problem)}
	}
	h.argv = script
	return h, nil
}

// withHooks does the work of a backup between its hooks. What a pre-hook has
// begun its post-hook follows, whatever comes between; without a pre-hook the
// post-hook follows the work.
func (a *Agent) withHooks(t *task, spec *job.BackupSpec, work func() outcome) outcome {
	pre, err := a.policy.hookOf(api.HookPre, spec.PreHook)
	if pre != nil {
		// What the one stops the other starts: without the other it must not begin.
		_, err = a.policy.hookOf(api.HookPost, spec.PostHook)
	}
	if err != nil {
		return hookFailed(err)
	}
	if pre == nil {
		o := work()
		return a.followed(t, spec, o)
	}
	if t.ctx.Err() != nil {
		return failedBeforeWork(context.Cause(t.ctx))
	}
	var o outcome
	if err := a.runHook(t.ctx, t, spec, pre, nil); err != nil {
		o = hookFailed(err)
	} else {
		o = work()
	}
	return a.followed(t, spec, o)
}

// hookFailed is the end of a backup whose pre-hook kept it from beginning.
func hookFailed(err error) outcome {
	var problem *hookError
	if errors.As(err, &problem) && problem.stopped != nil {
		return failedBeforeWork(problem.stopped)
	}
	o := failed(err.Error()+" Nothing was backed up.", hookAdvice)
	o.ended.Trouble = job.TroubleHook
	o.ended.Summary.Findings = []job.Finding{{Kind: job.HookFailed, Detail: err.Error()}}
	return o
}

// failedBeforeWork is the end of a backup that was stopped in or before its
// pre-hook.
func failedBeforeWork(stopped error) outcome {
	cause := causeOf(stopped)
	if cause == "" {
		cause = job.CauseKilled
	}
	return outcome{ended: api.Ended{State: job.EndByCause(cause), Cause: cause, Error: stopSentence(cause) + " Nothing was backed up.",
		Summary: &job.Summary{Advice: "Run it again when it suits."}}}
}

// followed is the end of a job with what its post-hook adds to it.
func (a *Agent) followed(t *task, spec *job.BackupSpec, o outcome) outcome {
	if err := a.postHook(t, spec, o.ended.State, o.ended.Error); err != nil {
		blameHook(&o.ended, err.Error())
	}
	return o
}

// postHook runs the post-hook of a job, if it has one, and tells it how the job
// stands.
func (a *Agent) postHook(t *task, spec *job.BackupSpec, state job.State, sentence string) error {
	post, err := a.policy.hookOf(api.HookPost, spec.PostHook)
	if post == nil {
		return err
	}
	ctx, end := a.afterwards(t)
	defer end()
	return a.runHook(ctx, t, spec, post, []string{"RM_STATE=" + string(state), "RM_ERROR=" + strings.ReplaceAll(sentence, "\x00", "")})
}

// blameHook adds to the end of a job that its post-hook did not end well.
func blameHook(ended *api.Ended, sentence string) {
	blame(ended, job.Finding{Kind: job.HookFailed, Detail: sentence}, sentence, hookAdvice)
}

// afterwards is the context of what follows the work of a job: its cancel does
// not end it, and a stop of the agent leaves it the time that restic has too.
func (a *Agent) afterwards(t *task) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.ctx))
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-a.tasks.halt:
		case <-ctx.Done():
			return
		}
		if sleep(ctx, a.patience.stopGrace) {
			cancel(stopError{causeStopped})
		}
	})
	return ctx, func() { cancel(nil); watching.Wait() }
}

var hookPhases = map[api.HookSide]job.Phase{api.HookPre: job.PhasePreHook, api.HookPost: job.PhasePostHook}

// runHook runs one hook and journals that it begins and that it is over. Its
// error is a *hookError.
func (a *Agent) runHook(ctx context.Context, t *task, spec *job.BackupSpec, h *hook, more []string) error {
	if err := a.append(api.RecordHook, t.id, api.HookRun{Side: h.side}); err != nil {
		// A post-hook that is owed would be forgotten in a crash.
		return &hookError{sentence: fmt.Sprintf("%s was not run: that it begins could not be written down%s.", h.title, colon(err.Error()))}
	}
	t.log.add(job.LogInfo, h.title+" begins.")
	before := a.live.phaseOf(t.id)
	a.live.phase(t.id, hookPhases[h.side])
	defer a.live.phase(t.id, before)
	err := a.startHook(ctx, t, h, append(hookEnvironment(spec, h.side), more...))
	over := api.HookRun{Side: h.side, Over: true}
	if err == nil {
		t.log.add(job.LogInfo, h.title+" ended well.")
	} else {
		over.Error = err.Error()
		t.log.add(job.LogError, over.Error)
		var problem *hookError
		if h.side == api.HookPre && errors.As(err, &problem) && problem.stopped != nil {
			// The end of the job follows, with its cause. Should the agent be killed
			// before, the hook has not failed: its job was cut off in it.
			return err
		}
	}
	if journalErr := a.append(api.RecordHook, t.id, over); journalErr != nil {
		a.log.Error("the end of a hook could not be written down", "job", t.id, "hook", h.side, "error", journalErr)
	}
	return err
}

// startHook runs the program of a hook until it has ended.
func (a *Agent) startHook(ctx context.Context, t *task, h *hook, env []string) error {
	path, err := a.options.System.LookPath(h.argv[0])
	if err != nil {
		return &hookError{sentence: fmt.Sprintf("%s could not be run%s.", h.title, colon(err.Error()))}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.timeout, errHookTimeout)
	defer cancel()
	prefix := string(h.side) + "-hook: "
	runner := restic.Runner{Grace: a.patience.stopGrace, System: a.options.System, Now: a.options.Now}
	ending, err := runner.RunProgram(ctx, restic.Program{Path: path, Args: h.argv[1:], Env: env, JobID: string(t.id), Line: func(line restic.Line) {
		t.log.add(job.LogInfo, prefix+line.Text) // many programs chat on stderr
	}})
	return h.judge(ending, err)
}

// judge says how a hook ended; nil is well.
func (h *hook) judge(ending restic.Ending, err error) error {
	killed := ""
	if ending.Killed {
		killed = " It did not stop when it was asked and had to be killed."
	}
	switch {
	case errors.Is(ending.Cause, errHookTimeout):
		return &hookError{sentence: fmt.Sprintf("%s did not end within %s and was stopped.%s", h.title, roughly(h.timeout), killed)}
	case ending.Cause != nil:
		return &hookError{sentence: h.title + " was stopped before its end." + killed, stopped: ending.Cause}
	case err != nil:
		return &hookError{sentence: fmt.Sprintf("%s could not be run%s.", h.title, colon(err.Error()))}
	case ending.Exit == restic.ExitKilled:
		return &hookError{sentence: h.title + " was killed from outside, not by this agent."}
	case ending.Exit != restic.ExitOK:
		return &hookError{sentence: fmt.Sprintf("%s ended with exit code %d.", h.title, int(ending.Exit))}
	}
	return nil
}

// hookEnvironment is all that a hook gets of an environment, but for its job's
// id, which its start adds.
func hookEnvironment(spec *job.BackupSpec, side api.HookSide) []string {
	return append(basicEnvironment(), "RM_HOOK="+string(side), "RM_GROUP="+string(spec.Group),
		"RM_GROUP_NAME="+strings.ReplaceAll(spec.GroupName, "\x00", ""))
}
