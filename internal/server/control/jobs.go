package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// NewJob asks for a job.
type NewJob struct {
	Host  job.HostID
	Kind  job.Kind
	Group job.GroupID // for a backup
	// Repository is for kinds without a group; "" is the host's only one.
	Repository job.RepositoryID
	LockID     string // for unlock
	ReadAll    bool   // for a check: all that is stored, however long that takes
	// Preview is what to count, for a preview.
	Preview *job.PreviewSpec
	// WhenBack lets a backup of an offline host wait for it instead of refusing.
	WhenBack bool
}

// CreateJob asks for one job. A job that the host can have at once is born sent;
// one that has to wait for a slot or for its host is queued.
func (c *Control) CreateJob(ctx context.Context, who auth.Identity, n NewJob) (fleet.Job, error) {
	if err := require(who, auth.JobsRun); err != nil {
		return fleet.Job{}, err
	}
	info, ok := job.InfoOf(n.Kind)
	if !ok || !info.Operator {
		return fleet.Job{}, invalid("kind", "There is no kind of job named %q that can be asked for.", n.Kind)
	}
	var created fleet.Job
	var done drained
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		done = drained{}
		if info.On == job.OnRepository {
			if err := c.place(ctx, tx, &n); err != nil {
				return err
			}
		}
		if err := tx.HoldHost(ctx, n.Host); err != nil {
			return err
		}
		host, err := tx.Host(ctx, n.Host)
		if err != nil {
			return err
		}
		if err := runnable(host, info); err != nil {
			return err
		}
		j := fleet.Job{ID: job.NewID(c.now()), Host: host.ID, Kind: n.Kind, State: job.Queued, Origin: job.ByPerson, AskedBy: who.Label(), CreatedAt: c.now(), NextAttemptAt: c.now(), HurriedAt: c.now()}
		spec, err := c.spec(ctx, tx, host, n, &j)
		if err != nil {
			return err
		}
		if j.Spec, err = json.Marshal(spec); err != nil {
			return fmt.Errorf("encode spec: %w", err)
		}
		if !host.Online && (!n.WhenBack || n.Kind != job.Backup) {
			return fleet.Conflict("%s is offline%s. Start its agent and try again%s.", host.Name, since(host), whenBackHint(n.Kind))
		}
		if n.Kind == job.Backup {
			if waiting, ok, err := c.standing(ctx, tx, j, n.WhenBack); err != nil || ok {
				if err == nil {
					created, err = c.hurry(ctx, tx, who, waiting)
				}
				return err
			}
		}
		if err := tx.InsertJob(ctx, j); err != nil {
			return err
		}
		if done, err = c.drain(ctx, tx, host.ID); err != nil {
			return err
		}
		if created, err = tx.Job(ctx, j.ID); err != nil {
			return err
		}
		return c.audit(ctx, tx, who, "job.created", NounJob, string(j.ID), map[string]any{"kind": j.Kind, "host_id": j.Host, "group_id": j.Group})
	})
	if err != nil {
		return fleet.Job{}, err
	}
	c.changedJobs(created)
	c.settleDrained(ctx, done)
	c.hub.poke(created.Host)
	return created, nil
}

// standing looks for a backup of the same group that has not ended. A waiting
// one answers for the new one; a running one refuses it.
func (c *Control) standing(ctx context.Context, tx *store.Tx, j fleet.Job, whenBack bool) (fleet.Job, bool, error) {
	waiting, ok, err := tx.PendingRun(ctx, "", j.Group)
	if err != nil {
		return fleet.Job{}, false, err
	}
	if ok && (whenBack || waiting.State == job.Queued) {
		return waiting, true, nil
	}
	active, err := tx.ActiveJobs(ctx, j.Host)
	if err != nil {
		return fleet.Job{}, false, err
	}
	for _, other := range active {
		if other.Kind == job.Backup && other.Group == j.Group && other.State != job.Queued {
			return fleet.Job{}, false, fleet.Conflict("A backup of this source group is under way already (job %s). Wait for its end or cancel it.", other.ID)
		}
	}
	return fleet.Job{}, false, nil
}

