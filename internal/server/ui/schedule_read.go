package ui

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Bounds of what is read of one host's runs for the time line: a daily backup
// needs the first page only, one by the minute is cut short.
const (
	firstRuns = 25
	moreRuns  = 200
	mostRuns  = 500
)

func (u *UI) wallClock(r *http.Request) wallClock { return wallClock{u.Now(), zoneOf(r)} }

// lineHosts reads what the rows of the time line are made of.
func (u *UI) lineHosts(ctx context.Context, hosts []fleet.Host, w wallClock) (lines []lineHost, boxes []fleet.Host, err error) {
	for _, host := range hosts {
		one := lineHost{host: host, storage: map[job.RepositoryID]job.HostID{}}
		if one.schedules, err = u.Store.SchedulesOf(ctx, host.ID); err != nil {
			return nil, nil, err
		}
		if one.groups, err = u.Store.Groups(ctx, host.ID); err != nil {
			return nil, nil, err
		}
		if one.runs, one.since, err = u.recentRuns(ctx, host.ID, w); err != nil {
			return nil, nil, err
		}
		repositories, _, err := u.Store.Repositories(ctx, store.RepositoryFilter{Host: host.ID})
		if err != nil {
			return nil, nil, err
		}
		for _, repository := range repositories {
			if repository.Storage != "" {
				one.storage[repository.ID] = repository.Storage
			}
		}
		lines = append(lines, one)
	}
	only := true
	boxes, _, err = u.Store.Hosts(ctx, store.HostFilter{Storage: &only, Page: fleet.Page{Limit: 500}})
	return lines, boxes, err
}

// recentRuns are the backups of a host that the time line may show, and since when
// they are complete; zero is for all of it.
func (u *UI) recentRuns(ctx context.Context, host job.HostID, w wallClock) (runs []fleet.Job, since time.Time, err error) {
	page := fleet.Page{Limit: firstRuns}
	for read := 0; ; page.Limit = moreRuns {
		jobs, next, err := u.Store.Jobs(ctx, fleet.JobFilter{Host: host, Page: page})
		if err != nil {
			return nil, since, err
		}
		for _, one := range jobs {
			if one.Kind == job.Backup {
				runs = append(runs, one)
			}
		}
		read += len(jobs)
		if next == "" || jobs[len(jobs)-1].ID.Time().Before(w.from().Add(-lineBack)) {
			return runs, time.Time{}, nil
		}
		if read >= mostRuns {
			return runs, jobs[len(jobs)-1].ID.Time(), nil
		}
		page.Cursor = next
	}
}

// scheduleRows are the schedules of a host with what became of each.
func (u *UI) scheduleRows(ctx context.Context, one lineHost, pauses []fleet.Pause, w wallClock, who auth.Identity) ([]ScheduleRow, error) {
	var rows []ScheduleRow
	for _, planned := range one.schedules {
		row := scheduleRow(planned, one, pauses, w)
		row.MayChange = who.Allows(auth.SchedulesWrite) && one.host.RemovedAt.IsZero()
		runs := one.runsOf(planned.ID)
		if len(runs) == 0 {
			var err error
			if runs, _, err = u.Store.Occurrences(ctx, fleet.OccurrenceFilter{Schedule: planned.ID, Page: fleet.Page{Limit: firstRuns}}); err != nil {
				return nil, err
			}
		}
		row.tellLast(occurrences(runs))
		row.tellSilence(silentMoments(planned, one, w), one.host, w)
		rows = append(rows, row)
	}
	return rows, nil
}

// runsOf are the runs that a schedule asked for.
func (h lineHost) runsOf(planned job.ScheduleID) []fleet.Job {
	return slices.DeleteFunc(slices.Clone(h.runs), func(run fleet.Job) bool { return run.Schedule != planned })
}

// scheduleRow is a schedule without what became of it.
func scheduleRow(planned fleet.Schedule, one lineHost, pauses []fleet.Pause, w wallClock) ScheduleRow {
	row := ScheduleRow{Schedule: planned, Host: one.host, When: schedule.Describe(planned.Rule), Next: w.moment(nextRun([]fleet.Schedule{planned}, "", w.runsAfter(pauses, one.host))),
		Last: State{Tone: ToneNone, Icon: "circle-dashed", Word: "nothing yet", Tip: untoldWords(planned, one.host, w.now)}}
	if planned.Enabled {
		row.Paused = pausedState(pauses, one.host, w)
	}
	for _, group := range planned.Groups {
		row.GroupNames = append(row.GroupNames, one.groupName(group))
	}
	return row
}

