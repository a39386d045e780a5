// Package server owns the composition of the control plane: it opens the
// database and the key, puts control, API and pages behind one listener, and
// ends them in order. It must not know what any of them does.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/filelock"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Server is one node of the control plane.
type Server struct {
	options  Options
	lock     *os.File // nil with PostgreSQL
	store    *store.Store
	control  *control.Control
	listener net.Listener
	http     *http.Server
}

// New opens everything and listens; Run serves. What New opened, Close or Run
// closes.
func New(ctx context.Context, o Options) (server *Server, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Server{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openStore(ctx); err != nil {
		return nil, err
	}
	sealer, err := openSealer(o.Dir)
	if err != nil {
		return nil, err
	}
	identity, err := control.LoadIdentity(ctx, s.store, sealer)
	if err != nil {
		return nil, err
	}
	s.control = control.New(control.Options{Store: s.store, Sealer: sealer, Identity: identity, Log: o.Log, Sole: s.lock != nil,
		Intervals: o.Intervals, PeerAddress: control.BehindProxies(o.TrustedProxies)})
	if err := s.control.Start(ctx); err != nil {
		return nil, err
	}
	handler, err := s.handler()
	if err != nil {
		return nil, err
	}
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	// Last, since it voids an older token: a server that can't start must not.
	return s, s.announceSetup(ctx)
}

func (s *Server) openStore(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.options.Dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	if s.options.Database == "" {
		s.lock, err = filelock.Take(filepath.Join(s.options.Dir, lockFileName))
		if errors.Is(err, filelock.ErrHeld) {
			return fmt.Errorf("open %s: another server is running on it; stop that one first, or give this one a --data-dir of its own", s.options.Dir)
		}
		if err != nil {
			return err
		}
	}
	s.store, err = store.Open(ctx, s.options.database())
	return err
}

// openSealer reads the key file, made at the first start.
func openSealer(dir string) (*crypto.Sealer, error) {
	key, err := crypto.KeyFile(filepath.Join(dir, keyFileName))
	if err != nil {
		return nil, err
	}
	return crypto.NewSealer(key)
}

func (s *Server) announceSetup(ctx context.Context) error {
	file := filepath.Join(s.options.Dir, setupFileName)
	token, err := s.control.OpenSetup(ctx, file)
	if err != nil || token.Empty() {
		return err
	}
	if s.options.Announce != nil {
		s.options.Announce(token.Reveal(), file)
	}
	return nil
}

func (s *Server) listen(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.options.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; stop what uses that address, or choose another with --listen", s.options.Listen, err)
	}
	s.listener = listener
	if s.options.TLSCert == "" {
		return nil
	}
	certificate, err := tls.LoadX509KeyPair(s.options.TLSCert, s.options.TLSKey)
	if err != nil {
		return fmt.Errorf("read the TLS certificate: %w", err)
	}
	s.listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	return nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// shutdownTimeout is how long requests under way may take to end.
const shutdownTimeout = 10 * time.Second

// Run serves until ctx ends, then lets requests and sessions end and closes
// everything.
func (s *Server) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	working := make(chan error, 1)
	go func() { working <- s.control.Run(ctx) }()
	serving := make(chan error, 1)
	go func() {
		err := s.http.Serve(s.listener)
		stop(err)
		serving <- err
	}()
	<-ctx.Done()
	s.control.Shutdown() // streams and sessions end, so that requests can
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := s.http.Shutdown(over)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	if served := <-serving; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return errors.Join(err, <-working, s.Close())
}

// DrainAllDue sends what waits and is due to the hosts that are there. Whoever runs
// the server calls it every half minute.
func (s *Server) DrainAllDue(ctx context.Context) error { return s.control.DrainAllDue(ctx) }

// Close closes what New opened. It is for a server that never ran.
func (s *Server) Close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
		s.store = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}
