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
	write(t, s, func(tx *store.Tx) error {
		return tx.UpdateHost(ctx, fleet.Host{ID: h.ID, Name: "renamed", Presence: fleet.AlwaysOn})
	})
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

// testCounts: what bounds hang on, and what is removed when it is old.
func testCounts(t *testing.T, s *store.Store) {
	ctx := t.Context()
	h := addHost(t, s, "h")
	r := addRepository(t, s, h.ID)
	for n := range 3 {
		j := newJob(h.ID, job.Provision, "")
		j.Repository, j.Origin, j.CreatedAt = r.ID, job.ByAccount, start.Add(time.Duration(n)*time.Hour)
		write(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.InsertJob(ctx, j), tx.RejectRecord(ctx, h.ID, "j", uint64(n), "k", "b", "r", start))
		})
	}
	for limit, want := range map[int]int{2: 2, 10: 3} {
		if n, err := s.CountOfAccount(ctx, h.ID, limit); err != nil || n != want {
			t.Errorf("CountOfAccount up to %d = %d, %v", limit, n, err)
		}
	}
	if n, err := s.CountRecent(ctx, r.ID, job.Provision, start.Add(time.Hour)); err != nil || n != 2 {
		t.Errorf("CountRecent = %d, %v", n, err)
	}
	if n, err := s.CountRecent(ctx, r.ID, job.Init, start); err != nil || n != 0 {
		t.Errorf("CountRecent of another kind = %d, %v", n, err)
	}
	if n, err := s.CountRejected(ctx, h.ID); err != nil || n != 3 {
		t.Errorf("CountRejected = %d, %v", n, err)
	}
	for _, subject := range []string{"open", "closed"} {
		write(t, s, func(tx *store.Tx) error {
			_, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertGap, Host: h.ID, Subject: subject}, start)
			return err
		})
	}
	write(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.CloseAlert(ctx, fleet.AlertGap, h.ID, "closed", start), tx.DropAlerts(ctx, start.Add(time.Hour)))
	})
	if open, err := s.Alerts(ctx, h.ID); err != nil || len(open) != 1 {
		t.Errorf("open alerts = %+v, %v", open, err)
	}
	write(t, s, func(tx *store.Tx) error { // a closed one that is gone leaves room for the same again
		_, err := tx.OpenAlert(ctx, fleet.Alert{Kind: fleet.AlertGap, Host: h.ID, Subject: "closed"}, start)
		return err
	})
}
