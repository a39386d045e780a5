package rest

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

type occurrencesInput struct {
	Paged
	Host     job.HostID     `query:"host_id" maxLength:"64"`
	Group    job.GroupID    `query:"source_group_id" maxLength:"64"`
	Schedule job.ScheduleID `query:"schedule_id" maxLength:"64"`
	State    job.State      `query:"state" maxLength:"64"`
	Cause    job.Cause      `query:"cause" maxLength:"64" doc:"Such as overlapped, coalesced, missed or paused."`
	From     time.Time      `query:"from" doc:"The moment of the schedule is this instant or later."`
	To       time.Time      `query:"to" doc:"The moment of the schedule is this instant or earlier."`
}

// occurrences are the jobs that schedules asked for, run or not.
func (a *API) occurrences(ctx context.Context, _ auth.Identity, in *occurrencesInput) (*list[Job], error) {
	if in.State != "" && !in.State.Valid() {
		var invalid fleet.Invalid
		invalid.Add("state", "There is no state named %q.", in.State)
		return nil, invalid.Err()
	}
	found, next, err := a.Store.Occurrences(ctx, fleet.OccurrenceFilter{Host: in.Host, Group: in.Group, Schedule: in.Schedule,
		State: in.State, Cause: in.Cause, From: in.From, To: in.To, Page: in.page()})
	if err != nil {
		return nil, err
	}
	return listOf(found, next, a.showJob), nil
}
