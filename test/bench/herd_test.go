//go:build linux

package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// herdHost is a host of a herd: one source group, and schedules that name it.
type herdHost struct {
	seeded
	group     job.GroupID
	schedules []job.ScheduleID
}

// herd are hosts that back up to one storage box, which is no machine: of all
// that is measured with a herd, none asks it for anything.
type herd struct {
	hosts []herdHost
}

// sealerIn seals as the server with that data folder does.
func sealerIn(t testing.TB, dir string) *crypto.Sealer {
	t.Helper()
	key, err := crypto.KeyFile(filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := crypto.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// seedHerd writes hosts with ready repositories on one box with so many slots,
// and so many daily schedules each, the first at 01:00.
func seedHerd(t testing.TB, s *store.Store, sealer *crypto.Sealer, count, slots, schedules int) *herd {
	t.Helper()
	now := time.Now()
	box := job.HostID(job.NewULID(now))
	inBatches(t, s, 1, func(ctx context.Context, tx *store.Tx, _ int) error {
		return tx.InsertHost(ctx, fleet.Host{ID: box, Name: "box", ResticHost: "box", PublicKey: []byte("box"), Hostname: "box", OS: "linux", Arch: "amd64",
			Storage: &fleet.Storage{URL: "http://192.0.2.1", Slots: slots}, EnrolledAt: now})
	})
	h := &herd{hosts: make([]herdHost, count)}
	for i, host := range seedHosts(t, s, count) {
		h.hosts[i] = herdHost{seeded: host, group: job.GroupID(job.NewULID(now))}
		h.hosts[i].repository = job.RepositoryID(job.NewULID(now))
	}
	inBatches(t, s, count, func(ctx context.Context, tx *store.Tx, i int) error {
		host := &h.hosts[i]
		name := fmt.Sprintf("user-%05d", i)
		// What the server seals for a repository, to the place where it looks for it.
		sealed := sealer.Seal("repositories/"+string(host.repository)+"/secrets", []byte(`{"password":"bench","key":"bench"}`))
		err := tx.InsertRepository(ctx, fleet.Repository{ID: host.repository, Name: name, URL: "rest:http://192.0.2.1/" + name + "/", Host: host.id,
			Storage: box, User: name, CreatedAt: now, ProvisionedAt: now, ReadyAt: now}, sealed)
		if err != nil {
			return err
		}
		err = tx.InsertGroup(ctx, fleet.SourceGroup{ID: host.group, Host: host.id, Name: "home", Repository: host.repository, Includes: []string{"/home"},
			Excludes: []string{}, Options: fleet.DefaultGroupOptions(), Retention: fleet.DefaultRetention, CreatedAt: now, UpdatedAt: now})
		if err != nil {
			return err
		}
		for n := range schedules {
			id := job.ScheduleID(job.NewULID(now))
			host.schedules = append(host.schedules, id)
			err := tx.InsertSchedule(ctx, fleet.Schedule{ID: id, Host: host.id, Name: fmt.Sprintf("daily-%d", n), Enabled: true, Groups: []job.GroupID{host.group},
				Rule: schedule.Rule{Cron: fmt.Sprintf("0 %d * * *", 1+n*24/schedules), TimeZone: "UTC", Missed: schedule.RunOnce}, CreatedAt: now, UpdatedAt: now})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return h
}

// agents are the hosts as a crowd is made of.
func (h *herd) agents() []seeded {
	all := make([]seeded, len(h.hosts))
	for i, host := range h.hosts {
		all[i] = host.seeded
	}
	return all
}

// lastNight is the last moment of a host's first schedule.
func lastNight() time.Time {
	return time.Now().Add(-time.Hour).UTC().Truncate(24 * time.Hour).Add(time.Hour)
}

// due lets the agents journal, all at once, that the last moment of their first
// schedule has come.
func (h *herd) due(c *crowd) {
	at := lastNight()
	for i, agent := range c.agents {
		host := h.hosts[i]
		agent.append(job.DueID(host.schedules[0], host.group, at),
			entry{api.RecordDue, api.Due{Group: host.group, Occasion: job.Occasion{Schedule: host.schedules[0], ScheduledAt: at.UnixMilli()}}})
	}
}
