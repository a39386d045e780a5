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
	var all []HostAccess
	filter := store.RepositoryFilter{Page: fleet.Page{Limit: 500}}
	for {
		repositories, next, err := c.store.Repositories(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, r := range repositories {
			access, err := c.access(ctx, c.store, r)
			if err != nil {
				return nil, err
			}
			all = append(all, HostAccess{r.Host, access})
		}
		if next == "" {
			return all, nil
		}
		filter.Cursor = next
	}
}
