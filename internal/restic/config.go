package restic

import (
	"context"
	"errors"
)

// Config is what the repository says about itself.
type Config struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
}

// ConfigResult is the answer of CatConfig.
type ConfigResult struct {
	Result
	Config Config
}

// CatConfig reads the repository's configuration without a lock. It is the probe: the exit code of its
// *ExitError tells an absent repository from a wrong password.
func (r Runner) CatConfig(ctx context.Context, call Call) (ConfigResult, error) {
	return ConfigResult{}, errors.New("not built yet")
}
