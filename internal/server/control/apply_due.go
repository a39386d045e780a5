package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// due: a backup should run, or its moment was skipped. Its row appears queued, or
// skipped with the reason; until the agent is told of it, it holds the run.
func (a *applier) due(ctx context.Context, r api.Record, body *api.Due) error {
	if err := checkDue(r.Job, body); err != nil {
		return reject("due run %.40q: %s", r.Job, err)
	}
	known, err := a.job(ctx, r.Job)
	if err == nil {
		return a.dueAgain(ctx, known, body)
	}
	if !errors.Is(err, errUnknownJob) {
		return err
	}
	j, purpose, err := a.newDue(ctx, r, body)
	if err != nil {
		return err
	}
	a.after.job(j)
	if body.Skip != "" {
		j.Cause, j.By = body.Skip, body.By
		return a.insertSkipped(ctx, j, skipSentence(body.Skip))
	}
	a.after.due = append(a.after.due, j.ID)
	a.after.pokes = append(a.after.pokes, j.Host)
	if purpose != "" {
		j.Cause = job.CauseAbandoned
		if err := a.insertSkipped(ctx, j, abandonSentences[purpose]); err != nil {
			return err
		}
		detail := runDetail(j)
		detail["reason"] = purpose
		return a.c.audit(ctx, a.tx, auth.Server, "pending_run.abandoned", NounJob, string(j.ID), detail)
	}
	if done, err := a.doneBefore(ctx, body.Occasion); err != nil || done != "" {
		j.Cause, j.By = job.CauseSatisfied, done
		return errors.Join(err, a.insertSkipped(ctx, j, "The run that it repeats has ended well after all."))
	}
	if paused, err := a.inPause(ctx, j); err != nil || paused {
		j.Cause = job.CausePaused
		return errors.Join(err, a.insertSkipped(ctx, j, skipSentence(job.CausePaused)))
	}
	return a.c.queueRun(ctx, a.tx, j)
}

// checkDue proves that the id of a due record is derived from what it says.
func checkDue(id job.ID, body *api.Due) error {
	if !job.ValidID(string(id)) || !job.ValidID(string(body.Group)) {
		return errors.New("an id is none")
	}
	if body.By != "" && !job.ValidID(string(body.By)) {
		return errors.New("the id of the job that stands for it is none")
	}
	switch body.Skip { //nolint:exhaustive // no other cause is a reason to skip a moment
	case "":
		if body.Until != 0 || body.Moments != 0 {
			return errors.New("it stands for several moments but is not skipped")
		}
	case job.CauseOverlapped, job.CausePaused, job.CauseCoalesced, job.CauseMissed:
	default:
		return fmt.Errorf("%.40q is no reason to skip it", body.Skip)
	}
	if body.Until == 0 {
		return body.Check(id, body.Group)
	}
	if body.Moments < 1 || body.Moments > schedule.MostSkipped {
		return errors.New("it stands for no such number of moments")
	}
	return body.CheckRange(id, body.Group, body.Until)
}

// ownOccasion refuses an occasion that is another host's: its runs must not show
// among those of a schedule, or a chain of retries, that is not this host's. It
// returns the first run of the chain; its id is "" when there is none here.
func (a *applier) ownOccasion(ctx context.Context, id job.ID, occasion job.Occasion) (root fleet.Job, err error) {
	if occasion.Schedule != "" {
		planned, err := a.tx.Schedule(ctx, occasion.Schedule)
		if err == nil && planned.Host != a.s.host {
			err = reject("the schedule of job %s is another host's", id)
		}
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return root, err
		}
	}
	if occasion.Root == "" {
		return root, nil
	}
	if root, err = a.tx.Job(ctx, occasion.Root); errors.Is(err, fleet.ErrNotFound) {
		return fleet.Job{}, nil
	}
	if err == nil && root.Host != a.s.host {
		err = reject("job %s retries one of another host", id)
	}
	return root, err
}

