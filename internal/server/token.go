package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// CreateToken makes an API token from the machine's own command line. Whoever
// can read the data folder may do so; a running server need not be stopped.
func CreateToken(ctx context.Context, o Options, wanted control.NewAPIToken) (secret string, err error) {
	err = locally(ctx, o, func(c *control.Control) error {
		token, _, err := c.CreateAPIToken(ctx, auth.Server, wanted)
		secret = token.Reveal()
		return err
	})
	return secret, err
}

// RevealAccess opens the access to the repositories of the host with that name,
// or of all for "".
func RevealAccess(ctx context.Context, o Options, name string) (all []control.HostAccess, err error) {
	err = locally(ctx, o, func(c *control.Control) error {
		all, err = c.RevealAccess(ctx, name)
		return err
	})
	return all, err
}

// locally works on a server's data beside the running server.
func locally(ctx context.Context, o Options, do func(*control.Control) error) (err error) {
	if o.Database == "" {
		// Opening would make a fresh database, in which nothing said here counts.
		if _, err := os.Stat(o.database()); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("open %s: no server has its data there; name its folder with --data-dir", o.Dir)
		}
	}
	s, err := store.Open(ctx, o.database())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	sealer, err := openSealer(o.Dir)
	if err != nil {
		return err
	}
	identity, err := control.LoadIdentity(ctx, s, sealer)
	if err != nil {
		return err
	}
	return do(control.New(control.Options{Store: s, Sealer: sealer, Identity: identity, Log: slog.New(slog.DiscardHandler)}))
}
