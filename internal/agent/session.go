package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/internal/api"
)

// session is one connection to the server, from its dial to its end.
type session struct {
	agent *Agent
	conn  *websocket.Conn
	// challenge and hello are what was said at first; a later gone or welcome is
	// bound to their nonces.
	challenge api.Challenge
	hello     api.Hello
	// muted: this looks like a copy of another agent. Nothing is taken or given.
	muted bool
	sent  uint64   // the last record that went up this connection
	out   chan any // answers to looks and to unknown messages
	looks *errgroup.Group
}

// runSession dials, shakes hands and works until the connection or ctx ends.
func (a *Agent) runSession(ctx context.Context, waits *delays) error {
	dialCtx, cancel := context.WithTimeout(ctx, a.patience.handshake)
	defer cancel()
	conn, _, err := websocket.Dial(dialCtx, a.identity.Server+api.SessionPath, &websocket.DialOptions{HTTPClient: newHTTPClient(a.options.Dial)}) //nolint:bodyclose // the package closes it, as its documentation says
	if err != nil {
		return fmt.Errorf("reach the server: %w", err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(api.MaxFrame)
	s := &session{agent: a, conn: conn, out: make(chan any)}
	welcome, err := s.shakeHands(dialCtx)
	if err != nil {
		return err
	}
	if err := s.begin(welcome); err != nil {
		return err
	}
	waits.learn(welcome.Intervals)
	a.live.resend()
	a.status.update(a, func(st *Status) { st.Connected, st.Quarantined = true, s.muted })
	a.log.Info("connected", "server", a.identity.Server, "host", a.identity.Name, "muted", s.muted)

	group, groupCtx := errgroup.WithContext(ctx)
	s.looks = group
	ended := make(chan struct{})
	group.Go(func() error { defer close(ended); return s.read(groupCtx) })
	group.Go(func() error { return s.write(groupCtx) })
	group.Go(func() error { return s.ping(groupCtx, waits.ping) })
	group.Go(func() error { return s.closeWith(ctx, groupCtx, ended) })
	return group.Wait()
}

// closeWith ends the connection when the session ends: politely when it is this
// side's wish, at once otherwise.
func (s *session) closeWith(wish, ctx context.Context, ended <-chan struct{}) error {
	select {
	case <-ctx.Done():
	case <-ended:
		return nil
	}
	if wish.Err() != nil {
		// A server that does not answer is left by CloseNow after this.
		return ignore(s.conn.Close(websocket.StatusGoingAway, "agent stops"))
	}
	return ignore(s.conn.CloseNow())
}

func ignore(error) error { return nil }

// ping asks the server for a sign of life, so that a dead connection is noticed.
func (s *session) ping(ctx context.Context, every time.Duration) error {
	for sleep(ctx, every) {
		pingCtx, cancel := context.WithTimeout(ctx, every)
		err := s.conn.Ping(pingCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("the server no longer answers: %w", err)
		}
	}
	return ctx.Err()
}

// read takes what the server says until the connection ends.
func (s *session) read(ctx context.Context) error {
	for {
		// The read does not end with ctx but with the connection, or a polite
		// close would be impossible.
		_, frame, err := s.conn.Read(context.WithoutCancel(ctx))
		if err != nil {
			return fmt.Errorf("session ended: %w", err)
		}
		body, err := api.Decode(frame, api.Down)
		if errors.Is(err, api.ErrUnsupported) {
			s.say(ctx, body)
			continue
		}
		if err != nil {
			return err
		}
		if err := s.take(ctx, body); err != nil {
			return err
		}
	}
}

// take acts on one message.
func (s *session) take(ctx context.Context, body any) error {
	if gone, ok := body.(*api.Gone); ok {
		return s.beGone(gone)
	}
	if welcome, ok := body.(*api.Welcome); ok {
		return s.chosen(welcome)
	}
	if s.muted {
		s.agent.log.Warn("a message came though this session is quarantined", "type", fmt.Sprintf("%T", body))
		return nil
	}
	switch body := body.(type) {
	case *api.Plan:
		return s.agent.takePlan(body)
	case *api.Job:
		return s.agent.takeJob(ctx, s, body)
	case *api.Cancel:
		return s.agent.takeCancel(body)
	case *api.Ack:
		if body.JournalID != s.hello.JournalID {
			return errors.New("the server acknowledged another journal")
		}
		if err := s.agent.journal.Acknowledge(body.Cursor); err != nil {
			return fmt.Errorf("note an acknowledgement: %w", err)
		}
		s.agent.status.noteAcknowledged()
		poke(s.agent.clock.wake)
		return nil
	case *api.Unsupported:
		s.agent.log.Warn("the server does not know a message", "type", body.Type)
		return nil
	}
	return fmt.Errorf("a %T came out of turn", body)
}

// say hands a message to the writer, unless the session ends first.
func (s *session) say(ctx context.Context, body any) {
	select {
	case s.out <- body:
	case <-ctx.Done():
	}
}

// write sends what is to be said: answers, journal records in order, progress.
func (s *session) write(ctx context.Context) error {
	for {
		changed := s.agent.journal.Changed()
		more, err := s.sendRecords(ctx)
		if err != nil {
			return err
		}
		wait, err := s.sendProgress(ctx)
		if err != nil {
			return err
		}
		if more {
			wait = 0
		}
		if err := s.await(ctx, changed, wait); err != nil {
			return err
		}
	}
}

// await returns when there is something to send; a negative wait is for ever.
func (s *session) await(ctx context.Context, changed <-chan struct{}, wait time.Duration) error {
	var due <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case body := <-s.out:
		return s.send(ctx, body)
	case <-changed:
	case <-s.agent.live.changed:
	case <-due:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// sendRecords sends one batch and tells whether there may be more.
func (s *session) sendRecords(ctx context.Context) (more bool, err error) {
	if s.muted {
		return false, nil
	}
	records, err := s.agent.journal.Read(s.sent, api.MaxBatch)
	if err != nil {
		return false, fmt.Errorf("read journal: %w", err)
	}
	if len(records) == 0 {
		return false, nil
	}
	if err := s.send(ctx, &api.Records{JournalID: s.hello.JournalID, Items: records}); err != nil {
		return false, err
	}
	s.sent = records[len(records)-1].Seq
	return true, nil
}

func (s *session) sendProgress(ctx context.Context) (wait time.Duration, err error) {
	if s.muted {
		return -1, nil
	}
	due, wait := s.agent.live.due()
	for _, progress := range due {
		if err := s.send(ctx, &progress); err != nil {
			return 0, err
		}
	}
	return wait, nil
}

func (s *session) send(ctx context.Context, body any) error {
	frame, err := api.Encode(body)
	if err != nil {
		return err
	}
	if err := s.conn.Write(ctx, websocket.MessageText, frame); err != nil {
		return fmt.Errorf("send to the server: %w", err)
	}
	return nil
}
