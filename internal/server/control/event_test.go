package control_test

import (
	"fmt"
	"testing"

	"github.com/restic-manager/restic-manager/internal/server/control"
)

// TestOverflowMeansAll: who is too slow is told to look at everything again, and
// keeps nobody waiting.
func TestOverflowMeansAll(t *testing.T) {
	r := newRig(t)
	slow, end := r.Subscribe()
	fast, endFast := r.Subscribe()
	defer endFast()
	for n := range control.EventBuffer + 10 {
		r.Publish(control.Event{Noun: control.NounJob, ID: fmt.Sprint(n)})
		if event := <-fast; event.ID != fmt.Sprint(n) {
			t.Fatalf("the fast one got %+v", event)
		}
	}
	if first := <-slow; first.Noun != control.NounAll {
		t.Errorf("the slow one got %+v first", first)
	}
	last := control.Event{}
	for len(slow) > 0 {
		last = <-slow
	}
	if last.ID != fmt.Sprint(control.EventBuffer+9) {
		t.Errorf("the slow one got %+v last", last)
	}
	end()
	r.Publish(control.Event{Noun: control.NounHost})
	if len(slow) != 0 {
		t.Error("an ended subscription is told")
	}
}

// TestChangesAreToldAfterTheyAreDurable: whoever hears of a job reads what it is.
func TestChangesAreToldAfterTheyAreDurable(t *testing.T) {
	r, a, _, id := running(t)
	events, end := r.Subscribe()
	defer end()
	a.end(id, "succeeded")
	a.flush()
	for event := range events {
		if event == (control.Event{Noun: control.NounJob, ID: string(id)}) {
			break
		}
	}
	if j := r.job(id); !j.State.Ended() {
		t.Errorf("it was told that %s has changed", j.State)
	}
}
