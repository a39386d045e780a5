package store_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// testHoldHost: two transactions that hold one host come one after the other, so
// that none decides on what the other is changing.
func testHoldHost(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "Kept")
	if err := s.Write(ctx, func(tx *store.Tx) error { return tx.HoldHost(ctx, "nobody") }); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an unknown host is held: %v", err)
	}
	const writers = 12
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			if err := s.Write(ctx, func(tx *store.Tx) error {
				if err := tx.HoldHost(ctx, h.ID); err != nil {
					return err
				}
				link, err := tx.Link(ctx, h.ID)
				if err != nil {
					return err
				}
				link.Counter++
				return tx.SetLink(ctx, h.ID, link)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if link, err := s.Link(ctx, h.ID); err != nil || link.Counter != writers {
		t.Errorf("counted to %d, %v; want %d", link.Counter, err, writers)
	}
	write(t, s, func(tx *store.Tx) error { return tx.UpdateHost(ctx, h.ID, "renamed", nil) })
	for name, want := range map[string]bool{"RENAMED": true, "kept": true, "kep": false, "%": false} {
		if taken, err := s.HostNameTaken(ctx, name); err != nil || taken != want {
			t.Errorf("HostNameTaken(%q) = %v, %v", name, taken, err)
		}
	}
	write(t, s, func(tx *store.Tx) error { _, err := tx.RemoveHost(ctx, h.ID, start); return err })
	if taken, err := s.HostNameTaken(ctx, "kept"); err != nil || taken {
		t.Errorf("a removed host keeps its name: %v, %v", taken, err)
	}
}

func testUnsettled(t *testing.T, s *store.Store) {
	ctx := t.Context()
	box, one, other := addHost(t, s, "box"), addHost(t, s, "one"), addHost(t, s, "other")
	add := func(host job.HostID) job.RepositoryID {
		r := fleet.Repository{ID: job.RepositoryID(job.NewULID(start)), Name: "r", URL: "rest:http://x/", Host: host, Storage: box.ID, CreatedAt: start, ProvisionedAt: start}
		write(t, s, func(tx *store.Tx) error { return tx.InsertRepository(ctx, r, nil) })
		return r.ID
	}
	unready, ready, left := add(one.ID), add(one.ID), add(other.ID)
	addRepository(t, s, one.ID) // of no storage agent
	write(t, s, func(tx *store.Tx) error {
		_, err := tx.RemoveHost(ctx, other.ID, start)
		return errors.Join(err, tx.ReadyRepository(ctx, ready, start), tx.ReadyRepository(ctx, left, start))
	})
	list := func() (ids []job.RepositoryID) {
		t.Helper()
		items, err := s.UnsettledRepositories(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range items {
			ids = append(ids, r.ID)
		}
		slices.Sort(ids)
		return ids
	}
	want := []job.RepositoryID{unready, left}
	slices.Sort(want)
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("unsettled = %v, want %v", got, want)
	}
	write(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.ReadyRepository(ctx, unready, start), tx.ProvisionedRepository(ctx, left, time.Time{}))
	})
	if got := list(); len(got) != 0 {
		t.Errorf("still unsettled: %v", got)
	}
}
