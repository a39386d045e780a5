package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// peer is a complete server end of the link, in memory, for tests.
type peer struct {
	t     *testing.T
	key   ed25519.PrivateKey
	token api.Token
	web   *httptest.Server

	// Hooks, to be set before an agent connects. They run with the peer locked.
	onEnrol   func(attempt int) (status int, body any) // status 0: accept
	onWelcome func(hello api.Hello, welcome *api.Welcome)
	keepAcks  bool        // acknowledge nothing
	away      atomic.Bool // answer like a proxy without its server

	mutex    sync.Mutex
	enrols   int
	hosts    map[string]job.HostID // by agent key
	gone     bool
	plan     *api.Plan
	wants    map[job.ID]any // jobs and cancels, repeated until the journal speaks of them
	records  []api.Record
	journal  string
	cursor   uint64
	hellos   []api.Hello
	progress []job.Progress
	answers  []api.Answer
	unknown  []string
	refused  []api.Refused
	live     *peerSession
}

type peerSession struct {
	conn  *websocket.Conn
	hello api.Hello
	muted bool
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, key: key, hosts: map[string]job.HostID{}, wants: map[job.ID]any{},
		token: api.Token{Fingerprint: sha256.Sum256(public), Secret: "one-time"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.IdentityPath, p.identity)
	mux.HandleFunc("POST "+api.EnrolPath, p.enrol)
	mux.HandleFunc("GET "+api.SessionPath, p.session)
	p.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if p.away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, request)
	}))
	t.Cleanup(func() {
		p.drop()
		p.web.CloseClientConnections()
		p.web.Close()
	})
	return p
}

func (p *peer) public() []byte { return p.key.Public().(ed25519.PublicKey) }

func (p *peer) identity(w http.ResponseWriter, r *http.Request) {
	nonce, err := base64.RawURLEncoding.DecodeString(r.FormValue("nonce"))
	if err != nil || len(nonce) != api.NonceSize {
		http.Error(w, "nonce", http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, api.Identity{ServerKey: p.public(), Signature: ed25519.Sign(p.key, api.IdentityProof(nonce))})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (p *peer) enrol(w http.ResponseWriter, r *http.Request) {
	var request api.EnrolRequest
	if json.NewDecoder(r.Body).Decode(&request) != nil || !api.Verify(request.AgentKey, api.EnrolProof(request, p.public()), request.Proof) {
		writeJSON(w, http.StatusBadRequest, problem{Title: "bad proof"})
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.enrols++
	key := string(request.AgentKey)
	if p.hosts[key] == "" && request.Secret == p.token.Secret {
		p.hosts[key] = job.HostID(job.NewULID(time.Now()))
	}
	if p.onEnrol != nil {
		if status, body := p.onEnrol(p.enrols); status != 0 {
			writeJSON(w, status, body)
			return
		}
	}
	if p.hosts[key] == "" {
		writeJSON(w, http.StatusUnauthorized, problem{Detail: "This token is not known."})
		return
	}
	writeJSON(w, http.StatusOK, api.EnrolResponse{Host: p.hosts[key], Name: request.Facts.Hostname, ServerKey: p.public()})
}

func (p *peer) session(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(api.MaxFrame)
	ctx := context.Background()
	challenge := api.Challenge{Version: api.Version, ServerKey: p.public(), ServerNonce: make([]byte, api.NonceSize)}
	_, _ = rand.Read(challenge.ServerNonce)
	if p.sendTo(conn, &challenge) != nil {
		return
	}
	_, frame, err := conn.Read(ctx)
	if err != nil {
		return
	}
	body, err := api.Decode(frame, api.Up)
	hello, ok := body.(*api.Hello)
	if err != nil || !ok || !api.Verify(hello.AgentKey, api.AgentProof(challenge, *hello), hello.Proof) {
		p.t.Errorf("bad hello: %T %v", body, err)
		return
	}
	session, ok := p.greet(conn, challenge, hello)
	if !ok {
		return
	}
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			p.mutex.Lock()
			if p.live == session {
				p.live = nil
			}
			p.mutex.Unlock()
			return
		}
		body, err := api.Decode(frame, api.Up)
		if err != nil {
			p.t.Errorf("from the agent: %v", err)
			return
		}
		p.take(session, body)
	}
}

func (p *peer) greet(conn *websocket.Conn, challenge api.Challenge, hello *api.Hello) (*peerSession, bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.hellos = append(p.hellos, *hello)
	if p.hosts[string(hello.AgentKey)] != hello.Host {
		p.t.Errorf("hello of an unknown key for host %s", hello.Host)
		return nil, false
	}
	if p.gone {
		_ = p.sendTo(conn, &api.Gone{ServerKey: p.public(), Signature: ed25519.Sign(p.key, api.GoneProof(hello.AgentNonce, hello.AgentKey))})
		return nil, false
	}
	if p.journal == "" {
		p.journal = hello.JournalID
	}
	welcome := &api.Welcome{Cursor: p.cursor, Clock: time.Now().UnixMilli(),
		Intervals: api.Intervals{ReconnectMin: 5, ReconnectMax: 50, Ping: 1000}}
	if p.onWelcome != nil {
		p.onWelcome(*hello, welcome)
	}
	welcome.Proof = ed25519.Sign(p.key, api.ServerProof(challenge, *hello, *welcome))
	if p.sendTo(conn, welcome) != nil {
		return nil, false
	}
	session := &peerSession{conn: conn, hello: *hello, muted: welcome.Quarantined}
	p.live = session
	if p.plan != nil && p.plan.Digest != hello.PlanDigest {
		_ = p.sendTo(conn, p.plan)
	}
	for _, want := range p.wants {
		_ = p.sendTo(conn, want)
	}
	return session, true
}

func (p *peer) sendTo(conn *websocket.Conn, body any) error {
	frame, err := api.Encode(body)
	if err != nil {
		p.t.Errorf("encode: %v", err)
		return err
	}
	return conn.Write(context.Background(), websocket.MessageText, frame)
}

func (p *peer) take(session *peerSession, body any) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	switch body := body.(type) {
	case *api.Records:
		if session.muted {
			p.t.Errorf("%d records came in quarantine", len(body.Items))
		}
		for _, record := range body.Items {
			if record.Seq <= p.cursor {
				continue
			}
			p.cursor = record.Seq
			p.records = append(p.records, record)
			if record.Kind == api.RecordAccepted || record.Kind == api.RecordEnded {
				delete(p.wants, record.Job)
			}
		}
		if !p.keepAcks {
			_ = p.sendTo(session.conn, &api.Ack{JournalID: body.JournalID, Cursor: p.cursor})
		}
	case *job.Progress:
		p.progress = append(p.progress, *body)
	case *api.Answer:
		p.answers = append(p.answers, *body)
	case *api.Refused:
		p.refused = append(p.refused, *body)
	case *api.Unsupported:
		p.unknown = append(p.unknown, body.Type)
	}
}

