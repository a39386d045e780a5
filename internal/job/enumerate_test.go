package job_test

import (
	"bytes"
	"flag"
	"fmt"
	"testing"

	"github.com/restic-manager/restic-manager/internal/job"
)

// The world of this file is two agents with one job each, one storage box with one
// slot, and a server. Every order of everything that can happen is walked, with
// each agent and the server restarted once at any point, by the same pure
// functions that the two programs use: CanMove, OnAccepted, OnEnded, Recover,
// Retryable. Nothing in it waits, so time-outs are steps that may come at any time.

// entry is a record of an agent's journal.
type entry struct {
	kind  string // accepted, ended
	state job.State
}

// peer is one agent with its job, as it is on its disk and in its memory.
type peer struct {
	alive    bool
	restarts int
	out      bool // it plays no part
	cuts     bool // its connection may be cut at any time, not only by a restart
	doubts   bool // the server may take a dispatch back, give a job up, or abandon it
	journal  [3]entry
	length   int
	// The process of the job: none, at work, or done with a snapshot or without one.
	process  string
	starts   int
	snapshot bool
	cancel   bool // the agent was asked to end it
	recover  bool // what was left of it is being found out

	// The connection: up, how far the server has durably read, whether it has heard
	// all that the hello spoke of, and what is on its way down.
	up       bool
	cursor   int
	hello    int
	settled  bool
	holds    bool // the server believes so
	orders   int  // copies of the job on their way
	cancels  int
	skips    bool // they say that the job is skipped, not cancelled
	toldJob  bool
	toldStop bool
}

// world is one state of everything. It is comparable, so that it is visited once.
type world struct {
	peers    [2]peer
	states   [2]job.State
	asked    [2]bool // a person has asked for the end
	restarts int     // of the server
	postpone [2]bool // an unanswered dispatch was taken back once
	guessed  [2]bool // lost by a guess, once
}

const slots = 1

// begin is the world in which nothing has happened. An agent that is left out has
// had its job cancelled before it began.
func begin(agents int, cuts, doubts bool) world {
	var w world
	for i := range w.peers {
		w.peers[i] = peer{alive: true, process: "none", restarts: 1, cuts: cuts, doubts: doubts}
		w.states[i] = job.Queued
		if i >= agents {
			w.peers[i] = peer{alive: true, process: "none", up: true, settled: true, length: 1, cursor: 1, journal: [3]entry{{"ended", job.Cancelled}}, out: true}
			w.states[i] = job.Cancelled
		}
	}
	w.restarts = 1
	return w
}

// step is one thing that may happen, by its name.
type step struct {
	name string
	next world
}

// move makes a move that the table must allow.
func (w *world) move(t *testing.T, i int, to job.State, by job.Authority) {
	if !job.CanMove(w.states[i], to, by) {
		t.Fatalf("job %d: %s to %s is not a legal move for %d", i, w.states[i], to, by)
	}
	w.states[i] = to
}

// taken counts the slots that are held.
func (w *world) taken() (n int) {
	for i := range w.states {
		if w.states[i] == job.Sent || w.states[i] == job.Running && w.peers[i].up {
			n++
		}
	}
	return n
}

func (p *peer) write(kind string, state job.State) {
	p.journal[p.length] = entry{kind, state}
	p.length++
}

func (p *peer) knows() bool { return p.length > 0 }

func (p *peer) ended() bool { return p.length > 0 && p.journal[p.length-1].kind == "ended" }

// next lists everything that may happen in w.
func next(t *testing.T, w world) []step {
	var steps []step
	add := func(i int, name string, change func(*world, *peer)) {
		after := w
		change(&after, &after.peers[i])
		steps = append(steps, step{fmt.Sprintf("%s %d", name, i), after})
	}
	for i := range w.peers {
		p := w.peers[i]
		if p.out {
			continue
		}
		serverSteps(t, w, i, p, add)
		linkSteps(t, w, i, p, add)
		agentSteps(w, i, p, add)
	}
	if w.restarts > 0 {
		add(0, "server restarts", func(w *world, _ *peer) {
			w.restarts--
			for i := range w.peers {
				w.hangUp(t, i)
			}
		})
	}
	return steps
}

