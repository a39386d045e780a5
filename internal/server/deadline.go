package server

import (
	"net/http"
	"time"
)

// Times that one request has on its way. They are long enough for a slow line,
// and end what somebody drags out on purpose: otherwise a stranger could hold
// any number of connections, each for ever.
const (
	bodyTimeout  = 2 * time.Minute // for what is sent to us, after its header
	pieceTimeout = time.Minute     // for each piece of the answer; a stream has many
)

// bounded gives every request those times. The sessions of agents, once they
// are WebSockets, have none of them.
func bounded(next http.Handler, body, piece time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		if r.ContentLength != 0 && conn.SetReadDeadline(time.Now().Add(body)) != nil {
			return // the connection is over
		}
		next.ServeHTTP(&pieceWriter{ResponseWriter: w, conn: conn, piece: piece}, r)
	})
}

// pieceWriter sets the time of each piece anew.
type pieceWriter struct {
	http.ResponseWriter
	conn  *http.ResponseController
	piece time.Duration
}

// Write implements http.ResponseWriter.
func (w *pieceWriter) Write(piece []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.piece)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(piece)
}

// Unwrap lets http.ResponseController, and who takes the connection over, reach
// what is below.
func (w *pieceWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
