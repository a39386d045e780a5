//go:build unix

package e2e

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestEveryMinute has a schedule due every minute whose first backup takes more
// than two, beside a group that has to wait for it.
func TestEveryMinute(t *testing.T) {
	t.Parallel()
	f := startFleet(t, rig.AgentOptions{})
	long, short := f.slowGroup(t, "long", 145), f.smallGroup(t, "short")
	planned := f.addSchedule(t, rig.Schedule{Name: "each minute", Cron: everyMinute}, long, short)
	// Some time in this the first run ends; the one of the next moment is begun.
	testkit.WaitFor(t, 5*time.Minute, "the long group to have run twice", func() bool {
		f.wantCalm(t, long, short)
		if t.Failed() {
			t.FailNow()
		}
		return len(f.API.Occurrences(t, url.Values{"source_group_id": {string(long.ID)}, "state": {string(job.Succeeded)}})) == 2
	})
	f.API.EnableSchedule(t, planned, false)
	wait(t, "nothing to be left", func() bool { return len(f.API.Jobs(t, f.host.HostID, "active=true")) == 0 })

	runs := f.occurrences(t, long)
	slices.Reverse(runs)
	first := runs[0]
	if took := first.FinishedAt.Sub(*first.StartedAt); first.State != job.Succeeded || took < 2*time.Minute {
		t.Fatalf("the first run is %s after %s: nothing was proved", first.State, took)
	}
	overlapped := 0
	for _, one := range runs[1:] {
		if one.State != job.Skipped {
			continue
		}
		overlapped++
		if one.Cause != job.CauseOverlapped || one.ByJob != first.ID || one.StartedAt != nil {
			t.Errorf("the moment %s: cause %q by %s, want overlapped by %s", one.ScheduledAt, one.Cause, one.ByJob, first.ID)
		}
		wantSays(t, one.Error, "another backup", "at work")
	}
	if overlapped < 2 {
		t.Errorf("%d moments were overlapped, want at least two", overlapped)
	}
	for i := 1; i < len(runs); i++ {
		if gap := runs[i].ScheduledAt.Sub(runs[i-1].ScheduledAt); gap != time.Minute {
			t.Errorf("no word of the moments between %s and %s", runs[i-1].ScheduledAt, runs[i].ScheduledAt)
		}
	}
	f.wantEachDone(t, short)
	page := f.SignIn(t).Page(t, "/schedules/"+string(planned.ID))
	wantSays(t, page, "overlapped", string(first.ID))
	f.wantNoRemains(t, f.host)
}

// wantCalm wants one backup at work at most, and of each group one that waits.
func (f fleet) wantCalm(t *testing.T, groups ...rig.Group) {
	t.Helper()
	if at := f.host.Children(t); len(at) > 1 {
		t.Errorf("the processes %v are at work at once", at)
	}
	waiting := map[job.GroupID]int{}
	for _, one := range f.API.PendingRuns(t, f.host.HostID) {
		waiting[one.GroupID]++
	}
	for _, group := range groups {
		if waiting[group.ID] > 1 {
			t.Errorf("%d runs of %s wait at once", waiting[group.ID], group.Name)
		}
	}
}

// wantEachDone wants each moment of a group to have run, or to have left its work
// to the run of the next one.
func (f fleet) wantEachDone(t *testing.T, group rig.Group) {
	t.Helper()
	runs := f.occurrences(t, group)
	ran, left := 0, 0
	for i, one := range runs {
		switch {
		case one.State == job.Succeeded:
			ran++
		case one.State == job.Skipped && one.Cause == job.CauseCoalesced && i > 0 && one.ByJob == runs[i-1].ID && one.Error != "":
			left++
		case one.State == job.Skipped && one.Cause == job.CauseAbandoned && i == 0: // the schedule was disabled
		default:
			t.Errorf("the moment %s of %s is %s (cause %q, by %s), and says %q", one.ScheduledAt, group.Name, one.State, one.Cause, one.ByJob, one.Error)
		}
	}
	if ran == 0 || left == 0 {
		t.Errorf("%d runs of %s, %d were left to the next one: nothing was proved", ran, group.Name, left)
	}
}
