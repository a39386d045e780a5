//go:build linux

package bench

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
)

// shift is how the agents of a crowd carry out what they are sent, and what came
// of it, seen from their side.
type shift struct {
	takes func() time.Duration // how long a job works; it may be called by several at once

	mutex  sync.Mutex
	out    int           // jobs that were sent and have not ended
	most   int           // of them at once
	works  time.Duration // of all
	starts []time.Time   // when each was received
	ends   []time.Time
}

// carryOut accepts a job, works, and ends it.
func (a *light) carryOut(ctx context.Context, order *api.Job) {
	s := a.crowd.shift
	work := s.takes()
	s.begin(work)
	a.append(order.ID, entry{api.RecordAccepted, api.Accepted{Kind: order.Kind, Origin: order.Origin, Occasion: order.Occasion, Spec: order.Spec}},
		entry{api.RecordStarted, api.Started{PID: 1}})
	timer := time.NewTimer(work)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	s.end()
	a.append(order.ID, well)
}

func (s *shift) begin(work time.Duration) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.starts = append(s.starts, time.Now())
	s.works += work
	s.out++
	s.most = max(s.most, s.out)
}

func (s *shift) end() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.ends = append(s.ends, time.Now())
	s.out--
}

func (s *shift) ended() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.ends)
}

// gaps are how long each slot was idle from the end of one job to the start of
// the next: the first to end makes room for the first that starts after the slots
// were full. The jobs behind the last start leave no gap.
func (s *shift) gaps(slots int) (gaps samples) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	starts, ends := slices.SortedFunc(slices.Values(s.starts), time.Time.Compare), slices.SortedFunc(slices.Values(s.ends), time.Time.Compare)
	for i := slots; i < len(starts); i++ {
		gaps = append(gaps, starts[i].Sub(ends[i-slots]))
	}
	return gaps
}

// took is how long it all was after a time, and how long it would have been with
// the slots never idle.
func (s *shift) took(since time.Time, slots int) (took, ideal time.Duration) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, end := range s.ends {
		took = max(took, end.Sub(since))
	}
	return took, s.works / time.Duration(slots)
}
