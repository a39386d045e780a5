package ui

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// fleetPageSize is how many hosts one page lists.
const fleetPageSize = 100

// Choice is one option of a filter.
type Choice struct{ Value, Label string }

// fleetStates are what the filter of the last result offers, and what each asks
// the store for.
var fleetStates = []struct {
	Choice
	narrow func(*store.HostFilter)
}{
	{Choice{"failed", "failed"}, func(f *store.HostFilter) { f.State = job.Failed }},
	{Choice{"lost", "lost"}, func(f *store.HostFilter) { f.State = job.Lost }},
	{Choice{"warning", "warning"}, func(f *store.HostFilter) { f.State = job.Warning }},
	{Choice{"cancelled", "cancelled"}, func(f *store.HostFilter) { f.State = job.Cancelled }},
	{Choice{"good", "succeeded"}, func(f *store.HostFilter) { f.State = job.Succeeded }},
	{Choice{"none", "no backup yet"}, func(f *store.HostFilter) { f.Never = true }},
	{Choice{"removed", "removed hosts"}, func(f *store.HostFilter) { f.Removed, f.Storage = true, nil }},
}

func fleetChoices() []Choice {
	choices := make([]Choice, len(fleetStates))
	for i, one := range fleetStates {
		choices[i] = one.Choice
	}
	return choices
}

func fleetFilter(query url.Values) FleetFilter {
	return FleetFilter{Text: query.Get("text"), Tag: query.Get("tag"), State: query.Get("state")}
}

func (f FleetFilter) narrow() store.HostFilter {
	endpoints := false
	filter := store.HostFilter{Text: f.Text, Tag: f.Tag, Storage: &endpoints, TroubleFirst: true}
	for _, one := range fleetStates {
		if one.Value == f.State {
			one.narrow(&filter)
		}
	}
	return filter
}

func (u *UI) fleet(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	frame, err := u.frame(r, "Fleet")
	if err != nil {
		return err
	}
	page := FleetPage{Frame: frame, Filter: fleetFilter(r.URL.Query()), Live: livePath(r), MayPause: visitorOf(r).who.Allows(auth.PausesWrite)}
	if page.Alerts, err = u.alertPanels(ctx, ""); err != nil {
		return err
	}
	filter := page.Filter.narrow()
	filter.Page = fleet.Page{Limit: fleetPageSize, Cursor: r.URL.Query().Get("cursor")}
	hosts, next, err := u.Store.Hosts(ctx, filter)
	if err != nil {
		return err
	}
	page.Next = nextPath(r, next)
	active, _, err := u.Store.Jobs(ctx, fleet.JobFilter{Active: true, Page: fleet.Page{Limit: 500}})
	if err != nil {
		return err
	}
	clock := u.wallClock(r)
	pauses, err := u.Store.Pauses(ctx, clock.now)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		own := slices.DeleteFunc(slices.Clone(active), func(one fleet.Job) bool { return one.Host != host.ID })
		running := u.running(own)
		row := FleetRow{Host: host, Result: lastResult(host), Connection: connection(host), Running: running, Queued: len(own) - len(running), NoRestic: noRestic(host)}
		if row.Next, row.Paused, err = u.ahead(ctx, host, pauses, clock); err != nil {
			return err
		}
		page.Rows = append(page.Rows, row)
		page.Tags = append(page.Tags, host.Tags...)
	}
	if page.Filter.Tag != "" {
		page.Tags = append(page.Tags, page.Filter.Tag)
	}
	slices.Sort(page.Tags)
	page.Tags = slices.Compact(page.Tags)
	if page.Storage, err = u.storageRows(ctx); err != nil {
		return err
	}
	if page.Figures, err = u.figures(ctx, frame.Status.Running, active); err != nil {
		return err
	}
	page.States = fleetChoices()
	page.Verdict = verdict(page.Figures, len(page.Alerts), u.Now())
	return u.show(w, r, "fleet", "fleet-live", page)
}

