//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// lightOnes is how many light agents a small fleet has, beside the two real ones.
const lightOnes = 50

// smallFleet is a server on SQLite with a storage box, one endpoint with a
// restic that nobody else uses, and light agents.
type smallFleet struct {
	server   *rig.Server
	box      *rig.StorageBox
	endpoint *rig.Agent
	restic   string // the endpoint's own copy
	sources  string // folder of the many small files
	watched  *executions
	bare     command // as the agent calls restic, once that was learned
	crowd    *crowd
}

func (f *figures) sizes(t testing.TB, programs rig.Programs) {
	t.Helper()
	for _, program := range []struct{ what, path, design string }{
		{"agent, program file", programs.Agent, "≤ 15 MiB"},
		{"server, program file", programs.Server, ""},
	} {
		info, err := os.Stat(program.path)
		if err != nil {
			t.Fatal(err)
		}
		f.add(program.what, mib(info.Size()), program.design, "stripped, static")
	}
}

func startSmall(t testing.TB, table *figures) *smallFleet {
	t.Helper()
	s := &smallFleet{server: rig.StartServer(t, rig.ServerOptions{})}
	s.box = rig.StartStorageBox(t, s.server)

	s.endpoint = rig.NewAgent(t, s.server, "endpoint", rig.AgentOptions{})
	home := filepath.Dir(s.endpoint.StateDir)
	s.restic = filepath.Join(home, "restic")
	copyFile(t, testkit.Restic(t), s.restic)
	if err := os.WriteFile(filepath.Join(home, "policy.yaml"), fmt.Appendf(nil, "restic: %q\n", s.restic), 0o644); err != nil {
		t.Fatal(err)
	}
	s.endpoint.Enrol(t, rig.Invitation{Name: "endpoint", Storage: s.box.HostID})
	s.endpoint.Start(t)
	testkit.WaitFor(t, 30*time.Second, "the repository", func() bool { return s.server.API.Repository(t, s.endpoint.HostID).Ready })
	s.watched = watchProgram(t, s.restic)
	s.sources = inMemory(t)

	db := openStore(t, s.server)
	hosts := seedHosts(t, db, lightOnes)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	health, page := startTimes(t, s.server, 7)
	table.add("server, start to first 200", health.spread(), "≤ 100 ms", fmt.Sprintf("of /healthz; of the sign-in page p50 %s", ms(page.at(50))))
	s.crowd = startCrowd(t, s.server.URL, hosts, nil)
	s.crowd.await(t, time.Time{})
	s.box.WaitOnline(t)
	s.endpoint.WaitOnline(t)
	return s
}

// startTimes restarts the server some times and leaves it running. It measures
// from the start of the process to the first answers.
func startTimes(t testing.TB, server *rig.Server, times int) (health, page samples) {
	t.Helper()
	for range times {
		server.Stop()
		answered := make(chan firstAnswer, 1)
		began := time.Now()
		go func() { answered <- firstOK(server.URL+"/healthz", server.URL+"/sign-in") }()
		server.Launch(t)
		first := <-answered
		if first.err != nil {
			t.Fatalf("wait for the server: %v", first.err)
		}
		health, page = append(health, first.at[0].Sub(began)), append(page, first.at[1].Sub(began))
	}
	return health, page
}

// firstAnswer is when each of some addresses was first answered with 200.
type firstAnswer struct {
	at  []time.Time
	err error
}

// firstOK asks every millisecond until it is answered with 200, at one address
// after the other.
func firstOK(addresses ...string) (first firstAnswer) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(30 * time.Second)
	for _, address := range addresses {
		for {
			response, err := http.Get(address)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				err = errors.Join(err, response.Body.Close())
				if response.StatusCode == http.StatusOK {
					break
				}
				err = errors.Join(err, errors.New(response.Status))
			}
			if time.Now().After(deadline) {
				return firstAnswer{err: fmt.Errorf("%s: %w", address, err)}
			}
			<-ticker.C
		}
		first.at = append(first.at, time.Now())
	}
	return first
}

// idleFor is how long programs are watched while nothing is to be done.
const idleFor = 20 * time.Second

