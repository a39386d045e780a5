package control

import (
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// hub knows the sessions that this node holds. What is in it may be lost with
// the node; the database says the rest.
type hub struct {
	mu sync.Mutex
	// active is the one session of a host that is spoken with.
	active map[job.HostID]*session
	// held are sessions of a quarantined host, or of known copies.
	held map[job.HostID][]*session
}

func (h *hub) init() {
	h.active = map[job.HostID]*session{}
	h.held = map[job.HostID][]*session{}
}

// poke lets the writer of a host's session ask again what the host wants. A
// poke may be lost with the session; the next one asks anyway.
func (h *hub) poke(host job.HostID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.active[host]; s != nil {
		s.pokeWants()
	}
	for _, s := range h.held[host] {
		s.pokeWants() // the one thing that it may be told is that the host is gone
	}
}

// pokeAll does so for every session: what other nodes have changed comes to
// light then.
func (h *hub) pokeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.active {
		s.pokeWants()
	}
	for _, sessions := range h.held {
		for _, s := range sessions {
			s.pokeWants()
		}
	}
}

func (h *hub) session(host job.HostID) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.active[host]
}

// take makes s the host's session if there is none.
func (h *hub) take(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active[s.host] != nil {
		return false
	}
	h.active[s.host] = s
	return true
}

// maxHeld is how many sessions of one host are held at once; a new one ends the
// oldest.
const maxHeld = 16

// hold makes s a held session; it is not the host's active one any more.
func (h *hub) hold(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active[s.host] == s {
		delete(h.active, s.host)
	}
	if held := h.held[s.host]; len(held) >= maxHeld {
		held[0].end(errQuarantined)
		h.held[s.host] = slices.Clone(held[1:])
	}
	h.held[s.host] = append(h.held[s.host], s)
}

// leave forgets s and tells whether it was the host's active session.
func (h *hub) leave(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[s.host] = slices.DeleteFunc(h.held[s.host], func(other *session) bool { return other == s })
	if len(h.held[s.host]) == 0 {
		delete(h.held, s.host)
	}
	if h.active[s.host] != s {
		return false
	}
	delete(h.active, s.host)
	return true
}

// heldSession finds a held session of a host by its id.
func (h *hub) heldSession(host job.HostID, id string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.held[host] {
		if s.id == id {
			return s
		}
	}
	return nil
}

// SessionInfo is one session as a person who must decide sees it.
type SessionInfo struct {
	ID       string
	Address  string
	Hostname string
	Since    time.Time
	Counter  uint64
	// Unsent counts the records that the agent held and no server had
	// acknowledged when it connected.
	Unsent uint64
	Held   bool
}

// Sessions lists the sessions of a host that this node holds.
func (c *Control) Sessions(host job.HostID) []SessionInfo {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	var infos []SessionInfo
	if s := c.hub.active[host]; s != nil {
		infos = append(infos, s.info(false))
	}
	for _, s := range c.hub.held[host] {
		infos = append(infos, s.info(true))
	}
	return infos
}
