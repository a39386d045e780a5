package control_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

func TestSessionOpensAndEnds(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.skew = -time.Hour
	w := a.connect()
	if w.Cursor != 0 || w.Quarantined || w.Intervals.Ping <= 0 || w.Intervals.ReconnectMax <= w.Intervals.ReconnectMin {
		t.Errorf("welcome = %+v", w)
	}
	host := r.host(a.host)
	if !host.Online || host.ClockOffset > -59*time.Minute || host.ClockOffset < -61*time.Minute || len(r.Sessions(a.host)) != 1 {
		t.Errorf("host = %+v, sessions %v", host, r.Sessions(a.host))
	}
	a.leave(r)
	if host := r.host(a.host); host.Online || host.LastSeenAt.IsZero() {
		t.Errorf("host after its session = %+v", host)
	}
	if len(r.Sessions(a.host)) != 0 {
		t.Error("the session is still listed")
	}
}

// TestStrangersGetNothing: whoever can't prove a host's key learns nothing and
// changes nothing.
func TestStrangersGetNothing(t *testing.T) {
	r := newRig(t)
	victim, thief := r.endpoint("victim"), r.endpoint("thief")
	for name, bend := range map[string]struct{ before, after func(*api.Hello) }{
		"another host's id":  {before: func(h *api.Hello) { h.Host = victim.host }},
		"no such host":       {before: func(h *api.Hello) { h.Host = job.HostID(job.NewULID(time.Now())) }},
		"an id that is none": {before: func(h *api.Hello) { h.Host = "x' OR 1=1" }},
		"another key":        {after: func(h *api.Hello) { h.AgentKey = victim.public() }},
		"a changed counter":  {after: func(h *api.Hello) { h.Counter++ }},
		"changed facts":      {after: func(h *api.Hello) { h.Facts.Hostname = "x" }},
		"no proof":           {after: func(h *api.Hello) { h.Proof = nil }},
		"a short nonce":      {before: func(h *api.Hello) { h.AgentNonce = h.AgentNonce[:5] }},
		"no version":         {before: func(h *api.Hello) { h.Version = 0 }},
		"a negative version": {before: func(h *api.Hello) { h.Version = -1 }},
		"a huge counter":     {before: func(h *api.Hello) { h.Counter = 1 << 63 }},
		"a huge journal":     {before: func(h *api.Hello) { h.LastSeq = 1<<64 - 1 }},
		"no journal":         {before: func(h *api.Hello) { h.JournalID = "" }},
		"a long journal id":  {before: func(h *api.Hello) { h.JournalID = strings.Repeat("j", 1000) }},
	} {
		t.Run(name, func(t *testing.T) {
			thief.onHello, thief.afterHello = bend.before, bend.after
			if answer, err := thief.dial(); err == nil {
				t.Errorf("it was answered with %#v", answer)
			}
		})
	}
	r.await("all to be gone", func() bool { return r.Strangers() == 0 })
	for _, a := range []*agent{victim, thief} {
		if host := r.host(a.host); host.Online || !host.QuarantinedAt.IsZero() || r.link(a.host).Counter != 0 {
			t.Errorf("%s = %+v", host.Name, host)
		}
	}
	if alert := r.alert(victim.host, fleet.AlertForeignKey, ""); alert == nil {
		t.Error("nobody is told of the copied id")
	}
	if n := r.audited("host.foreign_key", string(victim.host)); n != 1 {
		t.Errorf("audited %d times", n)
	}
	victim.connect() // and is not the worse for it
}

// TestKnockingCostsNoWrites: a copied id that comes again and again is one row,
// which is soon touched once a minute only.
func TestKnockingCostsNoWrites(t *testing.T) {
	r := newRig(t)
	victim, thief := r.endpoint("victim"), r.endpoint("thief")
	thief.onHello = func(h *api.Hello) { h.Host = victim.host }
	knock := func() int {
		for range 15 {
			if _, err := thief.dial(); err == nil {
				t.Fatal("it was let in")
			}
		}
		return r.alert(victim.host, fleet.AlertForeignKey, "").Count
	}
	if n := knock(); n != 10 {
		t.Errorf("counted %d at first", n)
	}
	r.pass(2 * time.Minute)
	if n := knock(); n != 11 {
		t.Errorf("counted %d two minutes later", n)
	}
}

