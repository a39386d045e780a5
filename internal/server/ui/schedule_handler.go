package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// schedulesPageSize is how many hosts one page of the time line shows.
const schedulesPageSize = 50

func (u *UI) schedules(w http.ResponseWriter, r *http.Request) error {
	ctx, clock, who := r.Context(), u.wallClock(r), visitorOf(r).who
	page := SchedulesPage{Filter: fleetFilter(r.URL.Query()), States: endpointChoices(), Live: livePath(r), MayPause: who.Allows(auth.PausesWrite)}
	filter := page.Filter.narrow()
	filter.TroubleFirst = false
	filter.Page = fleet.Page{Limit: schedulesPageSize, Cursor: r.URL.Query().Get("cursor")}
	hosts, next, err := u.Store.Hosts(ctx, filter)
	if err != nil {
		return err
	}
	page.Next = nextPath(r, next)
	for _, host := range hosts {
		page.Tags = append(page.Tags, host.Tags...)
	}
	if page.Filter.Tag != "" {
		page.Tags = append(page.Tags, page.Filter.Tag)
	}
	slices.Sort(page.Tags)
	page.Tags = slices.Compact(page.Tags)
	lines, boxes, err := u.lineHosts(ctx, hosts, clock)
	if err != nil {
		return err
	}
	pauses, err := u.Store.Pauses(ctx, clock.now)
	if err != nil {
		return err
	}
	page.Line = timeLine(lines, boxes, pauses, clock)
	for _, line := range lines {
		rows, err := u.scheduleRows(ctx, line, pauses, clock, who)
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, rows...)
	}
	// Those of the whole fleet are told on top of every page.
	local := slices.DeleteFunc(slices.Clone(pauses), func(one fleet.Pause) bool { return one.Scope == fleet.PauseFleet })
	if page.Pauses, err = u.pauseNotes(ctx, local, clock, page.MayPause); err != nil {
		return err
	}
	if page.Frame, err = u.frame(r, "Schedules"); err != nil {
		return err
	}
	return u.show(w, r, "schedules", "schedules-live", page)
}

// endpointChoices are the states that hosts are filtered by here: those that are
// removed have no schedule.
func endpointChoices() []Choice {
	return slices.DeleteFunc(fleetChoices(), func(one Choice) bool { return one.Value == "removed" })
}

// lineOf reads one host for the time line.
func (u *UI) lineOf(r *http.Request, host fleet.Host, clock wallClock) (lineHost, []fleet.Pause, error) {
	lines, _, err := u.lineHosts(r.Context(), []fleet.Host{host}, clock)
	if err != nil {
		return lineHost{}, nil, err
	}
	pauses, err := u.Store.Pauses(r.Context(), clock.now)
	return lines[0], pauses, err
}

func (u *UI) schedule(w http.ResponseWriter, r *http.Request) error {
	ctx, clock, who := r.Context(), u.wallClock(r), visitorOf(r).who
	planned, err := u.Store.Schedule(ctx, job.ScheduleID(r.PathValue("id")))
	if err != nil {
		return err
	}
	host, err := u.Store.Host(ctx, planned.Host)
	if err != nil {
		return err
	}
	line, pauses, err := u.lineOf(r, host, clock)
	if err != nil {
		return err
	}
	line.schedules = []fleet.Schedule{planned}
	rows, err := u.scheduleRows(ctx, line, pauses, clock, who)
	if err != nil {
		return err
	}
	ahead := wallClock{clock.runsAfter(pauses, host), clock.zone}
	page := SchedulePage{Row: rows[0], Sentence: sentenceOf(planned.Rule), Missed: missedWords(planned.Missed), Times: nextTimes(planned.Rule, ahead), Filter: r.URL.Query().Get("outcome"), Untold: untoldWords(planned, host, clock.now),
		Outcomes: outcomeChoices(), MayChange: rows[0].MayChange, Live: livePath(r)}
	for _, group := range line.groups {
		if slices.Contains(planned.Groups, group.ID) {
			page.Groups = append(page.Groups, group)
		}
	}
	if silent := silentMoments(planned, line, clock); len(silent) > 0 {
		page.Silent = plural(int64(len(silent)), "run", "runs") + " since " + clock.moment(silent[0].at).Text + " " + isAre(len(silent)) + " not reported. " + silentWords(host, clock)
	}
	before := time.Time{}
	if text := r.URL.Query().Get("before"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms <= 0 {
			return fleet.NotFound("page of the history", text)
		}
		before = time.UnixMilli(ms)
	}
	list, next, err := u.history(ctx, planned.ID, page.Filter, before)
	if err != nil {
		return err
	}
	for _, one := range list {
		page.Entries = append(page.Entries, occurrenceRow(one, clock))
	}
	if !next.IsZero() {
		query := url.Values{"before": {strconv.FormatInt(next.UnixMilli(), 10)}}
		if page.Filter != "" {
			query.Set("outcome", page.Filter)
		}
		page.Next = r.URL.Path + "?" + query.Encode()
	}
	crumbs := append(hostCrumbs(host.ID, host.Name), Crumb{"Schedules", "/hosts/" + string(host.ID) + "/schedules"})
	if page.Frame, err = u.frame(r, scheduleTitle(planned), crumbs...); err != nil {
		return err
	}
	return u.show(w, r, "schedule", "schedule-live", page)
}

