package restic

// NoticeKind sorts the plain lines that restic writes to stderr.
type NoticeKind string

// The kinds of a notice. A line that fits no other is NoticeOther.
const (
	NoticeRetrying      NoticeKind = "retrying"       // the repository can't be reached; restic tries again
	NoticeReached       NoticeKind = "reached"        // … and it was reached again
	NoticeSourceMissing NoticeKind = "source-missing" // a source path does not exist
	NoticeVSSFallback   NoticeKind = "vss-fallback"   // no volume snapshot: live files were read
	NoticeOther         NoticeKind = "other"
)

// Notice is one plain line of stderr, secrets masked.
type Notice struct {
	Kind NoticeKind
	Text string
	// Path is the missing source or the volume without a snapshot; empty for the other kinds.
	Path string
}