func (s *smallFleet) idle(t testing.TB, table *figures) {
	t.Helper()
	pause(t, time.Second) // for what the connecting left to do
	parts := shares(t, idleFor, s.endpoint.Pid, s.server.Pid)
	agent, server := memoryOf(t, s.endpoint.Pid), memoryOf(t, s.server.Pid)
	table.add("agent, idle: memory", mib(agent.resident), "≤ 25 MiB", mib(agent.own)+" of it its own, the rest pages of the program file")
	table.add("agent, idle: processor", percent(parts[0]), "≤ 0.1 %", "of one core, over "+seconds(idleFor))
	table.add("server, idle with 50 hosts: memory", mib(server.resident), "≤ 60 MiB", mib(server.own)+" of it its own, the rest pages of the program file")
	table.add("server, idle with 50 hosts: processor", percent(parts[1]), "", "of one core, over "+seconds(idleFor))
}

func percent(part float64) string { return fmt.Sprintf("%.2f %%", part) }

// wrongLogins lets 30 strangers sign in at once, each from an address of its
// own so that the throttle lets the passwords be hashed.
func (s *smallFleet) wrongLogins(t testing.TB, table *figures) {
	t.Helper()
	const strangers = 30
	answers := make([]string, strangers)
	var running sync.WaitGroup
	began := time.Now()
	for i := range strangers {
		running.Go(func() {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}}
			transport := &http.Transport{DialContext: dialer.DialContext}
			defer transport.CloseIdleConnections()
			client := http.Client{Transport: transport, Timeout: time.Minute}
			response, err := client.PostForm(s.server.URL+"/sign-in", url.Values{"username": {fmt.Sprint("stranger-", i)}, "password": {"not the password"}})
			if err != nil {
				answers[i] = err.Error()
				return
			}
			_ = response.Body.Close()
			answers[i] = response.Status
		})
	}
	running.Wait()
	took := time.Since(began)
	refused := 0
	for _, answer := range answers {
		if strings.HasPrefix(answer, "401 ") {
			refused++
		}
	}
	at := memoryOf(t, s.server.Pid)
	pause(t, 5*time.Second)
	later := memoryOf(t, s.server.Pid)
	table.add("server after 30 wrong logins at once: memory", mib(at.resident), "≤ 160 MiB",
		fmt.Sprintf("peak %s, 5 s later %s; %d refused after hashing, in %s", mib(at.peak), mib(later.resident), refused, seconds(took)))
}

// restart shows how soon all are back when the server is restarted.
func (s *smallFleet) restart(t testing.TB, table *figures) {
	t.Helper()
	before := memoryOf(t, s.endpoint.Pid)
	table.add("agent after all of these backups: memory", mib(before.resident), "≤ 25 MiB", mib(before.own)+" of it its own; peak "+mib(before.peak))
	began := time.Now()
	s.server.Stop()
	stopped := time.Since(began)
	s.server.Launch(t)
	table.backAfter(t, s.crowd, began, stopped)
}

// backAfter waits until all agents are back after a restart, and says how long
// it took them.
func (f *figures) backAfter(t testing.TB, c *crowd, began time.Time, stopped time.Duration) {
	t.Helper()
	waits := c.await(t, began.Add(stopped))
	for i := range waits {
		waits[i] += stopped
	}
	f.add(fmt.Sprintf("%d agents back after a server restart", len(c.agents)), fmt.Sprintf("p50 %s, p99 %s", seconds(waits.at(50)), seconds(waits.at(99))),
		"≤ 60 s p99 (10,000)", fmt.Sprintf("from the wish to stop; the server had ended after %s", ms(stopped)))
}

// end stops the fleet, so that it takes nothing from what is measured next.
func (s *smallFleet) end() {
	s.crowd.stop()
	s.endpoint.Stop()
	s.box.Stop()
	s.server.Stop()
}

// events opens the stream of a job's events.
func (s *smallFleet) events(ctx context.Context, id job.ID) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+"/api/v1/jobs/"+string(id)+"/events", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.server.API.Token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the events of %s were answered %s", id, response.Status), response.Body.Close())
	}
	return response.Body, nil
}

// inMemory makes a folder for files to save. Where the system has one it is in
// memory, so that making the files leaves the disk alone.
func inMemory(t testing.TB) string {
	t.Helper()
	const shared = "/dev/shm"
	parent := shared
	if _, err := os.Stat(shared); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "rm-bench-") //nolint:usetesting // it must be in memory, where t.TempDir may not be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "many")
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o755); err != nil {
		t.Fatal(err)
	}
}
