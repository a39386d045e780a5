package control

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Bounds that tests reach.
const (
	MaxApplied      = maxApplied
	MaxRejected     = maxRejected
	MaxJobLog       = maxJobLog
	MaxHeld         = maxHeld
	MaxStrangers    = maxStrangers
	EventBuffer     = eventBuffer
	MaxStepsAnHour  = maxStepsAnHour
	HandshakeWindow = strangerPatience
)

// Tick does once what Run does every ten seconds, with everything due.
func (c *Control) Tick(ctx context.Context) { c.runOnce(ctx, new(duties)) }

// SetRivalPatience must come before the first session.
func (c *Control) SetRivalPatience(d time.Duration) { c.rivalPatience = d }

// SetMaxAnswers must come before the first session.
func (c *Control) SetMaxAnswers(bytes int) { c.maxAnswers = bytes }

// CloseSessionLate writes the end of a session of host that counted so far, as
// when its successor was faster.
func (c *Control) CloseSessionLate(ctx context.Context, host job.HostID, counter uint64) error {
	return c.closeSession(ctx, &session{host: host, hello: api.Hello{Counter: counter}})
}

// Strangers is how many connections have not yet proved who they are.
func (c *Control) Strangers() int {
	c.lobby.mu.Lock()
	defer c.lobby.mu.Unlock()
	return len(c.lobby.waiting)
}

// Visit fills the lobby without a connection; it tells whether there was room.
func (c *Control) Visit(now time.Time, end func()) (leave func(), ok bool) {
	v := c.lobby.enter(now, end)
	if v == nil {
		return nil, false
	}
	return v.over, true
}

// Publish sends an event.
func (c *Control) Publish(event Event) { c.events.publish(event) }

// Sweep ends the sessions of dead nodes.
func (c *Control) Sweep(ctx context.Context) error { return c.sweep(ctx) }

// HostsToDrain lists whom a tick visits.
func (c *Control) HostsToDrain(ctx context.Context) ([]job.HostID, error) { return c.hostsToDrain(ctx) }

// PaceOf is what tests ask of it.
var PaceOf = paceOf
