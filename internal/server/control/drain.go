package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// DrainAllDue lets every host with a session and a run that is due have its
// pending runs judged, unless they could only go on waiting. A ticker calls it;
// hosts without a session are skipped, they are drained when they say hello.
func (c *Control) DrainAllDue(ctx context.Context) error {
	hosts, err := c.hostsToDrain(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, host := range hosts {
		problems = append(problems, c.DrainPending(ctx, host))
	}
	return errors.Join(problems...)
}

// hostsToDrain lists the hosts with a session and a run that is due. Left out is
// what waits for a pause to end or stands in line behind others: it is judged when
// its turn comes, and a tick must not be as long as the line.
func (c *Control) hostsToDrain(ctx context.Context) (hosts []job.HostID, err error) {
	now := c.now()
	due, err := c.store.DueRuns(ctx, now)
	if err != nil {
		return nil, err
	}
	pauses, err := c.store.Pauses(ctx, now)
	if err != nil {
		return nil, err
	}
	listed := map[job.HostID]bool{}
	turns := map[job.HostID][]store.InLine{} // by rest-server
	for _, run := range due {
		if listed[run.Host] || !pausedFor(run.Host, run.Tags, run.HurriedAt, pauses, now).IsZero() {
			continue
		}
		if run.Storage != "" && !run.Writing {
			if _, read := turns[run.Storage]; !read {
				if turns[run.Storage], err = c.turns(ctx, run.Storage); err != nil {
					return nil, err
				}
			}
			if !slices.ContainsFunc(turns[run.Storage], func(j store.InLine) bool { return j.ID == run.ID }) {
				continue
			}
		}
		listed[run.Host] = true
		hosts = append(hosts, run.Host)
	}
	return hosts, nil
}

// DrainPending judges every pending run of a host and lets those go that may;
// its session's writer sends them. Two at once for one host wait for each other.
func (c *Control) DrainPending(ctx context.Context, host job.HostID) error {
	var done drained
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if err := tx.HoldHost(ctx, host); err != nil {
			return err
		}
		done, err = c.drain(ctx, tx, host)
		return err
	})
	if err != nil {
		return fmt.Errorf("drain pending runs of host %s: %w", host, err)
	}
	c.settleDrained(ctx, done)
	if len(done.sent) > 0 {
		c.hub.poke(host)
	}
	return nil
}

// onAgentHello drains every row of a host whose agent has just come, and has told
// all that its hello spoke of: once the wire is back, it no longer matters when the
// next attempt would have been due. The rows were made due by openSession, in its
// transaction.
func (c *Control) onAgentHello(host job.HostID) {
	c.beside.Go(func() {
		ctx, cancel := context.WithTimeout(c.closing, time.Minute)
		defer cancel()
		if err := c.DrainPending(ctx, host); err != nil && ctx.Err() == nil {
			c.log.Error("pending runs of a host not drained; the next tick tries again", "host", host, "error", err)
		}
	})
}

// drained is what one pass over the pending runs of a host changed.
type drained struct {
	sent    []fleet.Job
	skipped []fleet.Job
}

// settleDrained tells of what a pass changed, once it is durable.
func (c *Control) settleDrained(ctx context.Context, d drained) {
	c.changedJobs(d.sent...)
	c.changedJobs(d.skipped...)
	if len(d.skipped) > 0 {
		c.moveLines(ctx, d.skipped...)
	}
}

// judgement is what is to become of one pending run.
type judgement struct {
	abandon  abandonReason // "" is not
	why      string        // the sentence
	by       job.ID        // the job that has satisfied it; "" is none
	dispatch bool
}

// queue is what waits for a host, with what all of it is judged by.
type queue struct {
	jobs   []fleet.Job
	host   fleet.Host
	pauses []fleet.Pause
}

func (c *Control) queueOf(ctx context.Context, r reading, id job.HostID) (q queue, err error) {
	if q.jobs, err = r.QueuedJobs(ctx, id); err != nil || len(q.jobs) == 0 {
		return q, err
	}
	if q.host, err = r.Host(ctx, id); err != nil {
		return q, err
	}
	q.pauses, err = r.Pauses(ctx, c.now())
	return q, err
}

