package job

// LastRecord is the last thing an agent's journal says of an unfinished job.
type LastRecord string

// Last records.
const (
	WasAccepted LastRecord = "accepted"
	WasStarted  LastRecord = "started"
)

// Proof is what the repository says of a backup that was cut off.
type Proof string

// Proofs.
const (
	// NotAsked: the repository has not been asked yet, or need not be.
	NotAsked Proof = "not asked"
	// Found: a snapshot of that group and host began at or after the job's start.
	Found Proof = "found"
	// Absent: the repository answered and holds no such snapshot.
	Absent Proof = "absent"
	// Unanswered: the repository can't be asked now.
	Unanswered Proof = "unanswered"
)

// Remains is what a restarted agent finds of a job that had not ended.
type Remains struct {
	Kind Kind
	Last LastRecord
	// ProcessLeft: a process carrying the job's id is alive.
	ProcessLeft bool
	// CancelAsked: a cancel was journalled before the agent died.
	CancelAsked bool
	// Troubled: findings or error lines were journalled for it.
	Troubled bool
	Proof    Proof
}

// Step is what to do next with a job that was found unfinished.
type Step string

// Steps of recovery.
const (
	StepStart      Step = "start it"
	StepEndProcess Step = "end the process that is left"
	StepAsk        Step = "ask the repository"
	StepAskLater   Step = "ask the repository again later"
	StepEnd        Step = "end it"
)

// Decision is the verdict of Recover. State and Cause are set with StepEnd.
type Decision struct {
	Step  Step
	State State
	Cause Cause
}

// Recover is the table that a restarted agent works through for each job that
// its journal holds as unfinished, called again after each step with what is
// then known. Snapshots prove backups only, and only their absence means lost.
func Recover(r Remains) Decision {
	if r.ProcessLeft {
		return Decision{Step: StepEndProcess}
	}
	if r.Kind != Backup {
		if r.Last == WasAccepted && r.CancelAsked {
			return Decision{Step: StepEnd, State: Cancelled, Cause: CauseOperator}
		}
		// The journal holds no job-only secret, so it can't be begun again here;
		// the server makes a new one.
		return Decision{Step: StepEnd, State: Lost, Cause: CauseRestarted}
	}
	switch r.Proof { //nolint:exhaustive // NotAsked is what follows
	case Found:
		if r.Troubled {
			return Decision{Step: StepEnd, State: Warning, Cause: CauseRestarted}
		}
		return Decision{Step: StepEnd, State: Succeeded, Cause: CauseRestarted}
	case Absent:
		switch {
		case r.CancelAsked:
			return Decision{Step: StepEnd, State: Cancelled, Cause: CauseOperator}
		case r.Last == WasAccepted:
			return Decision{Step: StepStart}
		}
		return Decision{Step: StepEnd, State: Lost, Cause: CauseRestarted}
	case Unanswered:
		return Decision{Step: StepAskLater}
	}
	// Even a job that was only accepted is asked for: the agent may have died
	// between the start of restic and the record of it.
	return Decision{Step: StepAsk}
}
