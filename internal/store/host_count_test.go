package store_test

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// testHostCounts: each host that is not removed is counted once by its last
// result, and as online only on a node that lives.
func testHostCounts(t *testing.T, s *store.Store) {
	ctx, now := t.Context(), time.Now()
	if c, err := s.CountHosts(ctx, now); err != nil || c != (store.HostCounts{}) {
		t.Errorf("without hosts: %+v, %v", c, err)
	}
	for i, state := range []job.State{job.Succeeded, job.Succeeded, job.Warning, job.Failed, job.Lost, job.Cancelled, ""} {
		h := addHost(t, s, string(rune('a'+i)))
		group := fleet.SourceGroup{ID: job.GroupID(job.NewULID(now)), Host: h.ID, Name: "g", Repository: addRepository(t, s, h.ID).ID, Includes: []string{"/"}}
		write(t, s, func(tx *store.Tx) error { return tx.InsertGroup(ctx, group) })
		write(t, s, func(tx *store.Tx) error {
			node := "alive"
			if i%2 == 1 {
				node = "dead"
			}
			if err := tx.OpenSession(ctx, node, h); err != nil || state == "" {
				return err
			}
			return tx.NoteBackup(ctx, fleet.Job{ID: job.NewID(now), Host: h.ID, Group: group.ID, State: state, FinishedAt: now})
		})
	}
	box, copied, gone := addHost(t, s, "box"), addHost(t, s, "copied"), addHost(t, s, "gone")
	write(t, s, func(tx *store.Tx) error {
		for node, until := range map[string]time.Time{"alive": now.Add(time.Minute), "dead": now.Add(-time.Second)} {
			if _, err := tx.NodeLease(ctx, node, now.Add(-time.Minute), until); err != nil {
				return err
			}
		}
		box.Storage = &fleet.Storage{URL: "http://box"}
		if err := tx.OpenSession(ctx, "alive", box); err != nil {
			return err
		}
		if err := tx.SetLink(ctx, copied.ID, store.Link{QuarantinedAt: now}); err != nil {
			return err
		}
		_, err := tx.RemoveHost(ctx, gone.ID, now)
		return err
	})
	want := store.HostCounts{Endpoints: 8, Storage: 1, Online: 5, Never: 2, Good: 2, Warned: 1, Bad: 2, Other: 1, Quarantined: 1}
	if c, err := s.CountHosts(ctx, now); err != nil || c != want {
		t.Errorf("CountHosts = %+v, %v; want %+v", c, err, want)
	}
}
