package ui

import (
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// berlin is where the people of the examples live.
var berlin = mustZone("Europe/Berlin")

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err) // the zones are part of the program
	}
	return zone
}

func (s sample) clock() wallClock { return wallClock{s.now, berlin} }

func (s sample) planned(id, name, cron string, groups ...fleet.SourceGroup) fleet.Schedule {
	planned := fleet.Schedule{ID: job.ScheduleID("01JNQ8Z4M2R7S9T1V3X5Y6" + id), Host: "01JNQ8Z4M2R7S9T1V3X5Y6AAA1", Name: name, Enabled: true, CreatedAt: s.ago(40 * 24 * time.Hour), UpdatedAt: s.ago(9 * 24 * time.Hour),
		Rule: schedule.Rule{Cron: cron, TimeZone: "Europe/Berlin", JitterSeconds: 300, Missed: schedule.RunOnce}}
	for _, group := range groups {
		planned.Host = group.Host
		planned.Groups = append(planned.Groups, group.ID)
	}
	return planned
}

// groupOf is a source group of some host of the examples.
func (s sample) groupOf(host fleet.Host, name string) fleet.SourceGroup {
	group := s.group(name, "/home")
	group.Options = fleet.DefaultGroupOptions()
	group.Host, group.Repository = host.ID, job.RepositoryID("01JNQ8Z4M2R7S9T1V3X5Y6R"+host.ID[23:])
	group.ID = job.GroupID(string(host.ID[:23]) + "G" + string(rune('A'+len(name)%26)) + string(host.ID[25:]))
	return group
}

// moments are those that a schedule had within a span before now, oldest first.
func (s sample) moments(planned fleet.Schedule, span time.Duration) []time.Time {
	calendar, err := schedule.Parse(planned.Rule)
	if err != nil {
		panic(err) // an example is wrong
	}
	return calendar.Between(s.ago(span), s.now, mostExpected)
}

// run is what became of a moment for a group.
func (s sample) run(planned fleet.Schedule, group fleet.SourceGroup, at time.Time, state job.State, late, took time.Duration) fleet.Job {
	one := fleet.Job{ID: job.DueID(planned.ID, group.ID, at), Host: group.Host, Kind: job.Backup, State: state, Origin: job.BySchedule, Group: group.ID, Repository: group.Repository,
		Schedule: planned.ID, ScheduledAt: at, CreatedAt: at, Spec: []byte(`{"group_name":"` + group.Name + `"}`)}
	switch state { //nolint:exhaustive // the others begin
	case job.Queued, job.Skipped:
		one.FinishedAt = at
		return one
	}
	one.SentAt, one.AcceptedAt, one.StartedAt = at.Add(late), at.Add(late), at.Add(late)
	if state.Ended() {
		one.FinishedAt = one.StartedAt.Add(took)
	}
	return one
}

// ranWell are runs of all moments of two days that did their work.
func (s sample) ranWell(planned fleet.Schedule, group fleet.SourceGroup, took time.Duration) []fleet.Job {
	var runs []fleet.Job
	for _, at := range s.moments(planned, 2*lineBack) {
		if at.Add(took).Before(s.now) {
			runs = append(runs, s.run(planned, group, at, job.Succeeded, 4*time.Second, took))
		} else {
			runs = append(runs, s.run(planned, group, at, job.Running, 4*time.Second, took))
		}
	}
	return runs
}

// retryOf is the nth retry of a run.
func (s sample) retryOf(one fleet.Job, n int, state job.State, after, took time.Duration) fleet.Job {
	retry := one
	id, err := job.RetryID(one.ID, n)
	if err != nil {
		panic(err) // an example is wrong
	}
	retry.ID, retry.Root, retry.Retry, retry.Attempt, retry.State, retry.Error, retry.Trouble = id, one.ID, n, n, state, "", ""
	retry.SentAt, retry.StartedAt = one.FinishedAt.Add(after), one.FinishedAt.Add(after)
	retry.FinishedAt = retry.StartedAt.Add(took)
	return retry
}

func (s sample) box() fleet.Host {
	box := s.storageRow().Host
	box.Storage.Slots = 4
	return box
}

