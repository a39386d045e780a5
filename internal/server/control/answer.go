package control

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
)

// Answer is how an error is told to whoever asked, on a page or in the API.
type Answer struct {
	Status   int    // of HTTP
	Sentence string // for a person
	Fields   []fleet.FieldError
	// RetryAfter is not zero when trying again later is what helps.
	RetryAfter time.Duration
	// Incident names the line in the server's log that tells the cause of an
	// internal error; "" for mistakes of the asker.
	Incident string
}

// meanings is the one map from what an error means to its status.
var meanings = []struct {
	meaning  error
	status   int
	sentence string // when the error brings none
}{
	{fleet.ErrNotFound, http.StatusNotFound, "There is no such thing here. It may have been removed."},
	{fleet.ErrConflict, http.StatusConflict, "This conflicts with what is there already."},
	{fleet.ErrForbidden, http.StatusForbidden, "You are not allowed to do this."},
	{auth.ErrUnauthenticated, http.StatusUnauthorized, "Sign in first, or give an API token that is known here and has not expired."},
}

// Explain turns an error into what the asker is told. The cause of an internal
// one goes to the log.
func (c *Control) Explain(ctx context.Context, err error) Answer {
	var (
		invalid   *fleet.Invalid
		problem   *fleet.Problem
		throttled *auth.Throttled
	)
	switch {
	case errors.As(err, &invalid):
		return Answer{Status: http.StatusUnprocessableEntity, Sentence: "Some of this is not right.", Fields: invalid.Fields}
	case errors.As(err, &throttled):
		return Answer{Status: http.StatusTooManyRequests, Sentence: throttled.Error(), RetryAfter: throttled.Wait}
	}
	for _, known := range meanings {
		if !errors.Is(err, known.meaning) {
			continue
		}
		answer := Answer{Status: known.status, Sentence: known.sentence}
		if errors.As(err, &problem) {
			answer.Sentence = problem.Sentence
		}
		return answer
	}
	answer := Answer{Status: http.StatusInternalServerError, Incident: crypto.NewSecret(6)}
	answer.Sentence = "Something went wrong inside the server. Its log names the cause under incident " + answer.Incident + "."
	if ctx.Err() == nil { // otherwise nobody waits for the answer
		c.log.ErrorContext(ctx, "request failed", "incident", answer.Incident, "error", err)
	}
	return answer
}
