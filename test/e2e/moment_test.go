//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// Cron counts in minutes, so tests of schedules wait for some. Such a test is
// parallel to all others, since it hardly works meanwhile.

// busy has a place for each test that works, rather than waits, at once.
var busy = make(chan struct{}, 4)

// parallelBusy is t.Parallel for a test that works.
func parallelBusy(t *testing.T) {
	t.Helper()
	t.Parallel()
	busy <- struct{}{}
	t.Cleanup(func() { <-busy })
}

// momentPatience is for what follows a moment that agents begin alone: their
// patience with the server, a start that settles, the next tick.
const momentPatience = 150 * time.Second

func waitLong(t *testing.T, name string, condition func() bool) {
	t.Helper()
	testkit.WaitFor(t, momentPatience, name, condition)
}

// waitClock waits for a moment of the wall clock.
func waitClock(t *testing.T, moment time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(moment)):
	case <-t.Context().Done():
	}
}

// everyMinute is a rule that gives a test the most moments.
const everyMinute = "* * * * *"

// setUpTime is what a test may need between the choice of a moment and the moment.
const setUpTime = 8 * time.Second

// nextMoments gives the next count full minutes, the first one no sooner than in
// setUpTime, and a rule that is due at them and not again within the hour.
func nextMoments(count int) (cron string, moments []time.Time) {
	first := time.Now().UTC().Add(setUpTime).Truncate(time.Minute).Add(time.Minute)
	minutes := []string{}
	for i := range count {
		moment := first.Add(time.Duration(i) * time.Minute)
		moments = append(moments, moment)
		minutes = append(minutes, fmt.Sprint(moment.Minute()))
	}
	return strings.Join(minutes, ",") + " * * * *", moments
}

// with is the same fleet seen from another of its hosts.
func (f fleet) with(host *rig.Agent) fleet {
	f.host = host
	return f
}

// addHost adds an endpoint to the fleet.
func (f fleet) addHost(t *testing.T, name string, options rig.AgentOptions) fleet {
	t.Helper()
	return f.with(rig.StartEndpoint(t, f.Server, f.box, name, options))
}

// addSchedule adds a schedule without any jitter and waits until the agent has it
// in its plan.
func (f fleet) addSchedule(t *testing.T, wanted rig.Schedule, groups ...rig.Group) rig.ShownSchedule {
	t.Helper()
	none := 0
	wanted.TimeZone, wanted.JitterSeconds = "UTC", &none
	for _, group := range groups {
		wanted.Groups = append(wanted.Groups, group.ID)
	}
	made := f.API.AddSchedule(t, f.host.HostID, wanted)
	wait(t, "the agent of "+f.host.Name+" to have the schedule", func() bool {
		return slices.ContainsFunc(f.status(t).Next, func(next statusMoment) bool { return next.Schedule == made.ID })
	})
	return made
}

// agentStatus is what an agent says of itself on its own machine.
type agentStatus struct {
	Jobs        []statusJob    `json:"jobs"`
	Held        []statusHeld   `json:"held"`
	Next        []statusMoment `json:"next"`
	PausedUntil time.Time      `json:"paused_until"`
}

type statusJob struct {
	ID job.ID `json:"id"`
}

type statusHeld struct {
	ID job.ID `json:"id"`
}

type statusMoment struct {
	Schedule job.ScheduleID `json:"schedule_id"`
}

func (f fleet) status(t *testing.T) (status agentStatus) {
	t.Helper()
	// The exit code only says that there is no contact.
	output, _ := f.host.Command("status", "--json").Output()
	if err := json.Unmarshal(output, &status); err != nil {
		t.Fatalf("read the agent's status: %v in %q", err, output)
	}
	return status
}

// holds tells whether the agent holds a run that is due.
func (f fleet) holds(t *testing.T, id job.ID) bool {
	t.Helper()
	return slices.ContainsFunc(f.status(t).Held, func(held statusHeld) bool { return held.ID == id })
}

// waitIdle waits until the agent neither holds a run nor has one at work.
func (f fleet) waitIdle(t *testing.T) {
	t.Helper()
	waitLong(t, "the agent of "+f.host.Name+" to have done all that is due", func() bool {
		status := f.status(t)
		return len(status.Held)+len(status.Jobs) == 0
	})
}

