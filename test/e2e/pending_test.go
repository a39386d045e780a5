//go:build unix

package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestPendingRuns lets many runs wait behind one long backup, and takes away what
// each of them is for.
func TestPendingRuns(t *testing.T) {
	t.Parallel()
	f := startFleet(t, rig.AgentOptions{})
	removed := f.addHost(t, "removed", rig.AgentOptions{})
	t.Run("what can't be is refused", func(t *testing.T) { f.refusesSchedules(t) })

	// Each name is what becomes of its run.
	const disabled, gone, taken, groupGone, dropped, hurried, paused = "disabled", "removed", "taken out", "group removed", "dropped", "hurried", "paused"
	names := []string{disabled, gone, taken, groupGone, dropped, hurried, paused}
	groups, schedules, ids := map[string]rig.Group{}, map[string]rig.ShownSchedule{}, map[string]job.ID{}
	company := f.smallGroup(t, "company") // a schedule has at least one group
	for _, name := range names {
		groups[name] = f.smallGroup(t, name)
	}
	other := removed.smallGroup(t, "home")
	long := []rig.Job{
		f.API.BackUp(t, f.host.HostID, f.slowGroup(t, "long", 600).ID),
		f.API.BackUp(t, removed.host.HostID, removed.slowGroup(t, "long", 600).ID),
	}
	cron, moments := nextMoments(1)
	for _, together := range [][]string{{disabled}, {gone}, {taken}, {groupGone, dropped}, {hurried, paused}} {
		var of []rig.Group
		for _, name := range together {
			of = append(of, groups[name])
		}
		if together[0] == taken {
			of = append(of, company)
		}
		made := f.addSchedule(t, rig.Schedule{Name: together[0], Cron: cron}, of...)
		for _, name := range together {
			schedules[name], ids[name] = made, job.DueID(made.ID, groups[name].ID, moments[0])
		}
	}
	lonely := job.DueID(removed.addSchedule(t, rig.Schedule{Cron: cron}, other).ID, other.ID, moments[0])
	for _, name := range names {
		waiting := f.waitPending(t, ids[name], "repository_busy")
		if waiting.Blocker != long[0].ID || waiting.Attempt != 0 {
			t.Errorf("%s waits for job %q with %d attempts used up, want %s and none", name, waiting.Blocker, waiting.Attempt, long[0].ID)
		}
	}
	removed.waitPending(t, lonely, "repository_busy")

	f.API.EnableSchedule(t, schedules[disabled], false)
	f.API.RemoveSchedule(t, schedules[gone].ID)
	change := schedules[taken]
	change.Groups = []job.GroupID{company.ID}
	f.API.ChangeSchedule(t, change)
	f.wantGroupInUse(t, groups[disabled], schedules[disabled])
	f.API.RemoveGroup(t, groups[groupGone].ID)
	f.API.DropPending(t, ids[dropped])
	f.API.RemoveHost(t, removed.host.HostID)

	for _, one := range []struct {
		id          job.ID
		reason, say string
	}{
		{ids[disabled], "schedule_disabled", "was disabled"},
		{ids[gone], "schedule_gone", "was removed"},
		{ids[taken], "source_group_left_schedule", "taken out"},
		{ids[groupGone], "source_group_gone", "source group was removed"},
		{lonely, "host_removed", "host was removed"},
	} {
		run := f.waitRun(t, one.id, job.Skipped)
		if run.Cause != job.CauseAbandoned || run.StartedAt != nil {
			t.Errorf("%s: cause %q, started %v", one.reason, run.Cause, run.StartedAt)
		}
		wantSays(t, run.Error, one.say)
		if reason := f.auditOf(t, one.id, "pending_run.abandoned"); reason != one.reason {
			t.Errorf("the audit table gives the reason %q, want %q", reason, one.reason)
		}
	}
	if run := f.waitRun(t, ids[dropped], job.Skipped); run.Cause != job.CauseDropped {
		t.Errorf("dropped: cause %q", run.Cause)
	}
	f.auditOf(t, ids[dropped], "pending_run.dropped")

	// What waits in a pause goes when it ends, by itself; what a person hurries goes
	// at once.
	until := time.Now().Add(12 * time.Second).Truncate(time.Second)
	f.API.AddPause(t, rig.Pause{Scope: "fleet", Until: until})
	f.API.Cancel(t, long[0].ID)
	f.API.WaitJob(t, long[0].ID, job.Cancelled)
	waiting := f.waitPending(t, ids[paused], "paused")
	if waiting.Until == nil || !waiting.Until.Equal(until) {
		t.Errorf("it waits until %v, want the end of the pause at %s", waiting.Until, until)
	}
	f.API.RunPending(t, ids[hurried])
	if ran := f.waitRun(t, ids[hurried], job.Succeeded); ran.StartedAt.After(until) {
		t.Errorf("what was hurried began only at %s", ran.StartedAt)
	}
	ran := f.waitRun(t, ids[paused], job.Succeeded)
	if ran.StartedAt.Before(until) || ran.Attempt != 0 {
		t.Errorf("it began at %s with %d attempts used up, in a pause until %s", ran.StartedAt, ran.Attempt, until)
	}
	if left := f.API.Pauses(t); len(left) > 0 {
		t.Errorf("there still hold the pauses %+v", left)
	}
	f.waitIdle(t)
	access := f.Access(t, f.host.HostID)
	for _, name := range names {
		count := 0
		if name == hurried || name == paused {
			count = 1
		}
		f.wantOnly(t, groups[name], ids[name])
		f.wantSnapshots(t, access, groups[name], count)
	}
	f.wantNoRemains(t, f.host)
}

