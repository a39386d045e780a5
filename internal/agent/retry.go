package agent

import (
	"encoding/json"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// retry is the run that follows one which ended for a cause that passes; ok is
// false when none does. RetryMax counts attempts, the first run among them.
func retry(id job.ID, occasion job.Occasion, spec *job.BackupSpec, ended api.Ended, now time.Time) (next job.ID, due api.Due, ok bool) {
	if !job.Retryable(ended.State, ended.Cause, ended.Trouble) || occasion.Retry+1 >= spec.RetryMax {
		return "", api.Due{}, false
	}
	following, next, err := occasion.Next(id)
	if err != nil {
		return "", api.Due{}, false // an id that is none was never accepted
	}
	wait := schedule.Backoff(time.Duration(spec.RetryBackoffSeconds)*time.Second, following.Retry)
	return next, api.Due{Group: spec.Group, Occasion: following, NotBefore: now.Add(wait).UnixMilli()}, true
}

// retryRecord is the due record of the retry that follows the end of a job; ok is
// false when none does.
func (a *Agent) retryRecord(id job.ID, occasion job.Occasion, spec job.Spec, ended api.Ended) (record api.Record, ok bool) {
	backup, isBackup := spec.(*job.BackupSpec)
	if !isBackup {
		return record, false
	}
	next, due, ok := retry(id, occasion, backup, ended, a.options.Now())
	if !ok || a.journal.Noted(next) {
		return record, false
	}
	if _, planned := a.plan.timetable().groups[backup.Group]; !planned {
		return record, false
	}
	if gone, err := a.state.gone(); gone || err != nil {
		return record, false
	}
	for _, held := range a.journal.Held() {
		if occasion.Schedule != "" && held.Due.Schedule == occasion.Schedule && held.Due.Group == backup.Group {
			return record, false // a newer moment waits already and does its work
		}
	}
	record, err := api.NewRecord(api.RecordDue, next, a.now(), due)
	if err != nil {
		a.log.Error("a retry could not be written down", "job", id, "error", err)
		return record, false
	}
	a.log.Info("the backup is tried again", "job", id, "retry", next, "attempt", due.Retry, "not_before", time.UnixMilli(due.NotBefore).UTC())
	return record, true
}

// mendRetry writes the retry of the job that ended last, if a power cut took it
// though the end itself had reached the disk: both were written at once.
func (a *Agent) mendRetry() {
	id := a.journal.EndedLast()
	if id == "" {
		return
	}
	records, err := a.journal.RecordsOf(id)
	if err != nil {
		a.log.Warn("whether a retry is owed is not known", "job", id, "error", err)
		return
	}
	var accepted api.Accepted
	var ended api.Ended
	asked := false
	for _, record := range records {
		switch record.Kind { //nolint:exhaustive // all others say nothing of a retry
		case api.RecordAccepted:
			err = json.Unmarshal(record.Body, &accepted)
		case api.RecordEnded:
			err = json.Unmarshal(record.Body, &ended)
		case api.RecordCancel:
			asked = true
		}
		if err != nil {
			return // another build wrote it, and looks after it when it is back
		}
	}
	spec, err := job.DecodeSpec(accepted.Kind, accepted.Spec)
	if err != nil || asked {
		return // never accepted, not to be understood, or cancelled
	}
	record, ok := a.retryRecord(id, accepted.Occasion, spec, ended)
	if !ok {
		return
	}
	if _, err := a.journal.Append(record); err != nil {
		a.log.Error("a retry could not be written down", "job", id, "error", err)
	}
}