// run gives a run with all that is known of it; false is that there is none yet.
func (f fleet) run(t *testing.T, id job.ID) (found rig.Occurrence, ok bool) {
	t.Helper()
	answer, err := f.API.Ask(t.Context(), http.MethodGet, "/jobs/"+string(id), nil)
	if err != nil {
		t.Fatalf("ask for job %s: %v", id, err)
	}
	if answer.Status == http.StatusNotFound {
		return found, false
	}
	if err := json.Unmarshal(answer.Body, &found); err != nil || answer.Status != http.StatusOK {
		t.Fatalf("ask for job %s: %d %v in %s", id, answer.Status, err, answer.Body)
	}
	return found, true
}

// waitRun waits until there is the run, in one of the states. A run that ended
// otherwise fails the test.
func (f fleet) waitRun(t *testing.T, id job.ID, states ...job.State) (found rig.Occurrence) {
	t.Helper()
	waitLong(t, fmt.Sprintf("run %s of %s to be %v", id, f.host.Name, states), func() (ok bool) {
		if found, ok = f.run(t, id); !ok || slices.Contains(states, found.State) {
			return ok
		}
		if found.State.Ended() {
			t.Fatalf("run %s of %s is %s (cause %q), want %v; it says %q\n%s", id, f.host.Name, found.State, found.Cause, states, found.Error, f.API.Log(t, id))
		}
		return false
	})
	return found
}

// waitPending waits until the run waits for the reason that is named.
func (f fleet) waitPending(t *testing.T, id job.ID, reason string) (found rig.PendingRun) {
	t.Helper()
	waitLong(t, "run "+string(id)+" to wait: "+reason, func() bool {
		for _, pending := range f.API.PendingRuns(t, f.host.HostID) {
			if pending.ID == id {
				found = pending
			}
		}
		return found.Reason == reason
	})
	return found
}

// occurrences are the runs of a group that schedules asked for, newest first.
func (f fleet) occurrences(t *testing.T, group rig.Group) []rig.Occurrence {
	t.Helper()
	return f.API.Occurrences(t, url.Values{"source_group_id": {string(group.ID)}})
}

// wantOnly wants the schedule to have asked for these runs of a group and no
// others.
func (f fleet) wantOnly(t *testing.T, group rig.Group, ids ...job.ID) {
	t.Helper()
	found := []job.ID{}
	for _, one := range f.occurrences(t, group) {
		found = append(found, one.ID)
	}
	slices.Sort(found)
	slices.Sort(ids)
	if !slices.Equal(found, ids) {
		t.Errorf("the runs of %s are %v, want %v", group.Name, found, ids)
	}
}

// retryOf is the nth retry of a run.
func retryOf(t *testing.T, root job.ID, n int) job.ID {
	t.Helper()
	id, err := job.RetryID(root, n)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// auditOf gives the first audit entry of an action about a job, with its reason.
func (f fleet) auditOf(t *testing.T, id job.ID, action string) (reason string) {
	t.Helper()
	var found struct {
		Items []struct {
			Action, Actor string
			Detail        struct {
				Reason string `json:"reason"`
			}
		} `json:"items"`
	}
	f.API.Do(t, http.StatusOK, http.MethodGet, "/audit?subject="+string(id), nil, &found)
	for _, entry := range found.Items {
		if entry.Action == action {
			return entry.Detail.Reason
		}
	}
	t.Errorf("the audit table has no %s of %s, only %+v", action, id, found.Items)
	return ""
}

// smallGroup adds a group whose backup takes a moment.
func (f fleet) smallGroup(t *testing.T, name string) rig.Group {
	t.Helper()
	return f.API.AddGroup(t, f.host.HostID, rig.Group{Name: name, Includes: []string{f.host.WriteFiles(t, name, 20, 100)}})
}

// slowGroup adds a group whose first backup takes about so many seconds.
func (f fleet) slowGroup(t *testing.T, name string, seconds int) rig.Group {
	t.Helper()
	return f.API.AddGroup(t, f.host.HostID, rig.Group{Name: name, LimitUploadKiB: 512, RetryBackoff: 1,
		Includes: []string{f.host.WriteFiles(t, name, 8*seconds, 64<<10)}})
}
