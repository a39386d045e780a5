// Package agent owns what runs on an endpoint or beside a rest-server: its
// sealed state, the session with its server, the jobs that it accepts, carries
// out and recovers, its own policy, and the users and repositories of a storage
// box. It must not know how the server stores or decides anything, nor contain
// a rule about time; restic is started by package restic alone.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// Options say where an agent keeps its state and how it looks at the world.
type Options struct {
	// Dir is the state folder; "" is DefaultDir.
	Dir string
	// PolicyFile is the agent's own policy; "" is DefaultPolicyFile. A file that
	// does not exist means the defaults of an endpoint.
	PolicyFile string
	// Version is this program's version, as the server shows it.
	Version string
	// Log is required.
	Log *slog.Logger
	// Now is the wall clock; nil is time.Now. Schedules and the runs that are held
	// go by it; all other waits are measured by the system's own clock, which nobody
	// sets.
	Now func() time.Time
	// System is where restic runs; nil is this machine.
	System restic.System
	// Journal tunes the journal and says on which disk it lies; its clock is Now.
	Journal journal.Options
	// Dial makes the connections to the server; nil is the network's.
	Dial Dial
}

func (o *Options) complete() error {
	if o.Log == nil {
		return errors.New("start agent: no logger was given")
	}
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.PolicyFile == "" {
		o.PolicyFile = DefaultPolicyFile
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Journal.Now = o.Now
	if o.System == nil {
		o.System = restic.Machine
	}
	return nil
}

// patience holds every wait of an agent that is not set by its policy or its
// server.
type patience struct {
	stopGrace     time.Duration // from asking restic to stop to killing it
	silence       time.Duration // without a message, until locks are looked for
	question      time.Duration // for one short question to a repository
	retryMin      time.Duration // first wait before a repository is asked again
	retryMax      time.Duration
	reload        time.Duration // for rest-server to read its users again
	farewell      time.Duration // for the last records to be acknowledged at a stop
	statusEvery   time.Duration
	handshake     time.Duration
	appendOnlyAge time.Duration // how old a proof may become
}

func defaultPatience() patience {
	return patience{
		stopGrace:     restic.StopGrace,
		silence:       10 * time.Second,
		question:      30 * time.Second,
		retryMin:      2 * time.Second,
		retryMax:      2 * time.Minute,
		reload:        40 * time.Second,
		farewell:      2 * time.Second,
		statusEvery:   time.Minute,
		handshake:     30 * time.Second,
		appendOnlyAge: 24 * time.Hour,
	}
}

// Agent is one enrolled agent on one state folder.
type Agent struct {
	options  Options
	log      *slog.Logger
	patience patience

	state    *state
	identity Identity
	policy   Policy
	journal  *journal.Journal
	started  time.Time

	plan   planHolder
	binary binaryHolder
	tasks  *tasks
	live   *live
	status *statusBoard
	clock  *clock
	// accepting is held while it is decided and written down what becomes of a run:
	// the server's word, the clock and the end of a job may come at once.
	accepting sync.Mutex
	lastRuns  lastRuns
	locks     lockLedger
	proofs    sync.Mutex // held while a repository is asked whether it is append-only
	users     sync.Mutex // held while htpasswd is changed

	previewing sync.Mutex // held while sources are counted for a preview

	// beside counts the goroutines that jobs leave behind: proofs, lock removal.
	beside sync.WaitGroup
}

// New opens the state folder for an agent that is enrolled, and locks it
// against a second one. It starts nothing; Close or Run gives the folder back.
func New(options Options) (*Agent, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	policy, err := LoadPolicy(options.PolicyFile)
	if err != nil {
		return nil, err
	}
	state, err := openState(options.Dir)
	if err != nil {
		return nil, err
	}
	identity, err := state.identity()
	if err != nil {
		return nil, err
	}
	if err := state.lock(); err != nil {
		return nil, err
	}
	a := &Agent{
		options: options, log: options.Log, patience: defaultPatience(),
		state: state, identity: identity, policy: policy, started: options.Now(),
		live: newLive(), status: newStatusBoard(),
	}
	a.tasks = newTasks(a)
	a.locks.changed = make(chan struct{}, 1)
	a.clock = newClock(a)
	// Whether this is a copy of another agent stays undecided over a restart.
	var earlier Status
	if _, err := state.readJSON(statusFile, &earlier); err == nil {
		a.status.current.Quarantined = earlier.Quarantined
	}
	if err := a.loadPlan(); err != nil {
		return nil, errors.Join(err, state.unlock())
	}
	err = patiently(func() (err error) {
		a.journal, err = journal.Open(filepath.Join(options.Dir, "journal"), options.Journal)
		return err
	}, journal.ErrInUse)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), state.unlock())
	}
	return a, nil
}

