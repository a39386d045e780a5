package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// nightly is a schedule that can be.
func nightly(host job.HostID, groups ...job.GroupID) fleet.Schedule {
	return fleet.Schedule{Host: host, Rule: schedule.Rule{Cron: "30 2 * * *", TimeZone: "Europe/Berlin", JitterSeconds: 60, Missed: schedule.RunOnce}, Enabled: true, Groups: groups}
}

// schedule adds a schedule.
func (r *rig) schedule(s fleet.Schedule) fleet.Schedule {
	r.t.Helper()
	made, err := r.CreateSchedule(r.t.Context(), auth.Server, s)
	if err != nil {
		r.t.Fatal(err)
	}
	return made
}

// waits adds a run of a schedule that waits for its offline host.
func (r *rig) waits(s fleet.Schedule, group fleet.SourceGroup) job.ID {
	r.t.Helper()
	at := r.now().Truncate(time.Minute)
	j := fleet.Job{ID: job.DueID(s.ID, group.ID, at), Host: s.Host, Kind: job.Backup, State: job.Queued, Origin: job.BySchedule, Group: group.ID,
		Repository: group.Repository, Schedule: s.ID, ScheduledAt: at, NextAttemptAt: at, Spec: []byte("{}"), CreatedAt: at}
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertJob(ctx, j) })
	return j.ID
}

// fields are the names of the fields that err complains of.
func fields(err error) (names []string) {
	var invalid *fleet.Invalid
	if errors.As(err, &invalid) {
		for _, field := range invalid.Fields {
			names = append(names, field.Field)
		}
	}
	return names
}

func TestScheduleIsRefusedByField(t *testing.T) {
	r := newRig(t)
	a, other := r.endpoint("web"), r.endpoint("db")
	g, foreign := r.group(a.host, "etc"), r.group(other.host, "etc")
	for name, row := range map[string]struct {
		change func(*fleet.Schedule)
		field  string
	}{
		"no groups":        {func(s *fleet.Schedule) { s.Groups = nil }, "source_group_ids"},
		"another's group":  {func(s *fleet.Schedule) { s.Groups = []job.GroupID{g.ID, foreign.ID} }, "source_group_ids"},
		"no such group":    {func(s *fleet.Schedule) { s.Groups = []job.GroupID{"nothing"} }, "source_group_ids"},
		"bad cron":         {func(s *fleet.Schedule) { s.Cron = "61 * * * *" }, "cron"},
		"never due":        {func(s *fleet.Schedule) { s.Cron = "0 0 31 2 *" }, "cron"},
		"no zone":          {func(s *fleet.Schedule) { s.TimeZone = "" }, "time_zone"},
		"zone of nowhere":  {func(s *fleet.Schedule) { s.TimeZone = "Europe/Nowhere" }, "time_zone"},
		"negative jitter":  {func(s *fleet.Schedule) { s.JitterSeconds = -1 }, "jitter_seconds"},
		"too much jitter":  {func(s *fleet.Schedule) { s.JitterSeconds = int(schedule.MaxJitter/time.Second) + 1 }, "jitter_seconds"},
		"no missed policy": {func(s *fleet.Schedule) { s.Missed = "perhaps" }, "missed_policy"},
		"odd name":         {func(s *fleet.Schedule) { s.Name = "a\nb" }, "name"},
	} {
		s := nightly(a.host, g.ID)
		row.change(&s)
		if _, err := r.CreateSchedule(t.Context(), auth.Server, s); !slices.Equal(fields(err), []string{row.field}) {
			t.Errorf("%s: %v", name, err)
		}
		known := r.schedule(nightly(a.host, g.ID))
		s = known
		row.change(&s)
		if _, err := r.UpdateSchedule(t.Context(), auth.Server, s); !slices.Equal(fields(err), []string{row.field}) {
			t.Errorf("%s, of one that is there: %v", name, err)
		}
		if err := r.DeleteSchedule(t.Context(), auth.Server, known.ID); err != nil {
			t.Fatal(err)
		}
	}
	viewer := auth.Identity{Kind: auth.ByToken, Role: auth.Viewer}
	known := r.schedule(nightly(a.host, g.ID))
	_, created := r.CreateSchedule(t.Context(), viewer, nightly(a.host, g.ID))
	_, changed := r.UpdateSchedule(t.Context(), viewer, known)
	for _, err := range []error{created, changed, r.DeleteSchedule(t.Context(), viewer, known.ID)} {
		if !errors.Is(err, fleet.ErrForbidden) {
			t.Errorf("a viewer: %v", err)
		}
	}
	_, unknown := r.UpdateSchedule(t.Context(), auth.Server, fleet.Schedule{ID: "nothing"})
	for _, err := range []error{unknown, r.DeleteSchedule(t.Context(), auth.Server, "nothing")} {
		if !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("no such schedule: %v", err)
		}
	}
}

