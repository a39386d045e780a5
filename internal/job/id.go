package job

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// The ids of this program are ULIDs in their text form of 26 characters, typed
// by what they name. The zero value names nothing.
type (
	// ID names a job. Both sides can compute it, see DueID and RetryID.
	ID string
	// HostID names an enrolled machine.
	HostID string
	// GroupID names a source group; it is the value of the restic tag.
	GroupID string
	// RepositoryID names a restic repository.
	RepositoryID string
	// ScheduleID names a schedule; "" is "asked for by a person".
	ScheduleID string
)

// NewID returns a random id for a run that a person or the server asked for.
func NewID(now time.Time) ID { return ID(NewULID(now)) }

// NewULID returns a random ULID whose time is now.
func NewULID(now time.Time) string {
	return ulid.MustNew(ulid.Timestamp(now), rand.Reader).String()
}

// DueID returns the id of the run that schedule asks for at instant for group.
// Server and agent compute the same one, whoever is first.
func DueID(schedule ScheduleID, group GroupID, instant time.Time) ID {
	return derive(ulid.Timestamp(instant), "due", string(schedule), string(group), instant.UTC().Format(time.RFC3339Nano))
}

// RetryID returns the id of the nth retry (1 is the first) of root. It keeps
// the root's time, so that retries sort beside what they repeat.
func RetryID(root ID, n int) (ID, error) {
	if n < 1 {
		return "", fmt.Errorf("derive retry id: number %d is below 1", n)
	}
	parsed, err := ulid.ParseStrict(string(root))
	if err != nil {
		return "", fmt.Errorf("derive retry id of %q: %w", root, err)
	}
	return derive(parsed.Time(), "retry", string(root), fmt.Sprint(n)), nil
}

// RangeID returns the id of the one row for a range of moments, first to last,
// that a schedule skipped for group. It is that of no moment, so that each of
// them may still run, should a clock have been wrong. Its time is the last one.
func RangeID(schedule ScheduleID, group GroupID, first, last time.Time) ID {
	return derive(ulid.Timestamp(last), "range", string(schedule), string(group), first.UTC().Format(time.RFC3339Nano), last.UTC().Format(time.RFC3339Nano))
}

// derive hashes parts, each with its length in front so that no two lists of
// parts read alike, into the 80 bits that a ULID has beside its time.
func derive(ms uint64, parts ...string) ID {
	sum := sha256.New()
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		sum.Write(length[:])
		sum.Write([]byte(part))
	}
	var id ulid.ULID
	_ = id.SetTime(ms) // fails only for times after the year 10889
	_ = id.SetEntropy(sum.Sum(nil)[:10])
	return ID(id.String())
}

// FirstID is the smallest id whose time is not before at, to the millisecond.
func FirstID(at time.Time) ID {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(at)) // fails only for times after the year 10889
	return ID(id.String())
}

// Time is the time in an id: of a scheduled run and its retries the moment, of
// any other when it was asked for. Zero for what is no id.
func (id ID) Time() time.Time {
	parsed, err := ulid.ParseStrict(string(id))
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(parsed.Time())
}

// ValidID tells whether text is a well-formed id of any of the types above, in the
// one way it is written: ids are compared, and their order is that of time.
func ValidID(text string) bool {
	parsed, err := ulid.ParseStrict(text)
	return err == nil && parsed.String() == text
}