// ErrRemoved is returned by Run when this host was removed on its server.
var ErrRemoved = errors.New("this host was removed on its server; nothing runs here any more. To join again, with a new token: restic-manager-agent enroll --replace --server URL")

// Run connects, works and reconnects until ctx ends, then stops its jobs
// politely, closes the journal and gives the folder back. It returns nil after
// such a stop, and ErrRemoved when the server said that the host is gone.
func (a *Agent) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.close()) }()
	if gone, err := a.state.gone(); err != nil {
		return err
	} else if gone {
		a.status.update(a, func(s *Status) { s.Gone = true })
		return errors.Join(a.writeStatus(), ErrRemoved)
	}
	if damage := a.journal.Damage(); damage != "" {
		a.log.Warn("the journal was damaged", "damage", damage)
		a.report(reportDamage(damage))
	}
	a.findRestic(ctx)
	a.clearRuntime()
	a.forgetProbes()

	// The link outlives the jobs, so that their ends are still reported.
	linkCtx, endLink := context.WithCancel(context.WithoutCancel(ctx))
	defer endLink()
	besideCtx, endBeside := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endBeside(nil)
	a.tasks.open(besideCtx)
	a.mendRetry()
	a.recoverAll()
	a.beside.Go(func() { a.removeLeftLocks(besideCtx) })
	a.beside.Go(func() { a.keepStatus(besideCtx) })
	clockCtx, endClock := context.WithCancel(besideCtx)
	var clockEnd sync.WaitGroup
	clockEnd.Go(func() { a.clock.keep(clockCtx) })

	linkEnd := make(chan error, 1)
	go func() { linkEnd <- a.keepConnected(linkCtx) }()
	defer endClock()
	stopClock := func() { endClock(); clockEnd.Wait() }
	select {
	case err = <-linkEnd: // only when the host is gone
		stopClock()
		a.tasks.stop(stopError{causeRemoved})
	case <-ctx.Done():
		a.log.Info("stopping", "jobs", a.tasks.count())
		stopClock()
		a.tasks.stop(stopError{causeStopped})
		a.sayFarewell()
		endLink()
		err = <-linkEnd
	}
	endBeside(stopError{causeStopped})
	a.beside.Wait()
	a.status.update(a, func(s *Status) { s.Running, s.Connected = false, false })
	return errors.Join(err, a.writeStatus())
}

// clearRuntime removes what a run that was cut off left in folders that hold
// nothing of worth.
func (a *Agent) clearRuntime() {
	if err := os.RemoveAll(a.tempDir()); err != nil {
		a.log.Warn("temporary files of an earlier run stay behind", "error", err)
	}
	for _, dir := range []string{a.tempDir(), a.cacheDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			a.log.Error("a folder for restic can't be made", "error", err)
		}
	}
}

func (a *Agent) tempDir() string { return filepath.Join(a.options.Dir, "tmp") }

func (a *Agent) cacheDir() string {
	if a.policy.CacheDir != "" {
		return a.policy.CacheDir
	}
	return filepath.Join(a.options.Dir, "cache")
}

// now is the agent's wall clock in the unit of the journal.
func (a *Agent) now() int64 { return a.options.Now().UnixMilli() }

// Close gives the folder back without a run.
func (a *Agent) Close() error { return a.close() }

func (a *Agent) close() error {
	return errors.Join(a.journal.Close(), a.state.unlock())
}
