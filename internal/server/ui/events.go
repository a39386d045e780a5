package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// heartbeat keeps proxies from closing an event stream that has nothing to say.
const heartbeat = 15 * time.Second

// eventStream tells a tab what has changed, by noun and id. The tab fetches what
// it shows of that again; after "ready" it fetches everything, so that nothing
// missed while it was away stays old.
func (u *UI) eventStream(w http.ResponseWriter, r *http.Request) error {
	events, cancel := u.Control.Subscribe()
	defer cancel()
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return nil
	}
	stream := http.NewResponseController(w)
	if _, err := fmt.Fprint(w, "event: ready\ndata: {}\n\n"); err != nil {
		return nil // the tab went away
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		if stream.Flush() != nil {
			return nil
		}
		select {
		case event := <-events:
			body, err := json.Marshal(event)
			if err != nil {
				return fmt.Errorf("encode event: %w", err)
			}
			if _, err := fmt.Fprintf(w, "event: change\ndata: %s\n\n", body); err != nil {
				return nil
			}
		case <-ticker.C:
			// A session that was ended meanwhile ends its streams too.
			if _, err := u.identify(r); err != nil {
				return nil
			}
			if _, err := fmt.Fprint(w, ": here\n\n"); err != nil {
				return nil
			}
		case <-u.Control.Closing():
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}
