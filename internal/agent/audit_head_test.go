package agent

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// TestTheNewestAuditHeadIsKept: it is said again, also by a restarted agent, and
// an older one never takes its place.
func TestTheNewestAuditHeadIsKept(t *testing.T) {
	r := newRig(t, "")
	r.enrol()
	heads := []api.AuditHead{{Number: 4, Hash: []byte("four")}, {Number: 2, Hash: []byte("two")}, {Number: 4, Hash: []byte("other")}, {Number: 9, Hash: []byte("nine")}, {}}
	r.peer.onWelcome = func(_ api.Hello, welcome *api.Welcome) {
		welcome.AuditHead = heads[min(len(r.peer.hellos), len(heads))-1]
	}
	running := r.start()
	for count, want := range []uint64{0, 4, 4, 4, 9, 9} {
		r.peer.awaitConnected(count + 1)
		var said api.AuditHead
		r.peer.with(func() bool { said = r.peer.hellos[count].AuditHead; return true })
		if said.Number != want || want == 4 && string(said.Hash) != "four" {
			t.Errorf("hello %d says %+v, want %d", count, said, want)
		}
		kept := []uint64{4, 4, 4, 9, 9, 9}[count]
		testkit.WaitFor(t, 10*time.Second, "the head to be kept", func() bool {
			head, err := running.state.auditHead()
			return err == nil && head.Number == kept
		})
		if count == 2 {
			if err := running.end(); err != nil {
				t.Fatal(err)
			}
			running = r.start()
			continue
		}
		r.peer.drop()
	}
}
