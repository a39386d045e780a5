package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// Jitter is how much later than its instant a host begins a schedule's run while
// its server is away: in [0, min(most, gap/2)), whole milliseconds, and the same
// whenever it is asked. Gap is the time to the schedule's next moment, so that a
// run is never pushed into the next one; without one there is no jitter.
func Jitter(host, schedule string, instant time.Time, most, gap time.Duration) time.Duration {
	limit := min(most, gap/2).Milliseconds()
	if limit <= 0 {
		return 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "jitter %q %q %d", host, schedule, instant.UnixMilli()))
	return time.Duration(binary.BigEndian.Uint64(sum[:8])%uint64(limit)) * time.Millisecond
}

// Backoff is the wait after an attempt did not get through: base after the first,
// twice as much after each further one, never more than MaxBackoff. There is none
// before attempt 1, nor with a base of 0.
func Backoff(base time.Duration, attempt int) time.Duration {
	if attempt < 1 || base <= 0 {
		return 0
	}
	wait := min(base, MaxBackoff)
	for ; attempt > 1 && wait < MaxBackoff; attempt-- {
		wait = min(2*wait, MaxBackoff)
	}
	return wait
}

// Satisfied tells whether a backup that started at one time does the work of a
// moment: it started at or after it. A start that is later than now is no
// evidence, only a wrong clock, nor is the zero time. All three are times of one
// clock. That the backup runs or has ended well is for the caller to know.
func Satisfied(scheduledAt, startedAt, now time.Time) bool {
	return !startedAt.IsZero() && !startedAt.Before(scheduledAt) && !startedAt.After(now)
}

// Held is what an agent knows of a due run that it holds for its server's word.
type Held struct {
	// DueAt is when the agent found the run due: at a schedule's moment, after a
	// missed one when it was noticed, for a retry when its predecessor ended.
	DueAt time.Time
	// NotBefore is when a retry's backoff is over; zero is at once.
	NotBefore time.Time
	// AwaySince is since when the server has been away for this run: no session,
	// no healthy answer, or no acknowledgement of its due record. Zero is that it
	// is there.
	AwaySince time.Time
	// SessionSince is since when there is a session, whatever it has acknowledged;
	// zero is that there is none.
	SessionSince time.Time
	// Jitter spreads a fleet whose server is away.
	Jitter time.Duration
	// Late is whether the run is for a missed moment, and AwakeSince when the agent
	// started or its machine woke.
	Late       bool
	AwakeSince time.Time
}

// Ready is when the run may begin, by whoever's word: not before its backoff is
// over, nor, for a missed moment, before the machine has settled.
func (h Held) Ready() time.Time {
	ready := later(h.DueAt, h.NotBefore)
	if h.Late {
		ready = later(ready, h.AwakeSince.Add(Settle))
	}
	return ready
}

// StartAt is when the agent begins the run by itself, if nothing changes until
// then; zero is never, as long as the server is there. It waits for
// ServerPatience since the server went away, or for the run to be due if that is
// later, and then for the jitter, so that a fleet without its server does not
// begin as one; and for Ready in any case. A session that has just begun is given
// AnswerPatience for its word, for the server may have ended the run long since.
func (h Held) StartAt() time.Time {
	if h.AwaySince.IsZero() {
		return time.Time{}
	}
	alone := later(h.DueAt, h.AwaySince.Add(ServerPatience)).Add(h.Jitter)
	if !h.SessionSince.IsZero() {
		alone = later(alone, h.SessionSince.Add(AnswerPatience))
	}
	return later(alone, h.Ready())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
