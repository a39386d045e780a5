package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// accepted: the job is on the agent's disk. One that the server does not know
// is recorded from the agent's account.
func (a *applier) accepted(ctx context.Context, r api.Record, body *api.Accepted) error {
	j, err := a.mine(ctx, r)
	var unknown *rejection
	if errors.As(err, &unknown) && j.Host == "" {
		return a.fromAccount(ctx, r, body)
	}
	if err != nil {
		return err
	}
	a.after.began = append(a.after.began, j.ID)
	a.after.job(j)
	if j.State == job.Running || !job.CanMove(j.State, job.Running, job.ByAgent) {
		return nil // repeated, or it has ended since: a restored server reads its log again
	}
	if j.State.Ended() {
		if err := a.tx.ClearEnd(ctx, j.ID); err != nil {
			return err
		}
	}
	_, err = a.tx.MoveJob(ctx, j.ID, j.State, job.Running, job.ByAgent, a.at(r))
	return err
}

// fromAccount adds a job that only the agent knows of.
func (a *applier) fromAccount(ctx context.Context, r api.Record, body *api.Accepted) error {
	if !job.ValidID(string(r.Job)) {
		return reject("a job has the id %q, which is none", r.Job)
	}
	info, ok := job.InfoOf(body.Kind)
	if !ok || info.Look {
		return reject("job %s is of a kind that is not journalled", r.Job)
	}
	spec, err := job.DecodeSpec(body.Kind, body.Spec)
	if err != nil {
		return reject("job %s: %s", r.Job, err)
	}
	j := fleet.Job{ID: r.Job, Host: a.s.host, Kind: body.Kind, State: job.Queued, Origin: job.ByAccount, CreatedAt: a.at(r)}
	if backup, ok := spec.(*job.BackupSpec); ok {
		j.Group, j.Repository = backup.Group, backup.Repository
	}
	if j.Spec, err = json.Marshal(spec); err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	// Born running: the index over waiting runs must not stand in its way.
	j.State = job.Running
	if err := a.tx.InsertJob(ctx, j); err != nil {
		return err
	}
	a.after.began = append(a.after.began, j.ID)
	a.after.job(j)
	return a.c.audit(ctx, a.tx, auth.Server, "job.recorded_from_agent", NounJob, string(j.ID), map[string]any{"host_id": j.Host, "kind": j.Kind})
}

func (a *applier) started(ctx context.Context, r api.Record, body *api.Started) error {
	j, err := a.mine(ctx, r)
	if err != nil {
		return err
	}
	a.after.job(j)
	return a.tx.StartJob(ctx, j.ID, a.at(r), body.Command)
}

func (a *applier) log(ctx context.Context, r api.Record, body *api.Log) error {
	j, err := a.mine(ctx, r)
	if err != nil {
		return err
	}
	if j.State.Ended() && j.State != job.Lost && j.State != job.Cancelled && j.State != job.Skipped {
		return nil // its log was complete before its end was applied
	}
	a.after.events = append(a.after.events, Event{NounJob, string(j.ID)})
	for i := range body.Lines {
		body.Lines[i].At -= a.s.offset.Milliseconds()
	}
	return a.tx.AppendLog(ctx, j.ID, body.Lines, body.Omitted)
}

func (a *applier) ended(ctx context.Context, r api.Record, body *api.Ended) error {
	j, err := a.mine(ctx, r)
	if err != nil {
		return err
	}
	a.after.ended = append(a.after.ended, j.ID)
	a.after.job(j)
	if j.State == body.State && j.State != job.Lost {
		return nil // repeated
	}
	if !body.State.Ended() || j.State != body.State && !job.CanMove(j.State, body.State, job.ByAgent) {
		return reject("job %s can't go from %s to %s", j.ID, j.State, body.State)
	}
	if j.State != body.State {
		if _, err := a.tx.MoveJob(ctx, j.ID, j.State, body.State, job.ByAgent, a.at(r)); err != nil {
			return err
		}
	}
	if body.Summary != nil && len(body.Summary.Findings) > 1000 {
		body.Summary.FindingsOmitted += len(body.Summary.Findings) - 1000
		body.Summary.Findings = body.Summary.Findings[:1000]
	}
	if err := a.tx.EndJob(ctx, j.ID, store.End{At: a.at(r), Cause: body.Cause, ExitCode: body.ExitCode, Error: body.Error, Summary: body.Summary}); err != nil {
		return err
	}
	j.State, j.FinishedAt, j.Error = body.State, a.at(r), body.Error
	switch j.Kind {
	case job.Backup:
		return a.backupEnded(ctx, j, body)
	case job.Provision, job.Init:
		return a.storageEnded(ctx, j)
	}
	return nil
}

