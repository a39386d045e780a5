package agent

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestWhichEndsAreTriedAgain(t *testing.T) {
	root := job.NewID(noon)
	second, err := job.RetryID(root, 1)
	if err != nil {
		t.Fatal(err)
	}
	first := job.Occasion{Schedule: "s", ScheduledAt: noon.UnixMilli()}
	unreachable := api.Ended{State: job.Failed, Trouble: job.TroubleUnreachable}
	cases := []struct {
		name     string
		id       job.ID
		occasion job.Occasion
		most     int
		ended    api.Ended
		retry    int           // 0 is none
		wait     time.Duration // with 60 s after the first
	}{
		{"unreachable", root, first, 3, unreachable, 1, time.Minute},
		{"asked for by a person", root, job.Occasion{}, 3, unreachable, 1, time.Minute},
		{"for the second time", second, job.Occasion{Schedule: "s", ScheduledAt: noon.UnixMilli(), Root: root, Retry: 1}, 3, unreachable, 2, 2 * time.Minute},
		{"the last attempt", second, job.Occasion{Root: root, Retry: 1}, 2, unreachable, 0, 0},
		{"one attempt only", root, first, 1, unreachable, 0, 0},
		{"agent stopped", root, first, 2, api.Ended{State: job.Cancelled, Cause: job.CauseAgentStopped}, 1, time.Minute},
		{"agent restarted", root, first, 2, api.Ended{State: job.Lost, Cause: job.CauseRestarted}, 1, time.Minute},
		{"cancelled by a person", root, first, 2, api.Ended{State: job.Cancelled, Cause: job.CauseOperator}, 0, 0},
		{"removed host", root, first, 2, api.Ended{State: job.Lost, Cause: job.CauseHostRemoved}, 0, 0},
		{"wrong password", root, first, 2, api.Ended{State: job.Failed, Trouble: job.TroublePassword}, 0, 0},
		{"well", root, first, 2, api.Ended{State: job.Succeeded}, 0, 0},
		{"found after a restart", root, first, 2, api.Ended{State: job.Warning, Cause: job.CauseRestarted}, 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec := &job.BackupSpec{Group: "g", RetryMax: c.most, RetryBackoffSeconds: 60}
			id, due, ok := retry(c.id, c.occasion, spec, c.ended, noon)
			if ok != (c.retry > 0) {
				t.Fatalf("retried: %v", ok)
			}
			if !ok {
				return
			}
			want, _ := job.RetryID(root, c.retry)
			if id != want || due.Group != "g" || due.Root != root || due.Retry != c.retry || due.Schedule != c.occasion.Schedule ||
				due.ScheduledAt != c.occasion.ScheduledAt || due.NotBefore != noon.Add(c.wait).UnixMilli() || due.Skip != "" {
				t.Errorf("%s %+v", id, due)
			}
		})
	}
}

// TestWhatThePowerCutTookIsMended loses the retry that was written with an end.
func TestWhatThePowerCutTookIsMended(t *testing.T) {
	plan := planOf(1)
	spec := plan.Groups[0]
	root := job.NewID(noon)
	next, err := job.RetryID(root, 1)
	if err != nil {
		t.Fatal(err)
	}
	ended := api.Ended{State: job.Failed, Trouble: job.TroubleUnreachable}
	for name, c := range map[string]struct {
		ended  api.Ended
		cancel bool
		behind bool // another record stands behind the end
		want   bool
	}{
		"lost":                  {ended: ended, want: true},
		"another behind it":     {ended: ended, behind: true},
		"cancelled by a person": {ended: ended, cancel: true},
		"ended well":            {ended: api.Ended{State: job.Succeeded}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newClockRig(t, plan)
			write := func(kind api.RecordKind, body any) {
				if err := r.append(kind, root, body); err != nil {
					t.Fatal(err)
				}
			}
			write(api.RecordAccepted, api.Accepted{Kind: job.Backup, Origin: job.ByPerson, Spec: encode(t, spec)})
			if c.cancel {
				write(api.RecordCancel, api.CancelAsked{Cause: job.CauseOperator})
			}
			write(api.RecordEnded, c.ended)
			if c.behind {
				write(api.RecordSnapshot, api.SnapshotMade{})
			}
			r.restart(time.Second)
			for range 2 {
				r.mendRetry()
				var ids []job.ID
				for _, held := range r.journal.Held() {
					ids = append(ids, held.ID)
				}
				if c.want != slices.Equal(ids, []job.ID{next}) || !c.want && len(ids) > 0 {
					t.Errorf("held %v", ids)
				}
			}
		})
	}
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	record, err := api.NewRecord(api.RecordAccepted, "", 0, value)
	if err != nil {
		t.Fatal(err)
	}
	return record.Body
}

