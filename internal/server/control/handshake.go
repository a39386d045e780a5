package control

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// errStranger: somebody without a host's key asked for its session.
var errStranger = errors.New("the key does not belong to this host")

// handshake proves both sides to each other. A removed host is told so and
// nothing else; a stranger is told nothing.
func (c *Control) handshake(ctx context.Context, conn *websocket.Conn, address string) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	now := c.now()
	s := &session{
		id: job.NewULID(now), conn: conn, address: address, since: now,
		challenge: api.Challenge{Version: api.Version, ServerKey: c.publicKey(), ServerNonce: make([]byte, api.NonceSize)},
		wants:     make(chan struct{}, 1), acks: make(chan struct{}, 1), outbox: make(chan any, 4),
		holding: map[job.ID]bool{}, waiting: map[job.ID]bool{}, answers: map[job.ID]*partialAnswer{},
	}
	_, _ = rand.Read(s.challenge.ServerNonce) // crypto/rand does not fail since Go 1.24
	if err := s.send(ctx, &s.challenge); err != nil {
		return nil, fmt.Errorf("send challenge: %w", err)
	}
	_, frame, err := conn.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	body, err := api.Decode(frame, api.Up)
	if err != nil {
		return nil, err
	}
	hello, ok := body.(*api.Hello)
	if !ok {
		return nil, errors.New("read hello: another message came first")
	}
	if len(hello.AgentNonce) != api.NonceSize || !api.Verify(hello.AgentKey, api.AgentProof(s.challenge, *hello), hello.Proof) {
		return nil, errors.New("check hello: the proof is not good")
	}
	if problem := helloProblem(hello); problem != "" {
		return nil, fmt.Errorf("check hello: %s", problem)
	}
	s.hello, s.host = *hello, hello.Host
	s.offset = time.UnixMilli(hello.Clock).Sub(now)
	host, err := c.store.HostByKey(ctx, hello.AgentKey)
	if errors.Is(err, fleet.ErrNotFound) || err == nil && host.ID != hello.Host {
		return nil, errors.Join(errStranger, c.noteStranger(ctx, hello.Host, address))
	}
	if err != nil {
		return nil, err
	}
	if !host.RemovedAt.IsZero() {
		return nil, errors.Join(errRemoved, s.send(ctx, c.gone(hello)))
	}
	return s, nil
}

// Bounds of what a hello can say.
const (
	// maxCount leaves room to count on from and fits the database's integers.
	maxCount      = 1 << 62
	maxJournalID  = 64 // bytes
	maxUnfinished = 10_000
)

// helloProblem says what is wrong with a hello whose proof is good.
func helloProblem(h *api.Hello) string {
	switch {
	case h.Version < 1:
		return fmt.Sprintf("version %d of the protocol was never spoken", h.Version)
	case h.Counter >= maxCount || h.LastSeq >= maxCount || h.Acked >= maxCount || h.AuditHead.Number >= maxCount:
		return "a number is too large"
	case h.JournalID == "" || len(h.JournalID) > maxJournalID:
		return "the journal has no proper id"
	case len(h.Unfinished)+len(h.Held) > maxUnfinished:
		return "too many jobs are unfinished or held"
	}
	return ""
}

// gone is the signed word that ends a host, bound to its nonce and key.
func (c *Control) gone(hello *api.Hello) *api.Gone {
	return &api.Gone{ServerKey: c.publicKey(), Signature: ed25519.Sign(c.identity, api.GoneProof(hello.AgentNonce, hello.AgentKey))}
}

// The first attempts are counted one by one in the open alert, further ones once
// in a while, so that knocking costs no write each time.
const (
	notedAttempts  = 10
	noteAgainAfter = time.Minute
)

// noteStranger keeps one open row for a host id that was used with another key.
func (c *Control) noteStranger(ctx context.Context, claimed job.HostID, address string) error {
	if !job.ValidID(string(claimed)) {
		return nil
	}
	open, err := c.store.Alerts(ctx, claimed)
	if err != nil {
		return err
	}
	for _, alert := range open {
		if age := c.now().Sub(alert.LastAt); alert.Kind == fleet.AlertForeignKey && alert.Count >= notedAttempts && age >= 0 && age < noteAgainAfter {
			return nil
		}
	}
	err = c.store.Write(ctx, func(tx *store.Tx) error {
		host, err := tx.Host(ctx, claimed)
		if err != nil {
			return err
		}
		fresh, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertForeignKey, Host: host.ID,
			Sentence: fmt.Sprintf("Somebody at %s used the id of %s with another key and was given nothing. If you set that machine up anew, remove the host and enrol it again.", address, host.Name)}, c.now())
		if err != nil || !fresh {
			return err
		}
		return c.audit(ctx, tx, auth.Server, "host.foreign_key", NounHost, string(host.ID), map[string]string{"address": address})
	})
	if errors.Is(err, fleet.ErrNotFound) {
		return nil
	}
	c.log.Warn("a host's id was used with another key", "host", claimed, "address", address)
	c.events.publish(Event{NounAlert, ""})
	return err
}

// welcome answers s from where its host's log stands.
func (c *Control) welcome(s *session, cursor, counter uint64, quarantined bool) *api.Welcome {
	w := &api.Welcome{Cursor: cursor, Clock: c.now().UnixMilli(), Quarantined: quarantined, Counter: counter, Intervals: c.intervals,
		AuditHead: api.AuditHead{Number: uint64(s.head.Number), Hash: s.head.Hash}}
	w.Proof = ed25519.Sign(c.identity, api.ServerProof(s.challenge, s.hello, *w))
	return w
}
