package restic

import "regexp"

// NoticeKind sorts the plain lines that restic writes to stderr.
type NoticeKind string

// The kinds of a notice. A line that fits no other is NoticeOther.
const (
	NoticeRetrying      NoticeKind = "retrying"       // the repository can't be reached; restic tries again
	NoticeReached       NoticeKind = "reached"        // … and it was reached again
	NoticeSourceMissing NoticeKind = "source-missing" // a source path does not exist
	NoticeVSSFallback   NoticeKind = "vss-fallback"   // no volume snapshot: live files were read
	NoticeUnauthorized  NoticeKind = "unauthorized"   // the server refuses the user name or password
	NoticeFull          NoticeKind = "full"           // no room where the repository is
	NoticeOther         NoticeKind = "other"
)

// Notice is one plain line of stderr, secrets masked.
type Notice struct {
	Kind NoticeKind
	Text string
	// Path is the missing source or the volume without a snapshot; empty for the other kinds.
	Path string
}

var (
	retrying      = regexp.MustCompile(`^[A-Za-z]+\(.*\) returned error, retrying after `)
	reachedAgain  = regexp.MustCompile(`^[A-Za-z]+\(.*\) operation successful after \d+ retries`)
	sourceMissing = regexp.MustCompile(`^(.+) does not exist, skipping$`)
	unauthorized  = regexp.MustCompile(`unexpected HTTP response \(401\)`)
	full          = regexp.MustCompile(`^Save\(.*(unexpected HTTP response \(507\)|no space left on device|not enough space on the disk)`)
	vssFallback   = regexp.MustCompile(`failed to create snapshot for \[(.*?)\]`)
)

// newNotice sorts one plain line (restic's internal/backend/retry, cmd_backup.go and fs_local_vss.go).
func newNotice(text string) Notice {
	notice := Notice{Kind: NoticeOther, Text: text}
	if match := sourceMissing.FindStringSubmatch(text); match != nil {
		notice.Kind, notice.Path = NoticeSourceMissing, match[1]
	} else if match := vssFallback.FindStringSubmatch(text); match != nil {
		notice.Kind, notice.Path = NoticeVSSFallback, match[1]
	} else if reachedAgain.MatchString(text) {
		notice.Kind = NoticeReached
	} else if unauthorized.MatchString(text) {
		notice.Kind = NoticeUnauthorized
	} else if full.MatchString(text) {
		notice.Kind = NoticeFull
	} else if retrying.MatchString(text) {
		notice.Kind = NoticeRetrying
	}
	return notice
}
