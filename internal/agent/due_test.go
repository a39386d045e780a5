package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// dueRig is a rig whose plan has an hourly schedule, and whose wall clock is set
// by the test; it stands at noon when the agent is first started.
type dueRig struct {
	*rig
	schedule job.ScheduleID
	ahead    atomic.Int64 // of the system's clock, in nanoseconds
	running  *runningAgent
}

func newDueRig(t *testing.T, policy string) *dueRig {
	t.Helper()
	r := &dueRig{rig: newRig(t, policy).withRepository(), schedule: job.ScheduleID(job.NewULID(noon))}
	r.options = func(o *Options) { o.Now = r.now }
	r.usePlan("0 * * * *", func(*job.BackupSpec) {})
	r.setClock(noon)
	r.enrol()
	return r
}

func (r *dueRig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

func (r *dueRig) usePlan(cron string, change func(*job.BackupSpec)) {
	plan := r.plan(r.access)
	spec := r.backupSpec()
	spec.RetryMax = 3
	change(spec)
	rule := ruleOf(cron)
	rule.EffectiveFrom = noon.Add(-time.Hour).UnixMilli()
	plan.Groups = []job.BackupSpec{*spec}
	plan.Schedules = []api.PlanSchedule{{ID: r.schedule, Rule: rule, Groups: []job.GroupID{r.group}}}
	plan.Digest = string(mustJSON(r.t, plan.Groups)) + cron
	r.peer.setPlan(plan)
}

// begin starts the agent and waits until it has the plan.
func (r *dueRig) begin() {
	r.t.Helper()
	r.running = r.start()
	testkit.WaitFor(r.t, 20*time.Second, "the plan", func() bool { return r.running.plan.digest() == r.peer.plan.Digest })
	testkit.WaitFor(r.t, 20*time.Second, "the first look at the clock", func() bool {
		_, err := os.Stat(filepath.Join(r.dir, clockFile))
		return err == nil
	})
}

// setClock sets the wall clock of the agent and lets it look.
func (r *dueRig) setClock(to time.Time) {
	r.ahead.Store(int64(time.Until(to)))
	if r.running != nil {
		poke(r.running.clock.wake)
	}
}

// serverGoes cuts the session and lets no other come.
func (r *dueRig) serverGoes() {
	r.t.Helper()
	r.peer.away.Store(true)
	r.peer.drop()
	testkit.WaitFor(r.t, 10*time.Second, "the agent to notice", func() bool { return !r.running.status.connected() })
}

// dueAt is the id of the run at a moment.
func (r *dueRig) dueAt(moment time.Time) job.ID { return job.DueID(r.schedule, r.group, moment) }

// job is what the server sends for a run that is due.
func (r *dueRig) job(id job.ID) *api.Job {
	spec := r.peer.plan.Groups[0]
	return &api.Job{ID: id, Kind: job.Backup, Origin: job.BySchedule, Spec: mustJSON(r.t, spec), Access: &r.access}
}

// awaitHeld waits until a run is held and says that it waits for what is given.
func (r *dueRig) awaitHeld(id job.ID, waits string) {
	r.t.Helper()
	testkit.WaitFor(r.t, 20*time.Second, "the run to wait "+waits, func() bool {
		return slices.ContainsFunc(r.running.clock.waiting(), func(one StatusHeld) bool {
			return one.ID == id && strings.HasPrefix(one.Waits, waits)
		})
	})
}

// awaitLocal waits for a record in the agent's own journal.
func (r *dueRig) awaitLocal(id job.ID, kind api.RecordKind) (record api.Record) {
	r.t.Helper()
	testkit.WaitFor(r.t, 60*time.Second, string(kind)+" of the run", func() bool {
		records, err := r.running.journal.RecordsOf(id)
		if err != nil {
			r.t.Fatal(err)
		}
		at := slices.IndexFunc(records, func(record api.Record) bool { return record.Kind == kind })
		if at >= 0 {
			record = records[at]
		}
		return at >= 0
	})
	return record
}

// expectKinds compares what the server was told of a run.
func (r *dueRig) expectKinds(id job.ID, want ...api.RecordKind) {
	r.t.Helper()
	if got := r.peer.kindsOf(id); !slices.Equal(got, want) {
		r.t.Errorf("records of %s: %v", id, got)
	}
}

// nothingMore waits until the agent has read all that was sent to it.
func (r *dueRig) nothingMore() {
	r.t.Helper()
	r.peer.say(`{"type":"nothing","body":{}}`)
	testkit.WaitFor(r.t, 10*time.Second, "the answer", func() bool { return r.peer.with(func() bool { return len(r.peer.unknown) > 0 }) })
}

func TestWhatIsDueWaitsForTheServer(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	r.setClock(noon.Add(time.Hour + time.Second))
	id := r.dueAt(noon.Add(time.Hour))
	var due api.Due
	if err := json.Unmarshal(r.peer.awaitRecord(id, api.RecordDue).Body, &due); err != nil {
		t.Fatal(err)
	}
	want := api.Due{Group: r.group, Occasion: job.Occasion{Schedule: r.schedule, ScheduledAt: noon.Add(time.Hour).UnixMilli()}}
	if due != want {
		t.Errorf("due = %+v", due)
	}
	r.awaitHeld(id, "for the server's word")
	r.setClock(noon.Add(time.Hour + 30*time.Minute)) // far beyond its patience
	hellos := 1
	r.peer.drop()
	r.peer.awaitConnected(hellos + 1)
	if held := r.peer.hellos[hellos].Held; !slices.Equal(held, []job.ID{id}) {
		t.Errorf("hello says of the held runs: %v", held)
	}
	r.awaitHeld(id, "for the server's word")
	r.expectKinds(id, api.RecordDue)
	r.peer.want(id, r.job(id))
	if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded {
		t.Errorf("ended = %+v", ended)
	}
	r.expectKinds(id, api.RecordDue, api.RecordAccepted, api.RecordStarted, api.RecordSnapshot, api.RecordEnded)
	var accepted api.Accepted
	if err := json.Unmarshal(r.peer.awaitRecord(id, api.RecordAccepted).Body, &accepted); err != nil {
		t.Fatal(err)
	}
	if accepted.Occasion != want.Occasion {
		t.Errorf("accepted = %+v", accepted.Occasion)
	}
	if waiting := r.running.journal.Held(); len(waiting) != 0 {
		t.Errorf("still held: %+v", waiting)
	}
}

func TestAHeldRunEndsInTheServersWords(t *testing.T) {
	for name, c := range map[string]struct{ said, want api.Cancel }{
		"skipped": {api.Cancel{State: job.Skipped, Cause: job.CauseAbandoned, Error: "Its schedule was switched off."},
			api.Cancel{State: job.Skipped, Cause: job.CauseAbandoned, Error: "Its schedule was switched off."}},
		"cancelled": {api.Cancel{State: job.Cancelled, Cause: job.CauseOperator},
			api.Cancel{State: job.Cancelled, Cause: job.CauseOperator, Error: "It was cancelled before this agent had begun it."}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newDueRig(t, "")
			r.begin()
			r.setClock(noon.Add(time.Hour))
			id := r.dueAt(noon.Add(time.Hour))
			r.awaitHeld(id, "for the server's word")
			c.said.ID = id
			r.peer.want(id, &c.said)
			ended := r.peer.awaitEnded(id)
			if ended.State != c.want.State || ended.Cause != c.want.Cause || ended.Error != c.want.Error {
				t.Errorf("ended = %+v", ended)
			}
			r.peer.want(id, r.job(id)) // a late copy
			r.nothingMore()
			r.expectKinds(id, api.RecordDue, api.RecordEnded)
		})
	}
}