// wantGroupInUse wants the removal of a group refused, since a schedule has no
// other.
func (f fleet) wantGroupInUse(t *testing.T, group rig.Group, user rig.ShownSchedule) {
	t.Helper()
	refused, err := f.API.Ask(t.Context(), http.MethodDelete, "/source-groups/"+string(group.ID), nil)
	if err != nil || refused.Status != http.StatusConflict {
		t.Fatalf("removal of a group that a schedule uses: %d %v, want 409", refused.Status, err)
	}
	wantSays(t, refused.Detail(), group.Name, user.Name, "remove them or give them another")
}

// refusesSchedules asks for what can't be. Each refusal names its field.
func (f fleet) refusesSchedules(t *testing.T) {
	group := f.smallGroup(t, "refused")
	of := []job.GroupID{group.ID}
	path := "/hosts/" + string(f.host.HostID)
	for _, one := range []struct {
		path, field string
		body        any
	}{
		{"/source-groups", "includes", rig.Group{Name: "no paths", Includes: []string{}}},
		{"/source-groups", "includes", rig.Group{Name: "half a path", Includes: []string{"home"}}},
		{"/source-groups", "name", rig.Group{Name: " ", Includes: []string{"/home"}}},
		{"/source-groups", "retry_max", rig.Group{Name: "endless", Includes: []string{"/home"}, RetryMax: 1000}},
		{"/schedules", "source_group_ids", rig.Schedule{Cron: "@daily", TimeZone: "UTC", Groups: []job.GroupID{}}},
		{"/schedules", "source_group_ids", rig.Schedule{Cron: "@daily", TimeZone: "UTC", Groups: []job.GroupID{"another"}}},
		{"/schedules", "cron", rig.Schedule{Cron: "61 * * * *", TimeZone: "UTC", Groups: of}},
		{"/schedules", "cron", rig.Schedule{Cron: "at night", TimeZone: "UTC", Groups: of}},
		{"/schedules", "cron", rig.Schedule{Cron: "", TimeZone: "UTC", Groups: of}},
		{"/schedules", "time_zone", rig.Schedule{Cron: "@daily", TimeZone: "Europe/Atlantis", Groups: of}},
		{"/schedules", "time_zone", rig.Schedule{Cron: "@daily", TimeZone: "", Groups: of}},
		{"/schedules", "missed_policy", rig.Schedule{Cron: "@daily", TimeZone: "UTC", Missed: "perhaps", Groups: of}},
	} {
		refused, err := f.API.Ask(t.Context(), http.MethodPost, path+one.path, one.body)
		if err != nil {
			t.Fatal(err)
		}
		var problem struct {
			Errors []struct{ Field, Message string }
		}
		if err := json.Unmarshal(refused.Body, &problem); err != nil || refused.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s %+v: %d %v, want 422: %s", one.path, one.body, refused.Status, err, refused.Body)
			continue
		}
		if !slices.ContainsFunc(problem.Errors, func(e struct{ Field, Message string }) bool { return e.Field == one.field && e.Message != "" }) {
			t.Errorf("%s %+v: the refusal names %+v, want %s", one.path, one.body, problem.Errors, one.field)
		}
	}
	if made := f.API.Schedules(t, f.host.HostID); len(made) > 0 {
		t.Errorf("there are the schedules %+v", made)
	}
}
