package restic

import (
	"context"
	"errors"
)

// InitResult is what "restic init" made.
type InitResult struct {
	Result
	RepositoryID string
}

// Init makes a repository. It fails with ExitFatal where one is already.
func (r Runner) Init(ctx context.Context, call Call) (InitResult, error) {
	return InitResult{}, errors.New("not built yet")
}
