package job

// State is where a job stands. Phases such as *waiting for lock* are not states.
type State string

// The states. See States for what each means.
const (
	Queued    State = "queued"
	Sent      State = "sent"
	Running   State = "running"
	Succeeded State = "succeeded"
	Warning   State = "warning"
	Failed    State = "failed"
	Cancelled State = "cancelled"
	Lost      State = "lost"
	Skipped   State = "skipped"
)

// StateInfo describes one state.
type StateInfo struct {
	State    State
	Ended    bool
	Sentence string
}

// States is the one list of states, in the order of a job's life.
var States = []StateInfo{
	{Queued, false, "Waits for its host or its turn."},
	{Sent, false, "On its way to the agent, which has not yet written it down."},
	{Running, false, "Written to the agent's disk; the agent will see it through."},
	{Succeeded, true, "Did all it was asked."},
	{Warning, true, "Did its work, but something was left out or looks wrong."},
	{Failed, true, "Did not do its work."},
	{Cancelled, true, "Was stopped on purpose."},
	{Lost, true, "Its end is not known, and no proof of its work was found."},
	{Skipped, true, "Was not run, for the reason given."},
}

// Ended tells whether state is one of the last ones.
func (s State) Ended() bool {
	for _, info := range States {
		if info.State == s {
			return info.Ended
		}
	}
	return false
}

// Valid tells whether s is a state at all.
func (s State) Valid() bool {
	for _, info := range States {
		if info.State == s {
			return true
		}
	}
	return false
}

// Authority is who asks for a move.
type Authority uint8

const (
	// ByServer is the server's own decision or guess.
	ByServer Authority = 1 << iota
	// ByAgent is what the agent proves by its journal. It beats every guess.
	ByAgent
)

// moves is the one table of legal moves. A cancel of a queued job is the
// server's guess too: a copy sent earlier may have been accepted, and then the
// agent's record says what became of it.
var moves = map[State]map[State]Authority{
	Queued: {Sent: ByServer, Running: ByAgent, Succeeded: ByAgent, Warning: ByAgent, Failed: ByAgent | ByServer,
		Cancelled: ByServer | ByAgent, Lost: ByServer | ByAgent, Skipped: ByServer | ByAgent},
	Sent: {Queued: ByServer, Running: ByAgent, Succeeded: ByAgent, Warning: ByAgent, Failed: ByAgent | ByServer,
		Cancelled: ByAgent | ByServer, Lost: ByServer | ByAgent, Skipped: ByServer | ByAgent},
	Running:   {Succeeded: ByAgent, Warning: ByAgent, Failed: ByAgent, Cancelled: ByAgent, Lost: ByServer | ByAgent},
	Skipped:   {Running: ByAgent, Succeeded: ByAgent, Warning: ByAgent, Failed: ByAgent, Cancelled: ByAgent, Lost: ByAgent},
	Lost:      {Running: ByAgent, Succeeded: ByAgent, Warning: ByAgent, Failed: ByAgent, Cancelled: ByAgent},
	Cancelled: {Running: ByAgent, Succeeded: ByAgent, Warning: ByAgent, Failed: ByAgent, Lost: ByAgent},
	Succeeded: {},
	Warning:   {},
	Failed:    {},
}

// CanMove tells whether a job may go from one state to another on the word of by.
func CanMove(from, to State, by Authority) bool { return moves[from][to]&by != 0 }

// Origin says who asked for a job.
type Origin string

// Origins.
const (
	ByPerson   Origin = "operator"
	BySchedule Origin = "schedule"
	BySystem   Origin = "server"
	ByAccount  Origin = "agent" // known only from the agent's account
)

// Cause says why a job ended other than by finishing its work; "" is "it
// finished by itself".
type Cause string

// Causes of an end.
const (
	CauseOperator     Cause = "operator"
	CauseAgentStopped Cause = "agent_stopped"
	CauseShutdown     Cause = "shutdown"
	CauseSleep        Cause = "sleep"
	CauseTimeout      Cause = "timeout"
	CauseKilled       Cause = "killed"
	CauseRestarted    Cause = "agent_restarted"
	CauseHostRemoved  Cause = "host_removed"
	CauseNoContact    Cause = "no_contact"
	CauseSessionEnded Cause = "session_ended"
)

// Causes of a run that was skipped.
const (
	// CausePaused: its moment lay in a pause.
	CausePaused Cause = "paused"
	// CauseOverlapped: another run of its group was at work at its moment.
	CauseOverlapped Cause = "overlapped"
	// CauseCoalesced: another waiting run of its group does its work.
	CauseCoalesced Cause = "coalesced"
	// CauseMissed: the machine was off, and its schedule catches nothing up.
	CauseMissed Cause = "missed"
	// CauseSatisfied: a backup of the group that began after its moment has done
	// its work, or is doing it.
	CauseSatisfied Cause = "satisfied"
	// CauseAbandoned: what it was for is gone or switched off, or it was tried too
	// often; its error says which.
	CauseAbandoned Cause = "abandoned"
	// CauseDropped: a person took it out of the line.
	CauseDropped Cause = "dropped"
)

// EndByCause is the state in which an interrupted job ends.
func EndByCause(cause Cause) State {
	switch cause { //nolint:exhaustive // of all others the end is not known
	case CauseOperator, CauseAgentStopped, CauseShutdown,
		CauseAbandoned, CauseSatisfied, CauseCoalesced, CauseDropped, CausePaused: // skipped on the server, and begun all the same
		return Cancelled
	case CauseSleep, CauseTimeout, CauseKilled:
		return Failed
	}
	return Lost
}

// Phase is what a running job is waiting for, or does beside its work; "" is "at work".
type Phase string

// Phases.
const (
	PhaseWaitingLock       Phase = "waiting_for_lock"
	PhaseWaitingRepository Phase = "waiting_for_repository"
	PhaseFindingOut        Phase = "finding_out"
	PhaseStopping          Phase = "stopping"
	PhasePreHook           Phase = "pre_hook"
	PhasePostHook          Phase = "post_hook"
)
