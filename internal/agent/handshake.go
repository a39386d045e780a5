package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// shakeHands proves both sides to each other. It returns ErrRemoved when the
// server proves that this host is gone.
func (s *session) shakeHands(ctx context.Context) (*api.Welcome, error) {
	challenge, err := receive[*api.Challenge](ctx, s)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if !bytes.Equal(challenge.ServerKey, s.agent.identity.ServerKey) {
		return nil, fmt.Errorf("open session: the server shows the key %s, this agent trusts only %s; nothing was told to it",
			api.Fingerprint(challenge.ServerKey), api.Fingerprint(s.agent.identity.ServerKey))
	}
	if challenge.Version < 1 || len(challenge.ServerNonce) != api.NonceSize {
		return nil, errors.New("open session: the server's challenge is not well formed")
	}
	s.challenge = *challenge
	if err := s.makeHello(*challenge); err != nil {
		return nil, err
	}
	if err := s.send(ctx, &s.hello); err != nil {
		return nil, err
	}
	answer, err := receive[any](ctx, s)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	switch answer := answer.(type) {
	case *api.Gone:
		return nil, s.beGone(answer)
	case *api.Welcome:
		return answer, s.verify(answer)
	}
	return nil, fmt.Errorf("open session: a %T came out of turn", answer)
}

// verify checks the server's proof in a welcome of this session.
func (s *session) verify(welcome *api.Welcome) error {
	if !api.Verify(s.agent.identity.ServerKey, api.ServerProof(s.challenge, s.hello, *welcome), welcome.Proof) {
		return errors.New("open session: the server can't prove its key")
	}
	return nil
}

// errChosen ends a held session whose machine a person has called the true one.
var errChosen = errors.New("a person decided that this is the true one of the two; connecting anew")

// chosen takes over the count that tells this agent from its copy. The next
// hello counts on from there.
func (s *session) chosen(welcome *api.Welcome) error {
	if err := s.verify(welcome); err != nil {
		return err
	}
	if welcome.Counter == 0 {
		return nil
	}
	if err := s.agent.state.setCounter(welcome.Counter); err != nil {
		return err
	}
	return errChosen
}

func (s *session) makeHello(challenge api.Challenge) error {
	a := s.agent
	key, err := a.state.agentKey()
	if err != nil {
		return err
	}
	if key == nil {
		return fmt.Errorf("open session: %s is missing; enrol again with --replace", a.state.path(agentKeyFile))
	}
	counter, err := a.state.counter()
	if err != nil {
		return err
	}
	counter++
	if err := a.state.setCounter(counter); err != nil {
		return err
	}
	facts := a.facts()
	// Nothing begins or ends meanwhile, so that what is said of runs is of one moment.
	a.accepting.Lock()
	defer a.accepting.Unlock()
	s.hello = api.Hello{
		Version: api.Version, Host: a.identity.Host, AgentKey: key.Public().(ed25519.PublicKey), AgentNonce: make([]byte, api.NonceSize), //nolint:errcheck // an Ed25519 key has no other public key
		JournalID: a.journal.ID(), Counter: counter, LastSeq: a.journal.LastSeq(), Acked: a.journal.Acknowledged(), PlanDigest: a.plan.digest(),
		Clock: a.now(), Facts: facts, Unfinished: []job.ID{}, Held: []job.ID{},
	}
	if s.hello.AuditHead, err = a.state.auditHead(); err != nil {
		return err
	}
	for _, unfinished := range a.journal.Unfinished() {
		s.hello.Unfinished = append(s.hello.Unfinished, unfinished.ID)
	}
	for _, held := range a.journal.Held() {
		s.hello.Held = append(s.hello.Held, held.ID)
	}
	_, _ = rand.Read(s.hello.AgentNonce)
	s.hello.Proof = ed25519.Sign(key, api.AgentProof(challenge, s.hello))
	return nil
}

// receive takes the next message of the handshake.
func receive[T any](ctx context.Context, s *session) (T, error) {
	var none T
	_, frame, err := s.conn.Read(ctx)
	if err != nil {
		return none, err
	}
	body, err := api.Decode(frame, api.Down)
	if err != nil {
		return none, err
	}
	typed, ok := body.(T)
	if !ok {
		return none, fmt.Errorf("a %T came out of turn", body)
	}
	return typed, nil
}

// begin takes over what the server knows of the journal, or mutes the session.
func (s *session) begin(welcome *api.Welcome) error {
	a := s.agent
	if welcome.Counter != 0 {
		if err := a.state.setCounter(welcome.Counter); err != nil {
			return err
		}
	}
	if welcome.AuditHead.Number > s.hello.AuditHead.Number {
		if err := a.state.setAuditHead(welcome.AuditHead); err != nil {
			return err
		}
	}
	last := a.journal.LastSeq()
	switch {
	case welcome.Quarantined:
		s.muted = true
		a.log.Warn("the server holds this agent back: another one with the same identity was seen. Nothing is sent or started until a person decides on the server's page of this host")
		return nil
	case welcome.Cursor > last:
		s.muted = true
		a.log.Error("this state folder is an older copy of itself: the server already has more of its journal than is here. Nothing is sent or started; enrol again with --replace, or put the newer folder back",
			"server_has", welcome.Cursor, "here", last)
		return nil
	}
	s.sent = welcome.Cursor
	if welcome.Cursor >= a.journal.Acknowledged() {
		if err := a.journal.Acknowledge(welcome.Cursor); err != nil {
			return fmt.Errorf("note an acknowledgement: %w", err)
		}
		return nil
	}
	gap, err := a.journal.Rewind(welcome.Cursor)
	if err != nil {
		return fmt.Errorf("go back in the journal: %w", err)
	}
	a.log.Warn("the server knows less of the journal than before; sending again", "from", welcome.Cursor+1, "gap", gap)
	if gap == nil {
		return nil
	}
	if err := a.append(api.RecordGap, "", gap); err != nil {
		return err
	}
	return a.journal.Sync()
}

// beGone verifies that the server removed this host, and keeps that for ever.
func (s *session) beGone(gone *api.Gone) error {
	key := s.agent.identity.ServerKey
	if !bytes.Equal(gone.ServerKey, key) || !api.Verify(key, api.GoneProof(s.hello.AgentNonce, s.hello.AgentKey), gone.Signature) {
		return errors.New("the server says that this host was removed but can't prove it; not believed")
	}
	if err := s.agent.state.markGone(gone); err != nil {
		return err
	}
	s.agent.status.update(s.agent, func(st *Status) { st.Gone = true })
	return ErrRemoved
}