func (u *UI) storageRows(ctx context.Context) ([]StorageRow, error) {
	only := true
	boxes, _, err := u.Store.Hosts(ctx, store.HostFilter{Storage: &only})
	if err != nil {
		return nil, err
	}
	var rows []StorageRow
	for _, box := range boxes {
		repositories, _, err := u.Store.Repositories(ctx, store.RepositoryFilter{Storage: box.ID, Page: fleet.Page{Limit: 500}})
		if err != nil {
			return nil, err
		}
		rows = append(rows, StorageRow{Host: box, Connection: connection(box), Repositories: len(repositories), Disk: diskBar(box.Storage.BytesFree, box.Storage.BytesTotal), NoRestic: noRestic(box)})
	}
	return rows, nil
}

// figures counts the whole fleet. The names and ages in the sentence are told
// only when all hosts that matter fit into one page, since a sentence about a
// part of them would not be true. active are the jobs that have not ended.
func (u *UI) figures(ctx context.Context, running int, active []fleet.Job) (FleetFigures, error) {
	counts, err := u.Store.CountHosts(ctx, u.Now())
	if err != nil {
		return FleetFigures{}, err
	}
	waiting, _, err := u.Store.CountActive(ctx)
	if err != nil {
		return FleetFigures{}, err
	}
	snapshots, err := u.Store.CountSnapshots(ctx, "")
	if err != nil {
		return FleetFigures{}, err
	}
	f := FleetFigures{Hosts: counts.Endpoints, Storage: counts.Storage, Online: counts.Online, Running: running, Queued: waiting,
		Good: counts.Good, Warned: counts.Warned, Bad: counts.Bad, Other: counts.Other, None: counts.Never, Snapshots: snapshots}
	if counts.Endpoints == 0 {
		removed, _, err := u.Store.Hosts(ctx, store.HostFilter{Removed: true, Page: fleet.Page{Limit: 1}})
		f.Removed = len(removed) > 0
		return f, err
	}
	if counts.Endpoints > fleetPageSize {
		return f, nil
	}
	endpoints := false
	all, _, err := u.Store.Hosts(ctx, store.HostFilter{Storage: &endpoints, Page: fleet.Page{Limit: fleetPageSize}})
	if err != nil {
		return FleetFigures{}, err
	}
	worst, oldest := extremes(all)
	f.OldestAt = oldest
	f.WorstName, f.WorstState, f.WorstAt = worst.Name, worst.LastBackupState, worst.LastEndedAt
	f.FirstRunning = firstRunning(all, active)
	return f, nil
}

// extremes finds the host whose backup went wrong last, and the oldest of the
// last saved snapshots; that is zero when a host has none.
func extremes(hosts []fleet.Host) (worst fleet.Host, oldest time.Time) {
	for i, host := range hosts {
		if (host.LastBackupState == job.Failed || host.LastBackupState == job.Lost) && host.LastEndedAt.After(worst.LastEndedAt) {
			worst = host
		}
		if i == 0 || host.LastBackupAt.Before(oldest) {
			oldest = host.LastBackupAt
		}
	}
	return worst, oldest
}

// firstRunning counts the hosts without any backup that ended, but one running.
func firstRunning(hosts []fleet.Host, active []fleet.Job) int {
	number := 0
	for _, host := range hosts {
		if host.LastBackupState == "" && slices.ContainsFunc(active, func(one fleet.Job) bool {
			return one.Host == host.ID && one.Kind == job.Backup && one.State == job.Running
		}) {
			number++
		}
	}
	return number
}

func (u *UI) doCloseAlert(w http.ResponseWriter, r *http.Request) error {
	if err := u.Control.CloseAlert(r.Context(), visitorOf(r).who, r.PathValue("id")); err != nil {
		return err
	}
	return done(w, r, localPath(backOf(r)), "closed")
}