// lines are the rows of the time line; failing shows all that can go wrong.
func (s sample) lines(failing bool) []lineHost {
	web, db, ann, mail := s.endpoint("AAA1", "web-1", "linux", "web", "production"), s.endpoint("AAA2", "db-2", "linux", "production"),
		s.endpoint("AAA3", "laptop-ann", "windows", "office"), s.endpoint("AAA4", "mail", "freebsd")
	ann.Presence = fleet.Intermittent
	documents, database := s.groupOf(web, "documents"), s.groupOf(web, "database")
	nightly, hourly := s.planned("SCH1", "nightly", "30 2 * * *", documents, database), s.planned("SCH2", "", "15 */3 * * *", database)
	one := lineHost{host: web, schedules: []fleet.Schedule{nightly, hourly}, groups: []fleet.SourceGroup{documents, database},
		runs: append(append(s.ranWell(nightly, documents, 74*time.Minute), s.ranWell(hourly, database, 6*time.Minute)...), s.ranWell(nightly, database, 5*time.Minute)...)}
	wal := s.groupOf(db, "wal")
	often := s.planned("SCH3", "", "*/15 * * * *", wal)
	two := lineHost{host: db, schedules: []fleet.Schedule{often}, groups: []fleet.SourceGroup{wal}, runs: s.ranWell(often, wal, 40*time.Second)}
	home := s.groupOf(ann, "home")
	noon := s.planned("SCH4", "", "0 12 * * 1-5", home)
	noon.Cron = "0 12 * * *"
	three := lineHost{host: ann, schedules: []fleet.Schedule{noon}, groups: []fleet.SourceGroup{home}, runs: s.ranWell(noon, home, 22*time.Minute)}
	boxes := s.groupOf(mail, "mailboxes")
	weekly := s.planned("SCH5", "weekly full", "0 3 * * 0", boxes)
	four := lineHost{host: mail, schedules: []fleet.Schedule{weekly}, groups: []fleet.SourceGroup{boxes}}
	if !failing {
		return []lineHost{one, two, three, four}
	}
	runs := s.ranWell(often, wal, 40*time.Second)
	runs[len(runs)-20].State, runs[len(runs)-20].Error = job.Failed, "The repository does not answer: connection refused. Is rest-server running there?"
	runs = append(runs, s.retryOf(runs[len(runs)-20], 1, job.Failed, time.Minute, time.Second), s.retryOf(runs[len(runs)-20], 2, job.Succeeded, 3*time.Minute, 40*time.Second))
	two.runs = runs
	one.runs = nil
	for i, at := range s.moments(hourly, lineBack) {
		run := s.run(hourly, database, at, job.Succeeded, 4*time.Second, 6*time.Minute)
		switch i {
		case 1:
			run = s.run(hourly, database, at, job.Succeeded, 64*time.Minute, 6*time.Minute)
		case 2:
			run = s.run(hourly, database, at, job.Failed, 5*time.Second, 9*time.Minute)
			run.Error = "The password does not open the repository."
		case 3:
			run = s.run(hourly, database, at, job.Skipped, 0, 0)
			run.Cause, run.By = job.CauseOverlapped, "01JNQ8Z4M2R7S9T1V3X5Y6Z7RR"
		case 4:
			run = s.run(hourly, database, at, job.Warning, 4*time.Second, 7*time.Minute)
			run.Error = "2 files could not be read."
		}
		one.runs = append(one.runs, run)
	}
	for _, at := range s.moments(nightly, lineBack) {
		run := s.run(nightly, documents, at, job.Succeeded, 9*time.Minute, 95*time.Minute)
		run.SentAt = time.Time{}
		one.runs = append(one.runs, run)
		missed := s.run(nightly, database, at, job.Skipped, 0, 0)
		missed.Cause = job.CauseMissed
		one.runs = append(one.runs, missed)
	}
	three.host.Online, three.host.LastSeenAt, three.runs = false, s.ago(26*time.Hour), nil
	build := s.endpoint("AAA5", "build-7", "linux", "ci")
	off := s.planned("SCH6", "", "0 4 * * *", s.groupOf(build, "artefacts"))
	off.Enabled = false
	five := lineHost{host: build, schedules: []fleet.Schedule{off}, groups: []fleet.SourceGroup{s.groupOf(build, "artefacts")}}
	six := lineHost{host: s.endpoint("AAA6", "kiosk", "linux")}
	return []lineHost{one, two, three, four, five, six}
}

func (s sample) pauses() []fleet.Pause {
	return []fleet.Pause{{ID: "01JNQ8Z4M2R7S9T1V3X5Y6PAU1", Scope: fleet.PauseTag, Subject: "production", Until: s.now.Add(11*time.Hour + 20*time.Minute), Reason: "The storage box gets new disks.", CreatedAt: s.ago(2 * time.Hour), CreatedBy: "ann"}}
}

func (s sample) notes() []PauseNote {
	return []PauseNote{{ID: "a", What: "Schedules of hosts tagged production", Until: s.clock().moment(s.now.Add(11*time.Hour + 20*time.Minute)), By: "ann", Reason: "The storage box gets new disks.", MayEnd: true}}
}

