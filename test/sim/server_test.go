package sim

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
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
	loops  sync.WaitGroup

	dying   sync.Once
	crashed chan struct{} // closed at a crash

	// The server dies before or after its dieAt-th message; 0 is never.
	mutex       sync.Mutex
	sent, dieAt int
	dieAfter    bool
	cutsAll     bool // its death cuts what is on its way, as that of its machine does
}

func (w *world) database() string { return filepath.Join(w.dir, "server.db") }

// sealer and identity are the key file of the server and the key that it holds.
func newSealer() *crypto.Sealer {
	sealer, err := crypto.NewSealer(make([]byte, 32))
	must(err)
	return sealer
}

// startServer begins a life of the server on the database as it is; restored says
// that it was put back from an older copy.
func (w *world) startServer(restored bool) {
	ctx := context.Background()
	s, err := store.Open(ctx, w.database())
	must(err)
	n := &node{world: w, store: s, crashed: make(chan struct{})}
	if w.lives++; w.lives > 1 {
		n.drawDeath()
	}
	n.Control = control.New(control.Options{
		Store: s, Sealer: newSealer(), Identity: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: w.logger("server"), Sole: true, Beat: w.beat,
		Intervals: api.Intervals{Ping: (3 * time.Minute).Milliseconds(), ReconnectMin: 1000, ReconnectMax: 120_000},
	})
	if restored {
		must(n.StartRestored(ctx))
	} else {
		must(n.Start(ctx))
	}
	n.listen = w.net.listen(n)
	n.web = &http.Server{Handler: n.AgentHandler(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	ctx, n.cancel = context.WithCancel(ctx)
	n.loops.Go(func() {
		if err := n.Run(ctx); err != nil && !n.dead() {
			w.fault("the server ended with %v", err)
		}
	})
	n.loops.Go(func() {
		if err := n.web.Serve(n.listen); !errors.Is(err, http.ErrServerClosed) && !n.dead() {
			w.fault("the server serves no longer: %v", err)
		}
	})
	n.loops.Go(func() { n.drainDue(ctx) })
	w.setNode(n)
}

// drawDeath says when the server is to crash, if it is.
func (n *node) drawDeath() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if most := n.world.odds().serverCrash; most > 0 {
		c := n.world.newChance(chanceOfNode, n.world.lives)
		n.dieAt, n.dieAfter, n.cutsAll = n.sent+1+c.IntN(most), c.IntN(2) == 0, c.IntN(2) == 0
	}
}

// drainDue is the ticker of cmd/server.
func (n *node) drainDue(ctx context.Context) {
	ticker := time.NewTicker(n.world.drainEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := n.DrainAllDue(ctx); err != nil && ctx.Err() == nil && !n.dead() {
			n.world.fault("what is due was not drained: %v", err)
		}
	}
}

func (n *node) dead() bool {
	select {
	case <-n.crashed:
		return true
	default:
		return false
	}
}

// stop ends the server politely.
func (n *node) stop() {
	n.world.setNode(nil)
	n.end()
	if !n.dead() {
		must(n.store.Close())
	}
}

func (n *node) end() {
	n.cancel()
	n.Shutdown()
	must(n.web.Close())
	n.loops.Wait()
}

// crash ends the server at once.
func (n *node) crash() {
	n.world.setNode(nil)
	n.die()
	n.end()
}

// die is the moment of a crash: nothing reaches the agents any more, and then what
// was not committed is lost. Its goroutines see nothing but errors until end.
func (n *node) die() {
	n.dying.Do(func() {
		close(n.crashed)
		_ = n.listen.Close()
		n.world.net.each(func(k *link) {
			if k.node != n {
				return
			}
			if n.cutsAll {
				k.cut()
			} else {
				_ = k.server.Close()
			}
		})
		must(n.store.Close())
	})
}

// step is called before and after each message that the server sends.
func (n *node) step(after bool) {
	n.mutex.Lock()
	if !after {
		n.sent++
	}
	now := n.sent == n.dieAt && n.dieAfter == after
	n.mutex.Unlock()
	if now {
		n.die()
	}
}

// copyDatabase keeps the database as it is; no server runs.
func (w *world) copyDatabase() {
	content, err := os.ReadFile(w.database())
	must(err)
	w.copies = append(w.copies, content)
}

// putBack puts an older copy in place of the database; no server runs.
func (w *world) putBack(content []byte) {
	for _, name := range []string{"-wal", "-shm"} {
		if err := os.Remove(w.database() + name); err != nil && !errors.Is(err, os.ErrNotExist) {
			must(err)
		}
	}
	must(os.WriteFile(w.database(), content, 0o600))
}
