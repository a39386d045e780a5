package main

import (
	"context"
	"os"

	"github.com/restic-manager/restic-manager/internal/demo"
	"github.com/restic-manager/restic-manager/internal/server"
)

type demoCommand struct {
	Dir    string `help:"Folder of the demo; what an earlier demo left there is replaced." default:"demo"`
	Listen string `help:"Address of the server." default:"127.0.0.1:8080"`
	Hosts  int    `help:"How many endpoints." default:"3"`
	Once   bool   `help:"End as soon as every host has a snapshot."`
}

func (c *demoCommand) Run(ctx context.Context) error {
	return demo.Run(ctx, demo.Options{Dir: c.Dir, Listen: c.Listen, Hosts: c.Hosts, Once: c.Once, Out: os.Stdout, Access: revealAccess})
}

// revealAccess lets the demo, and nothing else, write down how its repositories
// are reached.
func revealAccess(ctx context.Context, dataDir string) ([]demo.Access, error) {
	all, err := server.RevealAccess(ctx, server.Options{Dir: dataDir}, "")
	if err != nil {
		return nil, err
	}
	revealed := make([]demo.Access, len(all))
	for i, a := range all {
		revealed[i] = demo.Access{Host: string(a.Host), URL: a.URL, User: a.Username, Password: a.Password, Key: a.Key}
	}
	return revealed, nil
}
