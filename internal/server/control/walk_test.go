package control_test

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// walker is an agent that disconnects, reconnects and repeats itself at random
// while an operator asks for jobs and cancels them.
type walker struct {
	*agent
	r      *rig
	dice   *rand.Rand
	groups []fleet.SourceGroup

	connected bool
	read      int             // of what was heard on this connection
	told      map[job.ID]bool // on this connection
	known     map[job.ID]int  // how often the journal accepted an id
	begun     []job.ID        // accepted and not ended
	truth     map[job.ID]job.State
	endedAt   map[job.ID]uint64 // the record of its end
	asked     []job.ID
}

// TestWalks: whatever the order of things, no id is accepted twice, no job is
// asked for whose end is durable, every accepted job ends, and both sides agree
// in the end.
func TestWalks(t *testing.T) {
	seed := time.Now().UnixNano()
	for walk := range 4 {
		t.Run(fmt.Sprint("walk ", walk), func(t *testing.T) {
			t.Logf("seed %d", seed+int64(walk))
			r := newRig(t)
			w := &walker{agent: r.endpoint("web"), r: r, dice: rand.New(rand.NewSource(seed + int64(walk))),
				known: map[job.ID]int{}, truth: map[job.ID]job.State{}, endedAt: map[job.ID]uint64{}}
			for n := range 3 {
				w.groups = append(w.groups, r.group(w.host, fmt.Sprint("g", n)))
			}
			for range 300 {
				w.step()
			}
			w.finish()
		})
	}
}

func (w *walker) step() {
	switch pick := w.dice.Intn(100); {
	case pick < 7:
		w.reconnect()
	case pick < 12 && w.connected:
		w.drop()
		w.connected = false
	case pick < 37:
		w.askForBackup()
	case pick < 47 && len(w.asked) > 0:
		_, err := w.r.CancelJob(w.t.Context(), auth.Server, w.asked[w.dice.Intn(len(w.asked))])
		if err != nil && !is[*fleet.Problem](err) {
			w.t.Fatal(err)
		}
	case pick < 70 && w.connected:
		w.hear()
	case pick < 80 && len(w.begun) > 0:
		w.endOne(w.begun[w.dice.Intn(len(w.begun))], []job.State{job.Succeeded, job.Warning, job.Failed, job.Lost}[w.dice.Intn(4)])
	case pick < 92 && w.connected:
		w.flush()
	case w.connected && w.sent > 0:
		w.sent = uint64(w.dice.Int63n(int64(w.sent))) // says some of it again
		w.flush()
	}
}

func (w *walker) reconnect() {
	w.drop()
	if welcome := w.connect(); welcome.Quarantined {
		w.t.Fatal("it is taken for a clone")
	}
	w.connected, w.read, w.told = true, 0, map[job.ID]bool{}
}

func (w *walker) askForBackup() {
	j, err := w.r.CreateJob(w.t.Context(), auth.Server, control.NewJob{Host: w.host, Kind: job.Backup, Group: w.groups[w.dice.Intn(len(w.groups))].ID, WhenBack: true})
	switch {
	case err == nil && !slices.Contains(w.asked, j.ID):
		w.asked = append(w.asked, j.ID)
	case err != nil && !is[*fleet.Problem](err):
		w.t.Fatal(err)
	}
}

// hear acts on what was heard, as an agent does.
func (w *walker) hear() {
	w.mutex.Lock()
	news := slices.Clone(w.heard[w.read:])
	w.read = len(w.heard)
	w.mutex.Unlock()
	for _, body := range news {
		switch body := body.(type) {
		case *api.Job:
			w.takeJob(body)
		case *api.Cancel:
			w.takeCancel(body.ID)
		}
	}
}

func (w *walker) takeJob(order *api.Job) {
	if w.told[order.ID] {
		w.t.Errorf("job %s came twice on one connection", order.ID)
	}
	w.told[order.ID] = true
	if at, ended := w.endedAt[order.ID]; ended && at <= w.hello.Acked {
		w.t.Errorf("job %s is asked for, and its end was durable before this connection", order.ID)
	}
	if w.known[order.ID] > 0 || w.truth[order.ID] != "" {
		return
	}
	spec, err := job.DecodeSpec(order.Kind, order.Spec)
	if err != nil {
		w.t.Fatal(err)
	}
	w.accept(order.ID, spec)
	w.known[order.ID]++
	w.begun = append(w.begun, order.ID)
}

func (w *walker) takeCancel(id job.ID) {
	switch {
	case w.truth[id] != "":
	case w.known[id] == 0 || w.dice.Intn(2) == 0:
		w.endOne(id, job.Cancelled)
	default: // it had ended already
		w.endOne(id, job.Succeeded)
	}
}

func (w *walker) endOne(id job.ID, state job.State) {
	w.end(id, state)
	w.truth[id], w.endedAt[id] = state, w.last()
	w.begun = slices.DeleteFunc(w.begun, func(other job.ID) bool { return other == id })
}

// finish lets everything end, and compares.
func (w *walker) finish() {
	w.reconnect()
	w.r.await("every job to end", func() bool {
		w.hear()
		for _, id := range slices.Clone(w.begun) {
			w.endOne(id, job.Succeeded)
		}
		w.flush()
		return len(w.r.active(w.host)) == 0
	})
	w.sync()
	accepted := 0
	for _, id := range w.asked {
		state := w.r.job(id).State
		if want := w.truth[id]; want != "" && state != want || want == "" && state != job.Cancelled {
			w.t.Errorf("job %s is %s here, and %q in the agent's journal", id, state, want)
		}
		accepted += w.known[id]
	}
	for id, n := range w.known {
		if n != 1 {
			w.t.Errorf("job %s was accepted %d times", id, n)
		}
	}
	if w.last() != w.r.link(w.host).Cursor || w.r.alert(w.host, fleet.AlertRejected, "") != nil || w.r.alert(w.host, fleet.AlertGap, "") != nil {
		w.t.Errorf("cursor %d of %d, alerts %+v %+v", w.r.link(w.host).Cursor, w.last(), w.r.alert(w.host, fleet.AlertRejected, ""), w.r.alert(w.host, fleet.AlertGap, ""))
	}
	w.t.Logf("%d jobs, %d accepted, %d records", len(w.asked), accepted, w.last())
}
