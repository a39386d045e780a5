package ui

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

func (u *UI) sources(w http.ResponseWriter, r *http.Request) error {
	view, err := u.hostView(r, "sources")
	if err != nil {
		return err
	}
	repositories, _, err := u.Store.Repositories(r.Context(), store.RepositoryFilter{Host: view.host.ID})
	if err != nil {
		return err
	}
	page := SourcesPage{Head: view.head, Live: livePath(r)}
	if page.Cards, err = u.groupCards(r.Context(), view, repositories); err != nil {
		return err
	}
	if page.Frame, err = u.frame(r, "Sources of "+view.host.Name, hostCrumbs(view.host.ID, view.host.Name)...); err != nil {
		return err
	}
	return u.show(w, r, "sources", "sources-live", page)
}

func (u *UI) sourceFormPage(r *http.Request, group fleet.SourceGroup) (SourceFormPage, error) {
	view, err := u.hostView(r, "sources")
	if err != nil {
		return SourceFormPage{}, err
	}
	title := group.Name
	if group.ID == "" {
		title = "New source group"
	}
	page := SourceFormPage{Head: view.head, Group: group.ID}
	crumbs := append(hostCrumbs(view.host.ID, view.host.Name), Crumb{"Sources", "/hosts/" + string(view.host.ID) + "/sources"})
	if page.Frame, err = u.frame(r, title, crumbs...); err != nil {
		return page, err
	}
	page.Repositories, _, err = u.Store.Repositories(r.Context(), store.RepositoryFilter{Host: view.host.ID})
	return page, err
}

// groupOf reads the group that the address names, when it is of the host that
// the address names.
func (u *UI) groupOf(r *http.Request) (fleet.SourceGroup, error) {
	group, err := u.Store.Group(r.Context(), job.GroupID(r.PathValue("group")))
	if err == nil && string(group.Host) != r.PathValue("id") {
		return group, fleet.NotFound("source group", r.PathValue("group"))
	}
	return group, err
}

func (u *UI) sourceNew(w http.ResponseWriter, r *http.Request) error {
	page, err := u.sourceFormPage(r, fleet.SourceGroup{})
	if err != nil {
		return err
	}
	if len(page.Repositories) == 0 {
		return fleet.Conflict("%s has no repository that a group could go to.", page.Head.Host.Name)
	}
	page.Form = newSourceForm(page.Repositories[0].ID)
	return u.show(w, r, "source_form", "", page)
}

func (u *UI) sourceEdit(w http.ResponseWriter, r *http.Request) error {
	group, err := u.groupOf(r)
	if err != nil {
		return err
	}
	page, err := u.sourceFormPage(r, group)
	if err != nil {
		return err
	}
	page.Form = sourceFormOf(group)
	return u.show(w, r, "source_form", "", page)
}

func (u *UI) doSourceNew(w http.ResponseWriter, r *http.Request) error {
	return u.saveSource(w, r, fleet.SourceGroup{Host: job.HostID(r.PathValue("id"))})
}

func (u *UI) doSourceEdit(w http.ResponseWriter, r *http.Request) error {
	group, err := u.groupOf(r)
	if err != nil {
		return err
	}
	return u.saveSource(w, r, group)
}

func (u *UI) saveSource(w http.ResponseWriter, r *http.Request, group fleet.SourceGroup) error {
	form := readSourceForm(r)
	fields, ok := fieldErrors(form.fill(&group))
	if !ok {
		var err error
		notice := "group-changed"
		if group.ID == "" {
			notice = "group-added"
			_, err = u.Control.CreateGroup(r.Context(), visitorOf(r).who, group)
		} else {
			_, err = u.Control.UpdateGroup(r.Context(), visitorOf(r).who, group)
		}
		if err == nil {
			return done(w, r, "/hosts/"+string(group.Host), notice)
		}
		if fields, ok = fieldErrors(err); !ok {
			return err
		}
	}
	page, err := u.sourceFormPage(r, group)
	if err != nil {
		return err
	}
	page.Form, page.Errors = form, fields
	return u.answer(w, http.StatusUnprocessableEntity, "source_form", "layout", page)
}

