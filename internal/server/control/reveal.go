package control

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// HostAccess is how a host reaches one of its repositories.
type HostAccess struct {
	Host job.HostID
	Name string // of the host
	api.Access
}

// RevealAccess opens the access to the repositories of the host with that name,
// or of all for "", removed hosts among them. It is for the command line of the
// server's own machine, whose key file opens them anyway; no request comes near
// it. It is audited.
func (c *Control) RevealAccess(ctx context.Context, name string) ([]HostAccess, error) {
	var all []HostAccess
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		all = nil
		filter := store.RepositoryFilter{Page: fleet.Page{Limit: 500}}
		for {
			repositories, next, err := tx.Repositories(ctx, filter)
			if err != nil {
				return err
			}
			for _, r := range repositories {
				host, err := tx.Host(ctx, r.Host)
				if err != nil {
					return err
				}
				if name != "" && host.Name != name {
					continue
				}
				access, err := c.access(ctx, tx, r)
				if err != nil {
					return err
				}
				all = append(all, HostAccess{r.Host, host.Name, access})
				if err := c.audit(ctx, tx, auth.Server, "repository.revealed", NounRepository, string(r.ID), map[string]string{"host": host.Name}); err != nil {
					return err
				}
			}
			if next == "" {
				break
			}
			filter.Cursor = next
		}
		if len(all) == 0 && name != "" {
			return fleet.NotFound("repository of a host named", name)
		}
		return nil
	})
	return all, err
}
