package ui

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// JobOccasion says why a job is there, and what it waits for. The zero value is
// a job that a person asked for once and that waits for nothing.
type JobOccasion struct {
	Schedule     job.ScheduleID
	ScheduleName string
	Gone         bool // the schedule was removed
	Moment       Moment
	To           Moment // of a range of skipped moments
	Skipped      string // why it was not run; "" when it was not skipped
	By           job.ID // the job that stands for it
	Delay        string // how late it began, and why
	// Chain are the runs of one moment, when there are several.
	Chain []ChainLink
	// Wait is why it waits; nil is that it does not.
	Wait    *PendingRow
	MayRun  bool
	MayDrop bool
}

// occasionOf reads why a job is there.
func (u *UI) occasionOf(ctx context.Context, one fleet.Job, w wallClock, who auth.Identity) (o JobOccasion, err error) {
	if one.Kind != job.Backup {
		return o, nil
	}
	chain, err := u.chainOf(ctx, one)
	if err != nil {
		return o, err
	}
	if len(chain) > 1 {
		o.Chain = chainLinks(chain)
	}
	if one.State == job.Skipped {
		o.Skipped, o.By = skippedWords(one), one.By
	}
	if one.IsOccurrence() {
		o.Schedule, o.Moment = one.Schedule, w.moment(one.ScheduledAt)
		if one.ScheduledTo.After(one.ScheduledAt) {
			o.To = w.moment(one.ScheduledTo)
		}
		if one.Retry == 0 && !one.StartedAt.IsZero() {
			o.Delay = Occurrence{one}.delayWords()
		}
		planned, err := u.Store.Schedule(ctx, one.Schedule)
		if o.Gone = errors.Is(err, fleet.ErrNotFound); err != nil && !o.Gone {
			return o, err
		}
		o.ScheduleName = "a removed schedule"
		if !o.Gone {
			o.ScheduleName = scheduleTitle(planned)
		}
	}
	run, waits, err := u.Control.WhyWaiting(ctx, one)
	if err != nil || !waits {
		return o, err
	}
	rows, err := u.pendingRows(ctx, []fleet.PendingRun{run}, w)
	if err != nil {
		return o, err
	}
	o.Wait, o.MayRun, o.MayDrop = &rows[0], who.Allows(auth.JobsRun) && one.State == job.Queued, who.Allows(auth.JobsCancel)
	return o, nil
}

// mostRetries bounds how far a chain of retries is followed.
const mostRetries = 100

// chainOf are the first run and its retries, as far as they are still kept. Their
// ids follow from that of the first.
func (u *UI) chainOf(ctx context.Context, one fleet.Job) (Occurrence, error) {
	var chain Occurrence
	root := one.Occasion().RootOf(one.ID)
	for n := range mostRetries {
		id := root
		if n > 0 {
			var err error
			if id, err = job.RetryID(root, n); err != nil {
				return chain, nil // an id of another kind has no retries
			}
		}
		run, err := u.Store.Job(ctx, id)
		switch {
		case errors.Is(err, fleet.ErrNotFound) && n > one.Retry:
			return chain, nil
		case errors.Is(err, fleet.ErrNotFound):
			continue // its time to be kept is over
		case err != nil:
			return chain, err
		}
		chain = append(chain, run)
	}
	return chain, nil
}