// TestARunBeginsWithoutTheServer lets the server go, or only stop to answer.
func TestARunBeginsWithoutTheServer(t *testing.T) {
	for name, silent := range map[string]bool{"away": false, "acknowledges nothing": true} {
		t.Run(name, func(t *testing.T) {
			r := newDueRig(t, "")
			r.peer.keepAcks = silent
			r.begin()
			if !silent {
				r.serverGoes()
			}
			id := r.dueAt(noon.Add(time.Hour))
			r.setClock(noon.Add(time.Hour))
			r.awaitHeld(id, "for the server, and begins without it at")
			r.setClock(noon.Add(time.Hour + 50*time.Second))
			r.awaitHeld(id, "for the server, and begins without it at")
			r.setClock(noon.Add(time.Hour + 61*time.Second))
			r.awaitLocal(id, api.RecordEnded)
			r.peer.away.Store(false)
			if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded {
				t.Errorf("ended = %+v", ended)
			}
			r.expectKinds(id, api.RecordDue, api.RecordAccepted, api.RecordStarted, api.RecordSnapshot, api.RecordEnded)
			var accepted api.Accepted
			if err := json.Unmarshal(r.peer.awaitRecord(id, api.RecordAccepted).Body, &accepted); err != nil {
				t.Fatal(err)
			}
			if accepted.Origin != job.BySchedule || accepted.Schedule != r.schedule {
				t.Errorf("accepted = %+v", accepted)
			}
			// The server's own copy comes too late.
			r.peer.want(id, r.job(id))
			r.nothingMore()
			if list := r.snapshots(); len(list) != 1 {
				t.Errorf("%d snapshots", len(list))
			}
		})
	}
}

