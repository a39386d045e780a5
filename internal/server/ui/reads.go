package ui

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// hostNames looks names up, each once per page.
type hostNames struct {
	u     *UI
	names map[job.HostID]string
}

func (u *UI) hostNames() *hostNames { return &hostNames{u, map[job.HostID]string{}} }

// of gives the name of a host; "" for one that is not known (any more).
func (n *hostNames) of(ctx context.Context, id job.HostID) (string, error) {
	if name, known := n.names[id]; known || id == "" {
		return name, nil
	}
	host, err := n.u.Store.Host(ctx, id)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return "", err
	}
	n.names[id] = host.Name
	return host.Name, nil
}

// groupNameOf is the name that a job's group had when the job was made; "" when
// it has none.
func groupNameOf(one fleet.Job) string {
	var spec struct {
		GroupName string `json:"group_name"`
	}
	if json.Unmarshal(one.Spec, &spec) != nil {
		return "" // a spec of another shape names no group
	}
	return spec.GroupName
}

// jobTitle is what a job does, in a few words.
func jobTitle(one fleet.Job) string {
	title := string(one.Kind)
	if info, ok := job.InfoOf(one.Kind); ok {
		title = info.Title
	}
	if name := groupNameOf(one); name != "" {
		return title + " of " + name
	}
	return title
}

// whyText says who or what asked for a job.
func whyText(one fleet.Job) string {
	switch one.Origin { //nolint:exhaustive // what is left is the server itself
	case job.ByPerson:
		return "asked by " + one.AskedBy
	case job.BySchedule:
		return "asked by a schedule"
	case job.ByAccount:
		return "known only from the agent's account,"
	}
	return "a step of the server,"
}

// running gives the running jobs among some, with their progress.
func (u *UI) running(jobs []fleet.Job) []RunningJob {
	var rows []RunningJob
	for _, one := range jobs {
		if one.State == job.Running {
			rows = append(rows, RunningJob{ID: one.ID, Title: jobTitle(one), Bar: u.bar(one)})
		}
	}
	return rows
}

func (u *UI) bar(one fleet.Job) Bar {
	if progress, ok := u.Control.Progress(one.ID); ok {
		return progressBar(&progress)
	}
	return progressBar(nil)
}

// alertPanels are the open alerts of a host, or of all.
func (u *UI) alertPanels(ctx context.Context, host job.HostID) ([]AlertPanel, error) {
	alerts, err := u.Store.Alerts(ctx, host)
	if err != nil {
		return nil, err
	}
	names := u.hostNames()
	var panels []AlertPanel
	for _, alert := range alerts {
		panel := AlertPanel{Alert: alert}
		if host == "" && alert.Host != "" {
			if panel.HostName, err = names.of(ctx, alert.Host); err != nil {
				return nil, err
			}
			panel.Link = "/hosts/" + string(alert.Host)
		}
		panels = append(panels, panel)
	}
	return panels, nil
}

// repositoryRows shows repositories with the names of their hosts.
func (u *UI) repositoryRows(ctx context.Context, repositories []fleet.Repository) ([]RepositoryRow, error) {
	names := u.hostNames()
	var rows []RepositoryRow
	for _, repository := range repositories {
		row := RepositoryRow{Repository: repository, Proof: appendOnlyProof(repository)}
		known, err := u.steps(ctx, repository)
		if err != nil {
			return nil, err
		}
		row.State, row.Job, row.CanRetry = repositoryState(repository, known)
		if row.HostName, err = names.of(ctx, repository.Host); err != nil {
			return nil, err
		}
		if row.StorageName, err = names.of(ctx, repository.Storage); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// recentSteps is how many of a storage agent's newest jobs are looked through
// for the last one of a repository.
const recentSteps = 200

// steps reads what is under way for a repository, if anything is to be done.
func (u *UI) steps(ctx context.Context, repository fleet.Repository) (steps, error) {
	host, err := u.Store.Host(ctx, repository.Host)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return steps{}, err
	}
	known := steps{removed: !host.RemovedAt.IsZero()}
	settled := repository.Ready() && !known.removed || known.removed && repository.ProvisionedAt.IsZero()
	if settled || repository.Storage == "" {
		return known, nil
	}
	box, err := u.Store.Host(ctx, repository.Storage)
	if err != nil {
		return known, err
	}
	known.homeless = !box.RemovedAt.IsZero()
	jobs, _, err := u.Store.Jobs(ctx, fleet.JobFilter{Host: repository.Storage, Page: fleet.Page{Limit: recentSteps}})
	if err != nil {
		return known, err
	}
	for i, one := range jobs { // newest first
		switch {
		case one.Repository != repository.ID:
		case !one.State.Ended() && known.active == nil:
			known.active = &jobs[i]
		case one.State.Ended() && known.last == nil:
			known.last = &jobs[i]
		}
	}
	return known, nil
}
