package control

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// HostAccess is how a host reaches one of its repositories.
type HostAccess struct {
	Host job.HostID
	api.Access
}

// RevealAccess opens the access to every repository. It is for the command line
// of the server's own machine, whose key file opens them anyway; no request
// comes near it.
func (c *Control) RevealAccess(ctx context.Context) ([]HostAccess, error) {
	repositories, _, err := c.store.Repositories(ctx, store.RepositoryFilter{Page: fleet.Page{Limit: 500}})
	if err != nil {
		return nil, err
	}
	var all []HostAccess
	for _, r := range repositories {
		access, err := c.access(ctx, c.store, r)
		if err != nil {
			return nil, err
		}
		all = append(all, HostAccess{r.Host, access})
	}
	return all, nil
}