func (s sample) scheduleRows(lines []lineHost, pauses []fleet.Pause) []ScheduleRow {
	var rows []ScheduleRow
	for _, line := range lines {
		for _, planned := range line.schedules {
			row := scheduleRow(planned, line, pauses, s.clock())
			row.MayChange = true
			row.tellLast(occurrences(line.runsOf(planned.ID)))
			row.tellSilence(silentMoments(planned, line, s.clock()), line.host, s.clock())
			rows = append(rows, row)
		}
	}
	return rows
}

func (s sample) schedules(failing bool) SchedulesPage {
	lines := s.lines(failing)
	page := SchedulesPage{Frame: s.frame("Schedules", "/schedules"), States: endpointChoices(), Tags: []string{"office", "production"}, MayPause: true, Live: "/schedules?part=live"}
	var pauses []fleet.Pause
	if failing {
		pauses, page.Pauses = s.pauses(), s.notes()
	}
	page.Line = timeLine(lines, []fleet.Host{s.box()}, pauses, s.clock())
	page.Rows = s.scheduleRows(lines, pauses)
	return page
}

func (s sample) schedulesHuge() SchedulesPage {
	page := s.schedules(false)
	var lines []lineHost
	for i := range schedulesPageSize {
		host := s.endpoint("AAAA", fmt.Sprintf("app-%03d.a-rather-long-subdomain.of-a-customer.example", i), "linux", "rack-12", "eu-central")
		host.ID = job.HostID(fmt.Sprintf("01JNQ8Z4M2R7S9T1V3X5Y6H%03d", i))
		line := lineHost{host: host, storage: map[job.RepositoryID]job.HostID{}}
		for n, name := range []string{"documents", "database", "mailboxes", "etc"} {
			group := s.groupOf(host, name)
			planned := s.planned("S", "", fmt.Sprintf("%d %d,%d * * *", i%4*15, n, n+12), group)
			planned.ID = job.ScheduleID(fmt.Sprintf("01JNQ8Z4M2R7S9T1V3X5Y6S%d%02d", n, i))
			line.schedules, line.groups = append(line.schedules, planned), append(line.groups, group)
			line.runs = append(line.runs, s.ranWell(planned, group, time.Duration(20+i)*time.Minute)...)
			line.storage[group.Repository] = s.box().ID
		}
		lines = append(lines, line)
	}
	page.Line = timeLine(lines, []fleet.Host{s.box()}, nil, s.clock())
	page.Rows = s.scheduleRows(lines, nil)
	page.Next = "/schedules?cursor=next"
	return page
}

func (s sample) schedulesEmpty() SchedulesPage {
	return SchedulesPage{Frame: s.frame("Schedules", "/schedules"), States: endpointChoices(), MayPause: true}
}

// schedulePage is one schedule with every outcome that there is.
func (s sample) schedulePage(failing bool) SchedulePage {
	lines := s.lines(failing)
	planned := lines[0].schedules[0]
	documents, database := lines[0].groups[0], lines[0].groups[1]
	page := SchedulePage{Frame: s.hostFrame("nightly"), Row: s.scheduleRows(lines[:1], nil)[0], Sentence: sentenceOf(planned.Rule), Missed: missedWords(planned.Missed), Times: nextTimes(planned.Rule, wallClock{s.now, time.UTC}),
		Groups: []fleet.SourceGroup{documents, database}, Outcomes: outcomeChoices(), MayChange: true, Live: "/schedules/x?part=live", Next: "/schedules/x?before=1"}
	var runs []fleet.Job
	for i, at := range s.moments(planned, 15*24*time.Hour) {
		run := s.run(planned, documents, at, job.Succeeded, 4*time.Second, 74*time.Minute)
		if !failing {
			runs = append(runs, run)
			continue
		}
		skip := s.run(planned, documents, at, job.Skipped, 0, 0)
		skip.By = "01JNQ8Z4M2R7S9T1V3X5Y6Z7RR"
		switch i {
		case 0:
			run.StartedAt, run.SentAt = at.Add(3*time.Minute), at.Add(3*time.Minute)
		case 1:
			run.State, run.FinishedAt, run.Error = job.Failed, at.Add(time.Minute), "The repository does not answer: connection refused. Is rest-server running there?"
			runs = append(runs, s.retryOf(run, 1, job.Failed, time.Minute, time.Minute), s.retryOf(run, 2, job.Succeeded, 2*time.Minute, 71*time.Minute))
		case 2:
			run.StartedAt, run.SentAt = at.Add(6*time.Minute), time.Time{}
		case 3:
			skip.Cause, run = job.CauseOverlapped, skip
			run.Cause = job.CauseOverlapped
		case 4:
			run = skip
			run.Cause, run.Moments, run.ScheduledTo = job.CauseCoalesced, 14, at.Add(13*time.Hour)
		case 5:
			run = skip
			run.Cause, run.By = job.CauseMissed, ""
		case 6:
			run = skip
			run.Cause, run.By, run.Error = job.CauseAbandoned, "", "Its schedule was disabled before it could start."
		case 7:
			run = skip
			run.Cause, run.By = job.CausePaused, ""
		case 8:
			run = skip
			run.Cause = job.CauseSatisfied
		case 9:
			run = skip
			run.Cause, run.By, run.Error = job.CauseDropped, "", "Dropped by ann."
		case 10:
			run.State, run.Error, run.FinishedAt = job.Failed, "The password does not open the repository at rest:https://vault.example:8000/web-1/.", at.Add(time.Minute)
		case 11:
			run.CreatedAt, run.SentAt, run.StartedAt = at.Add(5*time.Hour), at.Add(5*time.Hour), at.Add(5*time.Hour)
		case 12:
			run.State, run.Error = job.Warning, "2 files could not be read."
		case 14:
			run.State, run.FinishedAt = job.Running, time.Time{}
		}
		runs = append(runs, run)
	}
	for _, one := range occurrences(runs) {
		page.Entries = append(page.Entries, occurrenceRow(one, s.clock()))
	}
	if failing {
		page.Row.Schedule.Enabled, page.Row.Paused = false, pausedState(s.pauses(), lines[0].host, s.clock())
		page.Silent = "2 runs since yesterday 14:00 are not reported. web-1 has been out of contact since yesterday 13:12. Its agent goes on by its schedule and tells when it is back."
	}
	return page
}

