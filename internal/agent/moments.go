package agent

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// pair is a schedule and one of its groups, of which one run waits at most.
type pair struct {
	schedule job.ScheduleID
	group    job.GroupID
}

// momentCase is all that decides what becomes of the moments of a pair.
type momentCase struct {
	pair
	verdict     schedule.Verdict
	now, awake  time.Time
	pausedUntil time.Time    // zero is no pause
	running     groupRun     // of the group; zero is none
	held        journal.Held // an earlier run of the pair that still waits; zero is none
}

// saying is the body of a record that is to be written of a run.
type saying struct {
	kind api.RecordKind
	id   job.ID
	body any
}

// judge says what is to be journalled, in this order and at once: what was skipped
// before what is run, since a record of a moment deals with all before it.
func (c momentCase) judge() []saying {
	var list []saying
	say := func(kind api.RecordKind, id job.ID, body any) { list = append(list, saying{kind, id, body}) }
	fire := c.verdict.Fire
	var id job.ID
	if !fire.IsZero() {
		id = job.DueID(c.schedule, c.group, fire)
	}
	if skipped := c.verdict.Skipped; skipped.Count > 0 {
		due := c.due(skipped.First)
		due.Until, due.Moments = skipped.Last.UnixMilli(), skipped.Count
		due.Skip, due.By = job.CauseCoalesced, id
		if c.verdict.Missed {
			due.Skip, due.By = job.CauseMissed, ""
		}
		say(api.RecordDue, job.RangeID(c.schedule, c.group, skipped.First, skipped.Last), due)
	}
	if fire.IsZero() {
		return list
	}
	due := c.due(fire)
	switch settled := c.awake.Add(schedule.Settle); {
	case fire.Before(c.pausedUntil):
		due.Skip = job.CausePaused
	case c.running.id != "":
		due.Skip, due.By = job.CauseOverlapped, c.running.id
	default:
		if c.held.ID != "" {
			say(api.RecordEnded, c.held.ID, api.Ended{State: job.Skipped, Cause: job.CauseCoalesced, By: id,
				Error: "It still waited when the next moment of its schedule came; that run does its work."})
		}
		if c.verdict.Late && settled.After(c.now) {
			due.NotBefore = settled.UnixMilli()
		}
	}
	say(api.RecordDue, id, due)
	return list
}

func (c momentCase) due(moment time.Time) api.Due {
	return api.Due{Group: c.group, Occasion: job.Occasion{Schedule: c.schedule, ScheduledAt: moment.UnixMilli()}}
}
