//go:build linux

package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// light is an agent that does nothing but speak the protocol: it proves its key,
// answers pings and asks for them, keeps a journal in memory and sends what the
// server has not acknowledged, again after each reconnect.
type light struct {
	seeded
	crowd   *crowd
	journal string

	mutex    sync.Mutex
	counter  uint64
	records  []api.Record
	acked    uint64
	plan     string
	ended    error         // why the last session did
	appended chan struct{} // holds at most one wake-up
}

// crowd are the light agents of one server.
type crowd struct {
	url     string
	agents  []*light
	stop    func() // ends all of them
	shift   *shift // what becomes of the jobs that they are sent; nil is nothing
	running sync.WaitGroup

	mutex sync.Mutex
	// joined holds when each agent was welcomed last.
	joined map[*light]time.Time
}

// startCrowd lets agents with the keys of these hosts connect, all within a
// second as agents do, until the test ends.
func startCrowd(t testing.TB, url string, hosts []seeded, work *shift) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &crowd{url: url, joined: map[*light]time.Time{}, shift: work}
	c.stop = func() { cancel(); c.running.Wait() }
	t.Cleanup(c.stop)
	for _, host := range hosts {
		agent := &light{seeded: host, crowd: c, journal: job.NewULID(time.Now()), appended: make(chan struct{}, 1)}
		c.agents = append(c.agents, agent)
		c.running.Go(func() { agent.run(ctx) })
	}
	return c
}

// welcomedSince gives how long after a time each agent was welcomed, and whether
// all of them were.
func (c *crowd) welcomedSince(from time.Time) (waits samples, all bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, at := range c.joined {
		if at.After(from) {
			waits = append(waits, at.Sub(from))
		}
	}
	return waits, len(waits) == len(c.agents)
}

// await waits until all agents were welcomed after a time, and gives how long
// after it that was.
func (c *crowd) await(t testing.TB, from time.Time) (waits samples) {
	t.Helper()
	c.until(t, "welcomed", func() (count int, all bool) {
		waits, all = c.welcomedSince(from)
		return len(waits), all
	})
	return waits
}

// until waits for what all agents must have come to, for six minutes, and fails
// with what went wrong for those that have not.
func (c *crowd) until(t testing.TB, what string, done func() (count int, all bool)) {
	t.Helper()
	const patience = 6 * time.Minute
	deadline := time.Now().Add(patience)
	testkit.WaitFor(t, patience+time.Minute, "all agents to be "+what, func() bool {
		count, all := done()
		if !all && time.Now().After(deadline) {
			t.Fatalf("of %d agents %d were %s; sessions ended %v", len(c.agents), count, what, c.endings())
		}
		return all
	})
}

// endings counts why the last session of each agent ended.
func (c *crowd) endings() map[string]int {
	reasons := map[string]int{}
	for _, agent := range c.agents {
		agent.mutex.Lock()
		if agent.ended != nil {
			reasons[agent.ended.Error()]++
		}
		agent.mutex.Unlock()
	}
	return reasons
}

// acknowledged counts the agents that owe the server nothing.
func (c *crowd) acknowledged() (count int, all bool) {
	for _, agent := range c.agents {
		agent.mutex.Lock()
		if int(agent.acked) == len(agent.records) {
			count++
		}
		agent.mutex.Unlock()
	}
	return count, count == len(c.agents)
}

// steadyAfter is how long a session must have lived for the waits to begin with
// the shortest again, as in the real agent.
const steadyAfter = 5 * time.Second

func (a *light) run(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		limit := min(api.DefaultReconnectMax, api.DefaultReconnectMin<<min(attempt, 10))
		select {
		case <-time.After(mathrand.N(limit)):
		case <-ctx.Done():
			return
		}
		began := time.Now()
		err := a.session(ctx)
		a.mutex.Lock()
		a.ended = err
		a.mutex.Unlock()
		if time.Since(began) > steadyAfter {
			attempt = -1
		}
	}
}

func (a *light) session(ctx context.Context) error {
	dialled, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(dialled, a.crowd.url+api.SessionPath, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(api.MaxFrame)
	welcome, err := a.shakeHands(dialled, conn)
	if err != nil {
		return err
	}
	if welcome.Quarantined {
		return errors.New("quarantined")
	}
	a.crowd.mutex.Lock()
	a.crowd.joined[a] = time.Now()
	a.crowd.mutex.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.read(ctx, conn) })
	group.Go(func() error { return a.write(ctx, conn, welcome.Cursor, welcome.Intervals.Ping) })
	return group.Wait()
}

