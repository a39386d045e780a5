package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestEnrolRepeatsWhatMayHaveBeenLost(t *testing.T) {
	r := newRig(t, "")
	r.peer.onEnrol = func(attempt int) (int, any) {
		switch attempt {
		case 1:
			return http.StatusServiceUnavailable, problem{Title: "starting"}
		case 2: // accepted there, but the answer does not arrive
			return http.StatusInternalServerError, nil
		}
		r.peer.token.Secret = "used up"
		return 0, nil
	}
	notices := 0
	identity, err := Enrol(t.Context(), testOptions(r.dir), EnrolOptions{Server: r.peer.web.URL + "/", Token: " " + r.peer.token.String() + "\n",
		Timeout: 30 * time.Second, Notice: func(string) { notices++ }})
	if err != nil || notices != 1 || len(r.peer.hosts) != 1 || !bytes.Equal(identity.ServerKey, r.peer.public()) {
		t.Fatalf("identity = %+v, %v; %d notices, hosts %v", identity, err, notices, r.peer.hosts)
	}
	if _, err := Enrol(t.Context(), testOptions(r.dir), EnrolOptions{Server: r.peer.web.URL, Token: r.peer.token.String()}); err == nil || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("second enrolment = %v", err)
	}
	for _, name := range []string{agentKeyFile, sealKeyFile, identityFile} {
		info, err := os.Stat(filepath.Join(r.dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Stat(r.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info, err)
	}
}

func TestEnrolIsRefused(t *testing.T) {
	r := newRig(t, "")
	other := newPeer(t)
	wrong := r.peer.token
	wrong.Secret = "guessed"
	for name, test := range map[string]struct {
		server, token, says string
	}{
		"unknown token":  {r.peer.web.URL, wrong.String(), "This token is not known."},
		"another server": {other.web.URL, r.peer.token.String(), "is not the one that made this token"},
		"damaged token":  {r.peer.web.URL, r.peer.token.String()[:20], "copy it again"},
		"plain HTTP":     {"http://backup.example.org", r.peer.token.String(), "not encrypted"},
		"no scheme":      {"backup.example.org", r.peer.token.String(), "not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			_, err := Enrol(t.Context(), testOptions(r.dir), EnrolOptions{Server: test.server, Token: test.token, Timeout: time.Minute})
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "one-time") {
				t.Errorf("err = %v", err)
			}
			if time.Since(begun) > 10*time.Second {
				t.Error("it was tried again")
			}
		})
	}
	if other.enrols != 0 {
		t.Error("the token was shown to another server")
	}
	if _, err := New(testOptions(r.dir)); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("New = %v", err)
	}
}

func TestRefusalOfAStrangerCommandsNoTerminal(t *testing.T) {
	answer := &http.Response{Status: "403 Forbidden"}
	if err := refusalOf(answer, []byte(`{"detail":"no\u001b]0;owned\u0007\u202e, not today"}`)); err.Error() != "no]0;owned, not today" {
		t.Errorf("it is told as %q", err)
	}
}

func TestTwoAgentsNeverShareAFolder(t *testing.T) {
	r := newRig(t, "")
	r.enrol()
	r.start()
	if _, err := New(testOptions(r.dir)); err == nil || !strings.Contains(err.Error(), "another agent is at work on "+r.dir) {
		t.Errorf("second agent = %v", err)
	}
}

func TestPlanIsSealedAndKept(t *testing.T) {
	r := newRig(t, "")
	r.enrol()
	plan := r.plan(api.Access{Repository: job.RepositoryID(job.NewULID(time.Now())), URL: "rest:http://127.0.0.1:1/x/", Key: "very secret"})
	r.peer.setPlan(plan)
	first := r.start()
	r.peer.awaitConnected(1)
	testkit.WaitFor(t, 10*time.Second, "the plan to be stored", func() bool { return first.plan.digest() == plan.Digest })
	if err := first.end(); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(r.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte("very secret")) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.start()
	r.peer.awaitConnected(2)
	if hello := r.peer.hellos[1]; hello.PlanDigest != plan.Digest || hello.Counter != 2 {
		t.Errorf("second hello = %+v", hello)
	}
}