func isAre(number int) string {
	if number == 1 {
		return "is"
	}
	return "are"
}

// missedWords say what becomes of moments at which the machine was off.
func missedWords(policy schedule.Missed) string {
	if policy == schedule.RunOnce {
		return "Missed moments are caught up by one run when the machine is on again."
	}
	return "Missed moments are let go; the next moment runs as usual."
}

func (u *UI) doScheduleEnable(w http.ResponseWriter, r *http.Request) error {
	return u.switchSchedule(w, r, true)
}

func (u *UI) doScheduleDisable(w http.ResponseWriter, r *http.Request) error {
	return u.switchSchedule(w, r, false)
}

func (u *UI) switchSchedule(w http.ResponseWriter, r *http.Request, enabled bool) error {
	planned, err := u.Store.Schedule(r.Context(), job.ScheduleID(r.PathValue("id")))
	if err != nil {
		return err
	}
	planned.Enabled = enabled
	if _, err := u.Control.UpdateSchedule(r.Context(), visitorOf(r).who, planned); err != nil {
		return err
	}
	notice := "schedule-disabled"
	if enabled {
		notice = "schedule-enabled"
	}
	return done(w, r, "/schedules/"+string(planned.ID), notice)
}

func (u *UI) doScheduleRemove(w http.ResponseWriter, r *http.Request) error {
	planned, err := u.Store.Schedule(r.Context(), job.ScheduleID(r.PathValue("id")))
	if err != nil {
		return err
	}
	if err := u.Control.DeleteSchedule(r.Context(), visitorOf(r).who, planned.ID); err != nil {
		return err
	}
	return done(w, r, "/hosts/"+string(planned.Host)+"/schedules", "schedule-removed")
}

func (u *UI) hostSchedules(w http.ResponseWriter, r *http.Request) error {
	view, err := u.hostView(r, "schedules")
	if err != nil {
		return err
	}
	clock, who := u.wallClock(r), visitorOf(r).who
	line, pauses, err := u.lineOf(r, view.host, clock)
	if err != nil {
		return err
	}
	page := HostSchedulesPage{Head: view.head, Live: livePath(r), HasGroups: len(line.groups) > 0, MayChange: who.Allows(auth.SchedulesWrite) && !view.head.Removed()}
	if page.Rows, err = u.scheduleRows(r.Context(), line, pauses, clock, who); err != nil {
		return err
	}
	for i := range page.Rows {
		page.Rows[i].OfHost = true
	}
	if len(line.schedules) > 0 {
		page.Line = timeLine([]lineHost{line}, nil, pauses, clock)
	}
	covering := slices.DeleteFunc(slices.Clone(pauses), func(one fleet.Pause) bool {
		return one.Scope == fleet.PauseFleet || !one.Covers(view.host.ID, view.host.Tags)
	})
	if page.Pauses, err = u.pauseNotes(r.Context(), covering, clock, who.Allows(auth.PausesWrite)); err != nil {
		return err
	}
	for _, group := range line.groups {
		if nextRun(line.schedules, group.ID, clock.now).IsZero() {
			page.Unplanned = append(page.Unplanned, group)
		}
	}
	if page.Frame, err = u.frame(r, "Schedules of "+view.host.Name, hostCrumbs(view.host.ID, view.host.Name)...); err != nil {
		return err
	}
	return u.show(w, r, "host_schedules", "host-schedules-live", page)
}

