package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// session is one connection of one agent: one reader, one writer.
type session struct {
	id        string
	host      job.HostID
	conn      *websocket.Conn
	challenge api.Challenge
	hello     api.Hello
	address   string
	since     time.Time
	offset    time.Duration   // agent's clock minus ours
	head      fleet.AuditSeal // that the welcome tells of
	end       context.CancelCauseFunc
	over      <-chan struct{} // closed when the session ends

	// wants and acks wake the writer; each holds at most one wake-up.
	wants, acks chan struct{}
	// outbox carries the few messages that are neither: a repeated welcome,
	// unsupported.
	outbox chan any

	mu sync.Mutex
	// cursor is what the server has durably of the journal.
	cursor uint64
	// holding are the jobs that the agent has accepted and not ended.
	holding map[job.ID]bool
	// waiting are the runs that are due at the agent and wait for a word of ours.
	waiting map[job.ID]bool

	// settled: the journal was read to where it stood at the hello. Until then the
	// agent may know better than any row here, and no backup is sent.
	settled atomic.Bool

	// The reader's alone: parts of answers, and how many bytes those hold.
	answers     map[job.ID]*partialAnswer
	answerBytes int
}

// Causes with which a session ends.
var (
	errReplaced    = errors.New("a newer session of this host took over")
	errRemoved     = errors.New("the host was removed")
	errQuarantined = errors.New("the host was put into quarantine")
	errSilent      = errors.New("the agent does not answer")
)

// Timeouts of a session.
const (
	handshakeTimeout = 15 * time.Second
	writeTimeout     = 30 * time.Second
	// pingTimeout is long, so that nobody is cut off for being slow.
	pingTimeout   = 60 * time.Second
	rivalPatience = 5 * time.Second
)

func (s *session) info(held bool) SessionInfo {
	return SessionInfo{ID: s.id, Address: s.address, Hostname: s.hello.Facts.Hostname, Since: s.since, Counter: s.hello.Counter,
		Unsent: s.hello.LastSeq - min(s.hello.Acked, s.hello.LastSeq), Held: held}
}

func (s *session) pokeWants() { wake(s.wants) }

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// serveSession is the WebSocket endpoint of agents. The loops run in goroutines
// of their own after the handler has returned, which frees what the HTTP server
// holds for a request.
func (c *Control) serveSession(w http.ResponseWriter, r *http.Request) {
	ctx, end := context.WithCancelCause(c.closing)
	visit := c.lobby.enter(c.now(), func() { end(errCrowded) })
	if visit == nil {
		end(nil)
		w.Header().Set("Retry-After", "5")
		writeProblem(w, http.StatusServiceUnavailable, "The server is busy with other agents. Try again in a few seconds.")
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		end(nil)
		visit.over()
		c.log.Debug("session refused", "error", err)
		return
	}
	conn.SetReadLimit(api.MaxFrame)
	address := c.peer(r)
	go func() {
		defer visit.over()
		defer end(nil)
		c.runSession(ctx, end, conn, address, visit)
	}()
}

func (c *Control) runSession(ctx context.Context, end context.CancelCauseFunc, conn *websocket.Conn, address string, visit *visit) {
	var s *session
	err := elsewhere(func() (err error) {
		s, err = c.handshake(ctx, conn, address)
		return err
	})
	if err != nil {
		c.log.Debug("session not opened", "address", address, "error", err)
		_ = conn.Close(websocket.StatusPolicyViolation, "refused") // whoever does not answer is left all the same
		return
	}
	visit.known()
	s.end, s.over = end, ctx.Done()
	held := false
	err = elsewhere(func() (err error) {
		held, err = c.admit(ctx, s)
		return err
	})
	if errors.Is(err, errRemoved) {
		err = errors.Join(err, s.send(ctx, c.gone(&s.hello)))
	}
	if err != nil {
		c.log.Warn("session refused", "host", s.host, "address", address, "error", err)
		_ = conn.Close(websocket.StatusPolicyViolation, "refused")
		return
	}
	c.log.Info("session opened", "host", s.host, "address", address, "held", held)
	c.converse(ctx, s, held)
	cause := context.Cause(ctx)
	c.depart(s, cause)
	c.log.Info("session ended", "host", s.host, "cause", cause)
}

