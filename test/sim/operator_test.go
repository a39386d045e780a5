package sim

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

func changePresence(p fleet.Presence) control.HostChange { return control.HostChange{Presence: &p} }

// wishes are what a person asks for, more often the more lines it has.
var wishes = []struct {
	name string
	do   func(*world, *machine)
}{
	{"run now", (*world).wishRunNow},
	{"run now", (*world).wishRunNow},
	{"run when back", (*world).wishRunWhenBack},
	{"cancel", (*world).wishCancel},
	{"cancel", (*world).wishCancel},
	{"drop", (*world).wishDrop},
	{"hurry", (*world).wishHurry},
	{"edit a schedule", (*world).wishEdit},
	{"switch a schedule", (*world).wishSwitch},
	{"remove a schedule", (*world).wishRemove},
	{"add a schedule", (*world).wishAdd},
	{"pause", (*world).wishPause},
	{"retry rules", (*world).wishRetryRules},
}

// wish has a person do something, which may be refused.
func (w *world) wish() {
	n := w.server()
	if n == nil || n.dead() {
		return
	}
	one := wishes[w.number(len(wishes))]
	m := w.machines[w.number(len(w.machines))]
	w.note("wish: %s on %s", one.name, m.name)
	one.do(w, m)
}

// asked tolerates what a person may be told: no, or nothing since the server died.
func (w *world) tolerate(err error) bool {
	if err == nil {
		return true
	}
	w.note("  refused: %v", err)
	return false
}

func (w *world) anyGroup(m *machine) fleet.SourceGroup { return m.groups[w.number(len(m.groups))] }

func (w *world) ask(m *machine, whenBack bool) {
	g := w.anyGroup(m)
	j, err := w.server().CreateJob(w.t.Context(), auth.Server, control.NewJob{Host: m.host, Kind: job.Backup, Group: g.ID, WhenBack: whenBack})
	if w.tolerate(err) {
		w.note("  job %s", j.ID)
	}
}

func (w *world) wishRunNow(m *machine)      { w.ask(m, false) }
func (w *world) wishRunWhenBack(m *machine) { w.ask(m, true) }

// pick is one job of a host that has not ended.
func (w *world) pick(m *machine, fits func(fleet.Job) bool) (fleet.Job, bool) {
	active, err := w.server().store.ActiveJobs(w.t.Context(), m.host)
	if !w.tolerate(err) {
		return fleet.Job{}, false
	}
	var list []fleet.Job
	for _, j := range active {
		if fits(j) {
			list = append(list, j)
		}
	}
	if len(list) == 0 {
		return fleet.Job{}, false
	}
	return list[w.number(len(list))], true
}

func (w *world) wishCancel(m *machine) {
	if j, ok := w.pick(m, func(fleet.Job) bool { return true }); ok {
		w.note("  job %s, which is %s", j.ID, j.State)
		_, err := w.server().CancelJob(w.t.Context(), auth.Server, j.ID)
		w.tolerate(err)
	}
}

func pending(j fleet.Job) bool { return j.State == job.Queued || j.State == job.Sent }

func (w *world) wishDrop(m *machine) {
	if j, ok := w.pick(m, pending); ok {
		w.note("  job %s", j.ID)
		w.tolerate(w.server().DropPending(w.t.Context(), auth.Server, j.ID))
	}
}

func (w *world) wishHurry(m *machine) {
	if j, ok := w.pick(m, pending); ok {
		w.note("  job %s", j.ID)
		_, err := w.server().RunPending(w.t.Context(), auth.Server, j.ID)
		w.tolerate(err)
	}
}

// anySchedule is one that is there still.
func (w *world) anySchedule(m *machine) *asked {
	var list []*asked
	for _, s := range w.schedules {
		if s.machine == m && !s.gone {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[w.number(len(list))]
}

func (w *world) update(s *asked, change func(*fleet.Schedule)) {
	s.whole = false
	next := s.Schedule
	change(&next)
	next, err := w.server().UpdateSchedule(w.t.Context(), auth.Server, next)
	if w.tolerate(err) {
		s.Schedule = next
	}
}

func (w *world) wishEdit(m *machine) {
	if s := w.anySchedule(m); s != nil {
		w.update(s, func(next *fleet.Schedule) {
			next.Cron, next.TimeZone = timings[w.number(5)].cron, zones[w.number(len(zones))]
			next.Groups = []job.GroupID{w.anyGroup(m).ID}
		})
	}
}

func (w *world) wishSwitch(m *machine) {
	if s := w.anySchedule(m); s != nil {
		w.update(s, func(next *fleet.Schedule) { next.Enabled = !next.Enabled })
	}
}

func (w *world) wishRemove(m *machine) {
	if s := w.anySchedule(m); s != nil && w.number(2) == 0 {
		s.whole = false
		s.gone = w.tolerate(w.server().DeleteSchedule(w.t.Context(), auth.Server, s.ID))
	}
}

func (w *world) wishAdd(m *machine) {
	rule := schedule.Rule{Cron: "20 */5 * * *", TimeZone: zones[w.number(len(zones))], JitterSeconds: w.number(900), Missed: schedule.RunOnce}
	s, err := w.server().CreateSchedule(w.t.Context(), auth.Server, fleet.Schedule{Host: m.host, Rule: rule, Enabled: true, Groups: []job.GroupID{w.anyGroup(m).ID}})
	if w.tolerate(err) {
		w.schedules = append(w.schedules, &asked{Schedule: s, machine: m, whole: true})
	}
}

func (w *world) wishPause(m *machine) {
	p := fleet.Pause{Scope: fleet.PauseHost, Subject: string(m.host), Until: time.Now().Add(w.between(time.Minute, 6*time.Hour))}
	if w.number(3) == 0 {
		p.Scope, p.Subject = fleet.PauseFleet, ""
	}
	p, err := w.server().CreatePause(w.t.Context(), auth.Server, p)
	if w.tolerate(err) && w.number(2) == 0 {
		w.later(w.between(0, time.Until(p.Until)), func() {
			if n := w.server(); n != nil {
				w.tolerate(n.EndPause(w.t.Context(), auth.Server, p.ID))
			}
		})
	}
}

func (w *world) wishRetryRules(m *machine) {
	at := w.number(len(m.groups))
	g := m.groups[at]
	w.changed[g.ID] = true
	g.Options.RetryMax = 1 + w.number(5)
	if g, err := w.server().UpdateGroup(w.t.Context(), auth.Server, g); w.tolerate(err) {
		m.groups[at] = g
	}
}

// decide has a person tell a machine from its copy, once they look at it.
func (w *world) decide() {
	n := w.server()
	if n == nil || n.dead() {
		return
	}
	for _, m := range w.machines {
		if m.copyOf != nil {
			continue
		}
		host, err := n.store.Host(w.t.Context(), m.host)
		if err != nil || !host.RemovedAt.IsZero() {
			continue
		}
		for _, s := range n.Sessions(m.host) {
			if s.Held && s.Address == m.address() {
				w.note("a person calls %s the true one", m.name)
				w.rewinds.Store(true)
				w.tolerate(n.KeepSession(w.t.Context(), auth.Server, m.host, s.ID))
				break
			}
		}
	}
}
