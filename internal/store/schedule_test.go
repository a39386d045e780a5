package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

func addGroup(t *testing.T, s *store.Store, r fleet.Repository, name string) fleet.SourceGroup {
	t.Helper()
	g := fleet.SourceGroup{ID: job.GroupID(job.NewULID(start)), Host: r.Host, Name: name, Repository: r.ID, Includes: []string{"/a"},
		Excludes: []string{}, Options: fleet.DefaultGroupOptions(), Retention: fleet.DefaultRetention, CreatedAt: start, UpdatedAt: start}
	write(t, s, func(tx *store.Tx) error { return tx.InsertGroup(t.Context(), g) })
	return g
}

// addSchedule adds one whose id is that of a moment so many seconds later.
func addSchedule(t *testing.T, s *store.Store, host job.HostID, seconds int, enabled bool, groups ...job.GroupID) fleet.Schedule {
	t.Helper()
	slices.Sort(groups)
	made := start.Add(time.Duration(seconds) * time.Second)
	added := fleet.Schedule{ID: job.ScheduleID(job.NewULID(made)), Host: host, Name: "nightly",
		Rule:    schedule.Rule{Cron: "0 2 * * *", TimeZone: "Europe/Berlin", JitterSeconds: 300, Missed: schedule.RunOnce, EffectiveFrom: made.UnixMilli()},
		Enabled: enabled, Groups: groups, CreatedAt: made, UpdatedAt: made}
	write(t, s, func(tx *store.Tx) error { return tx.InsertSchedule(t.Context(), added) })
	return added
}

func sameSchedule(a, b fleet.Schedule) bool {
	return a.ID == b.ID && a.Host == b.Host && a.Name == b.Name && a.Rule == b.Rule && a.Enabled == b.Enabled && slices.Equal(a.Groups, b.Groups) &&
		a.CreatedAt.Equal(b.CreatedAt) && a.UpdatedAt.Equal(b.UpdatedAt)
}

func scheduleIDs(list []fleet.Schedule) (ids []job.ScheduleID) {
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

func testSchedules(t *testing.T, s *store.Store) {
	ctx := t.Context()
	web, db := addHost(t, s, "web"), addHost(t, s, "db")
	repository := addRepository(t, s, web.ID)
	etc, home := addGroup(t, s, repository, "etc"), addGroup(t, s, repository, "home")
	other := addGroup(t, s, addRepository(t, s, db.ID), "data")
	first := addSchedule(t, s, web.ID, 1, true, etc.ID, home.ID)
	second := addSchedule(t, s, web.ID, 2, false, home.ID)
	third := addSchedule(t, s, db.ID, 3, true, other.ID)

	if got, err := s.Schedule(ctx, first.ID); err != nil || !sameSchedule(got, first) {
		t.Errorf("Schedule = %+v, %v", got, err)
	}
	if _, err := s.Schedule(ctx, "nothing"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an unknown schedule: %v", err)
	}
	if got, err := s.SchedulesOf(ctx, web.ID); err != nil || len(got) != 2 || !sameSchedule(got[0], first) || !sameSchedule(got[1], second) {
		t.Errorf("SchedulesOf = %+v, %v", got, err)
	}
	yes, no := true, false
	for name, row := range map[string]struct {
		filter fleet.ScheduleFilter
		want   []job.ScheduleID
	}{
		"all":      {fleet.ScheduleFilter{}, []job.ScheduleID{third.ID, second.ID, first.ID}},
		"host":     {fleet.ScheduleFilter{Host: web.ID}, []job.ScheduleID{second.ID, first.ID}},
		"group":    {fleet.ScheduleFilter{Group: etc.ID}, []job.ScheduleID{first.ID}},
		"enabled":  {fleet.ScheduleFilter{Enabled: &yes}, []job.ScheduleID{third.ID, first.ID}},
		"disabled": {fleet.ScheduleFilter{Enabled: &no, Group: home.ID}, []job.ScheduleID{second.ID}},
	} {
		if got, next, err := s.Schedules(ctx, row.filter); err != nil || next != "" || !slices.Equal(scheduleIDs(got), row.want) {
			t.Errorf("%s: %v %q %v", name, scheduleIDs(got), next, err)
		}
	}
	page, next, err := s.Schedules(ctx, fleet.ScheduleFilter{Page: fleet.Page{Limit: 2}})
	if err != nil || len(page) != 2 || next == "" {
		t.Fatalf("first page = %v, %q, %v", scheduleIDs(page), next, err)
	}
	if rest, end, err := s.Schedules(ctx, fleet.ScheduleFilter{Page: fleet.Page{Limit: 2, Cursor: next}}); err != nil || end != "" || !slices.Equal(scheduleIDs(rest), []job.ScheduleID{first.ID}) {
		t.Errorf("second page = %v, %q, %v", scheduleIDs(rest), end, err)
	}

	second.Name, second.Cron, second.Enabled, second.Groups, second.UpdatedAt = "", "@hourly", true, []job.GroupID{etc.ID}, start.Add(time.Hour)
	second.EffectiveFrom, second.Missed, second.JitterSeconds, second.TimeZone = 99, schedule.Skip, 0, "UTC"
	write(t, s, func(tx *store.Tx) error { return tx.UpdateSchedule(ctx, second) })
	if got, err := s.Schedule(ctx, second.ID); err != nil || !sameSchedule(got, second) {
		t.Errorf("changed = %+v, %v", got, err)
	}
	if got, err := s.Schedule(ctx, first.ID); err != nil || !sameSchedule(got, first) {
		t.Errorf("its neighbour = %+v, %v", got, err)
	}
	err = s.Write(ctx, func(tx *store.Tx) error {
		broken := third
		broken.ID, broken.Groups = job.ScheduleID(job.NewULID(start)), []job.GroupID{"nothing"}
		return tx.InsertSchedule(ctx, broken)
	})
	if err == nil {
		t.Error("a schedule of a group that is not there was added")
	}
	write(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.DeleteGroup(ctx, home), tx.DeleteSchedule(ctx, second.ID))
	})
	first.Groups = []job.GroupID{etc.ID}
	if got, err := s.SchedulesOf(ctx, web.ID); err != nil || len(got) != 1 || !sameSchedule(got[0], first) {
		t.Errorf("after removals: %+v, %v", got, err)
	}
	write(t, s, func(tx *store.Tx) error { _, err := tx.RemoveHost(ctx, db.ID, start); return err })
	if got, _, err := s.Schedules(ctx, fleet.ScheduleFilter{}); err != nil || !slices.Equal(scheduleIDs(got), []job.ScheduleID{first.ID}) {
		t.Errorf("with a removed host: %v, %v", scheduleIDs(got), err)
	}
}