func readSourceForm(r *http.Request) SourceForm {
	value := r.PostFormValue
	return SourceForm{
		Name: strings.TrimSpace(value("name")), Repository: value("repository_id"), Includes: value("includes"), Excludes: value("excludes"),
		OneFileSystem: value("one_file_system") != "", ExcludeCaches: value("exclude_caches") != "",
		LimitUploadKiB: value("limit_upload_kib"), RetryLockMinutes: value("retry_lock_minutes"),
		KeepLast: value("keep_last"), KeepHourly: value("keep_hourly"), KeepDaily: value("keep_daily"), KeepWeekly: value("keep_weekly"),
		KeepMonthly: value("keep_monthly"), KeepYearly: value("keep_yearly"), KeepWithinDays: value("keep_within_days"),
	}
}

// fill writes the form into group. What is no number is told at once; the rest
// is for control to check.
func (f SourceForm) fill(group *fleet.SourceGroup) error {
	group.Name, group.Repository = f.Name, job.RepositoryID(f.Repository)
	group.Includes, group.Excludes = textLines(f.Includes), textLines(f.Excludes)
	group.Options.OneFileSystem, group.Options.ExcludeCaches = f.OneFileSystem, f.ExcludeCaches
	var invalid fleet.Invalid
	for _, number := range []struct {
		field, text string
		into        *int
	}{
		{"limit_upload_kib", f.LimitUploadKiB, &group.Options.LimitUploadKiB}, {"retry_lock_minutes", f.RetryLockMinutes, &group.Options.RetryLockMinutes},
		{"keep_last", f.KeepLast, &group.Retention.KeepLast}, {"keep_hourly", f.KeepHourly, &group.Retention.KeepHourly},
		{"keep_daily", f.KeepDaily, &group.Retention.KeepDaily}, {"keep_weekly", f.KeepWeekly, &group.Retention.KeepWeekly},
		{"keep_monthly", f.KeepMonthly, &group.Retention.KeepMonthly}, {"keep_yearly", f.KeepYearly, &group.Retention.KeepYearly},
		{"keep_within_days", f.KeepWithinDays, &group.Retention.KeepWithinDays},
	} {
		text := strings.TrimSpace(number.text)
		if text == "" {
			*number.into = 0
			continue
		}
		value, err := strconv.Atoi(text)
		if err != nil {
			invalid.Add(number.field, "%q is not a number.", text)
			continue
		}
		*number.into = value
	}
	if invalid.Err() == nil && group.Retention == (fleet.Retention{}) {
		// Control takes no numbers at all for "not said", but here they were.
		group.Check(&invalid)
	}
	return invalid.Err()
}

// textLines are the lines of a text area without empty ones. Spaces belong to
// the names of files and stay.
func textLines(text string) []string {
	var list []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		if strings.TrimSpace(line) != "" {
			list = append(list, line)
		}
	}
	return list
}

func (u *UI) doSourceRemove(w http.ResponseWriter, r *http.Request) error {
	group, err := u.groupOf(r)
	if err != nil {
		return err
	}
	if err := u.Control.DeleteGroup(r.Context(), visitorOf(r).who, group.ID); err != nil {
		return err
	}
	return done(w, r, "/hosts/"+string(group.Host)+"/sources", "group-removed")
}

func (u *UI) doSourceRun(w http.ResponseWriter, r *http.Request) error {
	group, err := u.groupOf(r)
	if err != nil {
		return err
	}
	made, err := u.Control.CreateJob(r.Context(), visitorOf(r).who, control.NewJob{Host: group.Host, Kind: job.Backup, Group: group.ID})
	if err != nil {
		return err
	}
	return done(w, r, "/jobs/"+string(made.ID), "")
}
