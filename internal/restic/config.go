package restic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Config is what the repository says about itself.
type Config struct {
	Version int    `json:"version"`
	ID      string `json:"id"` // 64 hexadecimal digits
}

// ConfigResult is the answer of CatConfig.
type ConfigResult struct {
	Result
	Config Config
}

// CatConfig reads the repository's configuration without a lock. It is the probe: the exit code in its
// *ExitError tells an absent repository from a wrong password.
func (r Runner) CatConfig(ctx context.Context, call Call) (ConfigResult, error) {
	var answer ConfigResult
	var err error
	answer.Result, err = r.query(ctx, call, "cat", []string{"--no-lock", "config"},
		func(stdout io.Reader, _ *record) (err error) {
			answer.Config, err = decodeConfig(stdout)
			return err
		})
	return answer, err
}

func decodeConfig(reader io.Reader) (Config, error) {
	var config Config
	if err := json.NewDecoder(&capped{Reader: reader, left: MaxLine}).Decode(&config); err != nil {
		return Config{}, fmt.Errorf("decode the repository's configuration: %w", err)
	}
	if config.Version < 1 || !isID(config.ID) {
		return Config{}, errors.New("decode the repository's configuration: version or id is missing")
	}
	return config, nil
}
