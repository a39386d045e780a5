//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestServerKilledDuringScheduledBackups kills the server (-9) while two scheduled
// backups are at work. The one ends while it is away, the other one after.
func TestServerKilledDuringScheduledBackups(t *testing.T) {
	t.Parallel()
	early := startFleet(t, rig.AgentOptions{})
	late := early.addHost(t, "late", rig.AgentOptions{})
	groups := []rig.Group{early.slowGroup(t, "home", 10), late.slowGroup(t, "home", 40)}
	cron, moments := nextMoments(1)
	ids := make([]job.ID, 2)
	for i, one := range []fleet{early, late} {
		ids[i] = job.DueID(one.addSchedule(t, rig.Schedule{Cron: cron}, groups[i]).ID, groups[i].ID, moments[0])
	}
	for i, one := range []fleet{early, late} {
		one.waitRun(t, ids[i], job.Running)
		one.waitAtWork(t, ids[i])
	}
	early.Kill()
	early.waitIdle(t)
	back := time.Now()
	early.Start(t)
	if len(late.host.Children(t)) == 0 {
		t.Error("the second backup was over too soon: nothing was proved")
	}
	for i, one := range []fleet{early, late} {
		done := one.waitRun(t, ids[i], job.Succeeded)
		if done.Origin != job.BySchedule || done.Retry != 0 || done.Attempt != 0 || done.Cause != "" {
			t.Errorf("%s: origin %q, retry %d, attempt %d, cause %q", one.host.Name, done.Origin, done.Retry, done.Attempt, done.Cause)
		}
		if before := done.FinishedAt.Before(back); before != (one.host == early.host) {
			t.Errorf("%s ended at %s, the server was back at %s", one.host.Name, done.FinishedAt, back)
		}
		checkLog(t, one.Server, done.Job)
		one.wantOnly(t, groups[i], ids[i])
		one.wantSnapshots(t, one.Access(t, one.host.HostID), groups[i], 1)
		one.wantNoRemains(t, one.host)
	}
}

// TestAgentCutOffDuringScheduledBackup kills the agent (-9) in a scheduled backup
// and stops it politely in the retry: the second retry does the work.
func TestAgentCutOffDuringScheduledBackup(t *testing.T) {
	t.Parallel()
	f := startFleet(t, rig.AgentOptions{})
	group := f.slowGroup(t, "home", 15)
	cron, moments := nextMoments(1)
	root := job.DueID(f.addSchedule(t, rig.Schedule{Cron: cron}, group).ID, group.ID, moments[0])
	first, second := retryOf(t, root, 1), retryOf(t, root, 2)

	f.waitRun(t, root, job.Running)
	f.waitAtWork(t, root)
	f.host.Kill()
	f.host.Start(t)
	lost := f.waitRun(t, root, job.Lost)
	if lost.Cause != job.CauseRestarted {
		t.Errorf("killed: cause %q, want %q", lost.Cause, job.CauseRestarted)
	}
	wantSays(t, lost.Error, "agent was restarted", "no snapshot")

	f.waitRun(t, first, job.Running)
	f.waitAtWork(t, first)
	f.host.Stop()
	stopped := f.waitRun(t, first, job.Cancelled)
	if stopped.Cause != job.CauseAgentStopped || stopped.Retry != 1 || stopped.RootID != root || !stopped.ScheduledAt.Equal(moments[0]) {
		t.Errorf("stopped: cause %q, retry %d of %s for %s", stopped.Cause, stopped.Retry, stopped.RootID, stopped.ScheduledAt)
	}
	f.wantNoRemains(t, f.host)
	f.waitPending(t, second, "host_offline")
	f.host.Start(t)

	done := f.waitRun(t, second, job.Succeeded)
	if done.Origin != job.BySchedule || done.Retry != 2 {
		t.Errorf("the last one: origin %q, retry %d", done.Origin, done.Retry)
	}
	f.wantOnly(t, group, root, first, second)
	f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 1)
	f.wantNoRemains(t, f.host)
	if waiting := f.API.PendingRuns(t, f.host.HostID); len(waiting) > 0 {
		t.Errorf("there still waits %+v", waiting)
	}
}