func testPauses(t *testing.T, s *store.Store) {
	ctx := t.Context()
	add := func(scope fleet.PauseScope, subject string, minutes int) fleet.Pause {
		p := fleet.Pause{ID: job.NewULID(start.Add(time.Duration(minutes) * time.Second)), Scope: scope, Subject: subject, Until: start.Add(time.Duration(minutes) * time.Minute),
			Reason: "moving house\x00", CreatedAt: start, CreatedBy: "ann"}
		write(t, s, func(tx *store.Tx) error { return tx.InsertPause(ctx, p) })
		return p
	}
	host, tag, all := add(fleet.PauseHost, "h", 10), add(fleet.PauseTag, "db", 20), add(fleet.PauseFleet, "", 30)
	ids := func(list []fleet.Pause, err error) (ids []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			ids = append(ids, p.ID)
		}
		return ids
	}
	if got, err := s.Pause(ctx, host.ID); err != nil || got.Scope != fleet.PauseHost || got.Subject != "h" || !got.Until.Equal(host.Until) || got.Reason != "moving house\uFFFD" || got.CreatedBy != "ann" || !got.CreatedAt.Equal(start) {
		t.Errorf("Pause = %+v, %v", got, err)
	}
	if _, err := s.Pause(ctx, "nothing"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an unknown pause: %v", err)
	}
	if got := ids(s.Pauses(ctx, start)); !slices.Equal(got, []string{all.ID, tag.ID, host.ID}) {
		t.Errorf("Pauses = %v", got)
	}
	if got := ids(s.Pauses(ctx, host.Until)); !slices.Equal(got, []string{all.ID, tag.ID}) {
		t.Errorf("at the end of one: %v", got)
	}
	if got := ids(s.EndedPauses(ctx, host.Until, tag.Until)); !slices.Equal(got, []string{tag.ID}) {
		t.Errorf("EndedPauses = %v", got)
	}
	now := start.Add(15 * time.Minute)
	write(t, s, func(tx *store.Tx) error {
		for id, want := range map[string]bool{all.ID: true, host.ID: false, "nothing": false} {
			if ended, err := tx.EndPause(ctx, id, now); err != nil || ended != want {
				t.Errorf("EndPause(%s) = %v, %v", id, ended, err)
			}
		}
		return nil
	})
	if got := ids(s.Pauses(ctx, now)); !slices.Equal(got, []string{tag.ID}) {
		t.Errorf("after the end of the fleet's: %v", got)
	}
	if got, err := s.Pause(ctx, host.ID); err != nil || !got.Until.Equal(host.Until) {
		t.Errorf("one that had ended = %+v, %v", got, err)
	}
	write(t, s, func(tx *store.Tx) error { return tx.DropPauses(ctx, now) })
	if _, err := s.Pause(ctx, host.ID); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an old one after tidying: %v", err)
	}
	if _, err := s.Pause(ctx, all.ID); err != nil {
		t.Errorf("one that ended now after tidying: %v", err)
	}
}