// runnable tells why a host can't be given a job of that kind, whatever it is.
func runnable(host fleet.Host, info job.KindInfo) error {
	switch {
	case !host.RemovedAt.IsZero():
		return fleet.Conflict("%s was removed and runs nothing any more.", host.Name)
	case !host.QuarantinedAt.IsZero():
		return fleet.Conflict("%s is quarantined: two machines use its identity. Decide on its page which one is the true one.", host.Name)
	case info.On == job.OnEndpoint && host.IsStorage():
		return fleet.Conflict("%s is a storage box; it has nothing of its own to back up.", host.Name)
	case !slices.Contains(host.Allowed, info.Kind):
		return fleet.Conflict("The policy file on %s does not allow %s. Change it there if that is wrong; the server can't.", host.Name, info.Kind)
	}
	return nil
}

// spec fills in group and repository of j and returns what is stored of its spec.
func (c *Control) spec(ctx context.Context, tx *store.Tx, host fleet.Host, n NewJob, j *fleet.Job) (any, error) {
	if n.Kind == job.Backup {
		group, err := tx.Group(ctx, n.Group)
		if errors.Is(err, fleet.ErrNotFound) || err == nil && group.Host != host.ID {
			return nil, invalid("source_group_id", "This host has no source group %q.", n.Group)
		}
		if err != nil {
			return nil, err
		}
		j.Group, j.Repository = group.ID, group.Repository
		return map[string]any{"group_id": group.ID, "group_name": group.Name, "repository_id": group.Repository}, c.ready(ctx, tx, group.Repository)
	}
	if n.Kind == job.PreviewSources {
		if n.Preview == nil {
			return nil, invalid("includes", "Name at least one folder or file to look at.")
		}
		asked := fleet.SourceGroup{Includes: n.Preview.Includes, Excludes: n.Preview.Excludes}
		var problem fleet.Invalid
		asked.CheckSources(&problem)
		return n.Preview, problem.Err()
	}
	repository, err := c.repositoryFor(ctx, tx, host, n.Repository)
	if err != nil {
		return nil, err
	}
	j.Repository = repository.ID
	user := ""
	if host.ID == repository.Storage {
		user = repository.User
	}
	var spec job.Spec
	switch n.Kind {
	case job.Snapshots:
		spec = &job.SnapshotsSpec{Repository: repository.ID}
	case job.Unlock:
		spec = &job.UnlockSpec{Repository: repository.ID, LockID: n.LockID}
	case job.Check:
		check := checkOf(repository, n.ReadAll)
		check.User = user
		spec = &check
	case job.Stats:
		groups, err := tx.Groups(ctx, repository.Host)
		if err != nil {
			return nil, err
		}
		stats := &job.StatsSpec{Repository: repository.ID, User: user}
		for _, group := range groups[:min(len(groups), job.MaxStatsGroups)] {
			stats.Groups = append(stats.Groups, group.ID)
		}
		spec = stats
	case job.Backup, job.PreviewSources, job.Provision, job.Init:
		return nil, fmt.Errorf("make spec: kind %q has none here", n.Kind)
	}
	if spec == nil {
		return nil, fmt.Errorf("make spec: kind %q has none", n.Kind)
	}
	if err := spec.Validate(); err != nil {
		return nil, invalid("lock_id", "The job can't be made: %s.", err)
	}
	return spec, c.ready(ctx, tx, repository.ID)
}

