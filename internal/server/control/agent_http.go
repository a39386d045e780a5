package control

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
)

// AgentHandler serves what agents ask for: the proof of the server's key, the
// way in, and the session.
func (c *Control) AgentHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.IdentityPath, c.serveIdentity)
	mux.HandleFunc("POST "+api.EnrolPath, c.serveEnrol)
	mux.HandleFunc("GET "+api.SessionPath, c.serveSession)
	return mux
}

func (c *Control) serveIdentity(w http.ResponseWriter, r *http.Request) {
	nonce, err := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("nonce"))
	if err != nil || len(nonce) != api.NonceSize {
		writeProblem(w, http.StatusBadRequest, "The nonce is not 32 bytes in URL-safe base64.")
		return
	}
	writeJSON(w, http.StatusOK, api.Identity{ServerKey: c.publicKey(), Signature: ed25519.Sign(c.identity, api.IdentityProof(nonce))})
}

// maxEnrolBody bounds a request to join, in bytes.
const maxEnrolBody = 64 << 10

func (c *Control) serveEnrol(w http.ResponseWriter, r *http.Request) {
	var request api.EnrolRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxEnrolBody)).Decode(&request); err != nil {
		writeProblem(w, http.StatusBadRequest, "The request can't be read.")
		return
	}
	response, err := c.enrol(r.Context(), request, c.peer(r))
	var problem *fleet.Problem
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, response)
	case errors.As(err, &problem) && errors.Is(err, fleet.ErrConflict):
		writeProblem(w, http.StatusConflict, problem.Sentence)
	case errors.As(err, &problem):
		writeProblem(w, http.StatusForbidden, problem.Sentence)
	default:
		answer := c.Explain(r.Context(), err)
		writeProblem(w, answer.Status, answer.Sentence)
	}
}

func writeProblem(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": sentence})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