func TestAHostHasAtMostSoManySchedules(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	for range fleet.MaxSchedules {
		r.schedule(nightly(a.host, g.ID))
	}
	if _, err := r.CreateSchedule(t.Context(), auth.Server, nightly(a.host, g.ID)); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("one more: %v", err)
	}
}

// TestEffectiveFromMoves: only a schedule that is new, enabled again or due at
// other times begins anew.
func TestEffectiveFromMoves(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g, more := r.group(a.host, "etc"), r.group(a.host, "home")
	s := r.schedule(nightly(a.host, g.ID))
	if age := r.now().UnixMilli() - s.EffectiveFrom; age < 0 || age > patience.Milliseconds() {
		t.Fatalf("a new one counts since %d ms ago", age)
	}
	for _, row := range []struct {
		name   string
		change func(*fleet.Schedule)
		moves  bool
	}{
		{"nothing", func(*fleet.Schedule) {}, false},
		{"name", func(s *fleet.Schedule) { s.Name = "nightly" }, false},
		{"jitter", func(s *fleet.Schedule) { s.JitterSeconds++ }, false},
		{"missed policy", func(s *fleet.Schedule) { s.Missed = schedule.Skip }, false},
		{"groups", func(s *fleet.Schedule) { s.Groups = []job.GroupID{more.ID, g.ID, g.ID} }, false},
		{"what the asker says", func(s *fleet.Schedule) { s.EffectiveFrom = 1 }, false},
		{"cron", func(s *fleet.Schedule) { s.Cron = " 0  3 * * * " }, true},
		{"spaces in cron", func(s *fleet.Schedule) { s.Cron = "0 3 *  * *" }, false},
		{"zone", func(s *fleet.Schedule) { s.TimeZone = "UTC" }, true},
		{"disabled", func(s *fleet.Schedule) { s.Enabled = false }, false},
		{"still disabled", func(*fleet.Schedule) {}, false},
		{"enabled", func(s *fleet.Schedule) { s.Enabled = true }, true},
	} {
		r.pass(time.Hour)
		before := s
		row.change(&s)
		changed, err := r.UpdateSchedule(t.Context(), auth.Server, s)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if moved := changed.EffectiveFrom != before.EffectiveFrom; moved != row.moves || changed.EffectiveFrom < before.EffectiveFrom {
			t.Errorf("%s: %d to %d", row.name, before.EffectiveFrom, changed.EffectiveFrom)
		}
		stored, err := r.store.Schedule(t.Context(), s.ID)
		if err != nil || stored.EffectiveFrom != changed.EffectiveFrom || !stored.CreatedAt.Equal(before.CreatedAt) && stored.CreatedAt.UnixMilli() != before.CreatedAt.UnixMilli() {
			t.Errorf("%s: stored %+v, %v", row.name, stored, err)
		}
		s = stored
	}
	if len(s.Groups) != 2 {
		t.Errorf("groups = %v", s.Groups)
	}
	if n := r.audited("schedule.changed", string(s.ID)); n != 8 {
		t.Errorf("%d of 8 changes are audited", n)
	}
}

