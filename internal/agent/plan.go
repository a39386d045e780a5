package agent

import (
	"sync"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// planHolder is the plan in force.
type planHolder struct {
	mutex   sync.Mutex
	current *api.Plan     // nil: none came yet
	changed chan struct{} // closed and replaced with each new plan
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

// takePlan stores a plan durably and puts it in force.
func (a *Agent) takePlan(plan *api.Plan) error {
	if err := a.state.savePlan(plan); err != nil {
		return err
	}
	a.plan.mutex.Lock()
	a.plan.current = plan
	close(a.plan.changed)
	a.plan.changed = make(chan struct{})
	a.plan.mutex.Unlock()
	a.log.Info("plan taken", "digest", plan.Digest, "groups", len(plan.Groups))
	return nil
}

// repositoryOf turns an access into what restic is given.
func repositoryOf(access api.Access) restic.Repository {
	return restic.Repository{URL: access.URL, RESTUsername: access.Username, RESTPassword: access.Password, Password: access.Key}
}
