package restic

import (
	"context"
	"errors"
)

// DeleteRight says what a credential may do to snapshots.
type DeleteRight string

// The answers of ProveAppendOnly.
const (
	DeleteRefused DeleteRight = "refused" // the repository is append-only for this credential
	DeleteAllowed DeleteRight = "allowed" // this credential could delete
	DeleteUnknown DeleteRight = "unknown"
)

// HTTPError is an answer of a rest-server that is not a success.
type HTTPError struct {
	Method string
	Status int
}

func (e *HTTPError) Error() string { return "not built yet" }

// ProveAppendOnly asks a rest-server to delete a snapshot id that does not exist and learns from the
// refusal. Nothing can be lost by it. DeleteUnknown comes with an error that says why.
func ProveAppendOnly(ctx context.Context, repository Repository) (DeleteRight, error) {
	return DeleteUnknown, errors.New("not built yet")
}
