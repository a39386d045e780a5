package sim

import (
	"slices"
	"time"
)

// script is what is still to happen to a world, in the order of time.
type script struct {
	events []event
}

type event struct {
	at time.Time
	do func()
}

// later has something happen after a while.
func (w *world) later(wait time.Duration, do func()) {
	w.events = append(w.events, event{time.Now().Add(wait), do})
	slices.SortStableFunc(w.events, func(one, other event) int { return one.at.Compare(other.at) })
}

// play lets what was put off happen, and act at random times, until a moment. After
// everything that happens the world is looked at.
func (w *world) play(until time.Time, act func()) {
	next := time.Now().Add(w.between(0, busyness))
	for {
		w.bury()
		at := next
		if len(w.events) > 0 && w.events[0].at.Before(next) {
			at = w.events[0].at
		}
		if at.After(until) {
			w.passUntil(until)
			return
		}
		w.passUntil(at)
		if len(w.events) > 0 && !w.events[0].at.After(at) {
			do := w.events[0].do
			w.events = w.events[1:]
			do()
		} else {
			act()
			next = time.Now().Add(w.between(0, busyness))
		}
		w.check()
	}
}

// busyness is the longest time in which nothing new happens.
const busyness = 40 * time.Minute

// bury clears away what has crashed by itself, and plans its return.
func (w *world) bury() {
	if n := w.server(); n != nil && n.dead() {
		w.note("the server has crashed")
		n.crash()
		w.later(w.between(0, 10*time.Minute), func() { w.bootServer(false) })
	}
	for _, m := range w.machines {
		m.mutex.Lock()
		b, planned := m.boot, m.returns
		m.mutex.Unlock()
		if b != nil {
			select {
			case <-b.ended:
				if !b.dead() && !m.full {
					w.fault("the agent of %s ended by itself: %v", m.name, b.err)
				}
				b.crash(killed)
			default:
			}
		}
		if b == nil && !planned && !m.gone {
			m.returns = true
			w.note("%s has crashed", m.name)
			w.later(w.between(0, 20*time.Minute), func() { w.bootMachine(m) })
		}
	}
}

// bootServer starts the server if none runs.
func (w *world) bootServer(restored bool) {
	if w.server() == nil {
		w.note("the server starts, restored %t", restored)
		w.startServer(restored)
	}
}

// bootMachine starts the agent of a machine if none runs there.
func (w *world) bootMachine(m *machine) {
	m.returns = false
	m.mutex.Lock()
	running := m.boot != nil
	m.mutex.Unlock()
	if !running && !m.gone {
		w.note("the agent of %s starts", m.name)
		m.start()
	}
}
