package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

const eventStream = "text/event-stream"

// heartbeat is how often a silent stream shows that it lives, and looks whether
// its reader may still read.
const heartbeat = 15 * time.Second

// lastEvent is the id of the event that a stream ends with. A browser that
// connects again names it and is told with 204 to stop.
const lastEvent = "ended"

type eventsInput struct {
	ByID
	LastEventID string `header:"Last-Event-ID"`
}

// jobEvents sends the whole job now and whenever it has changed, until it has
// ended.
func (a *API) jobEvents(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	id := job.ID(in.ID)
	found, err := a.Store.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	done := found.State.Ended() && in.LastEventID == lastEvent
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		if done {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", eventStream)
		w.Header().Set("X-Accel-Buffering", "no") // nginx would hold the events back
		if r.Method == http.MethodHead {
			return
		}
		if err := a.follow(r, w, id); err != nil && r.Context().Err() == nil {
			a.Log.WarnContext(r.Context(), "events of a job broken off", "job", id, "error", err)
		}
	}}, nil
}

// follow writes events until the job has ended, the reader has gone or may no
// longer read, or the server shuts down.
func (a *API) follow(r *http.Request, w http.ResponseWriter, id job.ID) error {
	changes, unsubscribe := a.Control.Subscribe()
	defer unsubscribe()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	out := http.NewResponseController(w)
	for {
		found, err := a.Store.Job(r.Context(), id)
		if err != nil {
			return err
		}
		body, err := json.Marshal(a.showJob(found))
		if err != nil {
			return fmt.Errorf("encode job: %w", err)
		}
		if found.State.Ended() {
			return writePiece(w, out, fmt.Appendf(nil, "id: %s\ndata: %s\n\n", lastEvent, body))
		}
		if err := writePiece(w, out, fmt.Appendf(nil, "data: %s\n\n", body)); err != nil {
			return err
		}
		for changed := false; !changed; {
			select {
			case event := <-changes:
				changed = about(event, id)
			case <-beat.C:
				if who, _, err := a.identify(r); err != nil || !who.Known() {
					return err
				}
				if err := writePiece(w, out, []byte(": alive\n\n")); err != nil {
					return err
				}
			case <-a.Control.Closing():
				return nil
			case <-r.Context().Done():
				return nil
			}
		}
		// Changes that came together are told once.
		for len(changes) > 0 {
			<-changes
		}
	}
}

func about(event control.Event, id job.ID) bool {
	return event.Noun == control.NounAll || event.Noun == control.NounJob && event.ID == string(id)
}