// doneBefore is the earlier attempt of a retry that ended well, of which its agent
// does not know: a copy of its machine has done it. "" is none.
func (a *applier) doneBefore(ctx context.Context, occasion job.Occasion) (job.ID, error) {
	for _, id := range occasion.Earlier() {
		earlier, err := a.tx.Job(ctx, id)
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return "", err
		}
		if err == nil && earlier.State.EndedWell() {
			return id, nil
		}
	}
	return "", nil
}

// dueAgain is a due record of a job that has a row: made by the server itself, or
// read again by a server that was restored.
func (a *applier) dueAgain(ctx context.Context, j fleet.Job, body *api.Due) error {
	a.after.job(j)
	if body.Skip == "" {
		a.after.due = append(a.after.due, j.ID)
		a.after.pokes = append(a.after.pokes, j.Host)
		return nil
	}
	if j.State != job.Queued && j.State != job.Sent {
		return nil
	}
	if _, err := a.tx.MoveJob(ctx, j.ID, j.State, job.Skipped, job.ByAgent, a.c.now()); err != nil {
		return err
	}
	a.after.over = append(a.after.over, j)
	return a.tx.EndJob(ctx, j.ID, store.End{At: a.c.now(), Cause: body.Skip, By: body.By, Error: skipSentence(body.Skip)})
}

// newDue makes the row of a due record. The reason is why it is for nothing.
func (a *applier) newDue(ctx context.Context, r api.Record, body *api.Due) (fleet.Job, abandonReason, error) {
	group, err := a.tx.Group(ctx, body.Group)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return fleet.Job{}, "", err
	}
	if err == nil && group.Host != a.s.host {
		return fleet.Job{}, "", reject("the source group of job %s is another host's", r.Job)
	}
	group.ID = body.Group // also of one that is gone
	j := a.c.newRun(a.s.host, group, r.Job, body.Occasion)
	j.CreatedAt, j.NextAttemptAt = a.at(r), a.notBefore(body.NotBefore)
	a.places[r.Job].take(&j)
	if body.Until != 0 {
		j.ScheduledTo, j.Moments = time.UnixMilli(body.Until), body.Moments
	}
	root, err := a.ownOccasion(ctx, r.Job, body.Occasion)
	if err != nil {
		return j, "", err
	}
	if root.ID != "" {
		j.Origin, j.AskedBy = root.Origin, root.AskedBy
	}
	_, reason, err := a.c.purposeOf(ctx, a.tx, j)
	if err != nil || reason == "" || reason == abandonScheduleDisabled || reason == abandonGroupLeft {
		return j, reason, err // its agent had not heard
	}
	// It derives from nothing that this host has: kept from the agent's account,
	// which has a bound.
	j.Origin = job.ByAccount
	known, err := a.tx.CountOfAccount(ctx, a.s.host, maxOfAccount)
	if err == nil && known >= maxOfAccount {
		err = reject("%d jobs of this host are known from its agent alone already", known)
	}
	return j, reason, err
}

// notBefore turns the agent's word about when a retry may begin into the server's
// clock. It is never further away than the longest backoff.
func (a *applier) notBefore(ms int64) time.Time {
	now := a.c.now()
	if ms == 0 {
		return now
	}
	at := time.UnixMilli(ms).Add(-a.s.offset)
	if latest := now.Add(schedule.MaxBackoff); at.After(latest) {
		return latest
	}
	if at.Before(now) {
		return now
	}
	return at
}

// inPause tells whether a moment lies in a pause of its host that the agent had
// not heard of. A retry, and what a person asked for, waits instead.
func (a *applier) inPause(ctx context.Context, j fleet.Job) (bool, error) {
	if !j.IsOccurrence() || j.Retry > 0 {
		return false, nil
	}
	host, err := a.tx.Host(ctx, j.Host)
	if err != nil {
		return false, err
	}
	pauses, err := a.tx.Pauses(ctx, a.c.now())
	if err != nil {
		return false, err
	}
	at := j.ScheduledAt.Add(-a.s.offset)
	for _, p := range pauses {
		if p.Covers(j.Host, host.Tags) && !at.Before(p.CreatedAt) && at.Before(p.Until) {
			return true, nil
		}
	}
	return false, nil
}

