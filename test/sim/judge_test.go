package sim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// sessionOf tells whether a session is one of a machine that is spoken with.
func sessionOf(m *machine) func(control.SessionInfo) bool {
	return func(s control.SessionInfo) bool { return !s.Held && s.Address == m.address() }
}

// final are the states after which nothing may change any more.
var final = []job.State{job.Succeeded, job.Warning, job.Failed}

// check looks at what the server says, after everything that happened.
func (w *world) check() {
	n := w.server()
	if n == nil || n.dead() {
		return
	}
	newest, _, err := n.store.Jobs(w.t.Context(), fleet.JobFilter{Page: fleet.Page{Limit: 15}})
	if err != nil {
		if !n.dead() {
			must(err)
		}
		return
	}
	for _, j := range newest {
		w.checkJob(j)
	}
	for _, m := range w.machines {
		if w.cloned {
			break // a machine and its copy contradict each other
		}
		if rejected, err := n.store.CountRejected(w.t.Context(), m.host); err == nil && rejected > 0 {
			w.fault("the server could not apply %d records of %s", rejected, m.name)
		}
	}
}

func (w *world) checkJob(j fleet.Job) {
	if j.State.Ended() && !j.State.EndedWell() && j.Error == "" && j.Cause == "" {
		w.fault("job %s is %s without a reason", j.ID, j.State)
	}
	if was := w.ended[j.ID]; was != "" && was != j.State {
		w.fault("job %s was %s and is %s", j.ID, was, j.State)
	}
	if slices.Contains(final, j.State) {
		w.ended[j.ID] = j.State
	}
}

// forget drops what a server that was put back can't know.
func (w *world) forget() { clear(w.ended) }

// settle ends all that goes wrong and waits until nothing is left to do.
func (w *world) settle() {
	w.note("nothing goes wrong any more")
	w.setOdds(odds{longest: time.Minute})
	for len(w.events) > 0 {
		do := w.events[0].do
		w.events = w.events[1:]
		do()
	}
	for _, m := range slices.Clone(w.machines) {
		if m.copyOf != nil {
			w.destroy(m)
			continue
		}
		m.wake()
		m.fill(false)
		m.plug(true)
		m.repo.setAway(false)
		m.jump(-m.wrong())
	}
	w.net.each((*link).heal)
	w.disarm()
	w.play(time.Now().Add(2*time.Hour), w.decide)
	w.bootServer(false)
	for _, m := range w.machines {
		w.bootMachine(m)
	}
	n, ctx := w.server(), w.t.Context()
	pauses, err := n.store.Pauses(ctx, time.Now())
	must(err)
	for _, p := range pauses {
		must(n.EndPause(ctx, auth.Server, p.ID))
	}
	w.pass(10 * time.Minute)
	w.quiet = time.Now()
	standing, _, err := n.store.Schedules(ctx, fleet.ScheduleFilter{Page: fleet.Page{Limit: 500}})
	must(err)
	for _, s := range standing {
		s.Enabled = false
		_, err := n.UpdateSchedule(ctx, auth.Server, s)
		must(err)
	}
	const bound = 3 * time.Hour
	for end := time.Now().Add(bound); ; w.pass(time.Minute) {
		w.decide()
		why := w.unsettled()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			w.fault("%v after the last fault something is not settled: %s", bound, why)
			return
		}
	}
}

// disarm lets nothing that lives crash by itself.
func (w *world) disarm() {
	if n := w.server(); n != nil {
		n.mutex.Lock()
		n.dieAt = 0
		n.mutex.Unlock()
	}
	for _, m := range w.machines {
		if b := m.running(); b != nil {
			b.steps.mutex.Lock()
			b.steps.at = 0
			b.steps.mutex.Unlock()
		}
	}
}

// unsettled says what is still to be done; "" is nothing.
func (w *world) unsettled() string {
	for _, m := range w.machines {
		active, err := w.server().store.ActiveJobs(w.t.Context(), m.host)
		must(err)
		if len(active) > 0 {
			return "job " + string(active[0].ID) + " is " + string(active[0].State)
		}
		var s agent.Status
		raw, err := os.ReadFile(filepath.Join(m.dir, "status.json"))
		must(err)
		must(json.Unmarshal(raw, &s))
		switch {
		case !s.Connected || s.Quarantined:
			return m.name + " has no session"
		case len(s.Jobs) > 0:
			return m.name + " has the job " + string(s.Jobs[0].ID)
		case len(s.Held) > 0:
			return m.name + " holds the run " + string(s.Held[0].ID) + ", which waits " + s.Held[0].Waits
		case s.RecordsWaiting > 0:
			return m.name + " has records that the server does not have"
		}
	}
	return ""
}

