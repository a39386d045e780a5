package control

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// abandonReason says why a pending run was given up. The audit log names it.
type abandonReason string

// Reasons.
const (
	abandonScheduleGone     abandonReason = "schedule_gone"
	abandonScheduleDisabled abandonReason = "schedule_disabled"
	abandonGroupGone        abandonReason = "source_group_gone"
	abandonGroupLeft        abandonReason = "source_group_left_schedule"
	abandonAttempts         abandonReason = "attempts_used_up"
	abandonHostRemoved      abandonReason = "host_removed"
	abandonUnresolvable     abandonReason = "can_not_be_sent"
)

// abandonSentences tell each reason to a person.
var abandonSentences = map[abandonReason]string{
	abandonScheduleGone:     "Its schedule was removed before it could start.",
	abandonScheduleDisabled: "Its schedule was disabled before it could start.",
	abandonGroupGone:        "Its source group was removed before it could start.",
	abandonGroupLeft:        "Its source group was taken out of the schedule before it could start.",
	abandonAttempts:         "All its attempts are used up.",
	abandonHostRemoved:      "Its host was removed before it could start.",
}

// abandon gives a pending run up for good.
func (c *Control) abandon(ctx context.Context, tx *store.Tx, j fleet.Job, reason abandonReason, why string) error {
	moved, err := tx.MoveJob(ctx, j.ID, j.State, job.Skipped, job.ByServer, c.now())
	if err != nil || !moved {
		return err
	}
	if err := tx.EndJob(ctx, j.ID, store.End{At: c.now(), Cause: job.CauseAbandoned, Error: why}); err != nil {
		return err
	}
	action := "pending_run.abandoned"
	if j.Kind != job.Backup {
		action = "job.abandoned"
	}
	detail := runDetail(j)
	detail["reason"] = reason
	return c.audit(ctx, tx, auth.Server, action, NounJob, string(j.ID), detail)
}

// skip ends a pending run that another job stands for.
func (c *Control) skip(ctx context.Context, tx *store.Tx, j fleet.Job, cause job.Cause, by job.ID, why, action string) error {
	moved, err := tx.MoveJob(ctx, j.ID, j.State, job.Skipped, job.ByServer, c.now())
	if err != nil || !moved {
		return err
	}
	if err := tx.EndJob(ctx, j.ID, store.End{At: c.now(), Cause: cause, By: by, Error: why}); err != nil {
		return err
	}
	detail := runDetail(j)
	detail["by"] = by
	return c.audit(ctx, tx, auth.Server, action, NounJob, string(j.ID), detail)
}

func skippedAs(j fleet.Job, cause job.Cause) fleet.Job {
	j.State, j.Cause = job.Skipped, cause
	return j
}