func (a *applier) insertSkipped(ctx context.Context, j fleet.Job, sentence string) error {
	j.State, j.FinishedAt, j.NextAttemptAt, j.Error = job.Skipped, a.c.now(), time.Time{}, sentence
	return a.tx.InsertJob(ctx, j)
}

// skipSentence tells a person why a moment was skipped.
func skipSentence(cause job.Cause) string {
	switch cause { //nolint:exhaustive // all others bring a sentence of their own
	case job.CauseOverlapped:
		return "Another backup of its source group was at work at its moment."
	case job.CausePaused:
		return "Its moment lay in a pause."
	case job.CauseCoalesced:
		return "A newer run of the same source group does its work."
	case job.CauseMissed:
		return "The machine was off or asleep at its moment, and its schedule catches nothing up."
	}
	return ""
}

// newRun is the row of a backup that no person asks for now.
func (c *Control) newRun(host job.HostID, group fleet.SourceGroup, id job.ID, occasion job.Occasion) fleet.Job {
	j := fleet.Job{ID: id, Host: host, Kind: job.Backup, State: job.Queued, Origin: job.BySchedule, Group: group.ID, Repository: group.Repository}
	if occasion.Schedule == "" {
		j.Origin = job.BySystem
	}
	setOccasion(&j, occasion)
	j.Spec, _ = json.Marshal(groupSpec(group)) // three strings
	return j
}

// groupSpec is what is stored of a backup's spec; the rest is resolved when it is
// sent.
func groupSpec(group fleet.SourceGroup) any {
	return map[string]any{"group_id": group.ID, "group_name": group.Name, "repository_id": group.Repository}
}

func setOccasion(j *fleet.Job, occasion job.Occasion) {
	j.Schedule, j.Root, j.Retry, j.Attempt = occasion.Schedule, occasion.Root, occasion.Retry, occasion.Retry
	if occasion.ScheduledAt != 0 {
		j.ScheduledAt = time.UnixMilli(occasion.ScheduledAt)
	}
}

// place is where a queued run stands in its line; zero is nowhere.
type place struct{ since, hurried time.Time }

// placeOf is the place of a run that is in a line.
func (c *Control) placeOf(j fleet.Job) place {
	if j.State != job.Queued && j.State != job.Sent || j.NextAttemptAt.After(c.now()) {
		return place{}
	}
	return place{j.NextAttemptAt, j.HurriedAt}
}

// take gives the place to a run that does the work of the one that had it: a
// schedule of every minute would stand at the end of a long line for ever.
func (p place) take(j *fleet.Job) {
	if !p.since.IsZero() && p.since.Before(j.NextAttemptAt) {
		j.NextAttemptAt = p.since
	}
	if j.HurriedAt.IsZero() {
		j.HurriedAt = p.hurried
	}
}

// queueRun adds a pending run. Of one schedule and group at most one waits: it
// takes the place of one that is queued for an older moment, and gives way to one
// that is sent.
func (c *Control) queueRun(ctx context.Context, tx *store.Tx, j fleet.Job) error {
	if _, err := tx.Job(ctx, j.ID); err == nil {
		return nil // the other side was first
	} else if !errors.Is(err, fleet.ErrNotFound) {
		return err
	}
	waiting, ok, err := tx.PendingRun(ctx, j.Schedule, j.Group)
	if err != nil {
		return err
	}
	if ok && (waiting.State == job.Sent || j.Schedule == "" || waiting.ScheduledAt.After(j.ScheduledAt)) {
		j.State, j.Cause, j.By, j.FinishedAt, j.NextAttemptAt = job.Skipped, job.CauseCoalesced, waiting.ID, c.now(), time.Time{}
		j.Error = "Another run of the same source group waits already and does its work."
		return tx.InsertJob(ctx, j)
	}
	if ok {
		c.placeOf(waiting).take(&j)
		if err := c.skip(ctx, tx, waiting, job.CauseCoalesced, j.ID, skipSentence(job.CauseCoalesced), "pending_run.replaced"); err != nil {
			return err
		}
	}
	return tx.InsertJob(ctx, j)
}
