package job

import "slices"

// Trouble names why restic gave up, as far as its account tells; "" when it did
// not, or when no restic ran.
type Trouble string

// Troubles.
const (
	TroubleNoRepository   Trouble = "no_repository"
	TroubleLocked         Trouble = "locked"
	TroublePassword       Trouble = "wrong_password"
	TroubleUnreachable    Trouble = "unreachable"
	TroubleRefused        Trouble = "access_refused"
	TroubleCertificate    Trouble = "certificate"
	TroubleRepositoryFull Trouble = "repository_disk_full"
	TroubleLocalFull      Trouble = "local_disk_full"
	TroubleSources        Trouble = "no_source_left"
	TroubleHook           Trouble = "hook_failed"
	TroubleDamaged        Trouble = "damaged"
	TroubleOther          Trouble = "other"
)

// worthRetrying are the causes and troubles that pass by themselves: the
// repository can't be reached or is locked, the machine interrupted the run.
var (
	causesWorthRetrying = []Cause{CauseAgentStopped, CauseShutdown, CauseSleep, CauseTimeout, CauseKilled, CauseRestarted, CauseNoContact}
	troublesWorthTrying = []Trouble{TroubleUnreachable, TroubleLocked}
)

// Retryable is the one table that says whether a backup that ended so is tried
// again under its group's rules. A person's cancel, a wrong password or a bad
// path never is.
func Retryable(state State, cause Cause, trouble Trouble) bool {
	switch state { //nolint:exhaustive // all others ended well, or did not run
	case Failed, Lost, Cancelled:
		return slices.Contains(causesWorthRetrying, cause) || state == Failed && slices.Contains(troublesWorthTrying, trouble)
	}
	return false
}

// EndedWell tells whether a backup in this state did its work.
func (s State) EndedWell() bool { return s == Succeeded || s == Warning }
