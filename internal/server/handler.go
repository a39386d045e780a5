package server

import (
	"context"
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/server/rest"
	"github.com/restic-manager/restic-manager/internal/server/ui"
)

// handler puts agents, API, pages and health behind one set of defences.
func (s *Server) handler() (http.Handler, error) {
	crossOrigin := http.NewCrossOriginProtection()
	peer := control.BehindProxies(s.options.TrustedProxies)
	secure := s.secure
	api, err := rest.New(rest.Options{Control: s.control, Store: s.store, Log: s.options.Log, Version: s.options.Version,
		PeerAddress: peer, Secure: secure, CrossOrigin: crossOrigin})
	if err != nil {
		return nil, err
	}
	pages, err := ui.New(ui.Options{Control: s.control, Store: s.store, Log: s.options.Log, Version: s.options.Version,
		PeerAddress: peer, Secure: secure, Developer: s.options.Developer})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/agent/v1/", s.control.AgentHandler())
	mux.Handle(rest.Prefix+"/", api)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.Handle("/", crossOrigin.Handler(pages))
	return bounded(headers(mux, secure), bodyTimeout, pieceTimeout), nil
}

// secure tells whether the browser speaks TLS: with this server, or with a
// trusted proxy that says so.
func (s *Server) secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" && control.Proxied(r, s.options.TrustedProxies)
}

// serveReady answers 200 when the database can be reached.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		s.options.Log.Error("not ready", "error", err)
		say(w, http.StatusServiceUnavailable, "the database does not answer\n")
		return
	}
	say(w, http.StatusOK, "ready\n")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a reader that went away is no error of ours
}

func headers(next http.Handler, secure func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ui.SecureHeaders(w.Header())
		if secure(r) {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}