// elsewhere runs do on a goroutine of its own and waits for it. The database
// makes deep stacks, which a goroutine keeps for as long as it lives: tens of
// KiB for each of thousands of sessions that mostly wait.
func elsewhere(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	return <-done
}

// converse runs reader and writer until one of them ends, and says good-bye.
func (c *Control) converse(ctx context.Context, s *session, held bool) {
	closed := make(chan struct{})
	// The reader may have applied records before the writer's first look.
	said := told{plan: s.hello.PlanDigest, jobs: map[job.ID]bool{}, asked: map[job.ID]time.Time{}, cancels: map[job.ID]bool{}, cursor: s.position()}
	go func() {
		defer close(closed)
		s.end(c.write(ctx, s, &said, held))
		c.sayGoodbye(ctx, s)
	}()
	s.end(c.read(ctx, s, held))
	<-closed
}

// sayGoodbye closes the connection, which ends its reader. A removed host is
// told that it is, whoever noticed it first.
func (c *Control) sayGoodbye(ctx context.Context, s *session) {
	status := websocket.StatusGoingAway
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errShutdown):
		status = websocket.StatusServiceRestart
	case errors.Is(cause, errRemoved):
		if err := s.send(context.WithoutCancel(ctx), c.gone(&s.hello)); err != nil {
			c.log.Info("a removed host could not be told; it is when it comes again", "host", s.host, "error", err)
		}
	}
	_ = s.conn.Close(status, "session ended") // whoever does not answer is left all the same
}

// read applies what the agent says.
func (c *Control) read(ctx context.Context, s *session, held bool) error {
	for {
		// The read does not end with ctx but with the connection, or a polite close
		// would be impossible.
		_, frame, err := s.conn.Read(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		body, err := api.Decode(frame, api.Up)
		if errors.Is(err, api.ErrUnsupported) {
			s.say(ctx, body)
			continue
		}
		if err != nil {
			return err
		}
		if held {
			continue // nothing is taken from a session that may be a copy
		}
		switch message := body.(type) {
		case *api.Records:
			err = elsewhere(func() error { return c.apply(ctx, s, message) })
		case *job.Progress:
			err = c.progress(ctx, s, message)
		case *api.Refused:
			err = elsewhere(func() error { return c.postpone(ctx, s, message.Job, refusal(message.Reason)) })
		case *api.Answer:
			err = c.answer(ctx, s, message, len(frame))
		case *api.Unsupported:
			c.log.Warn("an agent does not know a message", "host", s.host, "type", message.Type)
		default:
			err = fmt.Errorf("a %T came out of turn", body)
		}
		if err != nil {
			return err
		}
	}
}

// say hands a message to the writer, unless the session ends first.
func (s *session) say(ctx context.Context, message any) {
	select {
	case s.outbox <- message:
	case <-s.over:
	case <-ctx.Done():
	}
}

// send writes one message.
func (s *session) send(ctx context.Context, message any) error {
	frame, err := api.Encode(message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, frame)
}

// ping waits for the agent's answer; the reader must be running.
func (s *session) ping(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := s.conn.Ping(ctx); err != nil {
		return errors.Join(errSilent, err)
	}
	return nil
}

// depart undoes what admit did.
func (c *Control) depart(s *session, cause error) {
	if !c.hub.leave(s) {
		c.events.publish(Event{NounHost, string(s.host)})
		return
	}
	// The session's own context is over; what it leaves behind is written still.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.closing), 10*time.Second)
	defer cancel()
	if err := c.closeSession(ctx, s); err != nil {
		c.log.Error("end of a session not written", "host", s.host, "error", err, "cause", cause)
	}
	c.events.publish(Event{NounHost, string(s.host)})
}
