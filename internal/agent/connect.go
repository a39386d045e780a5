package agent

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
)

// steadyAfter is how long a session must have lived for the next attempt to
// begin with the shortest wait again.
const steadyAfter = 5 * time.Second

// delays are the waits between attempts, as the server set them last.
type delays struct{ min, max, ping time.Duration }

func defaultDelays() delays {
	return delays{api.DefaultReconnectMin, api.DefaultReconnectMax, api.DefaultPing}
}

func (d *delays) learn(i api.Intervals) {
	for _, set := range []struct {
		field *time.Duration
		ms    int64
	}{{&d.min, i.ReconnectMin}, {&d.max, i.ReconnectMax}, {&d.ping, i.Ping}} {
		if set.ms > 0 {
			*set.field = time.Duration(set.ms) * time.Millisecond
		}
	}
}

// keepConnected holds a session whenever it can, until ctx ends. Its only error
// is ErrRemoved.
func (a *Agent) keepConnected(ctx context.Context) error {
	waits := defaultDelays()
	for attempt := 0; ; attempt++ {
		begun := time.Now()
		err := a.runSession(ctx, &waits)
		a.status.update(a, func(s *Status) { s.Connected = false })
		switch {
		case errors.Is(err, ErrRemoved):
			a.log.Warn("this host was removed on its server")
			return ErrRemoved
		case ctx.Err() != nil:
			return nil
		}
		if time.Since(begun) > steadyAfter {
			attempt = 0
		}
		wait := jitter(attempt, waits.min, waits.max)
		a.log.Info("no session with the server; trying again", "server", a.identity.Server, "wait", wait.Round(time.Millisecond), "error", err)
		if !sleep(ctx, wait) {
			return nil
		}
		if !a.binary.fresh() {
			a.findRestic(ctx)
		}
	}
}

// sayFarewell waits a moment for the server to have what the jobs' ends have
// added to the journal.
func (a *Agent) sayFarewell() {
	if err := a.journal.Sync(); err != nil {
		a.log.Error("journal could not be written", "error", err)
	}
	deadline := time.NewTimer(a.patience.farewell)
	defer deadline.Stop()
	for a.status.connected() && a.journal.Acknowledged() < a.journal.LastSeq() {
		select {
		case <-a.status.acknowledged():
		case <-deadline.C:
			return
		}
	}
}