func TestTheServerIsBackInTime(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	r.serverGoes()
	id := r.dueAt(noon.Add(time.Hour))
	r.setClock(noon.Add(time.Hour))
	r.awaitHeld(id, "for the server, and begins without it at")
	r.peer.away.Store(false)
	r.peer.awaitRecord(id, api.RecordDue)
	r.awaitHeld(id, "for the server's word")
	r.setClock(noon.Add(time.Hour + 30*time.Minute))
	// It goes again, and has its whole time again.
	r.serverGoes()
	r.awaitHeld(id, "for the server, and begins without it at")
	r.setClock(noon.Add(time.Hour + 32*time.Minute))
	r.awaitLocal(id, api.RecordEnded)
}

func TestAHeldRunOutlivesTheAgent(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	r.serverGoes()
	id := r.dueAt(noon.Add(time.Hour))
	r.setClock(noon.Add(time.Hour))
	r.awaitHeld(id, "for the server")
	if err := r.running.end(); err != nil {
		t.Fatal(err)
	}
	r.setClock(noon.Add(time.Hour + 10*time.Minute))
	r.begin()
	// The server has its time again, from the start on.
	r.awaitHeld(id, "for the server, and begins without it at")
	r.setClock(noon.Add(time.Hour + 12*time.Minute))
	var ended api.Ended
	if err := json.Unmarshal(r.awaitLocal(id, api.RecordEnded).Body, &ended); err != nil || ended.State != job.Succeeded {
		t.Errorf("ended = %+v, %v", ended, err)
	}
}

func TestACopyBeginsNothing(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	r.peer.with(func() bool {
		r.peer.onWelcome = func(_ api.Hello, welcome *api.Welcome) { welcome.Quarantined = true }
		return true
	})
	r.peer.drop()
	r.peer.awaitConnected(2)
	id := r.dueAt(noon.Add(time.Hour))
	const waits = "until a person decides"
	r.setClock(noon.Add(time.Hour))
	r.awaitHeld(id, waits)
	r.peer.away.Store(true)
	r.peer.drop()
	r.setClock(noon.Add(time.Hour + 10*time.Minute))
	if err := r.running.end(); err != nil {
		t.Fatal(err)
	}
	r.begin()
	r.setClock(noon.Add(time.Hour + 40*time.Minute))
	r.awaitHeld(id, waits)
	if r.running.journal.Known(id) {
		t.Error("a copy began a run")
	}
}

func TestOneRunOfAGroupAtATime(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	id := r.slowBackup(60)
	r.setClock(noon.Add(time.Hour))
	var due api.Due
	if err := json.Unmarshal(r.peer.awaitRecord(r.dueAt(noon.Add(time.Hour)), api.RecordDue).Body, &due); err != nil {
		t.Fatal(err)
	}
	if due.Skip != job.CauseOverlapped || due.By != id {
		t.Errorf("due = %+v", due)
	}
	r.peer.cancel(id)
	if ended := r.peer.awaitEnded(id); ended.Cause != job.CauseOperator {
		t.Errorf("ended = %+v", ended)
	}
	// What a person cancelled is not tried again, and the next moment runs.
	r.setClock(noon.Add(2 * time.Hour))
	r.awaitHeld(r.dueAt(noon.Add(2*time.Hour)), "for the server's word")
	if held := r.running.journal.Held(); len(held) != 1 {
		t.Errorf("held = %+v", held)
	}
}

