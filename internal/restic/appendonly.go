package restic

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
)

// DeleteRight says what a credential may do to snapshots.
type DeleteRight string

// The answers of ProveAppendOnly.
const (
	DeleteRefused DeleteRight = "refused" // the repository is append-only for this credential
	DeleteAllowed DeleteRight = "allowed" // this credential could delete
	DeleteUnknown DeleteRight = "unknown"
)

// ProveAppendOnly asks a rest-server to delete a snapshot id that does not exist and learns from the
// answer: 403 is a refusal, 200 means that a real one would be gone. Nothing can be lost by it.
// DeleteUnknown always comes with an error that says why: ErrUnsupportedRepository, *HTTPError, or that of
// the network.
func ProveAppendOnly(ctx context.Context, repository Repository) (DeleteRight, error) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	status, err := restDelete(ctx, repository, "snapshots", hex.EncodeToString(random[:]))
	switch {
	case err != nil:
		return DeleteUnknown, fmt.Errorf("prove append-only: %w", err)
	case status == http.StatusForbidden:
		return DeleteRefused, nil
	case status == http.StatusOK:
		return DeleteAllowed, nil
	}
	return DeleteUnknown, fmt.Errorf("prove append-only: %w", &HTTPError{Method: http.MethodDelete, Status: status})
}
