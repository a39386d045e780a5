package control

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// lobby bounds the connections whose peer has not yet proved who it is, and
// counts all of them, so that a shutdown can wait for their end.
type lobby struct {
	mu      sync.Mutex
	shut    bool
	waiting []*visit // oldest first
	running sync.WaitGroup
}

// visit is one connection, from before its handshake to its end.
type visit struct {
	lobby *lobby
	since time.Time
	end   func()
}

// Bounds of the lobby.
const (
	// maxStrangers is how many may be unproved at once.
	maxStrangers = 1000
	// strangerPatience is what each has at least. Whoever is slower makes room
	// when it is full; an honest agent needs one round trip.
	strangerPatience = 2 * time.Second
)

// errCrowded ends a connection that did not say who it is while others wait.
var errCrowded = errors.New("others wait to say who they are")

// enter lets a connection in; nil is "not now". end must be safe to call at any time.
func (l *lobby) enter(now time.Time, end func()) *visit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return nil
	}
	if len(l.waiting) >= maxStrangers {
		oldest := l.waiting[0]
		if now.Sub(oldest.since) < strangerPatience {
			return nil
		}
		oldest.end()
		l.waiting = slices.Delete(l.waiting, 0, 1)
	}
	v := &visit{lobby: l, since: now, end: end}
	l.waiting = append(l.waiting, v)
	l.running.Add(1)
	return v
}

// known: the peer has proved who it is, or will not any more.
func (v *visit) known() {
	v.lobby.mu.Lock()
	defer v.lobby.mu.Unlock()
	if at := slices.Index(v.lobby.waiting, v); at >= 0 { // else it was shown out
		v.lobby.waiting = slices.Delete(v.lobby.waiting, at, at+1)
	}
}

// over: the connection has ended.
func (v *visit) over() {
	v.known()
	v.lobby.running.Done()
}

// close lets nobody in any more; wait returns when the last one has left.
func (l *lobby) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = true
}

func (l *lobby) wait() { l.running.Wait() }