func (u *UI) scheduleFormPage(r *http.Request, planned fleet.Schedule) (ScheduleFormPage, error) {
	view, err := u.hostView(r, "schedules")
	if err != nil {
		return ScheduleFormPage{}, err
	}
	if view.head.Removed() {
		return ScheduleFormPage{}, fleet.Conflict("%s was removed; it backs up nothing any more.", view.host.Name)
	}
	page := ScheduleFormPage{Head: view.head, Schedule: planned.ID, Zones: usualZones}
	if page.Groups, err = u.Store.Groups(r.Context(), view.host.ID); err != nil {
		return page, err
	}
	title := "New schedule"
	if planned.ID != "" {
		title = scheduleTitle(planned)
	}
	crumbs := append(hostCrumbs(view.host.ID, view.host.Name), Crumb{"Schedules", "/hosts/" + string(view.host.ID) + "/schedules"})
	page.Frame, err = u.frame(r, title, crumbs...)
	return page, err
}

// zoneFor is the time zone that a new schedule begins with: that of the browser or,
// when it has not told, that of the server.
func zoneFor(r *http.Request) string {
	if zone := zoneOf(r); zone != time.UTC {
		return zone.String()
	}
	if _, err := r.Cookie(zoneCookie); err != nil && zoneText.MatchString(time.Local.String()) && time.Local.String() != "Local" {
		return time.Local.String()
	}
	return "UTC"
}

func (u *UI) scheduleNew(w http.ResponseWriter, r *http.Request) error {
	page, err := u.scheduleFormPage(r, fleet.Schedule{})
	if err != nil {
		return err
	}
	page.Form = newScheduleForm(page.Groups, zoneFor(r))
	if group := r.URL.Query().Get("group"); group != "" {
		page.Form.Groups = []string{group}
	}
	return u.showScheduleForm(w, r, page)
}

func (u *UI) scheduleEdit(w http.ResponseWriter, r *http.Request) error {
	planned, err := u.scheduleOf(r)
	if err != nil {
		return err
	}
	page, err := u.scheduleFormPage(r, planned)
	if err != nil {
		return err
	}
	page.Form = scheduleFormOf(planned)
	return u.showScheduleForm(w, r, page)
}

// showScheduleForm shows the form with its next times. Without a script the form
// comes back in the address to have them told.
func (u *UI) showScheduleForm(w http.ResponseWriter, r *http.Request, page ScheduleFormPage) error {
	if r.URL.Query().Has("repeat") {
		page.Form = readScheduleForm(r.URL.Query())
	}
	page.Times = page.Form.times(u.wallClock(r))
	return u.show(w, r, "schedule_form", "", page)
}

// scheduleOf reads the schedule that the address names, when it is of the host
// that the address names.
func (u *UI) scheduleOf(r *http.Request) (fleet.Schedule, error) {
	planned, err := u.Store.Schedule(r.Context(), job.ScheduleID(r.PathValue("schedule")))
	if err == nil && string(planned.Host) != r.PathValue("id") {
		return planned, fleet.NotFound("schedule", r.PathValue("schedule"))
	}
	return planned, err
}

func (u *UI) doScheduleNew(w http.ResponseWriter, r *http.Request) error {
	return u.saveSchedule(w, r, fleet.Schedule{Host: job.HostID(r.PathValue("id"))})
}

func (u *UI) doScheduleEdit(w http.ResponseWriter, r *http.Request) error {
	planned, err := u.scheduleOf(r)
	if err != nil {
		return err
	}
	return u.saveSchedule(w, r, planned)
}

func (u *UI) saveSchedule(w http.ResponseWriter, r *http.Request, planned fleet.Schedule) error {
	form := readScheduleForm(r.PostForm)
	err := form.fill(&planned)
	if err == nil {
		write, notice := u.Control.UpdateSchedule, "schedule-changed"
		if planned.ID == "" {
			write, notice = u.Control.CreateSchedule, "schedule-added"
		}
		var written fleet.Schedule
		if written, err = write(r.Context(), visitorOf(r).who, planned); err == nil {
			return done(w, r, "/schedules/"+string(written.ID), notice)
		}
	}
	fields, ok := fieldErrors(err)
	if !ok {
		return err
	}
	page, err := u.scheduleFormPage(r, planned)
	if err != nil {
		return err
	}
	page.Form, page.Errors, page.Times = form, form.formErrors(fields), form.times(u.wallClock(r))
	return u.answer(w, http.StatusUnprocessableEntity, "schedule_form", "layout", page)
}

func (u *UI) schedulePreview(w http.ResponseWriter, r *http.Request) error {
	times := readScheduleForm(r.URL.Query()).times(u.wallClock(r))
	return u.answer(w, http.StatusOK, "schedule_form", "next-times", times)
}
