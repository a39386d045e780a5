package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// RepositoryPage is one repository: what it holds, and whether it is whole.
type RepositoryPage struct {
	Frame Frame
	Live  string
	RepositoryRow
	Health State
	// Worker is who checks and counts it: the storage box, or its host.
	Worker fleet.Host
	// Active are its jobs that have not ended.
	Active []JobRow
	Groups []RepositoryGroup
}

// RepositoryGroup is what one source group has in a repository.
type RepositoryGroup struct {
	store.GroupSnapshots
	Name string // "" for snapshots that no group of ours made, or whose group is gone
	Host job.HostID
	// Stats is what a restore of all its snapshots would write; nil is not counted.
	Stats *job.GroupStats
}

// WhyNoCheck says why no check can be asked for; "" is that it can.
func (p RepositoryPage) WhyNoCheck() string { return p.whyNot(job.Check) }

// WhyNoCount says why no count can be asked for; "" is that it can.
func (p RepositoryPage) WhyNoCount() string { return p.whyNot(job.Stats) }

func (p RepositoryPage) whyNot(kind job.Kind) string {
	switch {
	case !p.Repository.Ready():
		return "The repository is not ready."
	case p.Worker.ID == "":
		return "Whoever could do it was removed."
	case !p.Worker.Online:
		return p.Worker.Name + " is not in contact."
	case !slices.Contains(p.Worker.Allowed, kind):
		return fmt.Sprintf("The policy file on %s does not allow %s.", p.Worker.Name, kind)
	}
	return ""
}

// Ratio is how much compression saves, in words; "" is not known.
func (p RepositoryPage) Ratio() string {
	s := p.Repository.Stats
	if s == nil || s.StoredBytes <= 0 || s.UncompressedBytes <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f : 1", float64(s.UncompressedBytes)/float64(s.StoredBytes))
}

// Dedup is how much the snapshots hold for each byte that is stored once.
func (p RepositoryPage) Dedup() string {
	s := p.Repository.Stats
	if s == nil || s.UncompressedBytes <= 0 {
		return ""
	}
	return fmt.Sprintf("%.1f : 1", float64(s.RestoredBytes)/float64(s.UncompressedBytes))
}

// checkAge is after how long a check says little any more.
const checkAge = 90 * 24 * time.Hour

// repositoryHealth tells what the last check found.
func repositoryHealth(r fleet.Repository, now time.Time) State {
	switch {
	case r.Check == nil:
		return State{Tone: ToneUnknown, Icon: "shield-question", Word: "never checked", Tip: "Nothing has proved yet that what is stored can be read."}
	case r.Check.Errors > 0:
		return State{Tone: ToneBad, Icon: "circle-x", Word: "damaged", At: r.CheckedAt, Tip: "The last check found " + plural(r.Check.Errors, "error", "errors") + "."}
	case now.Sub(r.CheckedAt) > checkAge:
		return State{Tone: ToneWarn, Icon: "clock", Word: "not checked for long", At: r.CheckedAt, Tip: "The last check found no error, but it is more than 90 days old."}
	}
	return State{Tone: ToneGood, Icon: "shield-check", Word: "no error found", At: r.CheckedAt, Tip: checkWords(*r.Check)}
}

// checkWords says what a check has proved.
func checkWords(c job.CheckResult) string {
	read := "It read no data, and proved the structure alone."
	switch {
	case c.ReadAll:
		read = "It read all that is stored."
	case c.ReadMiB > 0:
		read = "It read up to " + bytesText(c.ReadMiB<<20) + " of what is stored, chosen at random."
	}
	if c.Errors == 0 {
		return "No error was found. " + read
	}
	return plural(c.Errors, "error was", "errors were") + " found. " + read
}

func (u *UI) repository(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	repository, err := u.Store.Repository(ctx, job.RepositoryID(r.PathValue("id")))
	if err != nil {
		return err
	}
	frame, err := u.frame(r, repository.Name, Crumb{"Repositories", "/repositories"})
	if err != nil {
		return err
	}
	rows, err := u.repositoryRows(ctx, []fleet.Repository{repository})
	if err != nil {
		return err
	}
	page := RepositoryPage{Frame: frame, Live: livePath(r), RepositoryRow: rows[0], Health: repositoryHealth(repository, u.Now())}
	if page.Worker, err = u.workerOf(ctx, repository); err != nil {
		return err
	}
	active, err := u.Store.ActiveJobsOf(ctx, repository.ID)
	if err != nil {
		return err
	}
	if page.Active, err = u.jobRows(ctx, active, u.wallClock(r)); err != nil {
		return err
	}
	if page.Groups, err = u.repositoryGroups(ctx, repository); err != nil {
		return err
	}
	return u.show(w, r, "repository", "repository-live", page)
}

// workerOf is the host that checks and counts a repository; the zero value is none.
func (u *UI) workerOf(ctx context.Context, repository fleet.Repository) (fleet.Host, error) {
	for _, id := range []job.HostID{repository.Storage, repository.Host} {
		if id == "" {
			continue
		}
		host, err := u.Store.Host(ctx, id)
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return host, err
		}
		if err == nil && host.RemovedAt.IsZero() {
			return host, nil
		}
	}
	return fleet.Host{}, nil
}

func (u *UI) repositoryGroups(ctx context.Context, repository fleet.Repository) ([]RepositoryGroup, error) {
	counts, err := u.Store.SnapshotsByGroup(ctx, repository.ID)
	if err != nil {
		return nil, err
	}
	known, err := u.Store.Groups(ctx, repository.Host)
	if err != nil {
		return nil, err
	}
	names := map[job.GroupID]string{}
	for _, group := range known {
		names[group.ID] = group.Name
	}
	var groups []RepositoryGroup
	for _, one := range counts {
		row := RepositoryGroup{GroupSnapshots: one, Host: repository.Host, Name: names[one.Group]}
		if repository.Stats != nil {
			for _, counted := range repository.Stats.Groups {
				if counted.Group == one.Group {
					row.Stats = &counted
				}
			}
		}
		groups = append(groups, row)
	}
	return groups, nil
}

func (u *UI) doCheck(w http.ResponseWriter, r *http.Request) error {
	return u.onRepository(w, r, control.NewJob{Kind: job.Check, ReadAll: r.PostFormValue("all") != ""})
}

func (u *UI) doCount(w http.ResponseWriter, r *http.Request) error {
	return u.onRepository(w, r, control.NewJob{Kind: job.Stats})
}

// onRepository asks for a job on a repository and shows it.
func (u *UI) onRepository(w http.ResponseWriter, r *http.Request, wanted control.NewJob) error {
	wanted.Repository = job.RepositoryID(r.PathValue("id"))
	made, err := u.Control.CreateJob(r.Context(), visitorOf(r).who, wanted)
	if err != nil {
		return err
	}
	return done(w, r, "/jobs/"+string(made.ID), "")
}