func serverSteps(t *testing.T, w world, i int, p peer, add func(int, string, func(*world, *peer))) {
	if w.states[i] == job.Queued && p.up && p.settled && w.taken() < slots {
		add(i, "dispatch", func(w *world, _ *peer) { w.move(t, i, job.Sent, job.ByServer) })
	}
	if w.states[i] == job.Sent && p.up && !p.toldJob && !w.asked[i] {
		add(i, "tell job", func(_ *world, p *peer) { p.orders, p.toldJob = p.orders+1, true })
	}
	if w.states[i] == job.Sent && p.doubts && p.toldJob && !w.postpone[i] && !w.asked[i] {
		add(i, "no answer", func(w *world, p *peer) {
			w.postpone[i], p.toldJob = true, false
			w.move(t, i, job.Queued, job.ByServer)
		})
	}
	if !w.asked[i] && !w.states[i].Ended() {
		add(i, "person cancels", func(w *world, _ *peer) {
			w.asked[i] = true
			if w.states[i] == job.Queued {
				w.move(t, i, job.Cancelled, job.ByServer)
			}
		})
	}
	endedHere := w.states[i] == job.Cancelled || w.states[i] == job.Skipped
	if p.up && !p.toldStop && (w.asked[i] && !w.states[i].Ended() || endedHere && p.knows() && !p.ended()) {
		add(i, "tell cancel", func(w *world, p *peer) {
			p.cancels, p.toldStop, p.skips = p.cancels+1, true, w.states[i] == job.Skipped
		})
	}
	if w.states[i] == job.Running && p.doubts && !p.up && !w.guessed[i] {
		add(i, "give up", func(w *world, _ *peer) {
			w.guessed[i] = true
			w.move(t, i, job.Lost, job.ByServer)
		})
	}
	if w.states[i] == job.Queued && p.doubts && !w.asked[i] {
		add(i, "abandon", func(w *world, _ *peer) { w.move(t, i, job.Skipped, job.ByServer) })
	}
}

// hangUp ends a session: what was sent waits again, or ends if that was the wish.
func (w *world) hangUp(t *testing.T, i int) {
	p := &w.peers[i]
	if !p.up || p.out {
		return
	}
	p.up, p.settled, p.orders, p.cancels, p.toldJob, p.toldStop = false, false, 0, 0, false, false
	if w.states[i] != job.Sent {
		return
	}
	if w.asked[i] {
		w.move(t, i, job.Cancelled, job.ByServer)
		return
	}
	w.move(t, i, job.Queued, job.ByServer)
}

func linkSteps(t *testing.T, w world, i int, p peer, add func(int, string, func(*world, *peer))) {
	if p.alive && !p.up {
		add(i, "connect", func(_ *world, p *peer) {
			p.up, p.hello, p.holds = true, p.length, p.knows() && !p.ended()
		})
	}
	if p.up && p.cuts {
		add(i, "hang up", func(w *world, _ *peer) { w.hangUp(t, i) })
	}
	if p.up && !p.settled && p.cursor >= p.hello {
		add(i, "settle", func(w *world, p *peer) {
			p.settled = true
			if w.states[i] == job.Running && !p.holds {
				t.Fatalf("job %d runs here, and its agent does not hold it", i)
			}
		})
	}
	if p.up && p.cursor < p.length {
		add(i, "apply", func(w *world, p *peer) {
			record := p.journal[p.cursor]
			p.cursor++
			p.holds = record.kind == "accepted"
			w.apply(t, i, record)
		})
	}
}

// apply is the server's half of a record.
func (w *world) apply(t *testing.T, i int, record entry) {
	if record.kind == "accepted" {
		if job.OnAccepted(w.states[i]) == job.Moves {
			w.move(t, i, job.Running, job.ByAgent)
		}
		return
	}
	switch job.OnEnded(w.states[i], record.state) {
	case job.Contradicts:
		t.Fatalf("job %d is %s, and its agent's %s is refused", i, w.states[i], record.state)
	case job.Moves:
		w.move(t, i, record.state, job.ByAgent)
	case job.Confirms, job.Repeats:
	}
}

