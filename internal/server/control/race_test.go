package control_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// TestManyDrainAtOnce: whoever drains, beats and changes on two nodes at once, no
// more jobs are out than there are slots, and each run goes once.
func TestManyDrainAtOnce(t *testing.T) {
	url := testkit.Postgres(t)
	one, two := newNode(t, url, false), newNode(t, url, false)
	const slots, hosts = 2, 6
	agents, groups := one.herd(slots, hosts)
	storage := one.repository(agents[0].host).Storage
	if _, err := one.CreatePause(t.Context(), auth.Server, fleet.Pause{Scope: fleet.PauseFleet, Until: one.now().Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	ids := map[job.ID]int{}
	for i, g := range groups {
		at := moment(-1)
		ids[agents[i].due(one.hourly(g), g.ID, at)] = i
		agents[i].sync()
	}
	list, err := one.store.Pauses(t.Context(), one.now())
	if err != nil || len(list) != 1 {
		t.Fatalf("pauses = %v, %v", list, err)
	}
	if err := one.EndPause(t.Context(), auth.Server, list[0].ID); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var over atomic.Bool
	var busy sync.WaitGroup
	for _, node := range []*rig{one, two} {
		for _, do := range []func(*rig) error{
			func(r *rig) error { return r.DrainAllDue(ctx) },
			func(r *rig) error { r.Tick(ctx); return nil },
			func(r *rig) error {
				for _, a := range agents {
					if err := r.DrainPending(ctx, a.host); err != nil {
						return err
					}
				}
				return nil
			},
			func(r *rig) error {
				n := slots
				_, err := r.UpdateHost(ctx, auth.Server, storage, control.HostChange{Slots: &n})
				return err
			},
		} {
			busy.Go(func() {
				for !over.Load() {
					if err := do(node); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	stop := func() { over.Store(true); busy.Wait() }
	defer stop()
	for len(ids) > 0 {
		n := 0
		one.await("some run to be sent", func() bool {
			n = 0
			for id := range ids {
				if one.job(id).State == job.Sent {
					n++
				}
			}
			return n > 0
		})
		if n > slots {
			t.Fatalf("%d jobs have %d slots", n, slots)
		}
		for id, i := range ids {
			if one.job(id).State == job.Sent {
				agents[i].carryOut(await[*api.Job](agents[i], 1), job.Succeeded)
				delete(ids, id)
			}
		}
	}
	stop()
	for _, node := range []*rig{one, two} {
		if text := node.log.String(); strings.Contains(text, "level=ERROR") {
			t.Errorf("a node has trouble: %s", text)
		}
	}
	for _, a := range agents {
		if n := len(heardOf[*api.Job](a)); n != 1 {
			t.Errorf("a run was sent %d times", n)
		}
	}
}