// TestAPlanThatLeavesARunOut ends what is held when nobody asks for it any more.
func TestAPlanThatLeavesARunOut(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	r.setClock(noon.Add(time.Hour))
	id := r.dueAt(noon.Add(time.Hour))
	r.awaitHeld(id, "for the server's word")
	plan := *r.peer.plan
	plan.Digest, plan.Schedules = "without", nil
	r.peer.setPlan(&plan)
	testkit.WaitFor(t, 10*time.Second, "the plan", func() bool { return r.running.plan.digest() == "without" })
	r.awaitHeld(id, "for the server's word") // it may still want it
	r.serverGoes()
	r.setClock(noon.Add(time.Hour + 10*time.Minute))
	var ended api.Ended
	if err := json.Unmarshal(r.awaitLocal(id, api.RecordEnded).Body, &ended); err != nil || ended.Cause != job.CauseAbandoned || ended.Error != "Its schedule was switched off or removed." {
		t.Errorf("ended = %+v, %v", ended, err)
	}
}

func TestABadPlanStopsNothing(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	good := *r.peer.plan
	bad := good
	bad.Digest = ""
	bad.Schedules = nil
	r.peer.setPlan(&bad)
	half := good
	half.Digest = "half"
	half.Schedules = append(slices.Clone(good.Schedules), api.PlanSchedule{ID: job.ScheduleID(job.NewULID(noon)), Rule: ruleOf("every day"), Groups: []job.GroupID{r.group}})
	testkit.WaitFor(t, 10*time.Second, "the report", func() bool { return len(r.peer.reports(api.ReportQuarantine)) == 1 })
	if got := r.running.plan.digest(); got != good.Digest {
		t.Errorf("the plan in force is %q", got)
	}
	r.peer.setPlan(&half)
	testkit.WaitFor(t, 10*time.Second, "the report", func() bool { return len(r.peer.reports(api.ReportQuarantine)) == 2 })
	if detail := r.peer.reports(api.ReportQuarantine)[1].Detail; !strings.Contains(detail, string(half.Schedules[1].ID)) {
		t.Errorf("detail = %q", detail)
	}
	r.setClock(noon.Add(time.Hour))
	r.awaitHeld(r.dueAt(noon.Add(time.Hour)), "for the server's word")
}

func TestStatusTellsWhatIsDue(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	r.setClock(noon.Add(time.Hour))
	id := r.dueAt(noon.Add(time.Hour))
	r.awaitHeld(id, "for the server's word")
	var status Status
	testkit.WaitFor(t, 10*time.Second, "the status", func() bool {
		var err error
		if status, err = ReadStatus(r.dir); err != nil {
			t.Fatal(err)
		}
		return len(status.Held) == 1 && len(status.Next) == nextShown && status.Next[0].At.Equal(noon.Add(2*time.Hour))
	})
	if status.Held[0] != (StatusHeld{ID: id, Group: "docs", Waits: "for the server's word"}) || status.PlanDigest != r.peer.plan.Digest || status.PlanTaken.IsZero() {
		t.Errorf("status = %+v", status)
	}
	text := status.Text()
	for _, line := range []string{"docs " + string(id) + ": waits for the server's word", noon.Add(2*time.Hour).Local().Format(time.RFC1123) + " docs", "taken "} {
		if !strings.Contains(text, line) {
			t.Errorf("the text lacks %q:\n%s", line, text)
		}
	}
}

func TestAJobIsRefusedWhileTheDiskIsFull(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	disk := new(fullDisk)
	r.options = func(o *Options) { o.Journal.Files = disk }
	r.start()
	r.peer.awaitConnected(1)
	disk.full.Store(true)
	id := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	testkit.WaitFor(t, 10*time.Second, "the refusal", func() bool { return r.peer.with(func() bool { return len(r.peer.refused) > 0 }) })
	if refused := r.peer.refused[0]; refused.Job != id || !strings.HasPrefix(refused.Reason, "The agent could not write the job down: ") {
		t.Errorf("refused = %+v", refused)
	}
	disk.full.Store(false)
	r.peer.want(id, r.peer.wants[id]) // in the same session
	if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded || len(r.peer.hellos) != 1 {
		t.Errorf("ended = %+v after %d sessions", ended, len(r.peer.hellos))
	}
}
