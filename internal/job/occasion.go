package job

import (
	"errors"
	"fmt"
	"time"
)

// MostAttempts is how many attempts a run has at most, the first one counted.
const MostAttempts = 100

// Occasion says why a run is there. The zero value is a first run that a person
// or the server asked for.
type Occasion struct {
	// Schedule is "" for a run that no schedule asked for.
	Schedule ScheduleID `json:"schedule_id,omitempty"`
	// ScheduledAt is the schedule's moment without any jitter, in milliseconds
	// since 1970, UTC; 0 when no schedule asked. A retry keeps that of its root.
	ScheduledAt int64 `json:"scheduled_at,omitempty"`
	// Root is the first run of a chain of retries; "" is this run itself.
	Root ID `json:"root_id,omitempty"`
	// Retry is 0 for the first run and n for the nth retry of Root.
	Retry int `json:"retry,omitempty"`
}

// RootOf is the first run of the chain that id belongs to.
func (o Occasion) RootOf(id ID) ID {
	if o.Root != "" {
		return o.Root
	}
	return id
}

// Next is the occasion and the id of the retry that follows the run id.
func (o Occasion) Next(id ID) (Occasion, ID, error) {
	next := o
	next.Root, next.Retry = o.RootOf(id), o.Retry+1
	retry, err := RetryID(next.Root, next.Retry)
	return next, retry, err
}

// Earlier lists the attempts before this one, the first run first.
func (o Occasion) Earlier() []ID {
	var list []ID
	for n := range min(o.Retry, MostAttempts) {
		id := o.Root
		if n > 0 {
			var err error
			if id, err = RetryID(o.Root, n); err != nil {
				return nil // of a root that is no id
			}
		}
		list = append(list, id)
	}
	return list
}

// Check proves that id is derived from the occasion of a backup of group, which
// a run that a person asked for is not: its root is random.
func (o Occasion) Check(id ID, group GroupID) error {
	root := o.RootOf(id)
	switch {
	case o.Retry < 0 || (o.Retry == 0) != (o.Root == ""):
		return fmt.Errorf("retry %d does not go with root %.40q", o.Retry, o.Root)
	case o.Retry > 0:
		if retry, err := RetryID(o.Root, o.Retry); err != nil || retry != id {
			return fmt.Errorf("%.40q is not retry %d of %.40q", id, o.Retry, o.Root)
		}
	}
	switch {
	case (o.Schedule == "") != (o.ScheduledAt == 0):
		return errors.New("a schedule and its moment go together")
	case o.Schedule == "":
		return nil
	case !ValidID(string(o.Schedule)) || !isMoment(o.ScheduledAt):
		return errors.New("no schedule has such an id or such a moment")
	case DueID(o.Schedule, group, time.UnixMilli(o.ScheduledAt)) != root:
		return fmt.Errorf("%.40q is not the run of its schedule's moment", root)
	}
	return nil
}

// CheckRange proves that id is that of the row for the skipped moments of group
// from the occasion's to the last one.
func (o Occasion) CheckRange(id ID, group GroupID, last int64) error {
	switch {
	case o.Retry != 0 || o.Root != "":
		return errors.New("a range of moments is no retry")
	case !ValidID(string(o.Schedule)) || !isMoment(o.ScheduledAt) || !isMoment(last) || last < o.ScheduledAt:
		return errors.New("no schedule has such an id or such moments")
	case RangeID(o.Schedule, group, time.UnixMilli(o.ScheduledAt), time.UnixMilli(last)) != id:
		return fmt.Errorf("%.40q is not the row of its range of moments", id)
	}
	return nil
}

// isMoment tells whether ms can be a moment of a schedule: from 1970 to the year
// 9999, which is as far as times are written down.
func isMoment(ms int64) bool { return ms > 0 && ms < 253402300800000 }
