//go:build unix

package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestIdentity is about machines that are not who they say they are.
func TestIdentity(t *testing.T) {
	parallelBusy(t)
	f := startFleet(t, rig.AgentOptions{})
	t.Run("another key", func(t *testing.T) { f.anotherKey(t) })
	t.Run("copied state folder", func(t *testing.T) { f.copied(t) })
	t.Run("older state folder", func(t *testing.T) { f.older(t) })
}

// anotherKey says hello with the host's id and a key of its own.
func (f fleet) anotherKey(t *testing.T) {
	for range 2 {
		if got := f.helloAs(t, f.host.HostID); got != nil {
			t.Errorf("a hello with another key was answered with %T", got)
		}
	}
	alerts := f.API.Alerts(t, f.host.HostID)
	if len(alerts) != 1 || alerts[0].Kind != "foreign_key" {
		t.Fatalf("alerts %+v, want one open row for both", alerts)
	}
	wantSays(t, alerts[0].Sentence, f.host.Name, "another key")
	f.wantAudit(t, string(f.host.HostID), "host.foreign_key")
	if !f.API.Host(t, f.host.HostID).Online {
		t.Error("the true host lost its session")
	}
	f.API.Do(t, http.StatusNoContent, http.MethodPost, "/alerts/"+alerts[0].ID+"/close", nil, nil)
}

// helloAs opens a session with a fresh key and gives the server's answer to the
// hello, nil for none.
func (f fleet) helloAs(t *testing.T, host job.HostID) any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, f.URL+api.SessionPath, nil)
	if err != nil {
		t.Fatalf("reach the server: %v", err)
	}
	defer func() { _ = conn.CloseNow() }()
	receive := func() any {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return nil
		}
		body, err := api.Decode(frame, api.Down)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	challenge, ok := receive().(*api.Challenge)
	if !ok {
		t.Fatal("the server sent no challenge")
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hello := api.Hello{Version: api.Version, Host: host, AgentKey: public, AgentNonce: make([]byte, api.NonceSize),
		JournalID: "J", Counter: 1 << 40, Unfinished: []job.ID{}, Clock: time.Now().UnixMilli()}
	hello.Proof = ed25519.Sign(key, api.AgentProof(*challenge, hello))
	frame, err := api.Encode(&hello)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(ctx, websocket.MessageText, frame); err != nil {
		t.Fatal(err)
	}
	return receive()
}

// copied starts a copy of a machine's disk while the machine is at work.
func (f fleet) copied(t *testing.T) {
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "home", LimitUploadKiB: 4 << 10,
		Includes: []string{f.host.WriteFiles(t, "home", 200, 64<<10)}})
	f.host.Stop()
	twin := f.host.Copy(t, "twin")
	f.host.Start(t)
	f.host.WaitOnline(t)
	created := f.API.BackUp(t, f.host.HostID, group.ID)
	f.waitAtWork(t, created.ID)
	twin.Start(t)

	f.waitHeld(t, 2)
	if host := f.API.Host(t, f.host.HostID); host.QuarantinedAt == nil {
		t.Error("the host is not quarantined")
	}
	f.wantAudit(t, string(f.host.HostID), "host.quarantined")
	alerts := f.API.Alerts(t, f.host.HostID)
	if len(alerts) != 1 || alerts[0].Kind != "clone" {
		t.Fatalf("alerts %+v, want the one of a clone", alerts)
	}
	refused, err := f.API.Ask(t.Context(), http.MethodPost, "/hosts/"+string(f.host.HostID)+"/jobs", map[string]any{"kind": "backup", "source_group_id": group.ID})
	if err != nil || refused.Status != http.StatusConflict {
		t.Fatalf("a job for a quarantined host: %d %v, want 409", refused.Status, err)
	}
	wantSays(t, refused.Detail(), "quarantined", "decide")
	visitor := f.SignIn(t)
	for _, page := range []string{"/", "/hosts/" + string(f.host.HostID)} {
		wantSays(t, visitor.Page(t, page), "use the identity of")
	}
	// The true one ends its work all the same, and keeps what it has to tell.
	waitNoChild(t, f.host)
	wait(t, "the agent to end the job", func() bool { return len(f.unfinished(t)) == 0 })
	if now := f.API.Job(t, created.ID); now.State != job.Running {
		t.Errorf("the job is %s: something was taken from a session that is held", now.State)
	}

	// Who is who shows when one of them is stopped.
	twin.Stop()
	f.waitHeld(t, 1)
	keep := "/hosts/" + string(f.host.HostID) + "/sessions/" + f.API.Sessions(t, f.host.HostID)[0].ID + "/keep"
	wantSays(t, visitor.Page(t, "/hosts/"+string(f.host.HostID)), `action="`+keep+`"`)
	visitor.Post(t, keep, nil)
	f.host.WaitOnline(t)
	f.API.WaitJob(t, created.ID, job.Succeeded)
	f.wantAudit(t, string(f.host.HostID), "host.session_kept")

	twin.Start(t)
	wait(t, "the copy to be held beside the true one", func() bool {
		sessions := f.API.Sessions(t, f.host.HostID)
		return len(sessions) == 2 && !sessions[0].Held && sessions[1].Held
	})
	f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, job.Succeeded)
	f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 2)
	if host := f.API.Host(t, f.host.HostID); !host.Online || host.QuarantinedAt != nil {
		t.Errorf("online %t, quarantined at %v: the copy harmed the true one", host.Online, host.QuarantinedAt)
	}
	if len(twin.Children(t)) > 0 {
		t.Error("the copy runs a job")
	}
	alerts = f.API.Alerts(t, f.host.HostID)
	if len(alerts) != 1 || alerts[0].Kind != "clone" {
		t.Fatalf("alerts %+v, want the one of the copy that still connects", alerts)
	}
	wantSays(t, alerts[0].Sentence, "a copy of "+f.host.Name)
}

