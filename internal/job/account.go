package job

// Account is what a server makes of an agent's word about a job, which beats every
// guess and no other word of the agent.
type Account string

// Accounts.
const (
	// Moves: the job goes to the state that the agent says.
	Moves Account = "moves"
	// Confirms: the server had guessed the same; the agent's words replace its own.
	Confirms Account = "confirms"
	// Repeats: the server has heard it before, or knows a later word.
	Repeats Account = "repeats"
	// Contradicts: the agent has said something else before.
	Contradicts Account = "contradicts"
)

// OnAccepted is what becomes of a job in state when its agent's record says that
// it was accepted. After an end that the agent itself has told it is a repetition:
// a server that was restored reads the log again.
func OnAccepted(state State) Account {
	if state == Running || !CanMove(state, Running, ByAgent) {
		return Repeats
	}
	return Moves
}

// OnEnded is what becomes of a job in state when its agent's record says that it
// ended as said.
func OnEnded(state, said State) Account {
	switch {
	case !said.Ended():
		return Contradicts
	case state != said && CanMove(state, said, ByAgent):
		return Moves
	case state.Ended() && said == Skipped, Told(state) && said == Cancelled:
		// It lets go of what a copy of its machine has run.
		return Repeats
	case state != said:
		return Contradicts
	case Told(state) || state == Cancelled || state == Skipped:
		return Repeats
	}
	return Confirms
}

// Told tells whether state is an end that is no guess: its agent has told it, so
// its account is whole, and what comes again is a repetition.
func Told(state State) bool { return state.Ended() && !CanMove(state, Running, ByAgent) }
