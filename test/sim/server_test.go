package sim

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// node is one life of the server.
type node struct {
	*control.Control
	world  *world
	store  *store.Store
	web    *http.Server
	listen *listener
	cancel context.CancelFunc
	ended  chan error
}

func (w *world) database() string { return filepath.Join(w.dir, "server.db") }

// startServer begins a life of the server on the database as it is.
func (w *world) startServer() {
	ctx := context.Background()
	s, err := store.Open(ctx, w.database())
	must(err)
	sealer, err := crypto.NewSealer(make([]byte, 32))
	must(err)
	n := &node{world: w, store: s, ended: make(chan error, 2)}
	n.Control = control.New(control.Options{
		Store: s, Sealer: sealer, Identity: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: w.logger("server"), Sole: true, Beat: time.Minute,
		Intervals: api.Intervals{Ping: (3 * time.Minute).Milliseconds(), ReconnectMin: 1000, ReconnectMax: 30_000},
	})
	must(n.Start(ctx))
	n.listen = w.net.listen()
	n.web = &http.Server{Handler: n.AgentHandler(), ErrorLog: nil}
	ctx, n.cancel = context.WithCancel(ctx)
	go func() { n.ended <- n.Run(ctx) }()
	go func() { n.ended <- n.web.Serve(n.listen) }()
	w.node = n
}

// stop ends the server politely.
func (n *node) stop() {
	n.world.node = nil
	n.cancel()
	n.Shutdown()
	must(n.web.Close())
	for range 2 {
		if err := <-n.ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.world.t.Errorf("the server ended with %v", err)
		}
	}
	must(n.store.Close())
}

// crash ends the server at once: what was not committed is lost, and nobody is
// told of anything. Its goroutines see nothing but errors until they are gone.
func (n *node) crash() {
	n.world.node = nil
	must(n.store.Close())
	_ = n.listen.Close()
	n.world.net.each((*link).cut)
	n.cancel()
	n.Shutdown()
	must(n.web.Close())
	for range 2 {
		<-n.ended
	}
	n.world.net.each((*link).cut)
}
