package sim

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// serverAddress is where agents dial; nothing of the machine's own network is used.
const serverAddress = "server.example:80"

// network joins agents with the server. Connections behave like TCP: what was
// written may be on its way when a connection is cut, a stalled one keeps what is
// written until it heals or is cut, and nobody is told of either.
type network struct {
	world *world

	mutex    sync.Mutex
	listener *listener // nil while no server runs
	links    map[*link]struct{}
	port     int
}

func newNetwork(w *world) *network {
	return &network{world: w, links: map[*link]struct{}{}}
}

// listen makes a server reachable.
func (n *network) listen(on *node) *listener {
	l := &listener{network: n, node: on, accept: make(chan net.Conn), closed: make(chan struct{})}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.listener = l
	return l
}

// longestWay is how long something may be on its way.
const longestWay = 20 * time.Millisecond

// dialTimeout is that of the dialer in net/http's own transport.
const dialTimeout = 30 * time.Second

// dial connects a machine with the server.
func (n *network) dial(ctx context.Context, from *boot) (net.Conn, error) {
	n.mutex.Lock()
	l := n.listener
	n.port++
	port := n.port
	n.mutex.Unlock()
	if from.dead() || l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if from.machine.offline() {
		<-ctx.Done() // nobody answers
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
	k := newLink(n, l.node, from, fmt.Sprintf("%s:%d", from.machine.address(), 1024+port))
	n.mutex.Lock()
	n.links[k] = struct{}{}
	n.mutex.Unlock()
	err := error(syscall.ECONNREFUSED)
	select {
	case l.accept <- k.server:
		return k.agent, nil
	case <-l.closed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	k.forget()
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
}

// each calls do for every connection that is not over.
func (n *network) each(do func(*link)) {
	n.mutex.Lock()
	var list []*link
	for k := range n.links {
		list = append(list, k)
	}
	n.mutex.Unlock()
	for _, k := range list {
		do(k)
	}
}

// listener is the server's end of the network.
type listener struct {
	network *network
	node    *node
	accept  chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accept:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mutex.Lock()
		if l.network.listener == l {
			l.network.listener = nil
		}
		l.network.mutex.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return address(serverAddress) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// link is one connection with its two ends.
type link struct {
	network       *network
	node          *node
	boot          *boot
	agent, server *conn
}

func newLink(n *network, to *node, from *boot, client string) *link {
	k := &link{network: n, node: to, boot: from}
	up, down := newStream(from.machine), newStream(from.machine)
	number := from.machine.number<<24 | from.dials()
	k.agent = &conn{link: k, chance: n.world.newChance(chanceOfLink, number), in: down, out: up, local: address(client), remote: address(serverAddress)}
	k.server = &conn{link: k, chance: n.world.newChance(chanceOfLink, number|1<<23), in: up, out: down, local: address(serverAddress), remote: address(client)}
	return k
}

// stall lets nothing through in either direction until heal or cut.
func (k *link) stall() { k.setStalled(true) }
func (k *link) heal()  { k.setStalled(false) }

func (k *link) isStalled() bool {
	k.agent.in.mutex.Lock()
	defer k.agent.in.mutex.Unlock()
	return k.agent.in.stalled
}

func (k *link) setStalled(stalled bool) {
	for _, s := range []*stream{k.agent.in, k.agent.out} {
		s.change(func() { s.stalled = stalled })
	}
}

// cut ends the connection for both sides; what was on its way is lost.
func (k *link) cut() {
	for _, s := range []*stream{k.agent.in, k.agent.out} {
		s.change(func() { s.reset, s.chunks = true, nil })
	}
	k.forget()
}

func (k *link) forget() {
	k.network.mutex.Lock()
	defer k.network.mutex.Unlock()
	delete(k.network.links, k)
}

// look lets who waits for something look again.
func (k *link) look() {
	for _, s := range []*stream{k.agent.in, k.agent.out} {
		s.change(func() {})
	}
}

// stream is one direction of a link.
type stream struct {
	machine *machine // the agent's: nothing arrives while it sleeps

	mutex   sync.Mutex
	chunks  []chunk
	ended   bool // the writer has closed it
	left    bool // the reader has
	stalled bool
	reset   bool
	late    time.Time // deadline of reads; zero is none
	changed chan struct{}
}

// chunk is what one write sent, and when it arrives.
type chunk struct {
	at   time.Time
	data []byte
}

func newStream(m *machine) *stream { return &stream{machine: m, changed: make(chan struct{})} }

func (s *stream) change(do func()) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

// read takes what has arrived, and tells how long to wait when nothing has.
func (s *stream) read(into []byte) (n int, wait time.Duration, changed <-chan struct{}, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	now := time.Now()
	wait = -1
	switch {
	case s.left:
		return 0, 0, nil, net.ErrClosed
	case s.reset:
		return 0, 0, nil, syscall.ECONNRESET
	case !s.late.IsZero() && !now.Before(s.late):
		return 0, 0, nil, os.ErrDeadlineExceeded
	case s.stalled, s.machine.asleep():
	case len(s.chunks) > 0 && !s.chunks[0].at.After(now):
		n = copy(into, s.chunks[0].data)
		if s.chunks[0].data = s.chunks[0].data[n:]; len(s.chunks[0].data) == 0 {
			s.chunks = s.chunks[1:]
		}
		return n, 0, nil, nil
	case len(s.chunks) > 0:
		wait = s.chunks[0].at.Sub(now)
	case s.ended:
		return 0, 0, nil, io.EOF
	}
	if !s.late.IsZero() && (wait < 0 || s.late.Sub(now) < wait) {
		wait = s.late.Sub(now)
	}
	return 0, wait, s.changed, nil
}

// conn is one end of a link.
type conn struct {
	link          *link
	chance        chance // drawn from while out is held
	in, out       *stream
	local, remote address
}

func (c *conn) Read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	for {
		n, wait, changed, err := c.in.read(into)
		if n > 0 || err != nil {
			return n, err
		}
		if wait < 0 {
			<-changed
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (c *conn) Write(data []byte) (int, error) {
	if c == c.link.server {
		c.link.node.step(false)
		defer c.link.node.step(true)
	}
	var err error
	c.out.change(func() {
		switch {
		case c.out.ended:
			err = net.ErrClosed
		case c.out.reset || c.out.left && !c.out.stalled && !c.out.machine.asleep():
			err = syscall.EPIPE
		default:
			at := time.Now().Add(c.chance.between(0, longestWay))
			if last := len(c.out.chunks) - 1; last >= 0 && c.out.chunks[last].at.After(at) {
				at = c.out.chunks[last].at // nothing overtakes
			}
			c.out.chunks = append(c.out.chunks, chunk{at, append([]byte(nil), data...)})
		}
	})
	if err != nil {
		return 0, err
	}
	return len(data), nil
}

// Close ends both directions as far as this end is concerned; the other one
// learns it when what was sent before has arrived.
func (c *conn) Close() error {
	over := false
	c.in.change(func() { c.in.left, over = true, c.in.ended })
	c.out.change(func() { c.out.ended = true })
	if over {
		c.link.forget()
	}
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetReadDeadline(at time.Time) error {
	c.in.change(func() { c.in.late = at })
	return nil
}

// SetWriteDeadline has nothing to do: a write never waits.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

func (c *conn) SetDeadline(at time.Time) error { return c.SetReadDeadline(at) }
