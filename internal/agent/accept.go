package agent

import (
	"context"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// takeJob takes one job from the server. Only its acceptance is waited for.
func (a *Agent) takeJob(ctx context.Context, s *session, asked *api.Job) error {
	if !job.ValidID(string(asked.ID)) {
		return fmt.Errorf("a job came with the id %.40q", asked.ID)
	}
	info, registered := job.InfoOf(asked.Kind)
	if registered && info.Look {
		a.tasks.look(ctx, s, asked)
		return nil
	}
	if a.journal.Known(asked.ID) {
		return nil
	}
	spec, problem := a.admit(asked)
	if problem != "" {
		a.log.Warn("job refused", "job", asked.ID, "kind", asked.Kind, "reason", problem)
		return a.append(api.RecordEnded, asked.ID, api.Ended{State: job.Failed, Error: problem})
	}
	t := a.newTask(asked.ID, info, spec, asked.Access)
	if !a.tasks.isOpen() {
		return nil // the server repeats it in the next session
	}
	if err := a.append(api.RecordAccepted, asked.ID, api.Accepted{Kind: asked.Kind, Origin: asked.Origin, Spec: asked.Spec}); err != nil {
		// Not written down is not accepted. The session ends over it, and the
		// server repeats the job in the next one.
		return fmt.Errorf("job %s not accepted: %w", asked.ID, err)
	}
	a.log.Info("job accepted", "job", asked.ID, "kind", asked.Kind)
	a.tasks.add(t)
	return nil
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
	if !a.journal.Known(cancel.ID) {
		return a.append(api.RecordEnded, cancel.ID, api.Ended{State: job.Cancelled, Cause: cancel.Cause,
			Error: "It was cancelled before this agent had begun it."})
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
