package ui

import (
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// RepositoriesPage lists all repositories.
type RepositoriesPage struct {
	Frame Frame
	Rows  []RepositoryRow
	Live  string
	Next  string
}

// RepositoryRow is one repository.
type RepositoryRow struct {
	Repository  fleet.Repository
	HostName    string
	StorageName string
	State       State
	Proof       State  // whether the endpoint can delete
	Job         job.ID // the step under way, or the one that ended badly; "" for none
	CanRetry    bool   // that step ended badly
}

// steps are what the storage agent knows of a repository that is not yet, or no
// more, what it should be.
type steps struct {
	removed  bool // its host is
	homeless bool // its storage box is removed
	active   *fleet.Job
	last     *fleet.Job // the newest that ended
}

// repositoryState tells whether backups can go to a repository, what is under
// way when they can't, and whether trying again is for a person.
func repositoryState(repository fleet.Repository, known steps) (state State, step job.ID, retry bool) {
	gone := known.removed && repository.ProvisionedAt.IsZero()
	switch {
	case known.removed && repository.Storage == "":
		return State{Tone: ToneNone, Icon: "trash", Word: "host removed; data stays",
			Tip: "Nothing is backed up into it any more. Its snapshots stay, and its passwords are kept here."}, "", false
	case gone:
		return State{Tone: ToneNone, Icon: "trash", Word: "user removed; data stays",
			Tip: "Its host was removed and its user can't sign in any more. Its snapshots stay on the storage box."}, "", false
	case !known.removed && repository.Ready():
		return State{Tone: ToneGood, Icon: "circle-check", Word: "ready", At: repository.ReadyAt,
			Tip: "The repository exists, and its host could open it."}, "", false
	case repository.Storage == "":
		return State{Tone: ToneWait, Icon: "clock", Word: "not opened yet",
			Tip: "It waits for the host to open it."}, "", false
	}
	doing, failed := "creating the repository…", "could not be made"
	switch {
	case known.removed:
		doing, failed = "removing its user…", "user not removed"
	case repository.ProvisionedAt.IsZero():
		doing, failed = "creating its user…", "user could not be made"
	}
	if known.homeless {
		return State{Tone: ToneWarn, Icon: "alert-triangle", Word: "its storage box was removed",
			Tip: "Nobody can make, or mend, what is missing there."}, "", false
	}
	if one := known.active; one != nil {
		state = lookOf(one.State)
		state.Word, state.Tip = doing, "The storage box is asked for it, and it takes up to a minute: rest-server must have read its users again."
		return state, one.ID, false
	}
	if one := known.last; one != nil && one.State != job.Succeeded {
		state = State{Tone: ToneBad, Icon: "circle-x", Word: failed, At: one.FinishedAt, Tip: jobState(*one).Tip}
		return state, one.ID, true
	}
	return State{Tone: ToneWait, Icon: "clock", Word: "waits for its storage box",
		Tip: "The storage box has not been asked yet. It is tried again by itself."}, "", false
}

// appendOnlyProof tells what the endpoint's harmless test found.
func appendOnlyProof(repository fleet.Repository) State {
	switch {
	case repository.AppendOnlyAt.IsZero():
		return State{Tone: ToneUnknown, Icon: "shield-question", Word: "not proved yet",
			Tip: "No host has tried yet to delete a snapshot that does not exist."}
	case repository.AppendOnly:
		return State{Tone: ToneGood, Icon: "shield-check", Word: "append-only", At: repository.AppendOnlyAt,
			Tip: "The host tried to delete a snapshot that does not exist and was refused."}
	}
	return State{Tone: ToneWarn, Icon: "shield-x", Word: "can be deleted from", At: repository.AppendOnlyAt,
		Tip: "The host's own credential may delete: whoever takes the host can empty its repository. Run rest-server with --append-only."}
}
