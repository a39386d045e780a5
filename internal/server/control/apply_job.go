package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// More bounds of what is kept of an agent's account.
const (
	// maxOfAccount is how many jobs of one host may be known from its agent alone.
	maxOfAccount = 10_000
	// maxJobLog is in bytes as stored; an agent keeps 20 MiB of text at most.
	maxJobLog   = 32 << 20
	maxFindings = 1000
	maxCommand  = 64 << 10 // bytes of all arguments
)

// errUnknownJob: the server has no such job.
var errUnknownJob = errors.New("job is not known here")

// job reads a job and refuses one of another host.
func (a *applier) job(ctx context.Context, id job.ID) (fleet.Job, error) {
	j, err := a.tx.Job(ctx, id)
	if errors.Is(err, fleet.ErrNotFound) {
		return j, errors.Join(errUnknownJob, reject("job %.40q is not known here", id))
	}
	if err == nil && j.Host != a.s.host {
		return j, reject("job %s belongs to another host", id)
	}
	return j, err
}

// accepted: the job is on the agent's disk. One that the server does not know
// is recorded from the agent's account.
func (a *applier) accepted(ctx context.Context, r api.Record, body *api.Accepted) error {
	j, err := a.job(ctx, r.Job)
	if errors.Is(err, errUnknownJob) {
		return a.fromAccount(ctx, r, body)
	}
	if err != nil {
		return err
	}
	a.after.began = append(a.after.began, j.ID)
	a.after.job(j)
	if job.OnAccepted(j.State) != job.Moves {
		return nil
	}
	if j.State.Ended() {
		if err := a.tx.ClearEnd(ctx, j.ID); err != nil {
			return err
		}
	}
	if !j.CancelRequestedAt.IsZero() {
		a.after.pokes = append(a.after.pokes, j.Host) // the wish stands
	}
	if j.State == job.Queued && j.Error != "" {
		if err := a.tx.ClearEnd(ctx, j.ID); err != nil { // why an earlier attempt came to nothing
			return err
		}
	}
	_, err = a.tx.MoveJob(ctx, j.ID, j.State, job.Running, job.ByAgent, a.at(r))
	return err
}

// fromAccount adds a job that only the agent knows of.
func (a *applier) fromAccount(ctx context.Context, r api.Record, body *api.Accepted) error {
	if !job.ValidID(string(r.Job)) {
		return reject("a job has the id %.40q, which is none", r.Job)
	}
	info, ok := job.InfoOf(body.Kind)
	if !ok || info.Look {
		return reject("job %s is of the kind %.40q, which is not journalled", r.Job, body.Kind)
	}
	spec, err := job.DecodeSpec(body.Kind, body.Spec)
	if err != nil {
		return reject("job %s: %s", r.Job, err)
	}
	// Born running: the index over waiting runs must not stand in its way.
	j := fleet.Job{ID: r.Job, Host: a.s.host, Kind: body.Kind, State: job.Running, Origin: job.ByAccount, CreatedAt: a.at(r), AcceptedAt: a.at(r)}
	if body.Kind == job.Backup {
		_, group := spec.Subject()
		if err := body.Check(r.Job, group); err != nil {
			return reject("job %s: %s", r.Job, err)
		}
		if _, err := a.ownOccasion(ctx, r.Job, body.Occasion); err != nil {
			return err
		}
		setOccasion(&j, body.Occasion)
	}
	j.Repository, j.Group = spec.Subject()
	if _, err := a.repository(ctx, j.Repository); err != nil {
		return err
	}
	if j.Group != "" {
		// A result must not show on the source group of another host.
		group, err := a.tx.Group(ctx, j.Group)
		if err == nil && group.Host != a.s.host {
			return reject("the source group of job %s is another host's", r.Job)
		}
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
	}
	known, err := a.tx.CountOfAccount(ctx, a.s.host, maxOfAccount)
	if err != nil {
		return err
	}
	if known >= maxOfAccount {
		return reject("%d jobs of this host are known from its agent alone already", known)
	}
	if j.Spec, err = json.Marshal(spec); err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	if err := a.tx.InsertJob(ctx, j); err != nil {
		return err
	}
	a.after.began = append(a.after.began, j.ID)
	a.after.job(j)
	return a.c.audit(ctx, a.tx, auth.Server, "job.recorded_from_agent", NounJob, string(j.ID), map[string]any{"host_id": j.Host, "kind": j.Kind})
}

func (a *applier) started(ctx context.Context, r api.Record, body *api.Started) error {
	j, err := a.job(ctx, r.Job)
	if err != nil || job.Told(j.State) {
		return err
	}
	size := 0
	for i, argument := range body.Command {
		if size += len(argument); size > maxCommand {
			body.Command = append(body.Command[:i:i], "…")
			break
		}
	}
	a.after.job(j)
	return a.tx.StartJob(ctx, j.ID, a.at(r), body.Command)
}

func (a *applier) log(ctx context.Context, r api.Record, body *api.Log) error {
	j, err := a.job(ctx, r.Job)
	if err != nil || job.Told(j.State) {
		return err
	}
	a.after.tell(Event{NounJob, string(j.ID)})
	omitted := max(body.Omitted, 0)
	if j.LogBytes >= maxJobLog {
		return a.tx.AppendLog(ctx, j.ID, nil, omitted+len(body.Lines))
	}
	for i, line := range body.Lines {
		body.Lines[i].At = a.ours(line.At).UnixMilli()
		if line.Level != job.LogWarn && line.Level != job.LogError {
			body.Lines[i].Level = job.LogInfo
		}
	}
	return a.tx.AppendLog(ctx, j.ID, body.Lines, omitted)
}