// drain is the one pass over what waits for a host. The caller's transaction
// holds the host; whoever takes away what a run is for calls it there.
func (c *Control) drain(ctx context.Context, tx *store.Tx, id job.HostID) (d drained, err error) {
	q, err := c.queueOf(ctx, tx, id)
	if err != nil {
		return d, err
	}
	for _, j := range q.jobs {
		verdict, err := c.judge(ctx, tx, q.host, j, q.pauses)
		if err == nil && verdict.dispatch {
			// Counting the slots and taking one must not be interleaved with another
			// host's, so it is asked again when nobody else can.
			if err = c.holdSlots(ctx, tx, j); err == nil {
				verdict, err = c.judge(ctx, tx, q.host, j, q.pauses)
			}
		}
		if err != nil {
			return d, err
		}
		switch {
		case verdict.abandon != "":
			err = c.abandon(ctx, tx, j, verdict.abandon, verdict.why)
			d.skipped = append(d.skipped, skippedAs(j, job.CauseAbandoned))
		case verdict.by != "":
			err = c.skip(ctx, tx, j, job.CauseSatisfied, verdict.by, "Another backup of its source group has done its work.", "pending_run.satisfied")
			d.skipped = append(d.skipped, skippedAs(j, job.CauseSatisfied))
		case verdict.dispatch:
			var moved bool
			if moved, err = c.dispatchBackupForGroup(ctx, tx, j); moved {
				j.State, j.SentAt = job.Sent, c.now()
				d.sent = append(d.sent, j)
			}
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

// stirs tells whether drain would change anything. Where it would not, nobody who
// has something to write is kept waiting for it.
func (c *Control) stirs(ctx context.Context, id job.HostID) (bool, error) {
	q, err := c.queueOf(ctx, c.store, id)
	if err != nil {
		return false, err
	}
	for _, j := range q.jobs {
		if verdict, err := c.judge(ctx, c.store, q.host, j, q.pauses); err != nil || verdict != (judgement{}) {
			return err == nil, err
		}
	}
	return false, nil
}

// holdSlots keeps others from taking a slot of the rest-server that a job needs one
// of, until the transaction ends.
func (c *Control) holdSlots(ctx context.Context, tx *store.Tx, j fleet.Job) error {
	if info, _ := job.InfoOf(j.Kind); !info.Slot {
		return nil
	}
	repository, err := tx.Repository(ctx, j.Repository)
	if err != nil || repository.Storage == "" {
		return err
	}
	return tx.HoldHost(ctx, repository.Storage)
}

// judge says what is to become of a queued job. Everything but a backup goes as
// soon as its host is there.
func (c *Control) judge(ctx context.Context, r reading, host fleet.Host, j fleet.Job, pauses []fleet.Pause) (judgement, error) {
	if j.Kind != job.Backup {
		return judgement{dispatch: host.Online && host.QuarantinedAt.IsZero()}, nil
	}
	group, reason, err := c.purposeOf(ctx, r, j)
	if err != nil || reason != "" {
		return judgement{abandon: reason, why: abandonSentences[reason]}, err
	}
	if j.Attempt > 0 && j.Attempt >= group.Options.RetryMax {
		why := abandonSentences[abandonAttempts]
		if j.IsOccurrence() {
			why += " The next moment of its schedule begins anew."
		}
		if j.Error != "" {
			why += " The last one: " + j.Error
		}
		return judgement{abandon: abandonAttempts, why: why}, nil
	}
	if done, ok, err := r.GroupBusy(ctx, j.Group, wantedSince(j, host.ClockOffset), c.now()); err != nil || ok && done.ID != j.ID {
		return judgement{by: done.ID}, err
	}
	wait, err := c.waits(ctx, r, host, j, pauses)
	return judgement{dispatch: wait.Reason == ""}, err
}

// wantedSince is the time from which on another backup of the group does the
// work of j: its moment, which is one of its agent's clock, or when it was asked
// for. A retry keeps its root's.
func wantedSince(j fleet.Job, ahead time.Duration) time.Time {
	if j.IsOccurrence() {
		return j.ScheduledAt.Add(-ahead)
	}
	return j.ID.Time()
}

// purposeOf loads again what a pending run is for. The reason is why it is for
// nothing any more.
func (c *Control) purposeOf(ctx context.Context, r reading, j fleet.Job) (fleet.SourceGroup, abandonReason, error) {
	group, err := r.Group(ctx, j.Group)
	if errors.Is(err, fleet.ErrNotFound) {
		return group, abandonGroupGone, nil
	}
	if err != nil || j.Schedule == "" {
		return group, "", err
	}
	planned, err := r.Schedule(ctx, j.Schedule)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return group, abandonScheduleGone, nil
	case err != nil:
		return group, "", err
	case !planned.Enabled:
		return group, abandonScheduleDisabled, nil
	case !slices.Contains(planned.Groups, j.Group):
		return group, abandonGroupLeft, nil
	}
	return group, "", nil
}

// waits says why a pending run can't go now; the empty reason is that it can.
func (c *Control) waits(ctx context.Context, r reading, host fleet.Host, j fleet.Job, pauses []fleet.Pause) (fleet.PendingRun, error) {
	wait := fleet.PendingRun{Job: j}
	now := c.now()
	switch until := pausedFor(j.Host, host.Tags, j.HurriedAt, pauses, now); {
	case j.State == job.Sent:
		wait.Reason = fleet.WaitsForAgent
		return wait, nil
	case !host.QuarantinedAt.IsZero():
		wait.Reason = fleet.WaitsForQuarantine
		return wait, nil
	case !host.Online:
		wait.Reason = fleet.WaitsForHost
		return wait, nil
	case !until.IsZero():
		wait.Reason, wait.Until = fleet.WaitsForPause, until
		return wait, nil
	case !c.settledHere(host.ID):
		wait.Reason = fleet.WaitsForTurn
		return wait, nil
	case j.NextAttemptAt.After(now):
		wait.Reason, wait.Until = fleet.WaitsForBackoff, j.NextAttemptAt
		return wait, nil
	}
	writing, busy, err := r.WritingJob(ctx, host.ID, j.Repository, j.ID)
	if err != nil {
		return wait, err
	}
	if busy {
		wait.Reason, wait.Blocker = fleet.WaitsForRepository, writing.ID
		return wait, nil
	}
	return c.turn(ctx, r, wait)
}

// settledHere tells whether what the host's agent had to tell at its hello is
// known. Of a session that another node holds, that node knows.
func (c *Control) settledHere(host job.HostID) bool {
	s := c.hub.session(host)
	return s == nil || s.settled.Load()
}

// pausedFor is until when a pause holds a run of a host with these tags back; zero
// is not. What a person asked for while the pause held goes: who asks knows of it.
func pausedFor(host job.HostID, tags []string, hurried time.Time, pauses []fleet.Pause, now time.Time) time.Time {
	holding := slices.DeleteFunc(slices.Clone(pauses), func(p fleet.Pause) bool {
		return !hurried.IsZero() && !hurried.Before(p.CreatedAt)
	})
	return fleet.PausedUntil(holding, host, tags, now)
}

// dispatchBackupForGroup lets a queued job go: it takes its slot, and the writer
// of its host's session sends it. Accepted, it leaves pending_runs; refused or not
// answered, it comes back by postpone.
func (c *Control) dispatchBackupForGroup(ctx context.Context, tx *store.Tx, j fleet.Job) (bool, error) {
	moved, err := tx.MoveJob(ctx, j.ID, job.Queued, job.Sent, job.ByServer, c.now())
	if err != nil || !moved || j.Kind != job.Backup || j.Origin == job.ByPerson && j.Attempt == 0 {
		return moved, err // what a person asked for is audited as that
	}
	return true, c.audit(ctx, tx, auth.Server, "pending_run.dispatched", NounJob, string(j.ID), runDetail(j))
}

// runDetail is what the audit log says of a run.
func runDetail(j fleet.Job) map[string]any {
	detail := map[string]any{"host_id": j.Host, "group_id": j.Group, "attempt": j.Attempt}
	if j.Schedule != "" {
		detail["schedule_id"] = j.Schedule
		detail["scheduled_at"] = j.ScheduledAt.UTC().Format(time.RFC3339)
	}
	return detail
}

// postpone takes back a job that its agent refused or did not answer: an attempt
// is used up, and the next one comes later. Kinds that are no backup are only sent
// again.
func (c *Control) postpone(ctx context.Context, s *session, id job.ID, reason string) error {
	var touched []fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		touched = nil
		if err := c.speaks(ctx, tx, s); err != nil {
			return err
		}
		j, err := tx.Job(ctx, id)
		if err != nil || j.Host != s.host || j.State != job.Sent || j.Kind != job.Backup || !j.CancelRequestedAt.IsZero() {
			return ignoreNotFound(err)
		}
		base := fleet.DefaultRetryBackoffSeconds
		group, err := tx.Group(ctx, j.Group)
		if err == nil {
			base = group.Options.RetryBackoffSeconds
		} else if !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
		if moved, err := tx.MoveJob(ctx, id, job.Sent, job.Queued, job.ByServer, c.now()); err != nil || !moved {
			return err
		}
		j.State = job.Queued
		j.Attempt++
		j.NextAttemptAt = c.now().Add(schedule.Backoff(time.Duration(base)*time.Second, j.Attempt))
		touched = []fleet.Job{j}
		if err := tx.Postpone(ctx, id, j.Attempt, j.NextAttemptAt, reason); err != nil {
			return err
		}
		detail := runDetail(j)
		detail["reason"] = reason
		return c.audit(ctx, tx, auth.Server, "pending_run.postponed", NounJob, string(id), detail)
	})
	if err != nil {
		return err
	}
	c.changedJobs(touched...)
	c.moveLines(ctx, touched...)
	return nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, fleet.ErrNotFound) {
		return nil
	}
	return err
}
