package ui

import (
	"net/http"
	"slices"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// hostView is what all pages of one host are made of.
type hostView struct {
	host   fleet.Host
	head   HostHead
	active []fleet.Job
}

func (u *UI) hostView(r *http.Request, tab string) (hostView, error) {
	host, err := u.Store.Host(r.Context(), job.HostID(r.PathValue("id")))
	if err != nil {
		return hostView{}, err
	}
	active, err := u.Store.ActiveJobs(r.Context(), host.ID)
	if err != nil {
		return hostView{}, err
	}
	head := HostHead{Host: host, Result: lastResult(host), Connection: connection(host), Tab: tab, Running: u.running(active), NoRestic: noRestic(host)}
	head.MayPause = visitorOf(r).who.Allows(auth.PausesWrite) && host.RemovedAt.IsZero()
	pauses, err := u.Store.Pauses(r.Context(), u.Now())
	if err != nil {
		return hostView{}, err
	}
	if head.Next, head.Paused, err = u.ahead(r.Context(), host, pauses, u.wallClock(r)); err != nil {
		return hostView{}, err
	}
	return hostView{host, head, active}, nil
}

func (u *UI) hostHead(w http.ResponseWriter, r *http.Request) error {
	view, err := u.hostView(r, "")
	if err != nil {
		return err
	}
	return u.answer(w, http.StatusOK, "host", "host-head", view.head)
}

func (u *UI) hostPage(r *http.Request) (HostPage, error) {
	ctx := r.Context()
	view, err := u.hostView(r, "overview")
	if err != nil {
		return HostPage{}, err
	}
	page := HostPage{Head: view.head, Live: "/hosts/" + string(view.host.ID) + "?part=live"}
	if page.Frame, err = u.frame(r, view.host.Name, Crumb{"Fleet", "/"}); err != nil {
		return page, err
	}
	if page.Alerts, err = u.alertPanels(ctx, view.host.ID); err != nil {
		return page, err
	}
	if !view.host.QuarantinedAt.IsZero() {
		page.Sessions = sessionRows(u.Control.Sessions(view.host.ID))
	}
	filter := store.RepositoryFilter{Host: view.host.ID}
	if view.host.IsStorage() {
		filter = store.RepositoryFilter{Storage: view.host.ID, Page: fleet.Page{Limit: 500}}
	}
	repositories, _, err := u.Store.Repositories(ctx, filter)
	if err != nil {
		return page, err
	}
	if page.Repositories, err = u.repositoryRows(ctx, repositories); err != nil {
		return page, err
	}
	page.Groups, err = u.groupCards(ctx, view, repositories)
	return page, err
}

func (u *UI) host(w http.ResponseWriter, r *http.Request) error {
	page, err := u.hostPage(r)
	if err != nil {
		return err
	}
	return u.show(w, r, "host", "host-live", page)
}

func (u *UI) doKeepSession(w http.ResponseWriter, r *http.Request) error {
	if err := u.Control.KeepSession(r.Context(), visitorOf(r).who, job.HostID(r.PathValue("id")), r.PathValue("session")); err != nil {
		return err
	}
	return done(w, r, "/hosts/"+r.PathValue("id"), "kept")
}

func (u *UI) snapshots(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	view, err := u.hostView(r, "snapshots")
	if err != nil {
		return err
	}
	page := SnapshotsPage{Head: view.head, Group: job.GroupID(r.URL.Query().Get("group")), Live: livePath(r)}
	if page.Frame, err = u.frame(r, "Snapshots of "+view.host.Name, hostCrumbs(view.host.ID, view.host.Name)...); err != nil {
		return err
	}
	if page.Groups, err = u.Store.Groups(ctx, view.host.ID); err != nil {
		return err
	}
	repositories, _, err := u.Store.Repositories(ctx, store.RepositoryFilter{Host: view.host.ID})
	if err != nil {
		return err
	}
	if page.Refresh, err = u.repositoryRows(ctx, slices.DeleteFunc(repositories, func(one fleet.Repository) bool { return !one.Ready() })); err != nil {
		return err
	}
	for _, row := range page.Refresh {
		if page.ListedAt.IsZero() || row.Repository.ListedAt.Before(page.ListedAt) {
			page.ListedAt = row.Repository.ListedAt
		}
	}
	list, next, err := u.Store.Snapshots(ctx, store.SnapshotFilter{Host: view.host.ID, Group: page.Group, Page: fleet.Page{Cursor: r.URL.Query().Get("cursor")}})
	if err != nil {
		return err
	}
	page.Next = nextPath(r, next)
	page.Days = byDay(list, page.Groups)
	return u.show(w, r, "snapshots", "snapshots-live", page)
}

// byDay puts snapshots, newest first, under their days (UTC).
func byDay(list []fleet.Snapshot, groups []fleet.SourceGroup) []SnapshotDay {
	var days []SnapshotDay
	for _, snapshot := range list {
		row := SnapshotRow{Snapshot: snapshot}
		for _, group := range groups {
			if group.ID == snapshot.Group && group.ID != "" {
				row.GroupName = group.Name
			}
		}
		year, month, day := snapshot.Time.UTC().Date()
		if last := len(days) - 1; last >= 0 {
			if y, m, d := days[last].Day.UTC().Date(); y == year && m == month && d == day {
				days[last].Rows = append(days[last].Rows, row)
				continue
			}
		}
		days = append(days, SnapshotDay{Day: snapshot.Time, Rows: []SnapshotRow{row}})
	}
	return days
}

func (u *UI) doRefresh(w http.ResponseWriter, r *http.Request) error {
	made, err := u.Control.CreateJob(r.Context(), visitorOf(r).who, control.NewJob{Host: job.HostID(r.PathValue("id")), Kind: job.Snapshots, Repository: job.RepositoryID(r.PostFormValue("repository"))})
	if err != nil {
		return err
	}
	return done(w, r, "/jobs/"+string(made.ID), "")
}

func (u *UI) hostJobs(w http.ResponseWriter, r *http.Request) error {
	view, err := u.hostView(r, "jobs")
	if err != nil {
		return err
	}
	list, err := u.jobList(r, view.host.ID)
	if err != nil {
		return err
	}
	if isPart(r) {
		return u.answer(w, http.StatusOK, "host_jobs", "job-list", list)
	}
	page := HostJobsPage{Head: view.head, List: list}
	if page.Frame, err = u.frame(r, "Jobs of "+view.host.Name, hostCrumbs(view.host.ID, view.host.Name)...); err != nil {
		return err
	}
	return u.show(w, r, "host_jobs", "", page)
}
