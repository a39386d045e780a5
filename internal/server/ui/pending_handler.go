package ui

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// pendingPageSize is how many runs one page lists, and how many are changed at
// once.
const pendingPageSize = 100

func (u *UI) pending(w http.ResponseWriter, r *http.Request) error {
	ctx, clock, who := r.Context(), u.wallClock(r), visitorOf(r).who
	page := PendingPage{Host: r.URL.Query().Get("host"), Live: livePath(r), MayRun: who.Allows(auth.JobsRun), MayDrop: who.Allows(auth.JobsCancel)}
	filter := control.PendingFilter{Page: fleet.Page{Limit: pendingPageSize, Cursor: r.URL.Query().Get("cursor")}}
	var err error
	page.Tabs.Pending = true
	if page.Tabs.Waiting, err = u.Store.CountPending(ctx); err != nil {
		return err
	}
	found := true
	if page.Host != "" {
		hosts, _, err := u.Store.Hosts(ctx, store.HostFilter{Text: page.Host, Page: fleet.Page{Limit: 1}})
		if err != nil {
			return err
		}
		if found = len(hosts) > 0; found {
			filter.Host, page.Host = hosts[0].ID, hosts[0].Name
		}
	}
	if found {
		runs, next, err := u.Control.PendingRuns(ctx, filter)
		if err != nil {
			return err
		}
		page.Next = nextPath(r, next)
		if page.Rows, err = u.pendingRows(ctx, runs, clock); err != nil {
			return err
		}
	}
	if page.Frame, err = u.frame(r, "Waiting runs", Crumb{"Jobs", "/jobs"}); err != nil {
		return err
	}
	return u.show(w, r, "pending", "pending-live", page)
}

// pendingRows tell why runs wait, with names. What they hang on is read once.
func (u *UI) pendingRows(ctx context.Context, runs []fleet.PendingRun, clock wallClock) ([]PendingRow, error) {
	hosts, groups, schedules, boxes := map[job.HostID]fleet.Host{}, map[job.GroupID]fleet.SourceGroup{}, map[job.ScheduleID]fleet.Schedule{}, map[job.RepositoryID]string{}
	rows := make([]PendingRow, 0, len(runs))
	for _, run := range runs {
		host, err := known(ctx, hosts, run.Host, u.Store.Host)
		if err != nil {
			return nil, err
		}
		group, err := known(ctx, groups, run.Group, u.Store.Group)
		if err != nil {
			return nil, err
		}
		planned, err := known(ctx, schedules, run.Schedule, u.Store.Schedule)
		if err != nil {
			return nil, err
		}
		box, err := known(ctx, boxes, run.Repository, u.boxName)
		if err != nil {
			return nil, err
		}
		rows = append(rows, pendingRow(run, host, group, planned, box, clock))
	}
	return rows, nil
}

// known reads what is not in seen yet; what is gone is its zero value.
func known[K comparable, V any](ctx context.Context, seen map[K]V, id K, read func(context.Context, K) (V, error)) (V, error) {
	value, ok := seen[id]
	var none K
	if ok || id == none {
		return value, nil
	}
	value, err := read(ctx, id)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return value, err
	}
	seen[id] = value
	return value, nil
}

// boxName is the name of the storage box that holds a repository; "" is none.
func (u *UI) boxName(ctx context.Context, id job.RepositoryID) (string, error) {
	repository, err := u.Store.Repository(ctx, id)
	if err != nil || repository.Storage == "" {
		return "", err
	}
	box, err := u.Store.Host(ctx, repository.Storage)
	return box.Name, err
}

// chosenRuns are the runs that a form names, at most one page of them.
func chosenRuns(values url.Values) []job.ID {
	var ids []job.ID
	for _, text := range values["run"] {
		if len(ids) < pendingPageSize && job.ValidID(text) {
			ids = append(ids, job.ID(text))
		}
	}
	return ids
}

var errNoneChosen = fleet.Conflict("No run was chosen. Tick the ones that are meant, or use the button of one row.")

func (u *UI) doPendingRun(w http.ResponseWriter, r *http.Request) error {
	ids := chosenRuns(r.PostForm)
	if len(ids) == 0 {
		return errNoneChosen
	}
	for _, id := range ids {
		// One that went meanwhile needs no hurry any more.
		if _, err := u.Control.RunPending(r.Context(), visitorOf(r).who, id); err != nil && (len(ids) == 1 || !errors.Is(err, fleet.ErrConflict)) {
			return err
		}
	}
	return done(w, r, "/pending", "hurried")
}

func (u *UI) doPendingRunOne(w http.ResponseWriter, r *http.Request) error {
	if _, err := u.Control.RunPending(r.Context(), visitorOf(r).who, job.ID(r.PathValue("id"))); err != nil {
		return err
	}
	return done(w, r, "/pending", "hurried")
}

// pendingDrop names what is lost before runs are dropped.
func (u *UI) pendingDrop(w http.ResponseWriter, r *http.Request) error {
	page := PendingDropPage{Back: "/pending"}
	var err error
	var runs []fleet.PendingRun
	ids := chosenRuns(r.URL.Query())
	if len(ids) == 0 {
		return errNoneChosen
	}
	for _, id := range ids {
		one, err := u.Store.Job(r.Context(), id)
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
		run, waits, err := u.Control.WhyWaiting(r.Context(), one)
		if err != nil {
			return err
		}
		if !waits {
			page.Gone++
			continue
		}
		runs = append(runs, run)
	}
	if page.Rows, err = u.pendingRows(r.Context(), runs, u.wallClock(r)); err != nil {
		return err
	}
	if page.Frame, err = u.frame(r, "Drop waiting runs", Crumb{"Jobs", "/jobs"}, Crumb{"Waiting", "/pending"}); err != nil {
		return err
	}
	return u.show(w, r, "pending_drop", "", page)
}

func (u *UI) doPendingDrop(w http.ResponseWriter, r *http.Request) error {
	ids := chosenRuns(r.PostForm)
	if len(ids) == 0 {
		return errNoneChosen
	}
	for _, id := range ids {
		// One that has begun meanwhile is no longer there to be dropped.
		if err := u.Control.DropPending(r.Context(), visitorOf(r).who, id); err != nil && (len(ids) == 1 || !errors.Is(err, fleet.ErrConflict)) {
			return err
		}
	}
	return done(w, r, "/pending", "dropped")
}
