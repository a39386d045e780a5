//go:build unix

package e2e

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestFlappingAgent cuts the connection of an agent again and again, each time at
// the moment when its job is sent.
func TestFlappingAgent(t *testing.T) {
	t.Parallel()
	const cuts = 20
	s := rig.StartServer(t, rig.ServerOptions{})
	box := rig.StartStorageBox(t, s)
	line := newBadLine(t, s.Listen)
	behind := *s
	behind.URL = "http://" + line.address
	f := fleet{Server: s, box: box, host: rig.StartEndpoint(t, &behind, box, "web-1", rig.AgentOptions{})}
	group := f.smallGroup(t, "home")
	f.host.Stop()
	f.host.WaitOffline(t)
	var created rig.Job
	f.API.Do(t, http.StatusAccepted, http.MethodPost, "/hosts/"+string(f.host.HostID)+"/jobs",
		map[string]any{"kind": job.Backup, "source_group_id": group.ID, "when_back": true}, &created)
	line.cutAt(created.ID, cuts)
	f.host.Start(t)

	testkit.WaitFor(t, 5*time.Minute, "the line to be cut so often", func() bool {
		if found, _ := f.run(t, created.ID); found.Attempt != 0 {
			t.Fatalf("after %d cuts %d attempts are used up: %s", line.count(), found.Attempt, found.Error)
		}
		return line.count() == cuts
	})
	done := f.waitRun(t, created.ID, job.Succeeded)
	if done.Attempt != 0 || done.Retry != 0 {
		t.Errorf("attempt %d, retry %d", done.Attempt, done.Retry)
	}
	if all := f.API.Jobs(t, f.host.HostID, "kind=backup"); len(all) != 1 {
		t.Errorf("there are the backups %+v, want one", all)
	}
	checkLog(t, f.Server, done.Job)
	f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 1)
	f.wantNoRemains(t, f.host)
}

// badLine forwards connections to a server, and cuts those on which it sends what
// is looked for.
type badLine struct {
	address string
	target  string

	mutex sync.Mutex
	look  []byte // nil cuts nothing
	left  int    // cuts to come
	cuts  int    // cuts made
	conns map[net.Conn]bool
}

// steady is how long a connection has to live for its agent to come back soon.
const steady = 5200 * time.Millisecond

func newBadLine(t *testing.T, target string) *badLine {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("open the line: %v", err)
	}
	line := &badLine{address: listener.Addr().String(), target: target, conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed with the test
			}
			all.Go(func() { line.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		line.mutex.Lock()
		line.conns[nil] = true // what still comes is closed at once
		for conn := range line.conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
		line.mutex.Unlock()
		all.Wait()
	})
	return line
}

func (l *badLine) cutAt(id job.ID, times int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.look, l.left = []byte(id), times
}

func (l *badLine) count() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.cuts
}

// keep notes a connection; false is that the test is over.
func (l *badLine) keep(conn net.Conn) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.conns[nil] {
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *badLine) carry(agent net.Conn) {
	defer func() { _ = agent.Close() }()
	server, err := net.Dial("tcp", l.target)
	if err != nil || !l.keep(agent) || !l.keep(server) {
		return
	}
	defer func() { _ = server.Close() }()
	begun := time.Now()
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(server, agent) // until either ends
		_ = server.Close()
	})
	l.down(agent, server, begun)
	_ = agent.Close()
	_ = server.Close()
	up.Wait()
}

// down carries what the server says. What is looked for, it holds back and cuts
// the line; with the last cut it lets it through and cuts what comes back.
func (l *badLine) down(agent, server net.Conn, begun time.Time) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		l.mutex.Lock()
		cut := l.left > 0 && bytes.Contains(buffer[:n], l.look)
		last := cut && l.left == 1
		if cut {
			l.left--
			l.cuts++
		}
		l.mutex.Unlock()
		if last {
			_ = server.Close() // nobody hears that the job was taken
			_, _ = agent.Write(buffer[:n])
			return
		}
		if cut {
			<-time.After(time.Until(begun.Add(steady)))
			return
		}
		if _, err := agent.Write(buffer[:n]); err != nil {
			return
		}
	}
}
