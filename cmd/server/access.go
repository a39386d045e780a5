package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/restic-manager/restic-manager/internal/server"
)

type accessCommand struct {
	location
	Host string `required:"" help:"Name of the host, also of a removed one." placeholder:"NAME"`
}

// Run prints lines for a shell: what is backed up must never depend on this
// program to be read.
func (c *accessCommand) Run(ctx context.Context) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	all, err := server.RevealAccess(ctx, o, c.Host)
	if err != nil {
		return err
	}
	for _, access := range all {
		for _, line := range [][2]string{{"RESTIC_REPOSITORY", access.URL}, {"RESTIC_REST_USERNAME", access.Username},
			{"RESTIC_REST_PASSWORD", access.Password}, {"RESTIC_PASSWORD", access.Key}} {
			if _, err := fmt.Fprintf(os.Stdout, "export %s=%s\n", line[0], quoted(line[1])); err != nil {
				return err
			}
		}
	}
	return nil
}

// quoted is text as a POSIX shell takes it literally.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