func TestRemovedHostIsToldOnce(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.connect()
	if err := r.RemoveHost(t.Context(), auth.Server, a.host); err != nil {
		t.Fatal(err)
	}
	check := func(gone *api.Gone) {
		t.Helper()
		if !api.Verify(serverKey().Public().(ed25519.PublicKey), api.GoneProof(a.hello.AgentNonce, a.public()), gone.Signature) {
			t.Error("the word is not signed for this agent")
		}
	}
	check(await[*api.Gone](a, 1))
	a.awaitEnd()
	answer, err := a.dial()
	if err != nil {
		t.Fatal(err)
	}
	gone, ok := answer.(*api.Gone)
	if !ok {
		t.Fatalf("a removed host is answered with %#v", answer)
	}
	check(gone)
	a.drop()
	if err := r.RemoveHost(t.Context(), auth.Server, a.host); !is[*fleet.Problem](err) {
		t.Errorf("removed twice: %v", err)
	}
	if host := r.host(a.host); host.Online {
		t.Error("a removed host is online")
	}
}

// TestOutOfTurn: what does not belong into a session ends it, what is unknown
// does not.
func TestOutOfTurn(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	hello := func() string {
		frame, err := api.Encode(&a.hello)
		if err != nil {
			t.Fatal(err)
		}
		return string(frame)
	}
	for name, frame := range map[string]func() string{
		"a second hello":    hello,
		"a server's word":   func() string { return `{"type":"ack","body":{}}` },
		"no JSON":           func() string { return "hello" },
		"another journal":   func() string { return `{"type":"records","body":{"journal_id":"x","items":[{"seq":1}]}}` },
		"too long":          func() string { return strings.Repeat(" ", api.MaxFrame+1) },
		"numbers back":      func() string { return records(a, 5, 4) },
		"a number too huge": func() string { return records(a, 1<<63) },
	} {
		t.Run(name, func(t *testing.T) {
			a.connect()
			a.write([]byte(frame()))
			a.awaitEnd()
			r.await("the session to end", func() bool { return !r.host(a.host).Online })
		})
	}
	if link := r.link(a.host); link.Cursor != 0 {
		t.Errorf("the cursor moved to %d", link.Cursor)
	}
	a.connect()
	a.write([]byte(`{"type":"from a later version","body":{"x":1}}`))
	if answer := await[*api.Unsupported](a, 1); answer.Type != "from a later version" {
		t.Errorf("answer = %+v", answer)
	}
	a.say(&api.Unsupported{Type: "x"})
	a.quiet(r)
}

func records(a *agent, numbers ...uint64) string {
	batch := api.Records{JournalID: a.journal}
	for _, seq := range numbers {
		batch.Items = append(batch.Items, api.Record{Seq: seq, Kind: api.RecordGap, Body: []byte("{}")})
	}
	raw, _ := json.Marshal(map[string]any{"type": "records", "body": batch})
	return string(raw)
}

// TestHelloIsWaitedForButNotForEver: who says nothing makes room for others.
func TestHelloIsWaitedForButNotForEver(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	// The first to come is real and silent, the others fill the lobby.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	silent, _, err := websocket.Dial(ctx, r.web.URL+api.SessionPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receive(ctx, silent); err != nil {
		t.Fatal(err)
	}
	for range control.MaxStrangers - 1 {
		leave, ok := r.Visit(r.now(), func() {})
		if !ok {
			t.Fatal("the lobby is full too early")
		}
		t.Cleanup(leave)
	}
	_, response, err := websocket.Dial(ctx, r.web.URL+api.SessionPath, nil)
	if err == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("beyond the bound: %v, %v", response, err)
	}
	r.pass(control.HandshakeWindow)
	a.connect()
	if _, _, err := silent.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the silent one was not shown out: %v", err)
	}
	if n := r.Strangers(); n != control.MaxStrangers-1 {
		t.Errorf("%d are in the lobby", n)
	}
}

func TestNobodyEntersAfterShutdown(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.connect()
	j := r.backup(r.group(a.host, "g"), false)
	await[*api.Job](a, 1)
	r.started()
	a.awaitEnd()
	if err := a.why(); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the session ended with %v", err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	r.ended <- nil
	if _, err := a.dial(); err == nil {
		t.Error("a session was opened after the shutdown")
	}
	if host := r.host(a.host); host.Online {
		t.Error("the host is still online")
	}
	if j := r.job(j.ID); j.State != job.Queued {
		t.Errorf("the job is %s", j.State)
	}
	select {
	case <-r.Closing():
	default:
		t.Error("streams are not told")
	}
}