// older puts a machine back to an image of yesterday.
func (f fleet) older(t *testing.T) {
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "image", Includes: []string{f.host.WriteFiles(t, "image", 20, 100)}})
	f.host.Stop()
	image := filepath.Join(rig.Dir(t), "image")
	copyFolder(t, f.host.StateDir, image)
	f.host.Start(t)
	f.host.WaitOnline(t)
	before := f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, job.Succeeded)
	f.host.Stop()
	if err := os.RemoveAll(f.host.StateDir); err != nil {
		t.Fatal(err)
	}
	copyFolder(t, image, f.host.StateDir)
	f.host.Start(t)

	f.waitHeld(t, 1)
	f.API.Do(t, http.StatusNoContent, http.MethodPost, "/hosts/"+string(f.host.HostID)+"/sessions/"+f.API.Sessions(t, f.host.HostID)[0].ID+"/keep", nil, nil)
	f.host.WaitOnline(t)
	f.API.WaitJob(t, f.API.BackUp(t, f.host.HostID, group.ID).ID, job.Succeeded)
	f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 2)
	if now := f.API.Job(t, before.ID); now.State != job.Succeeded || now.Summary == nil || now.Summary.SnapshotID != before.Summary.SnapshotID {
		t.Errorf("the job that the image does not know is %s with %+v", now.State, now.Summary)
	}
	for _, alert := range f.API.Alerts(t, f.host.HostID) {
		if alert.Kind != "clone" {
			t.Errorf("nothing was lost, but there is the alert %+v", alert)
		}
	}
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if output, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", from, err, output)
	}
}

// waitHeld waits until the host has so many sessions, all of them held.
func (f fleet) waitHeld(t *testing.T, count int) {
	t.Helper()
	wait(t, "the sessions to be held", func() bool {
		sessions := f.API.Sessions(t, f.host.HostID)
		return len(sessions) == count && !slices.ContainsFunc(sessions, func(s rig.Session) bool { return !s.Held })
	})
}

// TestRemovedHost removes a host while a job runs on it.
func TestRemovedHost(t *testing.T) {
	parallelBusy(t)
	f := startFleet(t, rig.AgentOptions{})
	access := f.Access(t, f.host.HostID)
	kept := filepath.Join(rig.Dir(t), "kept")
	copyFolder(t, f.host.StateDir, kept)
	if status := restServerSays(t, access); status != http.StatusOK {
		t.Fatalf("rest-server answers %d to the host's user, want 200", status)
	}
	created := f.API.BackUp(t, f.host.HostID, f.longBackup(t, "long").ID)
	f.waitAtWork(t, created.ID)
	f.API.RemoveHost(t, f.host.HostID)

	lost := f.API.WaitJob(t, created.ID, job.Lost)
	if lost.Cause != job.CauseHostRemoved {
		t.Errorf("cause %q, want %q", lost.Cause, job.CauseHostRemoved)
	}
	wantSays(t, lost.Error, "host was removed")
	f.wantEnded(t, "told that it was removed")
	if left := f.host.Children(t); len(left) > 0 {
		t.Errorf("the agent is gone and its processes %v go on", left)
	}
	wait(t, "the repository user to be refused", func() bool { return restServerSays(t, access) == http.StatusUnauthorized })
	removal := f.API.Jobs(t, f.box.HostID, "kind=provision")[0]
	f.API.WaitJob(t, removal.ID, job.Succeeded)
	for _, host := range f.API.Hosts(t) {
		if host.ID == f.host.HostID {
			t.Error("the removed host is still in the list")
		}
	}
	f.wantAudit(t, string(f.host.HostID), "host.removed")

	f.host.Start(t)
	f.wantEnded(t, "started again")
	// Neither does an older copy of its state bring it back.
	if err := os.RemoveAll(f.host.StateDir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(kept, f.host.StateDir); err != nil {
		t.Fatal(err)
	}
	f.host.Start(t)
	f.wantEnded(t, "started with an older state")
	if f.API.Host(t, f.host.HostID).Online {
		t.Error("the removed host is online")
	}
	refused, err := f.API.Ask(t.Context(), http.MethodPost, "/hosts/"+string(f.host.HostID)+"/jobs", map[string]any{"kind": "snapshots"})
	if err != nil || refused.Status != http.StatusConflict {
		t.Errorf("a job for a removed host: %d %v, want 409", refused.Status, err)
	}
}

// wantEnded waits for the agent to end by itself, and well: a service manager
// must not start it again and again.
func (f fleet) wantEnded(t *testing.T, when string) {
	t.Helper()
	select {
	case <-f.host.Ended():
		if err := f.host.Wait(); err != nil {
			t.Errorf("the agent, %s, ended with %v", when, err)
		}
	case <-time.After(testPatience):
		t.Fatalf("the agent, %s, goes on", when)
	}
}

// restServerSays asks for the repository's config with the host's credentials.
func restServerSays(t *testing.T, access api.Access) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodHead, access.URL[len("rest:"):]+"config", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(access.Username, access.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func (f fleet) wantAudit(t *testing.T, subject, action string) {
	t.Helper()
	if !slices.ContainsFunc(f.API.Audit(t, subject), func(entry rig.AuditEntry) bool { return entry.Action == action }) {
		t.Errorf("the audit table has no %s", action)
	}
}
