package ui

import (
	"github.com/restic-manager/restic-manager/internal/fleet"
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
	Proof       State // whether the endpoint can delete
	Missing     string
}

// AuditPage lists what was changed, newest first.
type AuditPage struct {
	Frame  Frame
	Filter AuditFilter
	Rows   []fleet.AuditEntry
	Next   string
}

// AuditFilter is the page's query.
type AuditFilter struct {
	Text    string // in who, action or detail
	Noun    string
	Subject string
}

// Narrow tells whether anything is filtered.
func (f AuditFilter) Narrow() bool { return f != AuditFilter{} }

// repositoryState tells whether backups can go to a repository, and what is
// missing when they can't.
func repositoryState(repository fleet.Repository) (State, string) {
	switch {
	case repository.Ready():
		return State{Tone: ToneGood, Icon: "circle-check", Word: "ready", At: repository.ReadyAt,
			Tip: "The repository exists, and its host could open it."}, ""
	case repository.Storage == "":
		return State{Tone: ToneWait, Icon: "clock", Word: "not opened yet",
			Tip: "The host has not opened it so far."}, "Waits for the host to open it."
	case repository.ProvisionedAt.IsZero():
		return State{Tone: ToneWait, Icon: "clock", Word: "user is missing",
			Tip: "The storage agent has not made the rest-server user yet."}, "Waits for the storage box to make the user."
	}
	return State{Tone: ToneWait, Icon: "clock", Word: "being made",
		Tip: "The rest-server user exists; the storage agent has not made the repository yet."}, "Waits for the storage box to make the repository."
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
