package restic

import (
	"context"
	"errors"
	"io"
)

// InitResult is what "restic init" made.
type InitResult struct {
	Result
	RepositoryID string // 64 hexadecimal digits
}

// Init makes a repository. Where one is already it fails as an *ExitError with ExitFatal.
func (r Runner) Init(ctx context.Context, call Call) (InitResult, error) {
	var answer InitResult
	var err error
	answer.Result, err = r.query(ctx, call, "init", nil, func(stdout io.Reader, record *record) error {
		err := record.messages(stdout, initMessages, func(decoded message) {
			if body, ok := decoded.(*initializedMessage); ok {
				answer.RepositoryID = body.ID
			}
		})
		if err == nil && !isID(answer.RepositoryID) {
			err = errors.New("it did not name the repository that it made")
		}
		return err
	})
	return answer, err
}
