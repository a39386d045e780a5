package job

// Kind says what a job does. Unknown kinds are refused, never defaulted.
type Kind string

// The kinds that exist today. Each has exactly one line in Kinds.
const (
	Provision Kind = "provision"
	Init      Kind = "init"
	Backup    Kind = "backup"
	Snapshots Kind = "snapshots"
	Unlock    Kind = "unlock"
	// PreviewSources is named in full, since Preview is what it yields.
	PreviewSources Kind = "preview"
	Check          Kind = "check"
	Stats          Kind = "stats"
)

// Place says which agent carries a kind out.
type Place string

// Places.
const (
	// OnEndpoint: the host whose data it is.
	OnEndpoint Place = "endpoint"
	// OnStorage: the storage agent beside the rest-server.
	OnStorage Place = "storage"
	// OnRepository: the storage agent that has the repository's files on its disk,
	// or else the endpoint.
	OnRepository Place = "repository"
)

// LockClass says how a kind excludes others on one repository.
type LockClass string

// Lock classes. On a host one writing job per repository runs at a time, on a
// repository one exclusive job.
const (
	LockNone      LockClass = "none"
	LockWriting   LockClass = "writing"
	LockExclusive LockClass = "exclusive"
)

// KindInfo is the registration of one kind.
type KindInfo struct {
	Kind  Kind
	Title string // for people, as a noun: "Backup"
	// Look marks a read-only, repeatable job: not journalled by the agent, it
	// dies with its session.
	Look bool
	On   Place
	Lock LockClass
	// Operator tells whether a person may ask for it by itself; the others are
	// steps that the server takes.
	Operator bool
	// OffersAgain tells whether a page offers *run again* after a bad end.
	OffersAgain bool
	// Slot marks a job that moves data to or from a rest-server and so takes one
	// of its slots.
	Slot     bool
	newSpec  func() Spec
	Sentence string
}

// Kinds is the one list of kinds.
var Kinds = []KindInfo{
	{Kind: Backup, Title: "Backup", On: OnEndpoint, Lock: LockWriting, Operator: true, OffersAgain: true, Slot: true,
		newSpec: func() Spec { return new(BackupSpec) }, Sentence: "Saves the files of one source group as a snapshot."},
	{Kind: Snapshots, Title: "Refresh snapshots", Look: true, On: OnEndpoint, Lock: LockNone, Operator: true, OffersAgain: true,
		newSpec: func() Spec { return new(SnapshotsSpec) }, Sentence: "Reads the list of snapshots from the repository."},
	{Kind: PreviewSources, Title: "Preview sources", Look: true, On: OnEndpoint, Lock: LockNone, Operator: true, OffersAgain: true,
		newSpec: func() Spec { return new(PreviewSpec) }, Sentence: "Counts what a source group would save and what its rules take out."},
	{Kind: Check, Title: "Check", On: OnRepository, Lock: LockExclusive, Operator: true, OffersAgain: true,
		newSpec: func() Spec { return new(CheckSpec) }, Sentence: "Proves that a repository is whole, and that a part of its data can be read."},
	{Kind: Stats, Title: "Count", Look: true, On: OnRepository, Lock: LockNone, Operator: true, OffersAgain: true,
		newSpec: func() Spec { return new(StatsSpec) }, Sentence: "Counts what a repository stores and what its snapshots hold."},
	{Kind: Unlock, Title: "Remove lock", On: OnEndpoint, Lock: LockNone, Operator: true, OffersAgain: true,
		newSpec: func() Spec { return new(UnlockSpec) }, Sentence: "Removes one lock by its id after proving that its owner is gone."},
	{Kind: Provision, Title: "Create repository user", On: OnStorage, Lock: LockNone, OffersAgain: true,
		newSpec: func() Spec { return new(ProvisionSpec) }, Sentence: "Adds a host's user to rest-server, or removes it."},
	{Kind: Init, Title: "Create repository", On: OnStorage, Lock: LockExclusive, OffersAgain: true,
		newSpec: func() Spec { return new(InitSpec) }, Sentence: "Makes an empty repository on the storage disk."},
}

// InfoOf returns the registration of kind, and whether there is one.
func InfoOf(kind Kind) (KindInfo, bool) {
	for _, info := range Kinds {
		if info.Kind == kind {
			return info, true
		}
	}
	return KindInfo{}, false
}
