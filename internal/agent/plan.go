package agent

import (
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// planHolder is the plan in force.
type planHolder struct {
	mutex   sync.Mutex
	current *api.Plan     // nil: none came yet
	table   *timetable    // what it says of time; never nil once the agent is made
	changed chan struct{} // closed and replaced with each new plan
}

// put makes a plan the one in force.
func (h *planHolder) put(plan *api.Plan, table *timetable) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.current, h.table = plan, table
	if h.changed != nil {
		close(h.changed)
	}
	h.changed = make(chan struct{})
}

func (h *planHolder) timetable() *timetable {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.table
}

func (h *planHolder) digest() string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.current == nil {
		return ""
	}
	return h.current.Digest
}

// access returns how a repository is reached, as far as the plan says.
func (h *planHolder) access(id job.RepositoryID) (api.Access, bool) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.current != nil {
		for _, access := range h.current.Repositories {
			if access.Repository == id {
				return access, true
			}
		}
	}
	return api.Access{}, false
}

// next returns a channel that is closed when another plan is in force.
func (h *planHolder) next() <-chan struct{} {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.changed
}

// takePlan stores a plan durably and puts it in force. One that can't be a plan
// changes nothing, and the last good one goes on. In one that can, a schedule that
// can't be followed is left out and reported, since it may never be right, and
// everything else must not wait for it.
func (a *Agent) takePlan(plan *api.Plan) error {
	if plan.Digest == "" {
		a.log.Error("the server sent a plan without a digest; the one before stays in force")
		a.report(api.Report{Topic: api.ReportQuarantine, Detail: "The plan that the server sent has no digest, so it can't be told from another; the one before stays in force."})
		return nil
	}
	taken := a.options.Now()
	if err := a.state.savePlan(storedPlan{Plan: plan, TakenAt: taken.UnixMilli()}); err != nil {
		return err
	}
	table := readPlan(plan, taken)
	a.plan.put(plan, table)
	poke(a.status.changed)
	if trouble := table.trouble(); trouble != "" {
		a.log.Error("a part of the plan can't be followed", "problem", trouble)
		a.report(api.Report{Topic: api.ReportQuarantine, Detail: trouble})
	}
	a.log.Info("plan taken", "digest", plan.Digest, "groups", len(plan.Groups), "schedules", len(table.schedules))
	return nil
}

// loadPlan puts the stored plan in force, if there is one. What its schedules were
// due at while this agent was off is for the clock to catch up.
func (a *Agent) loadPlan() error {
	stored, err := a.state.plan()
	if err != nil {
		return err
	}
	var taken time.Time
	if stored.TakenAt > 0 {
		taken = time.UnixMilli(stored.TakenAt)
	}
	table := readPlan(stored.Plan, taken)
	if trouble := table.trouble(); trouble != "" {
		a.log.Error("a part of the plan can't be followed", "problem", trouble)
	}
	a.plan.put(stored.Plan, table)
	return nil
}

// storedPlan is a plan on this machine's disk.
type storedPlan struct {
	*api.Plan
	TakenAt int64 `json:"taken_at"` // milliseconds since 1970, UTC, this machine's clock
}

// repositoryOf turns an access into what restic is given.
func repositoryOf(access api.Access) restic.Repository {
	return restic.Repository{URL: access.URL, RESTUsername: access.Username, RESTPassword: access.Password, Password: access.Key}
}