// exitNoRepository is restic's code for a repository that is not there.
const exitNoRepository = 10

func (a *applier) backupEnded(ctx context.Context, j fleet.Job, body *api.Ended) error {
	if err := a.tx.NoteBackup(ctx, j); err != nil {
		return err
	}
	if body.ExitCode == nil || *body.ExitCode != exitNoRepository {
		if j.State == job.Succeeded {
			return a.tx.CloseAlert(ctx, fleet.AlertRepository, j.Host, string(j.Repository), a.c.now())
		}
		return nil
	}
	a.after.events = append(a.after.events, Event{NounAlert, ""})
	_, err := a.tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertRepository, Host: j.Host, Subject: string(j.Repository),
		Sentence: "The repository of this host is gone from where it was. Nothing is made anew in its place: look at the storage box, its disk and its mounts first."}, a.c.now())
	return err
}

// storageEnded takes the next step towards a repository that is ready.
func (a *applier) storageEnded(ctx context.Context, j fleet.Job) error {
	repository, err := a.tx.Repository(ctx, j.Repository)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a.after.events = append(a.after.events, Event{NounRepository, string(repository.ID)}, Event{NounEnrollment, ""}, Event{NounHost, string(repository.Host)})
	if repository.Storage != j.Host {
		return reject("job %s is about a repository of another storage box", j.ID)
	}
	var removal job.ProvisionSpec
	if j.Kind == job.Provision {
		if err := json.Unmarshal(j.Spec, &removal); err != nil {
			return reject("the spec of job %s can't be read", j.ID)
		}
	}
	switch {
	case j.State == job.Lost && removal.Remove:
		// Cut off by a restart: the same is asked for again.
		err = a.c.storageJob(ctx, a.tx, repository, &removal)
	case j.State == job.Lost:
		err = a.c.advanceRepository(ctx, a.tx, repository)
	case j.State != job.Succeeded || removal.Remove:
		return nil
	case j.Kind == job.Provision:
		if err := a.tx.ProvisionedRepository(ctx, repository.ID, a.c.now()); err != nil {
			return err
		}
		repository.ProvisionedAt = a.c.now()
		err = a.c.advanceRepository(ctx, a.tx, repository)
	case j.Kind == job.Init:
		err = a.tx.ReadyRepository(ctx, repository.ID, a.c.now())
		a.after.pokes = append(a.after.pokes, repository.Host)
	}
	a.after.pokes = append(a.after.pokes, repository.Storage)
	return err
}

func (a *applier) snapshot(ctx context.Context, r api.Record, body *api.SnapshotMade) error {
	repository, err := a.tx.Repository(ctx, body.Repository)
	if errors.Is(err, fleet.ErrNotFound) || err == nil && repository.Host != a.s.host {
		return reject("snapshot %.8s is in a repository that is not this host's", body.Snapshot.ID)
	}
	if err != nil {
		return err
	}
	if !validSnapshotID(body.Snapshot.ID) {
		return reject("a snapshot has the id %q, which is none", body.Snapshot.ID)
	}
	a.after.events = append(a.after.events, Event{NounHost, string(a.s.host)}, Event{NounRepository, string(repository.ID)})
	return a.tx.PutSnapshot(ctx, a.c.projection(body.Snapshot, repository, r.Job))
}

// projection is what is kept of a snapshot that restic reported.
func (c *Control) projection(s job.Snapshot, r fleet.Repository, id job.ID) fleet.Snapshot {
	return fleet.Snapshot{Snapshot: s, Repository: r.ID, HostID: r.Host, Group: job.GroupOfTags(s.Tags), Job: id, SeenAt: c.now()}
}

func validSnapshotID(id string) bool {
	if len(id) != 64 {
		return false
	}
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return true
}