func (c *Control) repositoryFor(ctx context.Context, tx *store.Tx, host fleet.Host, id job.RepositoryID) (fleet.Repository, error) {
	items, _, err := tx.Repositories(ctx, store.RepositoryFilter{Host: host.ID})
	if err != nil {
		return fleet.Repository{}, err
	}
	if id != "" && host.IsStorage() {
		repository, err := tx.Repository(ctx, id)
		if err == nil && repository.Storage == host.ID {
			return repository, nil
		}
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return fleet.Repository{}, err
		}
	}
	for _, repository := range items {
		if repository.ID == id || id == "" && len(items) == 1 {
			return repository, nil
		}
	}
	if id == "" && len(items) > 1 {
		return fleet.Repository{}, invalid("repository_id", "%s has %d repositories; say which one.", host.Name, len(items))
	}
	return fleet.Repository{}, invalid("repository_id", "%s has no such repository.", host.Name)
}

func (c *Control) ready(ctx context.Context, tx *store.Tx, id job.RepositoryID) error {
	repository, err := tx.Repository(ctx, id)
	if err != nil {
		return err
	}
	if !repository.Ready() {
		return fleet.Conflict("The repository %s is not ready yet. See the repositories page for what it waits for.", repository.Name)
	}
	return nil
}

// CancelJob asks for the end of a job. A queued one ends at once; for one that
// an agent may hold, the agent has the last word.
func (c *Control) CancelJob(ctx context.Context, who auth.Identity, id job.ID) (fleet.Job, error) {
	if err := require(who, auth.JobsCancel); err != nil {
		return fleet.Job{}, err
	}
	var j fleet.Job
	err := c.store.Write(ctx, func(tx *store.Tx) (err error) {
		if j, err = tx.Job(ctx, id); err != nil {
			return err
		}
		if err := tx.HoldHost(ctx, j.Host); err != nil {
			return err
		}
		if j, err = tx.Job(ctx, id); err != nil {
			return err
		}
		if j.State.Ended() {
			return fleet.Conflict("This job has ended already: %s.", j.State)
		}
		asked := j.CancelRequestedAt.IsZero()
		if err := c.requestCancel(ctx, tx, j, job.CauseOperator, "Cancelled before it was sent."); err != nil {
			return err
		}
		if asked {
			if err := c.audit(ctx, tx, who, "job.cancelled", NounJob, string(id), nil); err != nil {
				return err
			}
		}
		j, err = tx.Job(ctx, id)
		return err
	})
	if err != nil {
		return fleet.Job{}, err
	}
	c.changedJobs(j)
	c.hub.poke(j.Host)
	return j, nil
}

// requestCancel asks for the end of a job. A queued one ends at once; the wish is
// kept with it, should an agent prove to have taken an earlier copy.
func (c *Control) requestCancel(ctx context.Context, tx *store.Tx, j fleet.Job, cause job.Cause, sentence string) error {
	if _, err := tx.AskCancel(ctx, j.ID, c.now()); err != nil {
		return err
	}
	if j.State != job.Queued {
		return nil
	}
	moved, err := tx.MoveJob(ctx, j.ID, job.Queued, job.Cancelled, job.ByServer, c.now())
	if err != nil || !moved {
		return err
	}
	return tx.EndJob(ctx, j.ID, store.End{At: c.now(), Cause: cause, Error: sentence})
}

// changedJobs tells everybody that jobs and what hangs on them have changed.
func (c *Control) changedJobs(jobs ...fleet.Job) {
	for _, j := range jobs {
		if j.State.Ended() {
			c.live.drop(j.ID)
		}
		c.events.publish(Event{NounJob, string(j.ID)})
		c.events.publish(Event{NounHost, string(j.Host)})
	}
}

func invalid(field, format string, args ...any) error {
	var problem fleet.Invalid
	problem.Add(field, format, args...)
	return problem.Err()
}

func since(host fleet.Host) string {
	if host.LastSeenAt.IsZero() {
		return " and has never connected"
	}
	return " since " + host.LastSeenAt.UTC().Format("2006-01-02 15:04 UTC")
}

func whenBackHint(kind job.Kind) string {
	if kind == job.Backup {
		return ", or let the backup wait until it is back"
	}
	return ""
}
