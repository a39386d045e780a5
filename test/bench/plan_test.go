//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// What the design calls a large plan.
const (
	planSchedules = 50
	planGroups    = 200
)

// plan measures how soon a real agent follows a change of a large plan, and what
// it costs it to have one.
func (f *figures) plan(t testing.TB) {
	t.Helper()
	server := rig.StartServer(t, rig.ServerOptions{})
	box := rig.StartStorageBox(t, server)
	endpoint := rig.StartEndpoint(t, server, box, "endpoint", rig.AgentOptions{})
	groups := []job.GroupID{server.API.Groups(t, endpoint.HostID)[0].ID} // there is one from the start
	for len(groups) < planGroups {
		name := fmt.Sprintf("group-%03d", len(groups))
		groups = append(groups, server.API.AddGroup(t, endpoint.HostID, rig.Group{Name: name, Includes: []string{"/srv/" + name}}).ID)
	}
	// None of them is due while it is measured.
	hour := time.Now().UTC().Add(12 * time.Hour).Hour()
	var last rig.ShownSchedule
	for i := range planSchedules {
		last = server.API.AddSchedule(t, endpoint.HostID, rig.Schedule{Cron: fmt.Sprintf("%d %d * * *", i, hour), TimeZone: "UTC", Groups: groups})
	}
	testkit.WaitFor(t, 30*time.Second, "the agent to have the plan", func() bool {
		return plansTaken(t, endpoint, fmt.Sprintf("groups=%d schedules=%d", planGroups, planSchedules)) > 0
	})

	var waits, answers samples
	for range 30 {
		before := plansTaken(t, endpoint, "")
		jitter := *last.JitterSeconds + 1
		last.JitterSeconds = &jitter
		asked := time.Now()
		last = server.API.ChangeSchedule(t, last)
		answers = append(answers, time.Since(asked))
		testkit.WaitFor(t, 30*time.Second, "the agent to take the plan", func() bool { return plansTaken(t, endpoint, "") > before })
		waits = append(waits, time.Since(asked))
	}
	what := fmt.Sprintf("plan of %d schedules, each for %d groups: ", planSchedules, planGroups)
	f.add(what+"change asked → taken by the agent", waits.spread(), "< 1 s", fmt.Sprintf("on its disk and in force; the API had answered after p50 %s", ms(answers.at(50))))

	pause(t, time.Second)
	const during = time.Minute
	part := shares(t, during, endpoint.Pid)[0]
	held := memoryOf(t, endpoint.Pid)
	f.add(what+"agent, idle: processor", percent(part), "≤ 0.1 %", "of one core, over "+seconds(during))
	f.add(what+"agent, idle: memory", mib(held.resident), "≤ 25 MiB", mib(held.own)+" of it its own; peak "+mib(held.peak))
	endpoint.Stop()
	box.Stop()
	server.Stop()
}

// plansTaken counts the plans that an agent's log says it took, of those whose
// line holds a text.
func plansTaken(t testing.TB, agent *rig.Agent, with string) (count int) {
	t.Helper()
	text, err := os.ReadFile(agent.LogPath)
	if err != nil {
		t.Fatalf("read the log of an agent: %v", err)
	}
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(`msg="plan taken"`)) && bytes.Contains(line, []byte(with)) {
			count++
		}
	}
	return count
}
