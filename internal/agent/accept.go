package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// takeJob takes one job from the server. Only its acceptance is waited for. One
// that can't be taken now is refused, so that the server asks again later.
func (a *Agent) takeJob(ctx context.Context, s *session, asked *api.Job) error {
	if !job.ValidID(string(asked.ID)) {
		return fmt.Errorf("a job came with the id %.40q", asked.ID)
	}
	info, registered := job.InfoOf(asked.Kind)
	if registered && info.Look {
		a.tasks.look(ctx, s, asked)
		return nil
	}
	if err := a.admitJob(asked); err != nil {
		a.log.Error("a job could not be taken", "job", asked.ID, "kind", asked.Kind, "error", err)
		s.say(ctx, &api.Refused{Job: asked.ID, Reason: whyNotTaken(err)})
	}
	return nil
}

// admitJob accepts a job from the server, or journals why it never will be.
func (a *Agent) admitJob(asked *api.Job) error {
	a.accepting.Lock()
	defer a.accepting.Unlock()
	if a.journal.Known(asked.ID) {
		return nil
	}
	spec, problem := a.admit(asked)
	if problem != "" {
		a.log.Warn("job refused", "job", asked.ID, "kind", asked.Kind, "reason", problem)
		return a.append(api.RecordEnded, asked.ID, api.Ended{State: job.Failed, Error: problem})
	}
	if done := a.doneBefore(asked); done != "" {
		return a.append(api.RecordEnded, asked.ID, satisfied(done, "An earlier attempt has done its work on this machine.").end)
	}
	accepted := api.Accepted{Kind: asked.Kind, Origin: asked.Origin, Occasion: asked.Occasion, Spec: asked.Spec}
	for _, held := range a.journal.Held() {
		if held.ID == asked.ID {
			accepted.Occasion = held.Due.Occasion // this side knows best why it is due
		}
	}
	_, err := a.accept(asked.ID, spec, asked.Access, accepted)
	return err
}

// doneBefore is the earlier attempt of a retry that ended well here, which its server
// may not know: it was told otherwise by a copy of this machine. "" is none.
func (a *Agent) doneBefore(asked *api.Job) job.ID {
	for _, earlier := range asked.Earlier() {
		if a.journal.EndedWell(earlier) {
			return earlier
		}
	}
	return ""
}

// errStopping is why a job is not taken while the agent ends.
var errStopping = errors.New("the agent is being stopped")

// accept writes a job down and lets it wait for its turn. Not written down is not
// accepted. The caller holds accepting.
func (a *Agent) accept(id job.ID, spec job.Spec, access *api.Access, accepted api.Accepted) (*task, error) {
	if !a.tasks.isOpen() {
		return nil, errStopping
	}
	now := a.options.Now()
	if err := a.append(api.RecordAccepted, id, accepted); err != nil {
		return nil, err
	}
	a.log.Info("job accepted", "job", id, "kind", accepted.Kind)
	info, _ := job.InfoOf(accepted.Kind)
	t := a.newTask(id, info, spec, access)
	t.occasion, t.since = accepted.Occasion, now
	a.tasks.add(t)
	return t, nil
}

// whyNotTaken says for a person why a job can't be taken now.
func whyNotTaken(err error) string {
	switch {
	case errors.Is(err, errStopping):
		return "The agent is being stopped."
	case errors.Is(err, journal.ErrFull):
		return "The disk of this machine is full, so the agent could not write the job down."
	case errors.Is(err, journal.ErrBroken):
		return "The disk of this machine failed under the agent's journal; restart the agent once the disk is well."
	}
	return "The agent could not write the job down" + colon(err.Error()) + "."
}

// admit decodes a job's spec and asks the policy. The problem is a sentence.
func (a *Agent) admit(asked *api.Job) (spec job.Spec, problem string) {
	spec, err := job.DecodeSpec(asked.Kind, asked.Spec)
	if err != nil {
		return nil, fmt.Sprintf("This agent could not use the order that it was sent: %v.", err)
	}
	return spec, a.policy.refusal(asked.Kind)
}

// takeCancel ends a job, or makes sure that a late copy of it never starts.
func (a *Agent) takeCancel(cancel *api.Cancel) error {
	if !job.ValidID(string(cancel.ID)) {
		return fmt.Errorf("a cancel came with the id %.40q", cancel.ID)
	}
	if a.tasks.stopLook(cancel.ID, stopError{cancel.Cause}) {
		return nil
	}
	a.accepting.Lock()
	defer a.accepting.Unlock()
	defer poke(a.clock.wake)
	if !a.journal.Known(cancel.ID) {
		return a.append(api.RecordEnded, cancel.ID, endBefore(cancel))
	}
	if t := a.tasks.withdraw(cancel.ID); t != nil {
		ended := api.Ended{State: job.Cancelled, Cause: cancel.Cause, Error: "It was cancelled while it waited for its turn."}
		t.log.close()
		a.live.end(t.id)
		return a.append(api.RecordEnded, cancel.ID, ended)
	}
	t := a.tasks.find(cancel.ID)
	if t == nil || t.cancelAsked.Swap(true) {
		return nil
	}
	if err := a.append(api.RecordCancel, cancel.ID, api.CancelAsked{Cause: cancel.Cause}); err != nil {
		a.log.Error("a cancel could not be written down; it is carried out all the same", "job", cancel.ID, "error", err)
	}
	a.tasks.cancel(t, stopError{cancel.Cause})
	return nil
}

// maxReason bounds the server's words in a record, in bytes: one that does not fit
// would end the session, and each one after it.
const maxReason = 4 << 10

// endBefore is the end of a job that this agent never began, in the server's words.
func endBefore(cancel *api.Cancel) api.Ended {
	ended := api.Ended{State: job.Cancelled, Cause: cancel.Cause, Error: shorten(cancel.Error, maxReason)}
	if cancel.State == job.Skipped {
		ended.State = job.Skipped
	}
	if ended.Error == "" {
		ended.Error = "It was cancelled before this agent had begun it."
	}
	return ended
}

// append journals one record.
func (a *Agent) append(kind api.RecordKind, id job.ID, body any) error {
	record, err := api.NewRecord(kind, id, a.now(), body)
	if err != nil {
		return err
	}
	if _, err := a.journal.Append(record); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// report journals a fact that belongs to no job.
func (a *Agent) report(report api.Report) {
	if err := a.append(api.RecordReport, "", report); err != nil {
		a.log.Error("a report could not be written down", "topic", report.Topic, "error", err)
		return
	}
	if err := a.journal.Sync(); err != nil {
		a.log.Error("journal could not be written", "error", err)
	}
}

// reportDamage says what of the journal was found damaged and set aside.
func reportDamage(damage string) api.Report {
	return api.Report{Topic: api.ReportQuarantine, Detail: damage}
}