// TestAPlanHoldsTheEnabledSchedules and is told again when one changes.
func TestAPlanHoldsTheEnabledSchedules(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g, more := r.group(a.host, "etc"), r.group(a.host, "home")
	unready := fleet.Repository{ID: job.RepositoryID(job.NewULID(r.now())), Name: "later", Host: a.host, URL: "rest:http://box/later/", CreatedAt: r.now()}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertRepository(ctx, unready, []byte("sealed"))
	})
	later, err := r.CreateGroup(t.Context(), auth.Server, fleet.SourceGroup{Host: a.host, Name: "later", Repository: unready.ID, Includes: []string{"/srv"}})
	if err != nil {
		t.Fatal(err)
	}
	first := r.schedule(nightly(a.host, g.ID, more.ID, later.ID))
	off := nightly(a.host, g.ID)
	off.Enabled = false
	off = r.schedule(off)
	r.schedule(nightly(a.host, later.ID))
	a.connect()
	plan := await[*api.Plan](a, 1)
	if len(plan.Schedules) != 1 || plan.Schedules[0].ID != first.ID || plan.Schedules[0].Rule != first.Rule || !slices.Equal(plan.Schedules[0].Groups, sorted(g.ID, more.ID)) {
		t.Fatalf("schedules = %+v", plan.Schedules)
	}
	off.Enabled = true
	if _, err := r.UpdateSchedule(t.Context(), auth.Server, off); err != nil {
		t.Fatal(err)
	}
	if again := await[*api.Plan](a, 2); len(again.Schedules) != 2 || again.Schedules[0].ID != first.ID || again.Schedules[1].ID != off.ID || again.Digest == plan.Digest {
		t.Errorf("with another one: %+v", again.Schedules)
	}
	if err := r.DeleteSchedule(t.Context(), auth.Server, first.ID); err != nil {
		t.Fatal(err)
	}
	if again := await[*api.Plan](a, 3); len(again.Schedules) != 1 || again.Schedules[0].ID != off.ID {
		t.Errorf("after a removal: %+v", again.Schedules)
	}
}

func sorted(ids ...job.GroupID) []job.GroupID {
	slices.Sort(ids)
	return ids
}

// TestWhatWaitsIsAbandonedWithItsSchedule in the same step, and the audit says why.
func TestWhatWaitsIsAbandonedWithItsSchedule(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*rig, fleet.Schedule, fleet.SourceGroup, fleet.SourceGroup) error
		reason string // as the audit names it
	}{
		"removed": {func(r *rig, s fleet.Schedule, _, _ fleet.SourceGroup) error {
			return r.DeleteSchedule(r.t.Context(), auth.Server, s.ID)
		}, "schedule_gone"},
		"disabled": {func(r *rig, s fleet.Schedule, _, _ fleet.SourceGroup) error {
			s.Enabled = false
			_, err := r.UpdateSchedule(r.t.Context(), auth.Server, s)
			return err
		}, "schedule_disabled"},
		"another group": {func(r *rig, s fleet.Schedule, _, other fleet.SourceGroup) error {
			s.Groups = []job.GroupID{other.ID}
			_, err := r.UpdateSchedule(r.t.Context(), auth.Server, s)
			return err
		}, "source_group_left_schedule"},
		"group removed": {func(r *rig, _ fleet.Schedule, g, _ fleet.SourceGroup) error {
			return r.DeleteGroup(r.t.Context(), auth.Server, g.ID)
		}, "source_group_gone"},
		"renamed": {func(r *rig, s fleet.Schedule, _, _ fleet.SourceGroup) error {
			s.Name = "nightly"
			_, err := r.UpdateSchedule(r.t.Context(), auth.Server, s)
			return err
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.endpoint("web")
			g, other := r.group(a.host, "etc"), r.group(a.host, "home")
			s := r.schedule(nightly(a.host, g.ID, other.ID))
			id := r.waits(s, g)
			if err := row.change(r, s, g, other); err != nil {
				t.Fatal(err)
			}
			j := r.job(id)
			if row.reason == "" {
				if j.State != job.Queued {
					t.Errorf("it is %s: %s", j.State, j.Error)
				}
				return
			}
			if j.State != job.Skipped || j.Cause != job.CauseAbandoned || j.Error == "" {
				t.Errorf("it is %s, cause %q: %q", j.State, j.Cause, j.Error)
			}
			list, _, err := r.store.AuditEntries(t.Context(), store.AuditFilter{Subject: string(id)})
			if err != nil || !slices.ContainsFunc(list, func(e fleet.AuditEntry) bool {
				return e.Action == "pending_run.abandoned" && strings.Contains(e.Detail, row.reason)
			}) {
				t.Errorf("the audit says %+v, %v", list, err)
			}
		})
	}
}

