package ui

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// pauseNotes tell the pauses that hold, with names.
func (u *UI) pauseNotes(ctx context.Context, pauses []fleet.Pause, clock wallClock, mayEnd bool) ([]PauseNote, error) {
	names := u.hostNames()
	var notes []PauseNote
	for _, pause := range pauses {
		note := PauseNote{ID: pause.ID, What: "All schedules", Until: clock.moment(pause.Until), By: pause.CreatedBy, Reason: pause.Reason, MayEnd: mayEnd}
		switch pause.Scope {
		case fleet.PauseFleet:
		case fleet.PauseTag:
			note.What = "Schedules of hosts tagged " + pause.Subject
		case fleet.PauseHost:
			name, err := names.of(ctx, job.HostID(pause.Subject))
			if err != nil {
				return nil, err
			}
			note.What = "Schedules of " + name
		}
		notes = append(notes, note)
	}
	return notes, nil
}

// fleetPauses are the pauses of the whole fleet, which every page tells of.
func (u *UI) fleetPauses(r *http.Request) ([]PauseNote, error) {
	clock := u.wallClock(r)
	pauses, err := u.Store.Pauses(r.Context(), clock.now)
	if err != nil {
		return nil, err
	}
	pauses = slices.DeleteFunc(pauses, func(one fleet.Pause) bool { return one.Scope != fleet.PauseFleet })
	return u.pauseNotes(r.Context(), pauses, clock, visitorOf(r).who.Allows(auth.PausesWrite))
}

func (u *UI) pauseBanner(w http.ResponseWriter, r *http.Request) error {
	notes, err := u.fleetPauses(r)
	if err != nil {
		return err
	}
	return u.answer(w, http.StatusOK, "error", "pause-banner", notes)
}

func (u *UI) pauseFormPage(r *http.Request, form PauseForm, host, back string) (PauseFormPage, error) {
	clock := u.wallClock(r)
	page := PauseFormPage{Form: form, Ends: pauseEnds(clock), Zone: clock.zone.String(), Back: localPath(back)}
	if page.Form.End == "" {
		page.Form.End = page.Ends[0].Value
	}
	if page.Form.Exact == "" {
		page.Form.Exact = pauseEnds(clock)[len(page.Ends)-2].until.In(clock.zone).Format(localMoment)
	}
	crumbs := []Crumb{{"Schedules", "/schedules"}}
	var err error
	if host != "" {
		if page.Host, err = u.Store.Host(r.Context(), job.HostID(host)); err != nil {
			return page, err
		}
		crumbs = hostCrumbs(page.Host.ID, page.Host.Name)
	}
	if page.Form.Scope == "" {
		page.Form.Scope = string(fleet.PauseFleet)
		if page.Host.ID != "" {
			page.Form.Scope = string(fleet.PauseHost)
		}
	}
	hosts, _, err := u.Store.Hosts(r.Context(), store.HostFilter{Page: fleet.Page{Limit: 500}})
	if err != nil {
		return page, err
	}
	for _, one := range hosts {
		page.Tags = append(page.Tags, one.Tags...)
	}
	slices.Sort(page.Tags)
	page.Tags = slices.Compact(page.Tags)
	page.Frame, err = u.frame(r, "Pause schedules", crumbs...)
	return page, err
}

func (u *UI) pauseNew(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	back := backOf(r)
	if back == "" {
		back = "/schedules"
	}
	page, err := u.pauseFormPage(r, PauseForm{Scope: query.Get("scope"), Tag: query.Get("tag")}, query.Get("host"), back)
	if err != nil {
		return err
	}
	return u.show(w, r, "pause_form", "", page)
}

func (u *UI) doPauseNew(w http.ResponseWriter, r *http.Request) error {
	value := r.PostFormValue
	form := PauseForm{Scope: value("scope"), Tag: strings.TrimSpace(value("tag")), End: value("end"), Exact: value("exact"), Reason: strings.TrimSpace(value("reason"))}
	var invalid fleet.Invalid
	pause := fleet.Pause{Scope: fleet.PauseScope(form.Scope), Until: form.until(u.wallClock(r), &invalid), Reason: form.Reason}
	switch pause.Scope {
	case fleet.PauseFleet:
	case fleet.PauseTag:
		pause.Subject = form.Tag
	case fleet.PauseHost:
		pause.Subject = value("host")
	}
	err := invalid.Err()
	if err == nil {
		if _, err = u.Control.CreatePause(r.Context(), visitorOf(r).who, pause); err == nil {
			return done(w, r, withoutNotice(value("back")), "paused")
		}
	}
	fields, ok := fieldErrors(err)
	if !ok {
		return err
	}
	page, err := u.pauseFormPage(r, form, value("host"), value("back"))
	if err != nil {
		return err
	}
	page.Errors = fields
	for i, one := range page.Errors {
		switch {
		case one.Field == "subject" && pause.Scope == fleet.PauseTag:
			page.Errors[i].Field = "tag"
		case one.Field == "subject":
			page.Errors[i].Field = "scope"
		case one.Field == "until" && form.End == endExact:
			page.Errors[i].Field = "exact"
		case one.Field == "until":
			page.Errors[i].Field = "end"
		}
	}
	return u.answer(w, http.StatusUnprocessableEntity, "pause_form", "layout", page)
}

// withoutNotice is a page of ours without what it said of the request before.
func withoutNotice(path string) string {
	address, err := url.Parse(localPath(path))
	if err != nil {
		return "/"
	}
	query := address.Query()
	query.Del("said")
	address.RawQuery = query.Encode()
	return localPath(address.RequestURI())
}

func (u *UI) doPauseEnd(w http.ResponseWriter, r *http.Request) error {
	if err := u.Control.EndPause(r.Context(), visitorOf(r).who, r.PathValue("id")); err != nil {
		return err
	}
	back := backOf(r)
	if back == "" {
		back = "/schedules"
	}
	return done(w, r, withoutNotice(back), "pause-ended")
}