func (s sample) schedulePageEmpty() SchedulePage {
	page := s.schedulePage(false)
	page.Entries, page.Next, page.Untold = nil, "", untoldWords(page.Row.Schedule, page.Row.Host, s.now)
	return page
}

func (s sample) hostSchedules() HostSchedulesPage {
	lines := s.lines(true)[:1]
	page := HostSchedulesPage{Frame: s.hostFrame("Schedules"), Head: s.head("schedules"), Line: timeLine(lines, nil, nil, s.clock()), Rows: s.scheduleRows(lines, nil), HasGroups: true, MayChange: true,
		Unplanned: []fleet.SourceGroup{s.group("photos", "/srv/photos")}}
	for i := range page.Rows {
		page.Rows[i].OfHost = true
	}
	page.Head.Next, page.Head.MayPause = page.Rows[0].Next, true
	return page
}

func (s sample) scheduleForm(repeat string) ScheduleFormPage {
	groups := s.lines(false)[0].groups
	page := ScheduleFormPage{Frame: s.hostFrame("New schedule"), Head: s.head("schedules"), Form: newScheduleForm(groups, "Europe/Berlin"), Groups: groups, Zones: usualZones}
	page.Form.Repeat = repeat
	page.Times = page.Form.times(wallClock{s.now, time.UTC})
	return page
}

func (s sample) scheduleFormWrong() ScheduleFormPage {
	page := s.scheduleForm(repeatCustom)
	page.Schedule = "01JNQ8Z4M2R7S9T1V3X5Y6SCH1"
	page.Frame.Title = "nightly"
	page.Form.Cron, page.Form.TimeZone, page.Form.Jitter, page.Form.Groups = "70 2 * *", "Europe/Berlln", "a lot", nil
	var planned fleet.Schedule
	page.Errors, _ = fieldErrors(page.Form.fill(&planned))
	page.Errors = page.Form.formErrors(page.Errors)
	page.Times = page.Form.times(s.clock())
	return page
}

func (s sample) pauseForm() PauseFormPage {
	page := PauseFormPage{Frame: s.frame("Pause schedules", ""), Host: s.endpoint("AAA1", "web-1", "linux"), Tags: []string{"office", "production"}, Ends: pauseEnds(s.clock()), Zone: "Europe/Berlin", Back: "/schedules"}
	page.Form = PauseForm{Scope: "host", End: "hour", Exact: s.now.In(berlin).Format(localMoment)}
	return page
}

func (s sample) pauseFormWrong() PauseFormPage {
	page := s.pauseForm()
	page.Host = fleet.Host{}
	page.Form.Scope, page.Form.End, page.Form.Exact = "tag", endExact, ""
	page.Errors = FieldErrors{{Field: "tag", Sentence: "Choose the tag whose hosts are to pause."}, {Field: "exact", Sentence: "Say when the pause ends, with date and time."}}
	return page
}
