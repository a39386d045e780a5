package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

func (u *UI) job(w http.ResponseWriter, r *http.Request) error {
	page, err := u.jobPage(r)
	if err != nil {
		return err
	}
	if !isPart(r) {
		if page.Frame, err = u.frame(r, page.Title+" on "+page.Host.Name, hostCrumbs(page.Host.ID, page.Host.Name)...); err != nil {
			return err
		}
		if page.Log, err = u.logTail(r, page.Job); err != nil {
			return err
		}
	}
	return u.show(w, r, "job", "job-live", page)
}

// jobPage is a job without frame and log.
func (u *UI) jobPage(r *http.Request) (JobPage, error) {
	ctx := r.Context()
	one, err := u.Store.Job(ctx, job.ID(r.PathValue("id")))
	if err != nil {
		return JobPage{}, err
	}
	host, err := u.Store.Host(ctx, one.Host)
	if err != nil {
		return JobPage{}, err
	}
	page := JobPage{Job: one, Title: jobTitle(one), State: jobState(one), Host: host, Contact: connection(host), GroupName: groupNameOf(one), Why: whyText(one), Live: livePath(r), Now: u.Now()}
	info, _ := job.InfoOf(one.Kind)
	page.Rule = info.Sentence
	if one.Repository != "" {
		if page.Repository, err = u.Store.Repository(ctx, one.Repository); err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return page, err
		}
	}
	if progress, ok := u.Control.Progress(one.ID); ok && one.State == job.Running {
		page.Progress = &progress
	}
	page.Bar = progressBar(page.Progress)
	page.Phase = phaseOf(one, page.Progress)
	may := visitorOf(r).who
	page.CanCancel = !one.State.Ended() && may.Allows(auth.JobsCancel)
	page.CanRepeat = info.OffersAgain && one.State.Ended() && one.State != job.Succeeded && may.Allows(auth.JobsRun) && host.RemovedAt.IsZero()
	if page.Occasion, err = u.occasionOf(ctx, one, u.wallClock(r), may); err != nil {
		return page, err
	}
	page.Locks, err = u.lockOffers(r, one, host)
	return page, err
}

// lockOffers shows the locks that stood in a job's way. The removal is offered
// for locks of the host itself, which alone can prove that their owner is gone.
func (u *UI) lockOffers(r *http.Request, one fleet.Job, host fleet.Host) ([]LockOffer, error) {
	if one.Summary == nil || len(one.Summary.Locks) == 0 {
		return nil, nil
	}
	removals, _, err := u.Store.Jobs(r.Context(), fleet.JobFilter{Host: host.ID, Kind: job.Unlock, Page: fleet.Page{Limit: 50}})
	if err != nil {
		return nil, err
	}
	var offers []LockOffer
	for _, lock := range one.Summary.Locks {
		offer := LockOffer{Lock: lock, Repository: one.Repository}
		switch {
		case lock.Host != host.ResticHost && lock.Host != host.Hostname:
			offer.Why = "It belongs to another machine; remove it there."
		case !visitorOf(r).who.Allows(auth.JobsRun):
			offer.Why = "Your role does not allow its removal."
		case !host.Online:
			offer.Why = host.Name + " is not in contact."
		default:
			offer.Offered = true
		}
		for _, removal := range removals {
			var spec job.UnlockSpec
			if json.Unmarshal(removal.Spec, &spec) != nil || spec.LockID != lock.ID {
				continue
			}
			offer.Removal, offer.RemovalState = removal.ID, jobState(removal)
			offer.Offered = offer.Offered && removal.State.Ended() && removal.State != job.Succeeded
			break // the newest counts
		}
		offers = append(offers, offer)
	}
	return offers, nil
}

func (u *UI) doCancel(w http.ResponseWriter, r *http.Request) error {
	one, err := u.Control.CancelJob(r.Context(), visitorOf(r).who, job.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return done(w, r, "/jobs/"+string(one.ID), "")
}

// doAgain asks for what a job did once more. The steps that the server takes
// for a repository are taken again by trying that repository again.
func (u *UI) doAgain(w http.ResponseWriter, r *http.Request) error {
	ctx, who := r.Context(), visitorOf(r).who
	one, err := u.Store.Job(ctx, job.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	info, ok := job.InfoOf(one.Kind)
	if !ok || !info.OffersAgain {
		return fleet.Conflict("A job of this kind can't be run again.")
	}
	if !info.Operator {
		if err := u.Control.RetryRepository(ctx, who, one.Repository); err != nil {
			return err
		}
		return done(w, r, "/repositories", "retried")
	}
	wanted := control.NewJob{Host: one.Host, Kind: one.Kind, Group: one.Group, Repository: one.Repository}
	if one.Kind == job.PreviewSources {
		wanted.Preview = new(job.PreviewSpec)
		if err := json.Unmarshal(one.Spec, wanted.Preview); err != nil {
			return fmt.Errorf("read spec of job %s: %w", one.ID, err)
		}
	}
	if one.Kind == job.Unlock || one.Kind == job.Check {
		var spec struct {
			LockID  string `json:"lock_id"`
			ReadAll bool   `json:"read_all"`
		}
		if err := json.Unmarshal(one.Spec, &spec); err != nil {
			return fmt.Errorf("read spec of job %s: %w", one.ID, err)
		}
		wanted.LockID, wanted.ReadAll = spec.LockID, spec.ReadAll
	}
	made, err := u.Control.CreateJob(ctx, who, wanted)
	if err != nil {
		return err
	}
	return done(w, r, "/jobs/"+string(made.ID), "")
}

func (u *UI) doUnlock(w http.ResponseWriter, r *http.Request) error {
	one, err := u.Store.Job(r.Context(), job.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	made, err := u.Control.CreateJob(r.Context(), visitorOf(r).who, control.NewJob{Host: one.Host, Kind: job.Unlock, Repository: one.Repository, LockID: r.PostFormValue("lock")})
	if err != nil {
		return err
	}
	return done(w, r, "/jobs/"+string(made.ID), "")
}
