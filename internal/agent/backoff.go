package agent

import (
	"context"
	"math/rand/v2"
	"time"
)

// jitter is a random wait in [0, min(longest, shortest*2^attempt)), so that a
// fleet never comes back in step.
func jitter(attempt int, shortest, longest time.Duration) time.Duration {
	bound := longest
	if attempt < 30 && shortest<<attempt < longest {
		bound = shortest << attempt
	}
	if bound <= 0 {
		return 0
	}
	return rand.N(bound)
}

// pause is the wait before a repository is asked again: it doubles from
// shortest to longest.
func pause(attempt int, shortest, longest time.Duration) time.Duration {
	if attempt < 30 && shortest<<attempt < longest {
		return shortest << attempt
	}
	return longest
}

// sleep waits and tells whether ctx let it.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