// untoldWords say why nothing is on record of a schedule.
func untoldWords(planned fleet.Schedule, host fleet.Host, now time.Time) string {
	if calendar, err := schedule.Parse(planned.Rule); err == nil {
		if first := calendar.Next(time.Time{}); !first.IsZero() && !first.After(now) {
			return host.Name + " has reported none of its moments yet."
		}
	}
	return "None of its moments has come so far."
}

// tellLast says what became of the newest moment.
func (r *ScheduleRow) tellLast(list []Occurrence) {
	if newest := newestOutcome(list); newest != nil {
		r.Last = occurrenceState(newest)
		r.Last.At, r.Last.Tip = newest.until(), newest.words()
	}
}

// newestOutcome is the worst of what became of the newest moment; nil is nothing.
func newestOutcome(list []Occurrence) Occurrence {
	var worst Occurrence
	for _, one := range list {
		if worst != nil && !one.until().Equal(list[0].until()) {
			break
		}
		if worst == nil || toneRank(occurrenceState(one).Tone) < toneRank(occurrenceState(worst).Tone) {
			worst = one
		}
	}
	return worst
}

// toneRank puts what needs a person first.
func toneRank(tone Tone) int {
	return slices.Index([]Tone{ToneBad, ToneUnknown, ToneWarn, ToneRun, ToneWait, ToneHeld, ToneNone, ToneGood}, tone)
}

// runsAfter is the instant after which moments of a host are run: now or, while it
// is paused, just before the end, since a moment at the end itself is run.
func (w wallClock) runsAfter(pauses []fleet.Pause, host fleet.Host) time.Time {
	if until := fleet.PausedUntil(pauses, host.ID, host.Tags, w.now); !until.IsZero() {
		return until.Add(-1)
	}
	return w.now
}

// nextRun is the first moment after an instant that enabled schedules have, of one
// group or, with "", of any; zero is none.
func nextRun(schedules []fleet.Schedule, group job.GroupID, after time.Time) (next time.Time) {
	for _, planned := range schedules {
		if !planned.Enabled || group != "" && !slices.Contains(planned.Groups, group) {
			continue
		}
		calendar, err := schedule.Parse(planned.Rule)
		if err != nil {
			continue // control lets no rule in that can't be read
		}
		if at := calendar.Next(after); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// tellSilence says that nothing is known of the newest moment, when that is so.
func (r *ScheduleRow) tellSilence(silent []silence, host fleet.Host, w wallClock) {
	if len(silent) == 0 || silent[len(silent)-1].at.Before(r.Last.At) {
		return
	}
	r.Last = stateSilent
	r.Last.At, r.Last.Tip = silent[len(silent)-1].at, silentWords(host, w)
}

// Of a history, historyPage runs are read at once, until historySize moments are
// found or historyPages times that much was looked through.
const (
	historyPage  = 100
	historySize  = 50
	historyPages = 20
)

// history reads what became of the moments of a schedule, the newest first, and
// where its next page begins; zero is nowhere. A chain of retries is never cut:
// what belongs to one moment stands on one page.
func (u *UI) history(ctx context.Context, planned job.ScheduleID, outcome string, before time.Time) (list []Occurrence, next time.Time, err error) {
	for range historyPages {
		jobs, cursor, err := u.Store.Occurrences(ctx, fleet.OccurrenceFilter{Schedule: planned, To: before, Page: fleet.Page{Limit: historyPage}})
		if err != nil {
			return nil, next, err
		}
		next = time.Time{}
		if cursor != "" {
			oldest := jobs[len(jobs)-1].ID.Time()
			whole := slices.DeleteFunc(slices.Clone(jobs), func(one fleet.Job) bool { return one.ID.Time().Equal(oldest) })
			if next = oldest; len(whole) == 0 {
				whole, next = jobs, oldest.Add(-time.Millisecond)
			}
			jobs = whole
		}
		for _, one := range occurrences(jobs) {
			if fitsOutcome(one, outcome) {
				list = append(list, one)
			}
		}
		if next.IsZero() || len(list) >= historySize {
			return list, next, nil
		}
		before = next
	}
	return list, next, nil
}

// ahead is the next run of a host, and its badge when it is paused.
func (u *UI) ahead(ctx context.Context, host fleet.Host, pauses []fleet.Pause, w wallClock) (Moment, *State, error) {
	if host.IsStorage() || !host.RemovedAt.IsZero() {
		return Moment{}, nil, nil
	}
	schedules, err := u.Store.SchedulesOf(ctx, host.ID)
	if err != nil {
		return Moment{}, nil, err
	}
	next := w.moment(nextRun(schedules, "", w.runsAfter(pauses, host)))
	if next.At.IsZero() {
		return next, nil, nil
	}
	return next, pausedState(pauses, host, w), nil
}