func agentSteps(w world, i int, p peer, add func(int, string, func(*world, *peer))) {
	if !p.alive {
		add(i, "agent starts", func(_ *world, p *peer) {
			p.alive = true
			p.recover = p.knows() && !p.ended()
		})
		return
	}
	if p.orders > 0 {
		add(i, "job arrives", func(_ *world, p *peer) {
			p.orders--
			if !p.knows() {
				p.write("accepted", "")
			}
		})
	}
	if p.cancels > 0 {
		add(i, "cancel arrives", func(_ *world, p *peer) {
			p.cancels--
			switch {
			case !p.knows() && p.skips:
				p.write("ended", job.Skipped)
			case !p.knows():
				p.write("ended", job.Cancelled)
			case p.ended():
			case p.process == "none" && !p.recover:
				p.write("ended", job.Cancelled) // what was accepted is skipped no more
			default:
				p.cancel = true
			}
		})
	}
	if p.recover {
		add(i, "recover", func(_ *world, p *peer) { p.takeUp() })
		return
	}
	if p.knows() && !p.ended() && p.process == "none" {
		add(i, "restic starts", func(_ *world, p *peer) { p.process, p.starts = "at work", p.starts+1 })
	}
	if p.process == "at work" {
		add(i, "restic saves", func(_ *world, p *peer) { p.process, p.snapshot = "done", true })
		add(i, "restic fails", func(_ *world, p *peer) { p.process = "done" })
	}
	if p.process == "done" && !p.ended() {
		add(i, "agent writes the end", func(_ *world, p *peer) {
			switch {
			case p.snapshot:
				p.write("ended", job.Succeeded)
			case p.cancel:
				p.write("ended", job.Cancelled)
			default:
				p.write("ended", job.Failed)
			}
		})
	}
	if p.restarts > 0 {
		for _, saves := range []bool{false, true} {
			if saves && p.process != "at work" {
				continue
			}
			add(i, fmt.Sprintf("agent is killed (what is left saves: %v)", saves), func(w *world, p *peer) {
				p.restarts--
				p.alive = false
				p.snapshot = p.snapshot || saves
				if p.process == "at work" {
					p.process = "done"
				}
				w.hangUp(nil, i)
			})
		}
	}
}

// takeUp is a restarted agent's work on what it finds unfinished, by the table.
func (p *peer) takeUp() {
	remains := job.Remains{Kind: job.Backup, Last: job.WasAccepted, CancelAsked: p.cancel, Proof: job.NotAsked}
	if p.process != "none" {
		remains.Last = job.WasStarted
	}
	for {
		decision := job.Recover(remains)
		switch decision.Step {
		case job.StepAsk:
			remains.Proof = job.Absent
			if p.snapshot {
				remains.Proof = job.Found
			}
		case job.StepStart:
			p.recover = false
			return
		case job.StepEnd:
			p.recover = false
			p.write("ended", decision.State)
			return
		case job.StepEndProcess, job.StepAskLater:
			panic("nothing is left here, and the repository answers")
		}
	}
}

// check is what must hold in every state.
func check(t *testing.T, w world) {
	t.Helper()
	if n := w.taken(); n > slots && !w.overfull() {
		t.Fatalf("%d of %d slots are taken", n, slots)
	}
	for i, p := range w.peers {
		if p.starts > 1 {
			t.Fatalf("job %d was started %d times", i, p.starts)
		}
		accepted, ended := 0, 0
		for _, record := range p.journal[:p.length] {
			switch record.kind {
			case "accepted":
				accepted++
			case "ended":
				ended++
			}
		}
		if accepted > 1 || ended > 1 {
			t.Fatalf("job %d was accepted %d times and ended %d times", i, accepted, ended)
		}
		if p.snapshot && p.ended() && !p.journal[p.length-1].state.EndedWell() {
			t.Fatalf("job %d saved everything and ended %s", i, p.journal[p.length-1].state)
		}
	}
}

// overfull: an agent that took a job which was then sent to another, or comes back
// with one that runs, is not stopped for it.
func (w *world) overfull() bool {
	for i := range w.states {
		if w.states[i] == job.Running {
			return true
		}
	}
	return false
}

// settledDown tells whether nothing more will happen but faults and wishes, and
// checks what both sides then say.
func settledDown(t *testing.T, w world) bool {
	t.Helper()
	for i, p := range w.peers {
		if !p.alive || !p.up || !p.settled || p.cursor < p.length || p.orders > 0 || p.cancels > 0 || p.recover || !w.states[i].Ended() {
			return false
		}
		if p.knows() && !p.ended() {
			return false
		}
		if !p.knows() {
			if w.states[i] != job.Cancelled && w.states[i] != job.Skipped {
				t.Fatalf("job %d is %s, and its agent has never heard of it", i, w.states[i])
			}
			continue
		}
		if said := p.journal[p.length-1].state; said != w.states[i] {
			t.Fatalf("job %d is %s here and %s at its agent", i, w.states[i], said)
		}
	}
	return true
}