// TestRetriesAlone lets server and repository be away: three attempts, the last
// of which is not tried again.
func TestRetriesAlone(t *testing.T) {
	r := newDueRig(t, "first_contact: 500ms\n")
	r.begin()
	r.serverGoes()
	r.server.Stop()
	root := r.dueAt(noon.Add(time.Hour))
	at := noon.Add(time.Hour)
	r.setClock(at)
	chain := []job.ID{root}
	for n := 1; n < 3; n++ {
		retry, err := job.RetryID(root, n)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, retry)
	}
	for n, id := range chain {
		r.awaitHeld(id, "for the server, and begins without it at")
		at = at.Add(2 * time.Minute)
		r.setClock(at)
		var ended api.Ended
		if err := json.Unmarshal(r.awaitLocal(id, api.RecordEnded).Body, &ended); err != nil || ended.State != job.Failed || ended.Trouble != job.TroubleUnreachable {
			t.Fatalf("attempt %d: %+v, %v", n, ended, err)
		}
	}
	testkit.WaitFor(t, 10*time.Second, "the end of the last attempt", func() bool { return r.running.tasks.count() == 0 })
	if held := r.running.journal.Held(); len(held) != 0 {
		t.Errorf("held = %+v", held)
	}
	r.peer.away.Store(false)
	r.peer.awaitEnded(chain[2])
	var due api.Due
	if err := json.Unmarshal(r.peer.awaitRecord(chain[2], api.RecordDue).Body, &due); err != nil {
		t.Fatal(err)
	}
	if due.Root != root || due.Retry != 2 || due.Schedule != r.schedule || due.NotBefore == 0 {
		t.Errorf("due = %+v", due)
	}
}

func TestAPoliteStopIsTriedAgainAfterTheStart(t *testing.T) {
	r := newDueRig(t, "")
	r.begin()
	r.writeRandom("source/big", 60*512<<10)
	root := job.NewID(time.Now())
	slow := r.job(root)
	spec := r.peer.plan.Groups[0]
	spec.LimitUploadKiB = 512
	slow.Origin, slow.Spec = job.ByPerson, mustJSON(t, spec)
	r.peer.want(root, slow)
	r.peer.awaitRecord(root, api.RecordStarted)
	if err := r.running.end(); err != nil {
		t.Fatal(err)
	}
	retry, err := job.RetryID(root, 1)
	if err != nil {
		t.Fatal(err)
	}
	if ended := r.peer.awaitEnded(root); ended.State != job.Cancelled || ended.Cause != job.CauseAgentStopped {
		t.Errorf("ended = %+v", ended)
	}
	r.expectKinds(retry, api.RecordDue)
	r.begin()
	r.peer.awaitConnected(2)
	if held := r.peer.hellos[1].Held; !slices.Equal(held, []job.ID{retry}) {
		t.Errorf("hello says of the held runs: %v", held)
	}
	r.peer.want(retry, r.job(retry))
	if ended := r.peer.awaitEnded(retry); ended.State != job.Succeeded {
		t.Errorf("retry = %+v", ended)
	}
	r.assertClean(root)
}

// TestACancelWhileTheEndCannotBeWritten takes back the retry that would follow.
func TestACancelWhileTheEndCannotBeWritten(t *testing.T) {
	plan := planOf(1)
	for name, cancelled := range map[string]bool{"cancelled": true, "not cancelled": false} {
		t.Run(name, func(t *testing.T) {
			disk := new(fullDisk)
			r := newClockRigOn(t, plan, disk)
			r.patience.retryMin, r.patience.retryMax = time.Millisecond, time.Millisecond
			id := job.NewID(noon)
			if err := r.append(api.RecordAccepted, id, api.Accepted{Kind: job.Backup, Spec: encode(t, plan.Groups[0])}); err != nil {
				t.Fatal(err)
			}
			info, _ := job.InfoOf(job.Backup)
			running := r.newTask(id, info, &plan.Groups[0], nil)
			running.ctx, running.end = context.WithCancelCause(t.Context())
			r.tasks.active[id] = running
			disk.full.Store(true)
			refused := disk.refused.Load()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				r.finish(running, outcome{ended: api.Ended{State: job.Failed, Trouble: job.TroubleUnreachable}})
			}()
			testkit.WaitFor(t, 10*time.Second, "the end to be tried", func() bool { return disk.refused.Load() > refused })
			if cancelled {
				if err := r.takeCancel(&api.Cancel{ID: id, State: job.Cancelled, Cause: job.CauseOperator}); err != nil {
					t.Fatal(err)
				}
			}
			disk.full.Store(false)
			<-ended
			if held := r.journal.Held(); (len(held) == 0) != cancelled {
				t.Errorf("held = %v", held)
			}
		})
	}
}
