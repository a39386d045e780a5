package rest

import (
	"context"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// Schedule is a schedule in JSON.
type Schedule struct {
	ID            job.ScheduleID  `json:"id"`
	HostID        job.HostID      `json:"host_id"`
	Name          string          `json:"name" doc:"For people; may be empty."`
	Cron          string          `json:"cron"`
	TimeZone      string          `json:"time_zone"`
	JitterSeconds int             `json:"jitter_seconds"`
	Missed        schedule.Missed `json:"missed_policy"`
	Enabled       bool            `json:"enabled"`
	Groups        []job.GroupID   `json:"source_group_ids" nullable:"false"`
	EffectiveFrom *time.Time      `json:"effective_from" doc:"No moment before it counts."`
	NextTimes     []time.Time     `json:"next_times" nullable:"false" doc:"Its next five moments; none while it is disabled."`
	Description   string          `json:"description" doc:"When it is due, in words and in its time zone." example:"every day at 02:30"`
	CreatedAt     *time.Time      `json:"created_at"`
	UpdatedAt     *time.Time      `json:"updated_at"`
}

func showSchedule(s fleet.Schedule) Schedule {
	shown := Schedule{
		ID: s.ID, HostID: s.Host, Name: s.Name, Cron: s.Cron, TimeZone: s.TimeZone, JitterSeconds: s.JitterSeconds, Missed: s.Missed, Enabled: s.Enabled,
		Groups: orEmpty(s.Groups), EffectiveFrom: at(time.UnixMilli(s.EffectiveFrom)), NextTimes: []time.Time{}, Description: schedule.Describe(s.Rule),
		CreatedAt: at(s.CreatedAt), UpdatedAt: at(s.UpdatedAt),
	}
	if s.Enabled {
		shown.NextTimes = nextTimes(s.Rule)
	}
	return shown
}

// nextTimes are the next five moments of a rule; none of one that is wrong.
func nextTimes(r schedule.Rule) []time.Time {
	times := []time.Time{}
	calendar, err := schedule.Parse(r)
	if err != nil {
		return times
	}
	for _, moment := range schedule.NextTimes(calendar, time.Now(), 5) {
		times = append(times, moment.UTC())
	}
	return times
}

// scheduleBody is what a person may say about a schedule. fleet checks it.
type scheduleBody struct {
	Name          string           `json:"name,omitempty" doc:"For people."`
	Cron          string           `json:"cron" maxLength:"500" doc:"Five fields, or one of @hourly, @daily, @weekly, @monthly and @yearly." example:"30 2 * * *"`
	TimeZone      string           `json:"time_zone" maxLength:"100" doc:"A name of the IANA database." example:"Europe/Berlin"`
	JitterSeconds *int             `json:"jitter_seconds,omitempty" doc:"Spreads the starts of a fleet whose server is away; 300 without it."`
	Missed        *schedule.Missed `json:"missed_policy,omitempty" doc:"What becomes of moments at which the machine was off: run-once, as without it, or skip."`
	Enabled       *bool            `json:"enabled,omitempty" doc:"True without it."`
	Groups        []job.GroupID    `json:"source_group_ids" nullable:"false" doc:"What it backs up, all of one host; at least one."`
}

// schedule is the whole of a schedule that the body describes.
func (b scheduleBody) schedule() fleet.Schedule {
	s := fleet.Schedule{Name: b.Name, Enabled: true, Groups: b.Groups,
		Rule: schedule.Rule{Cron: b.Cron, TimeZone: b.TimeZone, JitterSeconds: fleet.DefaultJitterSeconds, Missed: schedule.RunOnce}}
	take(b.JitterSeconds, &s.JitterSeconds)
	take(b.Missed, &s.Missed)
	take(b.Enabled, &s.Enabled)
	return s
}

type scheduleInput struct {
	ByID
	Body scheduleBody
}

func (a *API) hostSchedules(ctx context.Context, _ auth.Identity, in *ByID) (*list[Schedule], error) {
	if _, err := a.Store.Host(ctx, job.HostID(in.ID)); err != nil {
		return nil, err
	}
	found, err := a.Store.SchedulesOf(ctx, job.HostID(in.ID))
	if err != nil {
		return nil, err
	}
	return listOf(found, "", showSchedule), nil
}

type schedulesInput struct {
	Paged
	Host    job.HostID  `query:"host_id" maxLength:"64"`
	Group   job.GroupID `query:"source_group_id" maxLength:"64"`
	Enabled string      `query:"enabled" enum:"true,false"`
}

func (a *API) schedules(ctx context.Context, _ auth.Identity, in *schedulesInput) (*list[Schedule], error) {
	filter := fleet.ScheduleFilter{Host: in.Host, Group: in.Group, Page: in.page()}
	if enabled, err := strconv.ParseBool(in.Enabled); err == nil {
		filter.Enabled = &enabled
	}
	found, next, err := a.Store.Schedules(ctx, filter)
	if err != nil {
		return nil, err
	}
	return listOf(found, next, showSchedule), nil
}

func (a *API) schedule(ctx context.Context, _ auth.Identity, in *ByID) (*only[Schedule], error) {
	found, err := a.Store.Schedule(ctx, job.ScheduleID(in.ID))
	if err != nil {
		return nil, err
	}
	return &only[Schedule]{showSchedule(found)}, nil
}

func (a *API) createSchedule(ctx context.Context, who auth.Identity, in *scheduleInput) (*only[Schedule], error) {
	wanted := in.Body.schedule()
	wanted.Host = job.HostID(in.ID)
	made, err := a.Control.CreateSchedule(ctx, who, wanted)
	if err != nil {
		return nil, err
	}
	return &only[Schedule]{showSchedule(made)}, nil
}

func (a *API) replaceSchedule(ctx context.Context, who auth.Identity, in *scheduleInput) (*only[Schedule], error) {
	wanted := in.Body.schedule()
	wanted.ID = job.ScheduleID(in.ID)
	changed, err := a.Control.UpdateSchedule(ctx, who, wanted)
	if err != nil {
		return nil, err
	}
	return &only[Schedule]{showSchedule(changed)}, nil
}

func (a *API) removeSchedule(ctx context.Context, who auth.Identity, in *ByID) (*nothing, error) {
	return &nothing{}, a.Control.DeleteSchedule(ctx, who, job.ScheduleID(in.ID))
}

// SchedulePreview says when a rule would be due.
type SchedulePreview struct {
	NextTimes   []time.Time `json:"next_times" nullable:"false" doc:"The next five moments."`
	Description string      `json:"description"`
}

type previewInput struct {
	Body struct {
		Cron     string `json:"cron" maxLength:"500"`
		TimeZone string `json:"time_zone" maxLength:"100"`
	}
}

func (a *API) previewSchedule(_ context.Context, _ auth.Identity, in *previewInput) (*only[SchedulePreview], error) {
	rule := schedule.Rule{Cron: in.Body.Cron, TimeZone: in.Body.TimeZone, Missed: schedule.RunOnce}
	if field, problem := rule.Check(); problem != "" {
		var invalid fleet.Invalid
		invalid.Add(field, "%s", problem)
		return nil, invalid.Err()
	}
	return &only[SchedulePreview]{SchedulePreview{nextTimes(rule), schedule.Describe(rule)}}, nil
}
