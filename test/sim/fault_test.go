package sim

import (
	"os"
	"path/filepath"
	"slices"
	"time"
)

// faults are what goes wrong, more often the more lines it has.
var faults = []struct {
	name string
	do   func(*world, *machine)
}{
	{"cut", (*world).faultCut},
	{"stall", (*world).faultStall},
	{"stall", (*world).faultStall},
	{"unplug", (*world).faultUnplug},
	{"server stops", (*world).faultServerStop},
	{"server crashes", (*world).faultServerCrash},
	{"server is put back", (*world).faultRestore},
	{"agent stops", (*world).faultAgentStop},
	{"agent is killed", (*world).faultKill},
	{"agent is killed", (*world).faultKill},
	{"power cut", (*world).faultPowerCut},
	{"sleep", (*world).faultSleep},
	{"clock", (*world).faultClock},
	{"disk full", (*world).faultDiskFull},
	{"repository away", (*world).faultRepository},
	{"restic is killed", (*world).faultResticKilled},
	{"clone", (*world).faultClone},
}

// fail lets something go wrong.
func (w *world) fail() {
	one := faults[w.number(len(faults))]
	m := w.machines[w.number(len(w.machines))]
	w.note("fault: %s on %s", one.name, m.name)
	one.do(w, m)
}

// running is the agent that runs on a machine; nil is none.
func (m *machine) running() *boot {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.boot
}

func (w *world) faultCut(*machine) { w.net.each((*link).cut) }

// faultStall is a line that is there and carries nothing, for a while or until it
// is given up.
func (w *world) faultStall(m *machine) {
	b := m.running()
	var stalled []*link
	w.net.each(func(k *link) {
		if k.boot == b {
			k.stall()
			stalled = append(stalled, k)
		}
	})
	end := (*link).heal
	if w.number(2) == 0 {
		end = (*link).cut
	}
	w.later(w.between(time.Second, 30*time.Minute), func() {
		for _, k := range stalled {
			end(k)
		}
	})
}

func (w *world) faultUnplug(m *machine) {
	m.plug(false)
	w.later(w.between(time.Second, 5*time.Hour), func() { m.plug(true) })
}

// away is how long something is usually gone: minutes, or hours.
func (w *world) away() time.Duration {
	if w.number(2) == 0 {
		return w.between(0, 3*time.Minute)
	}
	return w.between(0, 8*time.Hour)
}

// outage is how long the server is gone.
func (w *world) outage() time.Duration {
	if w.number(3) > 0 {
		return w.between(0, 3*time.Minute)
	}
	return w.between(0, 4*time.Hour)
}

func (w *world) faultServerStop(*machine) {
	if n := w.server(); n != nil {
		n.stop()
		w.copyDatabase()
		w.later(w.outage(), func() { w.bootServer(false) })
	}
}

func (w *world) faultServerCrash(*machine) {
	if n := w.server(); n != nil {
		n.crash()
		w.later(w.outage(), func() { w.bootServer(false) })
	}
}

// faultRestore puts an older copy of the database back.
func (w *world) faultRestore(*machine) {
	if len(w.copies) == 0 || !w.putsBack {
		return
	}
	if n := w.server(); n != nil {
		n.stop()
		at := w.number(len(w.copies))
		w.putBack(w.copies[at])
		w.copies = w.copies[:at+1]
		w.restored = true
		w.rewinds.Store(true)
		for _, m := range w.machines {
			m.unsure()
		}
		w.later(w.outage(), func() { w.bootServer(true) })
		w.forget()
	}
}

func (w *world) faultAgentStop(m *machine) {
	m.wake()
	if err := m.stop(); err != nil && !m.full {
		w.fault("the agent of %s ended with %v", m.name, err)
	}
	m.returns = true
	w.later(w.away(), func() { w.bootMachine(m) })
}

func (w *world) faultKill(m *machine)     { w.crashMachine(m, killed) }
func (w *world) faultPowerCut(m *machine) { w.crashMachine(m, powerCut) }

func (w *world) crashMachine(m *machine, kind crashKind) {
	m.wake()
	if b := m.running(); b != nil {
		m.returns = true
		b.crash(kind)
		w.later(w.away(), func() { w.bootMachine(m) })
	}
}

func (w *world) faultSleep(m *machine) {
	m.sleep()
	w.later(w.between(time.Minute, 10*time.Hour), m.wake)
}

// faultClock sets a clock wrong, and right again later.
func (w *world) faultClock(m *machine) {
	by := []time.Duration{time.Second, 10 * time.Second, 3 * time.Minute, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour}[w.number(6)]
	if w.number(2) == 0 {
		by = -by
	}
	m.unsure()
	m.jump(by)
	m.wasBehind = m.wasBehind || by < 0
	w.note("  by %v", by)
	w.later(w.between(time.Second, 8*time.Hour), func() { m.unsure(); m.jump(-by) })
}

func (w *world) faultDiskFull(m *machine) {
	m.fill(true)
	w.later(w.between(time.Minute, 4*time.Hour), func() { m.fill(false) })
}

// unsure notes that no moment of the machine's schedules before now has to be
// accounted for: its clock was wrong, or its server has forgotten its schedules.
func (m *machine) unsure() { m.sure = time.Now() }

// fill takes all that is free on the disk, or gives it back.
func (m *machine) fill(full bool) {
	b := m.running()
	if b != nil {
		b.guard.Lock()
		defer b.guard.Unlock()
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.full = full
	m.disk.Capacity = 0
	if full {
		m.disk.Capacity = m.disk.Used()
	}
}

func (w *world) faultRepository(m *machine) {
	m.repo.setAway(true)
	w.later(w.between(time.Second, 3*time.Hour), func() { m.repo.setAway(false) })
}

func (w *world) faultResticKilled(m *machine) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, p := range m.procs {
		p.die()
	}
}

// faultClone starts a copy of a machine, which lives for a while.
func (w *world) faultClone(m *machine) {
	b := m.running()
	if b == nil || m.copyOf != nil || !w.clones || slices.ContainsFunc(w.machines, func(other *machine) bool { return other.copyOf == m }) {
		return
	}
	w.cloned = true
	twin := newMachine(w, m.name+"-copy"+itoa(w.made))
	b.guard.Lock()
	m.mutex.Lock()
	twin.host, twin.groups, twin.repo, twin.repository, twin.copyOf, twin.offset = m.host, m.groups, m.repo, m.repository, m, m.offset
	twin.disk = b.disk.AfterPowerCut(w.chance.Rand)
	copyFolder(twin.dir, m.dir)
	m.mutex.Unlock()
	b.guard.Unlock()
	w.machines = append(w.machines, twin)
	twin.start()
	w.later(w.between(time.Minute, 6*time.Hour), func() { w.destroy(twin) })
}

// destroy switches a machine off for ever.
func (w *world) destroy(m *machine) {
	if m.gone {
		return
	}
	w.note("%s is switched off for ever", m.name)
	m.gone = true
	m.wake()
	if b := m.running(); b != nil {
		b.crash(powerCut)
		<-b.ended
	}
	w.machines = slices.DeleteFunc(w.machines, func(other *machine) bool { return other == m })
	_ = os.RemoveAll(filepath.Join(w.dir, m.name+".0"))
}
