package restic

import "strconv"

// ExitCode is how a restic process ended. The numbers are restic's own (its manual, "Scripting").
type ExitCode int

// The exit codes of restic 0.19, and one of ours for a process that a signal or a job object ended.
const (
	ExitOK            ExitCode = 0
	ExitFatal         ExitCode = 1
	ExitIncomplete    ExitCode = 3
	ExitNoRepository  ExitCode = 10
	ExitLocked        ExitCode = 11
	ExitWrongPassword ExitCode = 12
	ExitInterrupted   ExitCode = 130
	ExitKilled        ExitCode = -1
)

// exitCodes is the one table of what each code is called and means.
var exitCodes = map[ExitCode]struct{ name, sentence string }{
	ExitOK:            {"ok", "restic ended without an error"},
	ExitFatal:         {"fatal", "restic gave up"},
	ExitIncomplete:    {"incomplete", "some source files could not be read"},
	ExitNoRepository:  {"no-repository", "there is no repository at this address"},
	ExitLocked:        {"locked", "another process holds a lock on the repository"},
	ExitWrongPassword: {"wrong-password", "the repository's password is wrong"},
	ExitInterrupted:   {"interrupted", "restic was asked to stop"},
	ExitKilled:        {"killed", "restic was ended from outside before it could clean up"},
}

// String returns the code's name, or "exit-N" for a number that restic does not document.
func (c ExitCode) String() string {
	if entry, ok := exitCodes[c]; ok {
		return entry.name
	}
	return "exit-" + strconv.Itoa(int(c))
}

// Sentence says in plain words what the code means.
func (c ExitCode) Sentence() string {
	if entry, ok := exitCodes[c]; ok {
		return entry.sentence
	}
	return "restic ended with the undocumented code " + strconv.Itoa(int(c))
}