// ask gives the agent a job, now and again after each connect.
func (p *peer) ask(kind job.Kind, spec job.Spec, access *api.Access) job.ID {
	p.t.Helper()
	raw, err := json.Marshal(spec)
	if err != nil {
		p.t.Fatal(err)
	}
	id := job.NewID(time.Now())
	p.want(id, &api.Job{ID: id, Kind: kind, Origin: job.ByPerson, Spec: raw, Access: access})
	return id
}

func (p *peer) cancel(id job.ID) {
	p.want(id, &api.Cancel{ID: id, Cause: job.CauseOperator})
}

func (p *peer) want(id job.ID, body any) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.wants[id] = body
	if p.live != nil {
		_ = p.sendTo(p.live.conn, body)
	}
}

func (p *peer) setPlan(plan *api.Plan) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.plan = plan
	if p.live != nil {
		_ = p.sendTo(p.live.conn, plan)
	}
}

// drop ends the session as a server that dies does.
func (p *peer) drop() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.live != nil {
		_ = p.live.conn.CloseNow()
		p.live = nil
	}
}

// say sends raw text in the session.
func (p *peer) say(frame string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	_ = p.live.conn.Write(context.Background(), websocket.MessageText, []byte(frame))
}

// with runs a question with the peer locked.
func (p *peer) with(ask func() bool) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return ask()
}

func (p *peer) awaitConnected(count int) {
	p.t.Helper()
	testkit.WaitFor(p.t, 20*time.Second, "the agent to connect", func() bool {
		return p.with(func() bool { return p.live != nil && len(p.hellos) >= count })
	})
}

// awaitRecord waits for a record of a job.
func (p *peer) awaitRecord(id job.ID, kind api.RecordKind) api.Record {
	p.t.Helper()
	var found api.Record
	testkit.WaitFor(p.t, 30*time.Second, string(kind)+" of the job", func() bool {
		return p.with(func() bool {
			for _, record := range p.records {
				if record.Job == id && record.Kind == kind {
					found = record
					return true
				}
			}
			return false
		})
	})
	return found
}

func (p *peer) awaitEnded(id job.ID) api.Ended {
	p.t.Helper()
	var ended api.Ended
	if err := json.Unmarshal(p.awaitRecord(id, api.RecordEnded).Body, &ended); err != nil {
		p.t.Fatal(err)
	}
	if ended.Summary == nil {
		ended.Summary = &job.Summary{}
	}
	return ended
}

func (p *peer) awaitPhase(id job.ID, phase job.Phase) {
	p.t.Helper()
	testkit.WaitFor(p.t, 30*time.Second, "phase "+string(phase), func() bool {
		return p.with(func() bool {
			for _, progress := range p.progress {
				if progress.Job == id && progress.Phase == phase {
					return true
				}
			}
			return false
		})
	})
}

// kindsOf lists the kinds of a job's records in order, logs left out.
func (p *peer) kindsOf(id job.ID) []api.RecordKind {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var kinds []api.RecordKind
	for _, record := range p.records {
		if record.Job == id && record.Kind != api.RecordLog {
			kinds = append(kinds, record.Kind)
		}
	}
	return kinds
}

// logOf joins the lines of a job's log.
func (p *peer) logOf(id job.ID) string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	text := ""
	for _, record := range p.records {
		if record.Job != id || record.Kind != api.RecordLog {
			continue
		}
		var log api.Log
		if err := json.Unmarshal(record.Body, &log); err != nil {
			p.t.Error(err)
		}
		for _, line := range log.Lines {
			text += line.Text + "\n"
		}
	}
	return text
}

func (p *peer) reports(topic api.ReportTopic) []api.Report {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var reports []api.Report
	for _, record := range p.records {
		var report api.Report
		if record.Kind == api.RecordReport && json.Unmarshal(record.Body, &report) == nil && report.Topic == topic {
			reports = append(reports, report)
		}
	}
	return reports
}
