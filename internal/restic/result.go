package restic

import "time"

// Bounds of what a Result keeps. What goes beyond them is counted, and all of it went through Hooks.Line.
const (
	MaxItemErrors = 200
	MaxNotices    = 200
	MaxStderrTail = 8 << 10
)

// Result holds the raw facts of one restic process. No single one of them proves success.
type Result struct {
	// Exit is how the process ended.
	Exit ExitCode
	// Message is restic's own last word (its exit_error message), empty when it gave none.
	Message string
	// Cause says why this program ended restic: context.Cause, or ErrNoContact. Nil means that restic
	// ended by itself.
	Cause error
	// Interrupted is set once restic was asked to stop, Killed when it had to be killed because it did not.
	// Neither says that the lock is gone: restic 0.19 leaves it when the stop comes between the moment a
	// rest-server has stored the lock and the moment its answer arrives.
	Interrupted bool
	Killed      bool
	// Process is what was started; Ended is when it was seen to be gone.
	Process Process
	Ended   time.Time
	// ItemErrors are the first MaxItemErrors files that restic complained about, ItemErrorCount all of them.
	ItemErrors     []ItemError
	ItemErrorCount int
	// Notices are the first MaxNotices plain lines on stderr, NoticeCount all of them.
	Notices     []Notice
	NoticeCount int
	// StderrTail is the last MaxStderrTail bytes of stderr as text, JSON messages included.
	StderrTail string
	// CutLines counts lines longer than MaxLine, of which only the beginning was looked at.
	CutLines int
}

// Has reports whether at least one kept notice is of that kind.
func (r Result) Has(kind NoticeKind) bool {
	for _, notice := range r.Notices {
		if notice.Kind == kind {
			return true
		}
	}
	return false
}

// ExitError is returned by the operations that have no use for a half answer (all but Backup) when restic
// ended with anything but 0. Its Result holds the facts.
type ExitError struct {
	Operation string
	Result    Result
}

func (e *ExitError) Error() string {
	text := e.Result.Message
	if text == "" {
		text = e.Result.Exit.Sentence()
	}
	return "restic " + e.Operation + ": " + e.Result.Exit.String() + ": " + text
}

// Unwrap gives the cause when this program ended restic, so that errors.Is(err, context.Canceled) works.
func (e *ExitError) Unwrap() error { return e.Result.Cause }

// ItemError is one file or folder that restic could not read.
type ItemError struct {
	// Item is the path as restic printed it; bytes that are not UTF-8 were replaced by restic itself.
	Item string
	// During is restic's word for the phase: "scan" or "archival".
	During string
	// Text is the operating system's error.
	Text string
}