func TestGoneIsForEver(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	running := r.start()
	id := r.slowBackup(60)
	r.peer.gone = true
	r.peer.drop()
	testkit.WaitFor(t, 20*time.Second, "the agent to know", func() bool {
		status, err := ReadStatus(r.dir)
		return err == nil && status.Gone && !status.Running
	})
	if err := running.end(); !errors.Is(err, ErrRemoved) {
		t.Errorf("Run = %v", err)
	}
	r.assertClean(id)
	hellos := len(r.peer.hellos)
	again, err := New(testOptions(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context()); !errors.Is(err, ErrRemoved) || len(r.peer.hellos) != hellos {
		t.Errorf("second Run = %v, %d hellos", err, len(r.peer.hellos)-hellos)
	}
	// Joining again is a wish of its own, and a new key.
	r.peer.gone = false
	identity, err := Enrol(t.Context(), testOptions(r.dir), EnrolOptions{Server: r.peer.web.URL, Token: r.peer.token.String(), Replace: true})
	if err != nil || len(r.peer.hosts) != 2 {
		t.Fatalf("replace = %+v, %v", identity, err)
	}
	if status, err := ReadStatus(r.dir); err != nil || status.Gone {
		t.Errorf("status after replace = %+v, %v", status, err)
	}
}

func TestForgedGoneIsNotBelieved(t *testing.T) {
	r := newRig(t, "")
	r.enrol()
	r.start()
	r.peer.awaitConnected(1)
	frame, err := api.Encode(&api.Gone{ServerKey: r.peer.public(), Signature: make([]byte, 64)})
	if err != nil {
		t.Fatal(err)
	}
	r.peer.say(string(frame))
	r.peer.awaitConnected(2)
	if status, err := ReadStatus(r.dir); err != nil || status.Gone {
		t.Errorf("status = %+v, %v", status, err)
	}
}

func TestUnknownMessagesAreAnswered(t *testing.T) {
	r := newRig(t, "")
	r.enrol()
	r.start()
	r.peer.awaitConnected(1)
	r.peer.say(`{"type":"from-the-future","body":{}}`)
	testkit.WaitFor(t, 10*time.Second, "the answer", func() bool {
		return r.peer.with(func() bool { return slices.Equal(r.peer.unknown, []string{"from-the-future"}) })
	})
	if len(r.peer.hellos) != 1 {
		t.Error("the session did not go on")
	}
}

func TestQuarantineTakesAndGivesNothing(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	held := true
	r.peer.onWelcome = func(_ api.Hello, welcome *api.Welcome) {
		welcome.Quarantined = held
		if !held {
			welcome.Counter = 1000
		}
	}
	running := r.start()
	r.peer.awaitConnected(1)
	id := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	r.peer.say(`{"type":"nothing","body":{}}`) // its answer says that all before was read
	testkit.WaitFor(t, 10*time.Second, "the answer", func() bool { return r.peer.with(func() bool { return len(r.peer.unknown) > 0 }) })
	if running.journal.Known(id) || running.plan.digest() != "" {
		t.Error("something was taken in quarantine")
	}
	status, err := ReadStatus(r.dir)
	if err != nil || !status.Quarantined {
		t.Errorf("status = %+v, %v", status, err)
	}
	r.peer.with(func() bool { held = false; return true })
	r.peer.drop()
	if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded {
		t.Errorf("after it: %+v", ended)
	}
	r.peer.drop()
	r.peer.awaitConnected(3)
	if counter := r.peer.hellos[2].Counter; counter != 1001 {
		t.Errorf("counter = %d", counter)
	}
}

func TestOlderCopyOfAStateFolderKeepsStill(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.peer.cursor = 1000
	running := r.start()
	r.peer.awaitConnected(1)
	id := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	r.peer.say(`{"type":"nothing","body":{}}`)
	testkit.WaitFor(t, 10*time.Second, "the answer", func() bool { return r.peer.with(func() bool { return len(r.peer.unknown) > 0 }) })
	if running.journal.Known(id) {
		t.Error("a job was taken")
	}
}

func TestServerThatKnowsLessIsToldAgain(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	id := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	r.peer.awaitEnded(id)
	before := r.peer.kindsOf(id)
	r.peer.with(func() bool { r.peer.cursor, r.peer.records = 0, nil; return true })
	r.peer.drop()
	r.peer.awaitEnded(id)
	if after := r.peer.kindsOf(id); !slices.Equal(before, after) {
		t.Errorf("records = %v, were %v", after, before)
	}
}

func TestRefusalsAndCancelsAreJournalled(t *testing.T) {
	r := newRig(t, "allow: [snapshots]\n").withRepository()
	r.enrol()
	r.start()
	r.peer.awaitConnected(1)
	refused := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	if ended := r.peer.awaitEnded(refused); ended.State != job.Failed || !strings.Contains(ended.Error, r.dir+".policy.yaml") {
		t.Errorf("refused = %+v", ended)
	}
	if kinds := r.peer.kindsOf(refused); !slices.Equal(kinds, []api.RecordKind{api.RecordEnded}) {
		t.Errorf("records = %v", kinds)
	}
	odd := job.NewID(time.Now())
	r.peer.want(odd, &api.Job{ID: odd, Kind: "defrost", Spec: json.RawMessage(`{}`)})
	if ended := r.peer.awaitEnded(odd); ended.State != job.Failed || !strings.Contains(ended.Error, "defrost") {
		t.Errorf("unknown kind = %+v", ended)
	}
	late := job.NewID(time.Now())
	r.peer.cancel(late)
	if ended := r.peer.awaitEnded(late); ended.State != job.Cancelled || ended.Cause != job.CauseOperator {
		t.Errorf("cancelled = %+v", ended)
	}
	// A late copy of it changes nothing.
	r.peer.want(late, &api.Job{ID: late, Kind: job.Snapshots, Spec: mustJSON(t, r.backupSpec())})
	r.peer.want(late, &api.Job{ID: late, Kind: job.Backup, Spec: mustJSON(t, r.backupSpec()), Access: &r.access})
	r.peer.say(`{"type":"nothing","body":{}}`)
	testkit.WaitFor(t, 10*time.Second, "the answer", func() bool { return r.peer.with(func() bool { return len(r.peer.unknown) > 0 }) })
	if kinds := r.peer.kindsOf(late); !slices.Equal(kinds, []api.RecordKind{api.RecordEnded}) {
		t.Errorf("records = %v", kinds)
	}
	if facts := r.peer.hellos[0].Facts; !slices.Equal(facts.Allowed, []job.Kind{job.Snapshots}) || facts.ResticVersion == "" {
		t.Errorf("facts = %+v", facts)
	}
}

func TestPoliteStopEndsJobs(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	running := r.start()
	id := r.slowBackup(60)
	second := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	r.peer.awaitRecord(second, api.RecordAccepted)
	if err := running.end(); err != nil {
		t.Fatal(err)
	}
	// The server has the end already: the agent waited a moment for that.
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Cancelled || ended.Cause != job.CauseAgentStopped {
		t.Errorf("ended = %+v", ended)
	}
	r.assertClean(id)
	r.start()
	if ended := r.peer.awaitEnded(second); ended.State != job.Succeeded {
		t.Errorf("second = %+v", ended)
	}
}

func TestSessionEndsButTheJobGoesOn(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	id := r.slowBackup(3)
	for range 5 {
		r.peer.drop()
		hellos := 0
		r.peer.with(func() bool { hellos = len(r.peer.hellos); return true })
		r.peer.awaitConnected(hellos + 1)
	}
	if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded {
		t.Errorf("ended = %+v", ended)
	}
	for i, record := range r.peer.records {
		if record.Seq != uint64(i+1) {
			t.Fatalf("record %d has the number %d", i, record.Seq)
		}
	}
}

// TestManyAgentsJoinBeforeTheirServer starts agents while nothing listens.
func TestManyAgentsJoinBeforeTheirServer(t *testing.T) {
	first := newRig(t, "")
	first.peer.away.Store(true)
	const count = 30
	joined := make(chan error, count)
	for range count {
		options := testOptions(filepath.Join(t.TempDir(), "state"))
		options.PolicyFile = first.dir + ".policy.yaml"
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		t.Cleanup(func() { cancel(); <-ended })
		go func() {
			defer close(ended)
			_, err := Enrol(ctx, options, EnrolOptions{Server: first.peer.web.URL, Token: first.peer.token.String(), Timeout: time.Minute,
				Notice: func(string) { joined <- nil }})
			joined <- err
			if err != nil {
				return
			}
			a, err := New(options)
			if err == nil {
				err = a.Run(ctx)
			}
			if err != nil {
				t.Error(err)
			}
		}()
	}
	for range count { // every one has been turned away once
		<-joined //nolint:errcheck // what it says is that it failed
	}
	first.peer.away.Store(false)
	for range count {
		if err := <-joined; err != nil {
			t.Error(err)
		}
	}
	testkit.WaitFor(t, 30*time.Second, "all to be connected", func() bool {
		return first.peer.with(func() bool {
			hosts := map[job.HostID]bool{}
			for _, hello := range first.peer.hellos {
				hosts[hello.Host] = true
			}
			return len(hosts) == count
		})
	})

}
