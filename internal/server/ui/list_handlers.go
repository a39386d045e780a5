package ui

import (
	"context"
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// jobListSize is how many jobs one page lists.
const jobListSize = 50

// stateActive is the filter for jobs that have not ended.
const stateActive = "active"

func (u *UI) jobs(w http.ResponseWriter, r *http.Request) error {
	list, err := u.jobList(r, "")
	if err != nil {
		return err
	}
	if isPart(r) {
		return u.answer(w, http.StatusOK, "jobs", "job-list", list)
	}
	frame, err := u.frame(r, "Jobs")
	if err != nil {
		return err
	}
	waiting, err := u.Store.CountPending(r.Context())
	if err != nil {
		return err
	}
	return u.show(w, r, "jobs", "", JobListPage{Frame: frame, Tabs: JobTabs{Waiting: waiting}, List: list})
}

// jobList lists the jobs of one host, or of all.
func (u *UI) jobList(r *http.Request, host job.HostID) (JobList, error) {
	ctx, query := r.Context(), r.URL.Query()
	list := JobList{Action: r.URL.Path, Kinds: job.Kinds, States: job.States, OfHost: host != "", Live: livePath(r),
		Filter: JobListFilter{Host: query.Get("host"), Kind: job.Kind(query.Get("kind")), State: query.Get("state")}}
	filter := fleet.JobFilter{Host: host, Kind: list.Filter.Kind, Page: fleet.Page{Limit: jobListSize, Cursor: query.Get("cursor")}}
	if list.Filter.State == stateActive {
		filter.Active = true
	} else {
		filter.State = job.State(list.Filter.State)
	}
	if list.Filter.Host != "" && host == "" {
		found, _, err := u.Store.Hosts(ctx, store.HostFilter{Text: list.Filter.Host, Page: fleet.Page{Limit: 1}})
		if err != nil || len(found) == 0 {
			return list, err
		}
		filter.Host = found[0].ID
		list.Filter.Host = found[0].Name
	}
	jobs, next, err := u.Store.Jobs(ctx, filter)
	if err != nil {
		return list, err
	}
	list.Next = nextPath(r, next)
	list.Rows, err = u.jobRows(ctx, jobs, u.wallClock(r))
	return list, err
}

func (u *UI) jobRows(ctx context.Context, jobs []fleet.Job, clock wallClock) ([]JobRow, error) {
	names, schedules := u.hostNames(), map[job.ScheduleID]fleet.Schedule{}
	rows := make([]JobRow, 0, len(jobs))
	for _, one := range jobs {
		row := JobRow{Job: one, State: jobState(one), Title: jobTitle(one), GroupName: groupNameOf(one), Result: resultText(one)}
		var err error
		if row.HostName, err = names.of(ctx, one.Host); err != nil {
			return nil, err
		}
		if one.IsOccurrence() || one.Retry > 0 {
			planned, err := known(ctx, schedules, one.Schedule, u.Store.Schedule)
			if err != nil {
				return nil, err
			}
			row.Occasion = occasionText(one, planned, clock)
		}
		if one.State == job.Running {
			bar := u.bar(one)
			row.Bar = &bar
		}
		if !one.StartedAt.IsZero() && one.FinishedAt.After(one.StartedAt) {
			row.Took = durationText(one.FinishedAt.Sub(one.StartedAt))
		} else if one.State == job.Running && !one.StartedAt.IsZero() {
			row.Took = durationText(u.Now().Sub(one.StartedAt).Truncate(time.Second))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// resultText is what a job did in one line, or why not.
func resultText(one fleet.Job) string {
	switch {
	case one.State == job.Skipped:
		return skippedWords(one)
	case one.Error != "":
		return one.Error
	case one.Cause != "":
		return causeSentence(one.Cause)
	case one.Summary == nil:
		return ""
	case one.Summary.SnapshotID != "":
		return bytesText(one.Summary.DataAdded) + " added, " + countText(one.Summary.FilesNew) + " new and " + countText(one.Summary.FilesChanged) + " changed files"
	case one.Summary.Check != nil:
		return checkWords(*one.Summary.Check)
	case one.Summary.Stats != nil:
		return bytesText(one.Summary.Stats.StoredBytes) + " stored"
	case one.Kind == job.Snapshots:
		return plural(int64(one.Summary.Snapshots), "snapshot", "snapshots") + " listed"
	}
	return ""
}

func (u *UI) repositories(w http.ResponseWriter, r *http.Request) error {
	frame, err := u.frame(r, "Repositories")
	if err != nil {
		return err
	}
	list, next, err := u.Store.Repositories(r.Context(), store.RepositoryFilter{Page: fleet.Page{Cursor: r.URL.Query().Get("cursor")}})
	if err != nil {
		return err
	}
	page := RepositoriesPage{Frame: frame, Live: livePath(r), Next: nextPath(r, next)}
	if page.Rows, err = u.repositoryRows(r.Context(), list); err != nil {
		return err
	}
	return u.show(w, r, "repositories", "repositories-live", page)
}

func (u *UI) doRetry(w http.ResponseWriter, r *http.Request) error {
	if err := u.Control.RetryRepository(r.Context(), visitorOf(r).who, job.RepositoryID(r.PathValue("id"))); err != nil {
		return err
	}
	back := backOf(r)
	if back == "" {
		back = "/repositories"
	}
	return done(w, r, back, "retried")
}
