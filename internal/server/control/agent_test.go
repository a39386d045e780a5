package control_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// agent is a complete peer: what a real agent has on its disk, and one
// connection. Everything it says can be bent before it is signed.
type agent struct {
	t    testing.TB
	base string // of the server's URL

	key     ed25519.PrivateKey
	host    job.HostID
	facts   api.Facts
	journal string
	counter uint64
	records []api.Record // the whole journal
	acked   uint64
	plan    string
	skew    time.Duration // its clock minus the true one

	onHello    func(*api.Hello) // before it is signed
	afterHello func(*api.Hello) // when it is signed
	deaf       bool             // reads nothing, and so answers no ping

	conn      *websocket.Conn
	challenge api.Challenge
	hello     api.Hello
	sent      uint64

	mutex sync.Mutex
	heard []any // in order, since the handshake
	err   error // why the connection is over
}

func (r *rig) newAgent() *agent {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &agent{t: r.t, base: r.web.URL, key: key, journal: rand.Text(),
		facts: api.Facts{Hostname: "machine", OS: "linux", Arch: "amd64", AgentVersion: "1", ResticVersion: "0.19.1", Allowed: []job.Kind{job.Backup, job.Snapshots, job.PreviewSources, job.Unlock, job.Check, job.Stats}}}
}

// copyOf is a clone of the machine as it is now.
func (a *agent) copyOf() *agent {
	return &agent{t: a.t, base: a.base, key: a.key, host: a.host, facts: a.facts, journal: a.journal, counter: a.counter,
		records: slices.Clone(a.records), acked: a.acked, plan: a.plan}
}

func (a *agent) public() []byte { return a.key.Public().(ed25519.PublicKey) }

// request is a well formed request to join.
func (a *agent) request(token string) api.EnrolRequest {
	a.t.Helper()
	parsed, err := api.ParseToken(token)
	if err != nil {
		a.t.Fatal(err)
	}
	request := api.EnrolRequest{Secret: parsed.Secret, AgentKey: a.public(), Nonce: make([]byte, api.NonceSize), Facts: a.facts}
	_, _ = rand.Read(request.Nonce)
	request.Proof = ed25519.Sign(a.key, api.EnrolProof(request, serverKey().Public().(ed25519.PublicKey)))
	return request
}

// post sends a request to join and returns the status and what was answered.
func (a *agent) post(request any) (int, string) {
	a.t.Helper()
	raw, err := json.Marshal(request)
	if err != nil {
		a.t.Fatal(err)
	}
	response, err := http.Post(a.base+api.EnrolPath, "application/json", bytes.NewReader(raw))
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if response.StatusCode == http.StatusOK {
		var answer api.EnrolResponse
		if err := json.Unmarshal(text, &answer); err != nil {
			a.t.Fatal(err)
		}
		a.host = answer.Host
	}
	return response.StatusCode, string(text)
}

func (a *agent) mustEnrol(token string) {
	a.t.Helper()
	if status, text := a.post(a.request(token)); status != http.StatusOK {
		a.t.Fatalf("enrol = %d: %s", status, text)
	}
}

// dial opens a connection up to the signed hello and returns the first answer,
// or why there is none.
func (a *agent) dial() (any, error) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, a.base+api.SessionPath, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(api.MaxFrame)
	challenge, err := receive(ctx, conn)
	if err != nil {
		return nil, err
	}
	a.challenge = *challenge.(*api.Challenge)
	a.counter++
	a.hello = api.Hello{Version: api.Version, Host: a.host, AgentKey: a.public(), AgentNonce: make([]byte, api.NonceSize), JournalID: a.journal,
		Counter: a.counter, LastSeq: a.last(), Acked: a.acked, PlanDigest: a.plan, Unfinished: a.unfinished(), Held: a.held(), Clock: time.Now().Add(a.skew).UnixMilli(), Facts: a.facts}
	_, _ = rand.Read(a.hello.AgentNonce)
	if a.onHello != nil {
		a.onHello(&a.hello)
	}
	a.hello.Proof = ed25519.Sign(a.key, api.AgentProof(a.challenge, a.hello))
	if a.afterHello != nil {
		a.afterHello(&a.hello)
	}
	frame, err := api.Encode(&a.hello)
	if err != nil {
		return nil, err
	}
	if err := conn.Write(ctx, websocket.MessageText, frame); err != nil {
		return nil, err
	}
	answer, err := receive(ctx, conn)
	if err != nil {
		return nil, err
	}
	a.mutex.Lock()
	a.conn, a.heard, a.err = conn, nil, nil
	a.mutex.Unlock()
	return answer, nil
}

func receive(ctx context.Context, conn *websocket.Conn) (any, error) {
	_, frame, err := conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	return api.Decode(frame, api.Down)
}

// verify checks the server's proof in a welcome.
func (a *agent) verify(w *api.Welcome) {
	a.t.Helper()
	if !api.Verify(serverKey().Public().(ed25519.PublicKey), api.ServerProof(a.challenge, a.hello, *w), w.Proof) {
		a.t.Error("the server's proof is not good")
	}
}

// connect shakes hands and listens. It does not send the journal.
func (a *agent) connect() *api.Welcome {
	a.t.Helper()
	answer, err := a.dial()
	if err != nil {
		a.t.Fatalf("connect: %v", err)
	}
	w, ok := answer.(*api.Welcome)
	if !ok {
		a.t.Fatalf("connect was answered with %#v", answer)
	}
	a.verify(w)
	a.sent = w.Cursor
	if !w.Quarantined {
		a.acked = w.Cursor
	}
	if !a.deaf {
		go a.listen(a.conn)
	}
	return w
}

