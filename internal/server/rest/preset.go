package rest

import (
	"context"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
)

// Preset is a set of exclusions that many source groups want, in JSON.
type Preset struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Sentence string   `json:"sentence" doc:"What it leaves out."`
	Patterns []string `json:"patterns" nullable:"false" doc:"As restic takes them, for an exclusion each."`
}

type presetsInput struct {
	System string `query:"system" required:"true" enum:"linux,windows,darwin,freebsd" doc:"As a host's os says."`
}

// presets are the exclusions that are often wanted on a system.
func (a *API) presets(_ context.Context, _ auth.Identity, in *presetsInput) (*list[Preset], error) {
	return listOf(fleet.PresetsFor(in.System), "", func(p fleet.Preset) Preset { return Preset(p) }), nil
}