// TestAGroupLeavesItsSchedules, but is not the last one that goes.
func TestAGroupLeavesItsSchedules(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	g, other := r.group(a.host, "etc"), r.group(a.host, "home")
	both := r.schedule(nightly(a.host, g.ID, other.ID))
	named := nightly(a.host, g.ID)
	named.Name = "only etc"
	alone := r.schedule(named)
	nameless := nightly(a.host, g.ID)
	nameless.Cron = "@daily"
	plain := r.schedule(nameless)
	err := r.DeleteGroup(t.Context(), auth.Server, g.ID)
	if !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "only etc") || !strings.Contains(err.Error(), "every day at 00:00, Europe/Berlin") {
		t.Fatalf("a group that schedules need: %v", err)
	}
	if got, err := r.store.Schedule(t.Context(), both.ID); err != nil || len(got.Groups) != 2 {
		t.Errorf("after a refusal: %+v, %v", got, err)
	}
	for _, id := range []job.ScheduleID{alone.ID, plain.ID} {
		if err := r.DeleteSchedule(t.Context(), auth.Server, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.DeleteGroup(t.Context(), auth.Server, g.ID); err != nil {
		t.Fatal(err)
	}
	got, err := r.store.Schedule(t.Context(), both.ID)
	if err != nil || !slices.Equal(got.Groups, []job.GroupID{other.ID}) || got.EffectiveFrom != both.EffectiveFrom {
		t.Errorf("the schedule it left: %+v, %v", got, err)
	}
	if n := r.audited("schedule.changed", string(both.ID)); n != 1 {
		t.Errorf("audited %d times", n)
	}
}

// TestSchedulesFitTheLink: a hundred schedules that name every group are told too.
func TestSchedulesFitTheLink(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	repository := r.repository(a.host)
	var ids []job.GroupID
	r.write(func(ctx context.Context, tx *store.Tx) error {
		for n := range 1000 {
			g := fleet.SourceGroup{ID: job.GroupID(job.NewULID(r.now())), Host: a.host, Name: fmt.Sprint(n), Repository: repository.ID, Includes: []string{"/srv/" + fmt.Sprint(n)},
				Options: fleet.DefaultGroupOptions(), Retention: fleet.DefaultRetention}
			ids = append(ids, g.ID)
			if err := tx.InsertGroup(ctx, g); err != nil {
				return err
			}
		}
		return nil
	})
	var err error
	for range fleet.MaxSchedules {
		if _, err = r.CreateSchedule(t.Context(), auth.Server, nightly(a.host, ids...)); err != nil {
			break
		}
	}
	if !slices.Equal(fields(err), []string{"source_group_ids"}) {
		t.Fatalf("more than a message holds: %v", err)
	}
	a.connect()
	if plan := await[*api.Plan](a, 1); len(plan.Groups) != len(ids) || len(plan.Schedules) < 3 {
		t.Errorf("%d groups and %d schedules are in the plan", len(plan.Groups), len(plan.Schedules))
	}
}
