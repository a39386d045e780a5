package sim

import (
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// timings are schedules, and how often in a day each is due.
var timings = []struct {
	cron string
	day  int
}{
	{"0 */2 * * *", 12}, {"15 */3 * * *", 8}, {"40 */6 * * *", 4}, {"30 2 * * *", 1}, {"@daily", 1}, {"0,30 1-3 * * *", 6},
	{"*/10 4-5 * * *", 12}, {"5,35 9-12 * * *", 8}, {"30 1-4 * * *", 4}, {"* 13 * * *", 60}, {"30 2 * * 0", 1},
}

var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"}

// mostRuns is how many moments a day all schedules of a world have together.
const mostRuns = 28

// asked is one schedule and what is known of its life.
type asked struct {
	fleet.Schedule
	machine *machine
	// whole: nothing has been done to it since it was made, so that each of its
	// moments must be accounted for.
	whole bool
	gone  bool
}

// build makes the world that a seed stands for.
func (w *world) build() {
	w.changed = map[job.GroupID]bool{}
	// Some worlds have clones and some an older copy of the database, for these make
	// much unprovable; none has both: a server that has forgotten which of two
	// machines is the true one can't keep them apart.
	w.clones = w.number(4) == 0
	w.putsBack = !w.clones && w.number(3) == 0
	// Most servers take their time, which spares that of the test.
	w.drainEvery, w.beat = 5*time.Minute, 10*time.Minute
	if w.number(6) == 0 {
		w.drainEvery, w.beat = 30*time.Second, time.Minute
	}
	w.startServer(false)
	if w.number(3) > 0 {
		w.addBox(1 + w.number(2))
	}
	runs := 0
	for n := range []int{1, 1, 1, 2, 2, 3}[w.number(6)] {
		m := w.join("host" + itoa(n+1))
		for g := range 1 + w.number(3) {
			m.groups = append(m.groups, w.addGroup(m, "group"+itoa(g+1)))
		}
		m.start()
		for range 1 + w.number(4) {
			runs += w.addSchedule(m, mostRuns-runs)
		}
	}
	w.server().drawDeath() // which must not come while it is joined
}

// addBox makes a rest-server with few slots. Nobody runs there; jobs count.
func (w *world) addBox(slots int) {
	w.box = job.HostID(job.NewULID(time.Now()))
	w.write(func(tx *store.Tx) error {
		return tx.InsertHost(w.t.Context(), fleet.Host{ID: w.box, Name: "box", ResticHost: "box", PublicKey: []byte("none"), EnrolledAt: time.Now(),
			Storage: &fleet.Storage{URL: "http://box.example", Slots: slots}})
	})
}

func (w *world) write(change func(*store.Tx) error) {
	must(w.server().store.Write(w.t.Context(), change))
}

// giveSlots puts the repository of a machine on the rest-server.
func (w *world) giveSlots(m *machine) {
	ctx, s := w.t.Context(), w.server().store
	list, _, err := s.Repositories(ctx, store.RepositoryFilter{Host: m.host})
	must(err)
	r := list[0]
	sealed, err := s.SealedRepository(ctx, r.ID)
	must(err)
	secrets, err := newSealer().Open(bound(r.ID), sealed)
	must(err)
	r.ID, r.Storage = job.RepositoryID(job.NewULID(time.Now())), w.box
	w.write(func(tx *store.Tx) error { return tx.InsertRepository(ctx, r, newSealer().Seal(bound(r.ID), secrets)) })
	m.repository = r.ID
}

// bound is what the secrets of a repository are sealed to.
func bound(id job.RepositoryID) string { return "repositories/" + string(id) + "/secrets" }

// join adds a machine to the world.
func (w *world) join(name string) *machine {
	m := w.enrol(name)
	if w.box != "" {
		w.giveSlots(m)
	}
	presence := []fleet.Presence{fleet.AlwaysOn, fleet.Intermittent}[w.number(2)]
	_, err := w.server().UpdateHost(w.t.Context(), auth.Server, m.host, changePresence(presence))
	must(err)
	return m
}

func (w *world) addGroup(m *machine, name string) fleet.SourceGroup {
	g := fleet.SourceGroup{Host: m.host, Name: name, Repository: m.repository, Includes: []string{filepath.Join(w.dir, "source")}, Options: fleet.DefaultGroupOptions()}
	g.Options.RetryMax = 1 + w.number(5)
	g.Options.RetryBackoffSeconds = 10 + w.number(600)
	g.Options.RetryLockMinutes = w.number(30)
	g, err := w.server().CreateGroup(w.t.Context(), auth.Server, g)
	must(err)
	return g
}

// addSchedule gives a machine a schedule that is due at most so often in a day,
// and returns how often it is.
func (w *world) addSchedule(m *machine, most int) int {
	timing := timings[w.number(len(timings))]
	rule := schedule.Rule{Cron: timing.cron, TimeZone: zones[w.number(len(zones))], JitterSeconds: w.number(900),
		Missed: []schedule.Missed{schedule.RunOnce, schedule.Skip}[w.number(2)]}
	var groups []job.GroupID
	for _, g := range m.groups {
		if w.number(2) == 0 {
			groups = append(groups, g.ID)
		}
	}
	if len(groups) == 0 {
		groups = []job.GroupID{m.groups[w.number(len(m.groups))].ID}
	}
	runs := timing.day * len(groups)
	if runs > most {
		return 0
	}
	s, err := w.server().CreateSchedule(w.t.Context(), auth.Server, fleet.Schedule{Host: m.host, Rule: rule, Enabled: true, Groups: groups})
	must(err)
	w.schedules = append(w.schedules, &asked{Schedule: s, machine: m, whole: true})
	return runs
}