func (a *applier) ended(ctx context.Context, r api.Record, body *api.Ended) error {
	j, err := a.job(ctx, r.Job)
	if errors.Is(err, errUnknownJob) && (body.State == job.Cancelled || body.State == job.Skipped) {
		return nil // it was called off before the agent had it: nothing ran
	}
	if err != nil {
		return err
	}
	account := job.OnEnded(j.State, body.State)
	if account == job.Contradicts {
		return reject("job %s can't go from %s to %.40q", j.ID, j.State, body.State)
	}
	a.after.ended = append(a.after.ended, j.ID)
	a.after.over = append(a.after.over, j)
	a.after.job(j)
	if account == job.Repeats {
		return nil
	}
	if body.Cause == job.CauseCoalesced {
		a.places[body.By] = a.c.placeOf(j)
	}
	at := a.at(r)
	if account == job.Moves {
		if _, err := a.tx.MoveJob(ctx, j.ID, j.State, body.State, job.ByAgent, at); err != nil {
			return err
		}
	}
	end := endOf(body, at)
	if err := a.tx.EndJob(ctx, j.ID, end); err != nil {
		return err
	}
	j.State, j.FinishedAt, j.Error, j.Cause, j.Trouble = body.State, at, end.Error, end.Cause, end.Trouble
	switch j.Kind {
	case job.Backup:
		return a.backupEnded(ctx, j, body)
	case job.Provision, job.Init:
		pokes, err := a.c.storageJobEnded(ctx, a.tx, j)
		a.after.tell(Event{NounRepository, string(j.Repository)}, Event{NounEnrollment, ""})
		a.after.pokes = append(a.after.pokes, pokes...)
		return err
	case job.Check:
		return a.checkEnded(ctx, j, body)
	case job.Snapshots, job.Unlock, job.Stats, job.PreviewSources: // nothing follows
	}
	return nil
}

// endOf is an agent's account of an end within its bounds.
func endOf(body *api.Ended, at time.Time) store.End {
	if s := body.Summary; s != nil && len(s.Findings) > maxFindings {
		s.FindingsOmitted += len(s.Findings) - maxFindings
		s.Findings = s.Findings[:maxFindings]
	}
	return store.End{At: at, Cause: job.Cause(tidyText(string(body.Cause), maxFact)), ExitCode: body.ExitCode, Error: cut(body.Error, maxSentence), Summary: body.Summary,
		Trouble: job.Trouble(tidyText(string(body.Trouble), maxFact)), By: job.ID(tidyText(string(body.By), maxFact))}
}

// exitNoRepository is restic's code for a repository that is not there.
const exitNoRepository = 10

func (a *applier) backupEnded(ctx context.Context, j fleet.Job, body *api.Ended) error {
	if j.State == job.Skipped {
		return nil // nothing ran
	}
	if err := a.tx.NoteBackup(ctx, j); err != nil {
		return err
	}
	if j.State.EndedWell() {
		if err := a.withdrawRetries(ctx, j); err != nil {
			return err
		}
	}
	if body.ExitCode == nil || *body.ExitCode != exitNoRepository {
		if j.State == job.Succeeded || j.State == job.Warning {
			return a.tx.CloseAlert(ctx, fleet.AlertRepository, j.Host, string(j.Repository), a.c.now())
		}
		return nil
	}
	a.after.tell(Event{NounAlert, ""})
	_, err := a.tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertRepository, Host: j.Host, Subject: string(j.Repository),
		Sentence: "The repository of this host is gone from where it was. Nothing is made anew in its place: look at the storage box, its disk and its mounts first."}, a.c.now())
	return err
}

// withdrawRetries takes back what was queued or sent in place of a run that turned
// out well after all.
func (a *applier) withdrawRetries(ctx context.Context, j fleet.Job) error {
	waiting, err := a.tx.PendingRetries(ctx, j.Occasion().RootOf(j.ID))
	if err != nil {
		return err
	}
	for _, retry := range waiting {
		if err := a.c.skip(ctx, a.tx, retry, job.CauseSatisfied, j.ID, "The run that it repeats has ended well after all.", "pending_run.satisfied"); err != nil {
			return err
		}
		a.after.due = append(a.after.due, retry.ID) // so that its agent is told
		a.after.over = append(a.after.over, retry)
		a.after.job(retry)
	}
	return nil
}

func (a *applier) snapshot(ctx context.Context, r api.Record, body *api.SnapshotMade) error {
	if !validSnapshotID(body.Snapshot.ID) {
		return reject("a snapshot has the id %.70q, which is none", body.Snapshot.ID)
	}
	made := r.Job
	if _, err := a.job(ctx, made); errors.Is(err, errUnknownJob) {
		made = "" // its snapshot is true all the same
	} else if err != nil {
		return err
	}
	repository, err := a.repository(ctx, body.Repository)
	if err == nil && repository.Host != a.s.host {
		err = reject("snapshot %.8s is in the repository of another host", body.Snapshot.ID)
	}
	if err == nil && repository.SnapshotCount >= maxSnapshots {
		err = reject("the repository %s has more than %d snapshots", repository.ID, maxSnapshots)
	}
	if err != nil {
		return err
	}
	a.after.tell(Event{NounHost, string(a.s.host)}, Event{NounRepository, string(repository.ID)})
	return a.tx.PutSnapshot(ctx, a.c.projection(body.Snapshot, repository, made))
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