// same is w without what can have no effect any more, so that worlds which differ
// in nothing else are one.
func (w world) same() world {
	for i := range w.peers {
		p := &w.peers[i]
		if p.ended() {
			p.process, p.cancel, p.starts, p.snapshot, p.cancels, p.orders, p.skips = "none", false, 0, false, 0, 0, false
		}
		if p.settled || !p.up {
			p.hello = 0
		}
		if w.states[i] != job.Sent {
			p.toldJob = false
		}
		if job.Told(w.states[i]) {
			w.asked[i], w.postpone[i], w.guessed[i], p.toldStop, p.holds = false, false, false, false, false
		}
	}
	// The agents are alike, so one order of them stands for both.
	one, other := w.part(0), w.part(1)
	if bytes.Compare(other[:], one[:]) < 0 {
		w.peers[0], w.peers[1] = w.peers[1], w.peers[0]
		w.states[0], w.states[1] = w.states[1], w.states[0]
		w.asked[0], w.asked[1] = w.asked[1], w.asked[0]
		w.postpone[0], w.postpone[1] = w.postpone[1], w.postpone[0]
		w.guessed[0], w.guessed[1] = w.guessed[1], w.guessed[0]
	}
	return w
}

// key tells worlds apart in little room.
type key [2*partSize + 1]byte

const partSize = 24

func (w *world) key() (k key) {
	one, other := w.part(0), w.part(1)
	copy(k[:], one[:])
	copy(k[partSize:], other[:])
	k[2*partSize] = byte(w.restarts)
	return k
}

// part is one agent and its job as bytes.
func (w *world) part(i int) (k [partSize]byte) {
	p := w.peers[i]
	n := 0
	put := func(value int) { k[n] = byte(value); n++ }
	flags := func(values ...bool) {
		sum := 0
		for at, value := range values {
			if value {
				sum |= 1 << at
			}
		}
		put(sum)
	}
	for _, record := range p.journal {
		put(len(record.kind)<<4 | rank[record.state])
	}
	put(p.length)
	put(len(p.process))
	put(p.restarts)
	put(p.starts)
	put(p.cursor)
	put(p.hello)
	put(p.orders)
	put(p.cancels)
	put(rank[w.states[i]])
	flags(p.alive, p.snapshot, p.cancel, p.recover, p.up, p.skips, p.settled)
	flags(p.holds, p.toldJob, p.toldStop, p.out, p.doubts, w.asked[i], w.postpone[i], w.guessed[i])
	return k
}

// rank numbers the states; "" is 0.
var rank = func() map[job.State]int {
	rank := map[job.State]int{}
	for i, info := range job.States {
		rank[info.State] = i + 1
	}
	return rank
}()

// everything lets two agents meet a server that doubts: five million states, two
// minutes.
var everything = flag.Bool("everything", false, "walk all states of two agents, with every doubt of the server")

// TestEveryOrderOfEverything walks all states that can be reached, and proves that
// from each of them the world can settle down.
func TestEveryOrderOfEverything(t *testing.T) {
	worlds := map[string]world{
		"two agents, each side restarted once":                                      begin(2, false, false),
		"one agent, a server that doubts, a connection that is cut again and again": begin(1, true, true),
	}
	if *everything {
		worlds["two agents and a server that doubts, each side restarted once"] = begin(2, false, true)
	}
	for name, start := range worlds {
		t.Run(name, func(t *testing.T) { walk(t, start) })
	}
}

func walk(t *testing.T, start world) {
	start = start.same()
	ids := map[key]int32{start.key(): 0}
	list := []world{start}
	how := []string{"the beginning"}
	before := [][]int32{nil} // by state: those that lead to it
	var calm []int32
	for at := 0; at < len(list); at++ {
		w := list[at]
		if settledDown(t, w) {
			calm = append(calm, int32(at))
		}
		for _, one := range next(t, w) {
			check(t, one.next)
			after := one.next.same()
			id, seen := ids[after.key()]
			if !seen {
				id = int32(len(list))
				ids[after.key()] = id
				list, how, before = append(list, after), append(how, one.name), append(before, nil)
			}
			before[id] = append(before[id], int32(at))
		}
	}
	reaches := make([]bool, len(list))
	for len(calm) > 0 {
		at := calm[len(calm)-1]
		calm = calm[:len(calm)-1]
		if reaches[at] {
			continue
		}
		reaches[at] = true
		calm = append(calm, before[at]...)
	}
	for at, can := range reaches {
		if !can {
			t.Fatalf("from %+v, reached by %q, the world never settles down", list[at], how[at])
		}
	}
	t.Logf("%d states", len(list))
}
