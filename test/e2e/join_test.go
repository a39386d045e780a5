//go:build unix

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/internal/agent"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestAgentsStartBeforeServer starts an enrolment, and an agent that is enrolled
// already, while their server is away.
func TestAgentsStartBeforeServer(t *testing.T) {
	parallelBusy(t)
	s := rig.StartServer(t, rig.ServerOptions{})
	known := rig.NewAgent(t, s, "known", rig.AgentOptions{})
	known.Enrol(t, rig.Invitation{Name: known.Name})
	fresh := rig.NewAgent(t, s, "fresh", rig.AgentOptions{})
	invitation := s.API.Invite(t, rig.Invitation{Name: fresh.Name})
	s.Stop()

	known.Start(t)
	complaints := &strings.Builder{} // written by one goroutine, read after the end
	enrol := fresh.Command("enroll", "--server", s.URL)
	enrol.Stdin, enrol.Stderr = strings.NewReader(invitation.Token), complaints
	joining := testkit.Start(t, enrol)
	wait(t, "the agent to miss its server", func() bool { return strings.Contains(known.Log(t), "no session with the server") })

	s.Start(t)
	known.WaitOnline(t)
	if err := joining.Wait(); err != nil {
		t.Fatalf("the enrolment that began first failed: %v\n%s", err, complaints)
	}
	wantSays(t, complaints.String(), "not reachable yet, trying again")
	fresh.HostID = s.API.Enrollment(t, invitation.ID).HostID
	fresh.Start(t)
	fresh.WaitOnline(t)
}

// manyAgents come at once from one address.
const manyAgents = 30

// TestManyAgentsJoinAtOnce runs the agents inside this process, which is lighter,
// against the real server.
func TestManyAgentsJoinAtOnce(t *testing.T) {
	parallelBusy(t)
	s := rig.StartServer(t, rig.ServerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	dir := rig.Dir(t)
	var joining, working errgroup.Group
	agents := make(chan *agent.Agent, manyAgents)
	for i := range manyAgents {
		name := fmt.Sprintf("host-%02d", i)
		options := agent.Options{Dir: filepath.Join(dir, name), PolicyFile: filepath.Join(dir, "no-policy.yaml"), Log: log}
		token := s.API.Invite(t, rig.Invitation{Name: name}).Token
		joining.Go(func() error {
			if _, err := agent.Enrol(ctx, options, agent.EnrolOptions{Server: s.URL, Token: token}); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			joined, err := agent.New(options)
			agents <- joined
			return err
		})
	}
	begun := time.Now()
	if err := joining.Wait(); err != nil {
		t.Fatal(err)
	}
	close(agents)
	t.Logf("%d agents enrolled in %s", manyAgents, time.Since(begun).Round(time.Millisecond))
	running, stop := context.WithCancel(t.Context())
	for joined := range agents {
		working.Go(func() error { return joined.Run(running) })
	}
	online := map[job.HostID]bool{}
	wait(t, "all to be online", func() bool {
		for _, host := range s.API.Hosts(t) {
			if host.Online {
				online[host.ID] = true
			}
		}
		return len(online) == manyAgents
	})
	t.Logf("all were online after %s", time.Since(begun).Round(time.Millisecond))

	// They all come back by themselves when the server does.
	s.Kill()
	s.Start(t)
	wait(t, "all to be back", func() bool {
		back := 0
		for _, host := range s.API.Hosts(t) {
			if host.Online {
				back++
			}
		}
		return back == manyAgents
	})
	stop()
	if err := working.Wait(); err != nil {
		t.Errorf("an agent ended badly: %v", err)
	}
}
