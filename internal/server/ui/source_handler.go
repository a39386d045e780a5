package ui

import (
	"context"
	"net/http"
	"time"

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
	page := SourceFormPage{Head: view.head, Group: group.ID, Preview: PreviewPart{Host: view.host.ID, Name: view.host.Name}}
	crumbs := append(hostCrumbs(view.host.ID, view.host.Name), Crumb{"Sources", "/hosts/" + string(view.host.ID) + "/sources"})
	if page.Frame, err = u.frame(r, title, crumbs...); err != nil {
		return page, err
	}
	if page.Gap, err = u.gapOf(r.Context(), view.host.ID, group.ID); err != nil {
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
	host, err := u.Store.Host(r.Context(), group.Host)
	if err != nil {
		return err
	}
	form := readSourceForm(r, group, host)
	fields, ok := fieldErrors(form.fill(&group))
	if !ok {
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

// sourceNotes says what the form comes to as it stands, while it is filled in.
func (u *UI) sourceNotes(w http.ResponseWriter, r *http.Request) error {
	host, err := u.Store.Host(r.Context(), job.HostID(r.PathValue("id")))
	if err != nil {
		return err
	}
	group := fleet.SourceGroup{ID: job.GroupID(r.URL.Query().Get("group"))}
	page := SourceFormPage{Form: readSourceForm(r, group, host)}
	if page.Gap, err = u.gapOf(r.Context(), host.ID, group.ID); err != nil {
		return err
	}
	return u.answer(w, http.StatusOK, "source_form", "source-notes", page)
}

// gapOf is the smallest time between two runs of a group; 0 when no schedule
// that is enabled runs it.
func (u *UI) gapOf(ctx context.Context, host job.HostID, group job.GroupID) (time.Duration, error) {
	schedules, err := u.Store.SchedulesOf(ctx, host)
	if err != nil || group == "" {
		return 0, err
	}
	return finestGap(linesOf(schedules, group, u.Now()), u.Now()), nil
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
	made, err := u.Control.CreateJob(r.Context(), visitorOf(r).who, control.NewJob{Host: group.Host, Kind: job.Backup, Group: group.ID, WhenBack: r.PostFormValue("when_back") != ""})
	if err != nil {
		return err
	}
	return done(w, r, "/jobs/"+string(made.ID), "")
}