func (a *light) shakeHands(ctx context.Context, conn *websocket.Conn) (*api.Welcome, error) {
	challenge, err := receive[*api.Challenge](ctx, conn)
	if err != nil {
		return nil, err
	}
	a.mutex.Lock()
	a.counter++
	hello := api.Hello{
		Version: api.Version, Host: a.id, AgentKey: a.key.Public().(ed25519.PublicKey), AgentNonce: make([]byte, api.NonceSize),
		JournalID: a.journal, Counter: a.counter, LastSeq: uint64(len(a.records)), Acked: a.acked, PlanDigest: a.plan,
		Unfinished: []job.ID{}, Clock: time.Now().UnixMilli(),
		Facts: api.Facts{Hostname: "light", OS: "linux", Arch: "amd64", AgentVersion: "bench", ResticVersion: "0.19.1",
			Allowed: []job.Kind{job.Backup, job.Snapshots, job.Unlock}},
	}
	a.mutex.Unlock()
	_, _ = rand.Read(hello.AgentNonce) // never fails
	hello.Proof = ed25519.Sign(a.key, api.AgentProof(*challenge, hello))
	if err := send(ctx, conn, &hello); err != nil {
		return nil, err
	}
	return receive[*api.Welcome](ctx, conn)
}

func (a *light) read(ctx context.Context, conn *websocket.Conn) error {
	for {
		body, err := receive[any](ctx, conn)
		if err != nil {
			return err
		}
		a.mutex.Lock()
		switch body := body.(type) {
		case *api.Ack:
			a.acked = max(a.acked, body.Cursor)
		case *api.Plan:
			a.plan = body.Digest
		}
		a.mutex.Unlock()
		if order, ok := body.(*api.Job); ok && a.crowd.shift != nil {
			a.crowd.running.Go(func() { a.carryOut(ctx, order) })
		}
	}
}

func (a *light) write(ctx context.Context, conn *websocket.Conn, sent uint64, pingMs int64) error {
	ping := time.NewTicker(time.Duration(pingMs) * time.Millisecond)
	defer ping.Stop()
	for {
		a.mutex.Lock()
		owed := a.records[min(sent, uint64(len(a.records))):]
		a.mutex.Unlock()
		if len(owed) > 0 {
			if err := send(ctx, conn, &api.Records{JournalID: a.journal, Items: owed}); err != nil {
				return err
			}
			sent = owed[len(owed)-1].Seq
		}
		select {
		case <-ping.C:
			if err := conn.Ping(ctx); err != nil {
				return err
			}
		case <-a.appended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// finishBackup journals a backup that the agent ran by itself, from its
// acceptance to its end.
func (a *light) finishBackup(t testing.TB, group job.GroupID) job.ID {
	t.Helper()
	now := time.Now()
	id := job.NewID(now)
	spec, err := json.Marshal(job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: group, GroupName: "home", Repository: a.repository, ResticHost: "light", Includes: []string{"/home"}})
	if err != nil {
		t.Fatalf("encode a spec: %v", err)
	}
	a.append(id,
		entry{api.RecordAccepted, api.Accepted{Kind: job.Backup, Origin: job.ByPerson, Spec: spec}},
		entry{api.RecordStarted, api.Started{PID: 1}},
		entry{api.RecordLog, api.Log{Lines: []job.LogLine{{At: now.UnixMilli(), Level: job.LogInfo, Text: "files: 1 new, 0 changed, 9999 unmodified"}}}},
		well)
	return id
}

// entry is a record that an agent journals.
type entry struct {
	kind api.RecordKind
	body any
}

// well is how the backups of light agents end.
var well = entry{api.RecordEnded, api.Ended{State: job.Succeeded, ExitCode: new(int), Summary: &job.Summary{FilesNew: 1}}}

// append journals records of one job, and wakes the writer.
func (a *light) append(id job.ID, entries ...entry) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, one := range entries {
		record, err := api.NewRecord(one.kind, id, time.Now().UnixMilli(), one.body)
		if err != nil {
			panic(err) // of the few bodies that there are here none is too large
		}
		record.Seq = uint64(len(a.records)) + 1
		a.records = append(a.records, record)
	}
	select {
	case a.appended <- struct{}{}:
	default:
	}
}

func send(ctx context.Context, conn *websocket.Conn, body any) error {
	frame, err := api.Encode(body)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, frame)
}

// receive takes the next message, which has to be of this type.
func receive[T any](ctx context.Context, conn *websocket.Conn) (T, error) {
	var none T
	_, frame, err := conn.Read(ctx)
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
