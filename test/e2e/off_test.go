//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestHostWasOff stops a machine over three moments of two schedules. The one
// catches up once, the other one lets them go.
func TestHostWasOff(t *testing.T) {
	t.Parallel()
	f := startFleet(t, rig.AgentOptions{})
	caught, let := f.smallGroup(t, "caught-up"), f.smallGroup(t, "let-go")
	cron, moments := nextMoments(3)
	catching := f.addSchedule(t, rig.Schedule{Name: "catching up", Cron: cron, Missed: string(schedule.RunOnce)}, caught)
	letting := f.addSchedule(t, rig.Schedule{Name: "letting go", Cron: cron, Missed: string(schedule.Skip)}, let)
	f.API.SetPresence(t, f.host.HostID, "intermittent")
	f.host.Stop()
	f.host.WaitOffline(t)
	if time.Now().After(moments[0]) {
		t.Fatal("the machine was too slow to be off before the first moment")
	}
	if shown := f.API.Host(t, f.host.HostID); shown.Presence != "intermittent" {
		t.Errorf("a laptop is shown as %q", shown.Presence)
	}
	// It comes late enough for the last moment to count as missed.
	waitClock(t, moments[2].Add(schedule.OnTime+time.Second))
	visitor := f.SignIn(t)
	wantSays(t, visitor.Page(t, "/schedules/"+string(catching.ID)), "asleep or away")
	started := time.Now()
	f.host.Start(t)

	last := job.DueID(catching.ID, caught.ID, moments[2])
	waiting := f.waitPending(t, last, "backoff")
	if waiting.Attempt != 0 || waiting.NextAttemptAt == nil || waiting.NextAttemptAt.Before(started.Add(schedule.Settle-time.Second)) {
		t.Errorf("the catch-up waits until %v with %d attempts used up; the machine came at %s", waiting.NextAttemptAt, waiting.Attempt, started)
	}
	coalesced := job.RangeID(catching.ID, caught.ID, moments[0], moments[1])
	row := f.waitRun(t, coalesced, job.Skipped)
	if row.Cause != job.CauseCoalesced || row.Moments != 2 || row.ByJob != last || !row.ScheduledAt.Equal(moments[0]) || row.ScheduledTo == nil || !row.ScheduledTo.Equal(moments[1]) {
		t.Errorf("the two moments before: %+v, want coalesced into %s", row, last)
	}
	missed := job.RangeID(letting.ID, let.ID, moments[0], moments[2])
	row = f.waitRun(t, missed, job.Skipped)
	if row.Cause != job.CauseMissed || row.Moments != 3 || row.ByJob != "" || row.ScheduledTo == nil || !row.ScheduledTo.Equal(moments[2]) {
		t.Errorf("the moments that are let go: %+v, want missed, three", row)
	}
	wantSays(t, row.Error, "off or asleep")

	ran := f.waitRun(t, last, job.Succeeded)
	if ran.StartedAt.Before(started.Add(schedule.Settle - time.Second)) {
		t.Errorf("the catch-up began %s after the machine came, want it to settle first", ran.StartedAt.Sub(started))
	}
	f.waitIdle(t)
	f.wantOnly(t, caught, last, coalesced)
	f.wantOnly(t, let, missed)
	access := f.Access(t, f.host.HostID)
	f.wantSnapshots(t, access, caught, 1)
	f.wantSnapshots(t, access, let, 0)
	for address, word := range map[string]string{
		"/schedules/" + string(catching.ID):             "coalesced",
		"/schedules/" + string(letting.ID):              "missed",
		"/hosts/" + string(f.host.HostID) + "/settings": `value="intermittent" checked`,
	} {
		if page := visitor.Page(t, address); !strings.Contains(strings.ToLower(page), word) {
			t.Errorf("the page %s does not say %q", address, word)
		}
	}
}
