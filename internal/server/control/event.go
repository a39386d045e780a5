package control

import "sync"

// Event says that something about a noun has changed. Noun "all" means that
// events were lost: look at everything again.
type Event struct {
	Noun string `json:"noun"`
	ID   string `json:"id"`
}

// Nouns of events.
const (
	NounJob        = "job"
	NounHost       = "host"
	NounRepository = "repository"
	NounEnrollment = "enrollment"
	NounAlert      = "alert"
	NounSchedule   = "schedule"
	NounPause      = "pause"
	NounAll        = "all"
)

// events hands events to whoever subscribed. It never waits for a slow one.
type events struct {
	mu          sync.Mutex
	subscribers map[chan Event]struct{}
}

// eventBuffer is how many events may wait for one subscriber before it is told
// to look at everything again.
const eventBuffer = 256

func (e *events) init() { e.subscribers = map[chan Event]struct{}{} }

func (e *events) publish(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ch := range e.subscribers {
		select {
		case ch <- event:
			continue
		default:
		}
		// Only publish sends, and it holds the lock, so room made here stays.
		for len(ch) > 0 {
			select {
			case <-ch:
			default:
			}
		}
		ch <- Event{Noun: NounAll}
	}
}

// Subscribe returns a channel of events, which is never closed, and a function
// that ends the subscription. A stream watches Closing too.
func (c *Control) Subscribe() (<-chan Event, func()) {
	ch := make(chan Event, eventBuffer)
	c.events.mu.Lock()
	c.events.subscribers[ch] = struct{}{}
	c.events.mu.Unlock()
	return ch, func() {
		c.events.mu.Lock()
		delete(c.events.subscribers, ch)
		c.events.mu.Unlock()
	}
}

// Closing is closed when the server shuts down; open streams end then.
func (c *Control) Closing() <-chan struct{} { return c.closing.Done() }

// Shutdown lets sessions and streams end and new ones wait for another server;
// Run waits for the sessions.
func (c *Control) Shutdown() {
	c.lobby.close()
	c.close(errShutdown)
}