// compare holds what the server says in the end against what truly happened.
func (w *world) compare() {
	n, ctx := w.server(), w.t.Context()
	jobs := map[job.ID]fleet.Job{}
	for cursor := ""; ; {
		page, next, err := n.store.Jobs(ctx, fleet.JobFilter{Page: fleet.Page{Limit: 500, Cursor: cursor}})
		must(err)
		for _, j := range page {
			jobs[j.ID] = j
			w.checkJob(j)
			if j.Kind == job.Backup {
				w.compareJob(j)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for _, a := range w.truth.all() {
		if _, ok := jobs[a.job]; !ok && a.machine.copyOf == nil {
			w.fault("the server knows nothing of %s", a)
		}
	}
	w.compareMoments(jobs)
	w.compareRetries(jobs)
}

func (w *world) compareJob(j fleet.Job) {
	ran := w.truth.of(j.ID)
	if slices.ContainsFunc(ran, func(a *attempt) bool { return a.machine.copyOf != nil }) {
		return // what a copy did without a server nobody was told
	}
	saved := slices.DeleteFunc(slices.Clone(ran), func(a *attempt) bool { return a.snapshot == "" })
	killedOnly := !slices.ContainsFunc(saved, func(a *attempt) bool { return a.exit != restic.ExitKilled })
	wrong := ""
	switch j.State {
	case job.Succeeded, job.Warning:
		if len(saved) == 0 && w.mistaken(j) {
			break
		}
		if len(saved) == 0 {
			wrong = "no restic has saved anything"
		} else if !slices.ContainsFunc(saved, func(a *attempt) bool { return j.Summary != nil && a.snapshot == j.Summary.SnapshotID }) {
			wrong = "its snapshot is another one"
		}
	case job.Failed:
		if !killedOnly {
			wrong = "restic has saved it"
		}
	case job.Cancelled, job.Lost:
		if len(saved) > 0 {
			wrong = "restic has saved it"
		}
	case job.Skipped:
		if len(ran) > 0 {
			wrong = "restic was started for it"
		}
	case job.Queued, job.Sent, job.Running:
		wrong = "it has not ended"
	}
	if wrong != "" {
		w.fault("job %s is %s (%s: %s), but %s: %v", j.ID, j.State, j.Cause, j.Error, wrong, ran)
	}
}

// mistaken tells whether a job was found to have made what another one has saved. Two
// things can bring that about: a clock that is behind, by which the snapshot of a restic
// that was killed before it could tell of it seems to be of after the job began, and a
// copy, which knows nothing of what the true machine does.
func (w *world) mistaken(j fleet.Job) bool {
	return j.Cause == job.CauseRestarted && j.Summary != nil && slices.ContainsFunc(w.truth.all(), func(a *attempt) bool {
		return a.snapshot == j.Summary.SnapshotID && a.machine.host == j.Host && (w.cloned || a.machine.wasBehind && a.exit == restic.ExitKilled)
	})
}

// compareMoments proves of each schedule that was left as it was made that none
// of its moments is unaccounted for since its machine's clock was right.
func (w *world) compareMoments(jobs map[job.ID]fleet.Job) {
	if w.cloned {
		return // the copy's account of its moments went with it
	}
	standing, _, err := w.server().store.Schedules(w.t.Context(), fleet.ScheduleFilter{Page: fleet.Page{Limit: 500}})
	must(err)
	for _, s := range w.schedules {
		known := slices.ContainsFunc(standing, func(other fleet.Schedule) bool { return other.ID == s.ID })
		if !s.whole || !known {
			continue
		}
		calendar, err := schedule.Parse(s.Rule)
		must(err)
		from := time.UnixMilli(s.EffectiveFrom)
		if sure := s.machine.sure.Add(schedule.OnTime); sure.After(from) {
			from = sure
		}
		for _, moment := range calendar.Between(from, w.quiet.Add(-schedule.OnTime), 10_000) {
			for _, group := range s.Groups {
				if !accounted(jobs, s.ID, group, moment) {
					w.fault("nothing tells of the moment %v of schedule %s (%s %s) for group %s on %s", moment.UTC(), s.ID, s.Cron, s.TimeZone, group, s.machine.name)
				}
			}
		}
	}
}

// compareRetries proves that what failed for a cause worth retrying was tried again
// as often as its group says.
func (w *world) compareRetries(jobs map[job.ID]fleet.Job) {
	most := map[job.GroupID]int{}
	for _, m := range w.machines {
		for _, g := range m.groups {
			most[g.ID] = g.Options.RetryMax
		}
	}
	for _, j := range jobs {
		if j.Kind != job.Backup || w.changed[j.Group] || w.cloned || w.restored || j.Retry+1 >= most[j.Group] || !job.Retryable(j.State, j.Cause, j.Trouble) {
			continue
		}
		if newer(jobs, j) || !j.CancelRequestedAt.IsZero() {
			continue // which does its work, or nobody wants it any more
		}
		if _, next, err := j.Occasion().Next(j.ID); err != nil || jobs[next].ID == "" {
			w.fault("job %s is %s (%s, %s) and was not tried again", j.ID, j.State, j.Cause, j.Trouble)
		}
	}
}

// newer tells whether a later moment of the same schedule had come when j ended.
func newer(jobs map[job.ID]fleet.Job, j fleet.Job) bool {
	for _, other := range jobs {
		if j.Schedule != "" && other.Schedule == j.Schedule && other.Group == j.Group && other.ScheduledAt.After(j.ScheduledAt) && !other.CreatedAt.After(j.FinishedAt.Add(schedule.OnTime)) {
			return true
		}
	}
	return false
}

func accounted(jobs map[job.ID]fleet.Job, schedule job.ScheduleID, group job.GroupID, moment time.Time) bool {
	if _, ok := jobs[job.DueID(schedule, group, moment)]; ok {
		return true
	}
	for _, j := range jobs {
		if j.Schedule == schedule && j.Group == group && j.Moments > 0 && !moment.Before(j.ScheduledAt) && !moment.After(j.ScheduledTo) {
			return true
		}
	}
	return false
}