func (a *agent) listen(conn *websocket.Conn) {
	for {
		body, err := receive(context.Background(), conn)
		a.mutex.Lock()
		if a.conn != conn {
			a.mutex.Unlock()
			return
		}
		if err != nil {
			a.err = err
			a.mutex.Unlock()
			return
		}
		a.heard = append(a.heard, body)
		switch body := body.(type) {
		case *api.Ack:
			a.acked = max(a.acked, body.Cursor)
		case *api.Plan:
			a.plan = body.Digest
		case *api.Welcome:
			if body.Counter > 0 {
				a.counter = body.Counter
			}
		}
		a.mutex.Unlock()
	}
}

// drop ends the connection without a word.
func (a *agent) drop() {
	a.mutex.Lock()
	conn := a.conn
	a.conn = nil
	a.mutex.Unlock()
	if conn != nil {
		_ = conn.CloseNow()
	}
}

// leave drops the connection and waits until the server has noticed.
func (a *agent) leave(r *rig) {
	a.t.Helper()
	a.drop()
	r.await("the session to end", func() bool { return r.link(a.host).Node == "" })
}

func (a *agent) say(body any) {
	a.t.Helper()
	frame, err := api.Encode(body)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(frame)
}

func (a *agent) write(frame []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = a.conn.Write(ctx, websocket.MessageText, frame) // a connection that is over shows when it is waited for
}

func (a *agent) last() uint64 {
	if len(a.records) == 0 {
		return 0
	}
	return a.records[len(a.records)-1].Seq
}

// append journals a record; flush sends it.
func (a *agent) append(kind api.RecordKind, id job.ID, body any) api.Record {
	a.t.Helper()
	record, err := api.NewRecord(kind, id, time.Now().Add(a.skew).UnixMilli(), body)
	if err != nil {
		a.t.Fatal(err)
	}
	record.Seq = a.last() + 1
	a.records = append(a.records, record)
	return record
}

func (a *agent) accept(id job.ID, spec job.Spec) {
	a.t.Helper()
	raw, err := json.Marshal(spec)
	if err != nil {
		a.t.Fatal(err)
	}
	a.append(api.RecordAccepted, id, api.Accepted{Kind: spec.Kind(), Origin: job.ByPerson, Spec: raw})
}

func (a *agent) end(id job.ID, state job.State) {
	a.append(api.RecordEnded, id, api.Ended{State: state})
}

// unfinished are the jobs that the journal holds as accepted and not ended.
func (a *agent) unfinished() []job.ID {
	ids := []job.ID{}
	for _, record := range a.records {
		switch record.Kind {
		case api.RecordAccepted:
			ids = append(ids, record.Job)
		case api.RecordEnded:
			ids = slices.DeleteFunc(ids, func(id job.ID) bool { return id == record.Job })
		}
	}
	return ids
}

// held are the runs that the journal holds as due and neither accepted nor ended.
func (a *agent) held() []job.ID {
	ids := []job.ID{}
	for _, record := range a.records {
		switch record.Kind {
		case api.RecordDue:
			if body, err := record.Decode(); err == nil && body.(*api.Due).Skip == "" {
				ids = append(ids, record.Job)
			}
		case api.RecordAccepted, api.RecordEnded:
			ids = slices.DeleteFunc(ids, func(id job.ID) bool { return id == record.Job })
		}
	}
	return ids
}

// flush sends what this connection has not sent.
func (a *agent) flush() {
	a.t.Helper()
	var items []api.Record
	for _, record := range a.records {
		if record.Seq > a.sent {
			items = append(items, record)
		}
	}
	for batch := range slices.Chunk(items, 400) {
		a.say(&api.Records{JournalID: a.journal, Items: batch})
		a.sent = batch[len(batch)-1].Seq
	}
}

// sync sends the journal and waits until all of it is acknowledged.
func (a *agent) sync() {
	a.t.Helper()
	a.flush()
	testkit.WaitFor(a.t, patience, "the acknowledgement", func() bool {
		a.mutex.Lock()
		defer a.mutex.Unlock()
		if a.err != nil {
			a.t.Fatalf("the session ended: %v", a.err)
		}
		return a.acked >= a.last()
	})
}

// heardOf lists what was heard of one type, in order.
func heardOf[T any](a *agent) (all []T) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, body := range a.heard {
		if typed, ok := body.(T); ok {
			all = append(all, typed)
		}
	}
	return all
}

// await waits for the nth message of one type on this connection; 1 is the first.
func await[T any](a *agent, n int) T {
	a.t.Helper()
	testkit.WaitFor(a.t, patience, "message "+reflect.TypeFor[T]().String(), func() bool { return len(heardOf[T](a)) >= n })
	return heardOf[T](a)[n-1]
}

// awaitEnd waits for the end of the connection.
func (a *agent) awaitEnd() {
	a.t.Helper()
	testkit.WaitFor(a.t, patience, "the end of the session", func() bool { return a.why() != nil })
}

// why is why the connection is over; nil is "it is not".
func (a *agent) why() error {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.err
}

// quiet proves that all is said that the server wanted to say: of two changes of
// the plan, the second is told after everything that was wanted before the first.
func (a *agent) quiet(r *rig) {
	a.t.Helper()
	for range 2 {
		before := len(heardOf[*api.Plan](a))
		r.group(a.host, "quiet "+rand.Text())
		await[*api.Plan](a, before+1)
	}
}

// carryOut accepts a job that was asked for, and ends it.
func (a *agent) carryOut(order *api.Job, state job.State) {
	a.t.Helper()
	spec, err := job.DecodeSpec(order.Kind, order.Spec)
	if err != nil {
		a.t.Fatal(err)
	}
	a.accept(order.ID, spec)
	a.end(order.ID, state)
	a.sync()
}

func snapshotID(n byte) string { return strings.Repeat("0123456789abcdef"[n%16:n%16+1], 63) + "0" }
