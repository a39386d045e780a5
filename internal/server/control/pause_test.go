package control_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

func (r *rig) pause(scope fleet.PauseScope, subject string, lasts time.Duration) fleet.Pause {
	r.t.Helper()
	p, err := r.CreatePause(r.t.Context(), auth.Server, fleet.Pause{Scope: scope, Subject: subject, Until: r.now().Add(lasts), Reason: "moving house"})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func TestPauseIsRefusedByField(t *testing.T) {
	r := newRig(t)
	a, gone := r.endpoint("web"), r.endpoint("db")
	if err := r.RemoveHost(t.Context(), auth.Server, gone.host); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		pause fleet.Pause
		field string
	}{
		"scope":          {fleet.Pause{Scope: "planet", Until: r.now().Add(time.Hour)}, "scope"},
		"no host":        {fleet.Pause{Scope: fleet.PauseHost, Until: r.now().Add(time.Hour)}, "subject"},
		"unknown host":   {fleet.Pause{Scope: fleet.PauseHost, Subject: "nothing", Until: r.now().Add(time.Hour)}, "subject"},
		"removed host":   {fleet.Pause{Scope: fleet.PauseHost, Subject: string(gone.host), Until: r.now().Add(time.Hour)}, "subject"},
		"no tag":         {fleet.Pause{Scope: fleet.PauseTag, Until: r.now().Add(time.Hour)}, "subject"},
		"no such tag":    {fleet.Pause{Scope: fleet.PauseTag, Subject: "a b", Until: r.now().Add(time.Hour)}, "subject"},
		"one of a fleet": {fleet.Pause{Scope: fleet.PauseFleet, Subject: "x", Until: r.now().Add(time.Hour)}, "subject"},
		"no end":         {fleet.Pause{Scope: fleet.PauseFleet}, "until"},
		"past":           {fleet.Pause{Scope: fleet.PauseFleet, Until: r.now().Add(-time.Second)}, "until"},
		"for ever":       {fleet.Pause{Scope: fleet.PauseFleet, Until: r.now().Add(fleet.MaxPause + time.Hour)}, "until"},
		"long reason":    {fleet.Pause{Scope: fleet.PauseFleet, Until: r.now().Add(time.Hour), Reason: "a\nb"}, "reason"},
	} {
		if _, err := r.CreatePause(t.Context(), auth.Server, row.pause); !slices.Equal(fields(err), []string{row.field}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := r.pause(fleet.PauseHost, string(a.host), time.Hour)
	viewer := auth.Identity{Kind: auth.ByToken, Role: auth.Viewer}
	if _, err := r.CreatePause(t.Context(), viewer, p); !errors.Is(err, fleet.ErrForbidden) {
		t.Errorf("a viewer pauses: %v", err)
	}
	if err := r.EndPause(t.Context(), viewer, p.ID); !errors.Is(err, fleet.ErrForbidden) {
		t.Errorf("a viewer ends a pause: %v", err)
	}
	if err := r.EndPause(t.Context(), auth.Server, "nothing"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("no such pause: %v", err)
	}
}

// TestAPauseTravelsInThePlan and leaves it when it ends, by a person or by itself.
func TestAPauseTravelsInThePlan(t *testing.T) {
	for scope, subject := range map[fleet.PauseScope]func(*agent) string{
		fleet.PauseHost:  func(a *agent) string { return string(a.host) },
		fleet.PauseTag:   func(*agent) string { return "paused" },
		fleet.PauseFleet: func(*agent) string { return "" },
	} {
		t.Run(string(scope), func(t *testing.T) {
			r := newRig(t)
			a, other := r.endpoint("web"), r.endpoint("db")
			tags := []string{"paused"}
			if _, err := r.UpdateHost(t.Context(), auth.Server, a.host, control.HostChange{Tags: &tags}); err != nil {
				t.Fatal(err)
			}
			for _, agent := range []*agent{a, other} {
				agent.connect()
				if plan := await[*api.Plan](agent, 1); plan.PausedUntil != 0 {
					t.Fatalf("paused until %d before any pause", plan.PausedUntil)
				}
			}
			p := r.pause(scope, subject(a), time.Hour)
			if plan := await[*api.Plan](a, 2); plan.PausedUntil != p.Until.UnixMilli() {
				t.Errorf("paused until %d, want %d", plan.PausedUntil, p.Until.UnixMilli())
			}
			if err := r.EndPause(t.Context(), auth.Server, p.ID); err != nil {
				t.Fatal(err)
			}
			if plan := await[*api.Plan](a, 3); plan.PausedUntil != 0 {
				t.Errorf("paused until %d after the end", plan.PausedUntil)
			}
			if err := r.EndPause(t.Context(), auth.Server, p.ID); !errors.Is(err, fleet.ErrConflict) {
				t.Errorf("ended twice: %v", err)
			}
			r.Tick(t.Context())
			r.pause(scope, subject(a), time.Hour)
			longer := r.pause(scope, subject(a), 2*time.Hour)
			r.await("the longer pause", func() bool { return a.latest().PausedUntil == longer.Until.UnixMilli() })
			r.pass(3 * time.Hour)
			r.Tick(t.Context())
			r.await("the end of both pauses", func() bool { return a.latest().PausedUntil == 0 })
			other.quiet(r)
			told := slices.ContainsFunc(heardOf[*api.Plan](other), func(plan *api.Plan) bool { return plan.PausedUntil != 0 })
			if told != (scope == fleet.PauseFleet) {
				t.Errorf("another host was told of a pause: %v", told)
			}
			if made, ended := r.audited("pause.created", p.ID), r.audited("pause.ended", p.ID); made != 1 || ended != 1 {
				t.Errorf("audited %d and %d times", made, ended)
			}
		})
	}
}

// latest is the plan that the agent heard last.
func (a *agent) latest() *api.Plan {
	plans := heardOf[*api.Plan](a)
	return plans[len(plans)-1]
}

// TestATagPausesItsHosts also when a host gets it later.
func TestATagPausesItsHosts(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.connect()
	await[*api.Plan](a, 1)
	p := r.pause(fleet.PauseTag, "holidays", time.Hour)
	tags := []string{"holidays"}
	if _, err := r.UpdateHost(t.Context(), auth.Server, a.host, control.HostChange{Tags: &tags}); err != nil {
		t.Fatal(err)
	}
	if plan := await[*api.Plan](a, 2); plan.PausedUntil != p.Until.UnixMilli() {
		t.Errorf("paused until %d", plan.PausedUntil)
	}
}
