package rest

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// PendingRun is a backup that waits, in JSON.
type PendingRun struct {
	ID            job.ID           `json:"id" doc:"That of its job."`
	HostID        job.HostID       `json:"host_id"`
	GroupID       job.GroupID      `json:"source_group_id"`
	ScheduleID    job.ScheduleID   `json:"schedule_id" doc:"Empty for one that no schedule asked for."`
	ScheduledAt   *time.Time       `json:"scheduled_at" doc:"The moment of its schedule."`
	State         job.State        `json:"state"`
	Attempt       int              `json:"attempt" doc:"How many attempts are used up."`
	NextAttemptAt *time.Time       `json:"next_attempt_at"`
	Reason        fleet.WaitReason `json:"reason" doc:"Why it waits."`
	Until         *time.Time       `json:"until" doc:"When the reason ends by itself; null when that is not known."`
	Position      int              `json:"position" doc:"Its place in the line for a slot of its rest-server, 1 is next; 0 when it stands in no line."`
	Busy          int              `json:"busy" doc:"How many of the slots are taken."`
	Slots         int              `json:"slots"`
	Blocker       job.ID           `json:"blocker" doc:"The job that it waits for; empty for none."`
	LastError     string           `json:"last_error" doc:"Why its last attempt came to nothing."`
	CreatedAt     *time.Time       `json:"created_at"`
}

func showPending(p fleet.PendingRun) PendingRun {
	return PendingRun{
		ID: p.ID, HostID: p.Host, GroupID: p.Group, ScheduleID: p.Schedule, ScheduledAt: at(p.ScheduledAt), State: p.State,
		Attempt: p.Attempt, NextAttemptAt: at(p.NextAttemptAt), Reason: p.Reason, Until: at(p.Until),
		Position: p.Position, Busy: p.Busy, Slots: p.Slots, Blocker: p.Blocker, LastError: p.Error, CreatedAt: at(p.CreatedAt),
	}
}

type pendingInput struct {
	Paged
	Host job.HostID `query:"host_id" maxLength:"64"`
}

func (a *API) pendingRuns(ctx context.Context, _ auth.Identity, in *pendingInput) (*list[PendingRun], error) {
	runs, next, err := a.Control.PendingRuns(ctx, control.PendingFilter{Host: in.Host, Page: in.page()})
	if err != nil {
		return nil, err
	}
	return listOf(runs, next, showPending), nil
}

func (a *API) runPending(ctx context.Context, who auth.Identity, in *ByID) (*only[Job], error) {
	run, err := a.Control.RunPending(ctx, who, job.ID(in.ID))
	if err != nil {
		return nil, err
	}
	return &only[Job]{a.showJob(run)}, nil
}

func (a *API) dropPending(ctx context.Context, who auth.Identity, in *ByID) (*nothing, error) {
	return &nothing{}, a.Control.DropPending(ctx, who, job.ID(in.ID))
}
