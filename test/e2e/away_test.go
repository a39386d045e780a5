//go:build unix

package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestDueWhileTheServerIsAway kills the server (-9) before a moment and brings it
// back after the agents have done by themselves what was due.
func TestDueWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	f := startFleet(t, rig.AgentOptions{})
	restarted, paused := f.addHost(t, "restarted", rig.AgentOptions{}), f.addHost(t, "paused", rig.AgentOptions{})
	hosts := []fleet{f, restarted, paused}
	cron, moments := nextMoments(1)
	moment := moments[0]
	groups, ids := make([]rig.Group, len(hosts)), make([]job.ID, len(hosts))
	for i, one := range hosts {
		groups[i] = one.smallGroup(t, "home")
		ids[i] = job.DueID(one.addSchedule(t, rig.Schedule{Cron: cron}, groups[i]).ID, groups[i].ID, moment)
	}
	until := moment.Add(30 * time.Second)
	f.API.AddPause(t, rig.Pause{Scope: "host", Subject: string(paused.host.HostID), Until: until, Reason: "moving house"})
	wait(t, "the agent to know of the pause", func() bool { return paused.status(t).PausedUntil.Equal(until) })
	if time.Now().After(moment) {
		t.Fatal("the machine was too slow to be ready before the moment")
	}

	f.Kill()
	waitClock(t, moment)
	for _, one := range hosts[:2] {
		waitLong(t, "the agent to hold what is due", func() bool { return one.holds(t, ids[slices.Index(hosts, one)]) })
	}
	restarted.host.Kill()
	again := time.Now()
	restarted.host.Start(t)
	wait(t, "the agent to hold the run again", func() bool { return restarted.holds(t, ids[1]) })
	for _, one := range hosts {
		one.waitIdle(t)
	}
	back := time.Now()
	f.Start(t)

	for i, began := range []time.Time{moment, again} {
		one := hosts[i]
		ran := one.waitRun(t, ids[i], job.Succeeded)
		switch {
		case ran.Origin != job.BySchedule || !ran.ScheduledAt.Equal(moment) || ran.Retry != 0 || ran.Cause != "":
			t.Errorf("%s: origin %q, moment %s, retry %d, cause %q", one.host.Name, ran.Origin, ran.ScheduledAt, ran.Retry, ran.Cause)
		case ran.StartedAt == nil || ran.FinishedAt == nil || ran.StartedAt.Before(began.Add(schedule.ServerPatience-time.Second)) || ran.FinishedAt.After(back):
			t.Errorf("%s: it ran from %v to %v; the agent had to wait from %s on, and the server was back at %s", one.host.Name, ran.StartedAt, ran.FinishedAt, began, back)
		case ran.LogLines == 0 || ran.Summary == nil || ran.Summary.FilesNew != 20:
			t.Errorf("%s: %d log lines and summary %+v", one.host.Name, ran.LogLines, ran.Summary)
		}
		checkLog(t, f.Server, ran.Job)
		one.wantOnly(t, groups[i], ids[i])
		one.wantSnapshots(t, f.Access(t, one.host.HostID), groups[i], 1)
		if shown := f.API.Snapshots(t, one.host.HostID); len(shown) != 1 || shown[0].JobID != ids[i] {
			t.Errorf("%s: the API shows the snapshots %+v, want the one of the run", one.host.Name, shown)
		}
	}
	skipped := paused.waitRun(t, ids[2], job.Skipped)
	if skipped.Cause != job.CausePaused || skipped.StartedAt != nil {
		t.Errorf("in a pause: cause %q, started %v", skipped.Cause, skipped.StartedAt)
	}
	wantSays(t, skipped.Error, "pause")
	paused.wantOnly(t, groups[2], ids[2])
	paused.wantSnapshots(t, f.Access(t, paused.host.HostID), groups[2], 0)
	for _, one := range hosts {
		if waiting := f.API.PendingRuns(t, one.host.HostID); len(waiting) > 0 {
			t.Errorf("%s: there still waits %+v", one.host.Name, waiting)
		}
	}
}

// TestNeitherServerNorRepository takes both away over a moment: the agent tries
// again by itself, and the server hears of each attempt.
func TestNeitherServerNorRepository(t *testing.T) {
	t.Parallel()
	f := startFleet(t, rig.AgentOptions{Policy: "first_contact: 2s\n"})
	group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: "home", Includes: []string{f.host.WriteFiles(t, "home", 20, 100)}, RetryBackoff: 2})
	cron, moments := nextMoments(1)
	root := job.DueID(f.addSchedule(t, rig.Schedule{Cron: cron}, group).ID, group.ID, moments[0])
	access := f.Access(t, f.host.HostID)
	f.Kill()
	f.box.StopRestServer()

	waitLong(t, "the agent to try again", func() bool {
		status := f.status(t)
		return slices.ContainsFunc(status.Held, func(held statusHeld) bool { return held.ID != root }) ||
			slices.ContainsFunc(status.Jobs, func(at statusJob) bool { return at.ID != root })
	})
	f.box.StartRestServer(t)
	f.waitIdle(t)
	if made := rig.SnapshotsInRepository(t, access); len(made) != 1 {
		t.Errorf("the repository holds %d snapshots, want one", len(made))
	}
	back := time.Now()
	f.Start(t)
	f.host.WaitOnline(t)

	chain := []job.ID{root}
	var last rig.Occurrence
	for last = f.waitRun(t, root, job.Failed, job.Succeeded); last.State == job.Failed; last = f.waitRun(t, chain[len(chain)-1], job.Failed, job.Succeeded) {
		if last.Trouble != job.TroubleUnreachable || last.Origin != job.BySchedule || !last.ScheduledAt.Equal(moments[0]) {
			t.Errorf("retry %d: trouble %q, origin %q, moment %s", last.Retry, last.Trouble, last.Origin, last.ScheduledAt)
		}
		chain = append(chain, retryOf(t, root, len(chain)))
	}
	if last.Retry < 1 || last.Retry != len(chain)-1 || last.RootID != root || last.FinishedAt.After(back) {
		t.Errorf("retry %d of %s ended well at %s, want a retry before %s", last.Retry, last.RootID, last.FinishedAt, back)
	}
	f.wantOnly(t, group, chain...)
	f.wantSnapshots(t, access, group, 1)
	if waiting := f.API.PendingRuns(t, f.host.HostID); len(waiting) > 0 {
		t.Errorf("there still waits %+v", waiting)
	}
	f.wantNoRemains(t, f.host)
}
