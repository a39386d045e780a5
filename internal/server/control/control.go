// Package control owns the sessions with agents and every change of the fleet:
// it enrols, decides what a host should know, applies what agents report, and is
// where permission, transaction and audit meet. It must not know how anything
// is shown, neither as a page nor as JSON.
package control

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Options are what a Control works with.
type Options struct {
	Store    *store.Store
	Sealer   *crypto.Sealer
	Identity ed25519.PrivateKey // of the server, see LoadIdentity
	Log      *slog.Logger
	// Sole: this server is the only one on its database, so that sessions of
	// other nodes are remains of its own past.
	Sole bool
	// Intervals are told to every agent; zero values take the defaults.
	Intervals api.Intervals
	// PeerAddress tells where a request comes from; nil is the connection's peer.
	PeerAddress PeerAddress
	Now         func() time.Time // nil is time.Now
	// Beat is how often a node shows that it lives and looks after what nobody
	// asks for; 0 is ten seconds.
	Beat time.Duration
}

// Control decides and acts.
type Control struct {
	store     *store.Store
	sealer    *crypto.Sealer
	identity  ed25519.PrivateKey
	log       *slog.Logger
	now       func() time.Time
	hasher    *auth.Hasher
	node      string
	sole      bool
	intervals api.Intervals
	beat      time.Duration
	peer      PeerAddress
	// rivalPatience is how long an older session has to show that it lives when a
	// second one of the same host comes.
	rivalPatience time.Duration
	// maxAnswers is what the unfinished answers of one session may hold, in bytes
	// as they were sent.
	maxAnswers int

	lobby  lobby
	hub    hub
	live   live
	events events

	// beside counts the goroutines that drain hosts which have just come.
	beside sync.WaitGroup
	// closing ends sessions at shutdown.
	closing context.Context //nolint:containedctx // the root of sessions, which outlive their requests
	close   context.CancelCauseFunc
}

// New returns a Control; Run starts what it does by itself.
func New(o Options) *Control {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Beat == 0 {
		o.Beat = defaultBeat
	}
	if o.PeerAddress == nil {
		o.PeerAddress = directPeer
	}
	if o.Intervals.ReconnectMin == 0 {
		o.Intervals.ReconnectMin = api.DefaultReconnectMin.Milliseconds()
	}
	if o.Intervals.ReconnectMax == 0 {
		o.Intervals.ReconnectMax = api.DefaultReconnectMax.Milliseconds()
	}
	if o.Intervals.Ping == 0 {
		o.Intervals.Ping = api.DefaultPing.Milliseconds()
	}
	c := &Control{
		store: o.Store, sealer: o.Sealer, identity: o.Identity, log: o.Log, now: o.Now, hasher: auth.NewHasher(),
		node: job.NewULID(o.Now()), sole: o.Sole, intervals: o.Intervals, beat: o.Beat, peer: o.PeerAddress, rivalPatience: rivalPatience, maxAnswers: maxAnswers,
	}
	c.hub.init()
	c.live.init()
	c.events.init()
	c.closing, c.close = context.WithCancelCause(context.Background())
	return c
}

// KeyFingerprint is a public key as people compare it with what its owner says.
func KeyFingerprint(key []byte) string { return api.Fingerprint(key) }

// publicKey is the second half of the private one, as Go keeps it.
func (c *Control) publicKey() []byte { return c.identity[ed25519.SeedSize:] }

const identityName = "server_key"

// LoadIdentity returns the server's key, made and sealed into the database at
// the first start.
func LoadIdentity(ctx context.Context, s *store.Store, sealer *crypto.Sealer) (ed25519.PrivateKey, error) {
	var key ed25519.PrivateKey
	err := s.Write(ctx, func(tx *store.Tx) error {
		sealed, err := tx.Meta(ctx, identityName)
		if err != nil {
			return err
		}
		if sealed != "" {
			raw, err := base64.StdEncoding.DecodeString(sealed)
			if err != nil {
				return fmt.Errorf("read the server's identity: %w", err)
			}
			seed, err := sealer.Open("meta/"+identityName, raw)
			if err != nil {
				return fmt.Errorf("open the server's identity: the key file does not belong to this database; put the right one back: %w", err)
			}
			key = ed25519.NewKeyFromSeed(seed)
			return nil
		}
		_, fresh, err := ed25519.GenerateKey(nil)
		if err != nil {
			return fmt.Errorf("make the server's identity: %w", err)
		}
		key = fresh
		return tx.SetMeta(ctx, identityName, base64.StdEncoding.EncodeToString(sealer.Seal("meta/"+identityName, fresh.Seed())))
	})
	return key, err
}

// require refuses what who may not do.
func require(who auth.Identity, permission auth.Permission) error {
	if !who.Allows(permission) {
		return fleet.Forbidden("Your role does not allow this. Ask an administrator.")
	}
	return nil
}

// errShutdown is the cause with which sessions end at shutdown.
var errShutdown = errors.New("server is shutting down")
