//go:build unix

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

// TestSlots has more hosts due at one moment than their rest-server has slots, and
// one that a pause keeps out of it.
func TestSlots(t *testing.T) {
	t.Parallel()
	const hosts, slots = 6, 2
	f := startFleet(t, rig.AgentOptions{})
	all := []fleet{f}
	for i := range hosts {
		all = append(all, f.addHost(t, fmt.Sprintf("more-%d", i), rig.AgentOptions{}))
	}
	all, quiet := all[:hosts], all[hosts]
	f.API.SetSlots(t, f.box.HostID, slots)
	f.API.Do(t, 200, "PATCH", "/hosts/"+string(quiet.host.HostID), map[string]any{"tags": []string{"quiet"}}, nil)
	groups := []rig.Group{}
	for _, one := range append(all, quiet) {
		groups = append(groups, one.slowGroup(t, "home", 6))
	}
	cron, moments := nextMoments(1)
	ids := []job.ID{}
	for i, one := range append(all, quiet) {
		ids = append(ids, job.DueID(one.addSchedule(t, rig.Schedule{Cron: cron}, groups[i]).ID, groups[i].ID, moments[0]))
	}
	f.API.AddPause(t, rig.Pause{Scope: "tag", Subject: "quiet", Until: moments[0].Add(time.Minute)})
	if time.Now().After(moments[0]) {
		t.Fatal("the machine was too slow to be ready before the moment")
	}

	// The hosts are looked at one after the other. What is there in two rounds was at
	// work at the end of the first.
	most, positions, before := 0, map[int]bool{}, map[int]bool{}
	waitLong(t, "all to be done", func() bool {
		at, ended, now := 0, 0, map[int]bool{}
		for i, one := range all {
			for _, process := range one.host.Children(t) {
				now[process] = true
				if before[process] {
					at++
				}
			}
			if found, ok := one.run(t, ids[i]); ok && found.State.Ended() {
				ended++
			}
		}
		most, before = max(most, at), now
		for _, waiting := range f.API.PendingRuns(t, "") {
			if waiting.Reason == "slot" {
				positions[waiting.Position] = true
				if waiting.Slots != slots || waiting.Busy > slots {
					t.Errorf("a run waits since %d of %d slots are taken", waiting.Busy, waiting.Slots)
				}
			}
		}
		return ended == hosts
	})
	if most != slots {
		t.Errorf("%d backups were at work at once, want %d", most, slots)
	}
	for place := 1; place <= hosts-slots; place++ {
		if !positions[place] {
			t.Errorf("no run was told to be number %d of the line; the places were %v", place, positions)
		}
	}
	var begins, ends []time.Time
	for i, one := range all {
		done := one.waitRun(t, ids[i], job.Succeeded)
		if done.Attempt != 0 {
			t.Errorf("%s: %d attempts were used up by waiting", one.host.Name, done.Attempt)
		}
		begins, ends = append(begins, *done.StartedAt), append(ends, *done.FinishedAt)
		one.wantSnapshots(t, f.Access(t, one.host.HostID), groups[i], 1)
	}
	slices.SortFunc(begins, time.Time.Compare)
	slices.SortFunc(ends, time.Time.Compare)
	for i, began := range begins[slots:] {
		if gap := began.Sub(ends[i]); gap > longestGap {
			t.Errorf("a slot was free for %s though somebody waited", gap)
		}
	}
	skipped := quiet.waitRun(t, ids[hosts], job.Skipped)
	if skipped.Cause != job.CausePaused {
		t.Errorf("the host that is paused by its tag: cause %q", skipped.Cause)
	}
	quiet.wantOnly(t, groups[hosts], ids[hosts])
}

// longestGap is what a slot may be free on a machine that has other things to do;
// without a poke the next tick would come half a minute later.
const longestGap = 6 * time.Second
