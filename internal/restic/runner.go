package restic

import (
	"context"
	"errors"
	"time"
)

// Times of a stop, and their sources.
const (
	// StopGrace is how long restic may take to end after it was asked to: up to 61 s were measured on a
	// server that had frozen.
	StopGrace = 75 * time.Second
	// progressPerSecond is RESTIC_PROGRESS_FPS: restic itself keeps its progress to this rate.
	progressPerSecond = "2"
)

// ErrNoContact is the cause of a process that was stopped because it had not reached its repository
// before Hooks.FirstContact.
var ErrNoContact = errors.New("the repository was not reached in time")

// DefaultPassEnv names what restic may take from the host's environment: proxies, certificate folders, and
// what Windows needs to start any program. A repository over sftp or rclone needs PATH and HOME as well.
var DefaultPassEnv = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "SystemRoot", "SystemDrive",
}

// Runner starts restic. It holds no state, may be copied and may be used by many goroutines.
type Runner struct {
	Binary Binary
	// CacheDir is restic's cache, needed for every repository that is not local.
	CacheDir string
	// TempDir is where restic and this package put temporary files; empty means the system's.
	TempDir string
	// PassEnv names what is copied from the host's environment; nil means DefaultPassEnv.
	PassEnv []string
	// Grace is the time between asking restic to stop and killing it; 0 means StopGrace.
	Grace time.Duration
	// System is where processes run; nil means this machine.
	System System
	// Now is the wall clock of that system; nil means time.Now.
	Now func() time.Time
}

// Call is what every operation takes.
type Call struct {
	Repository Repository
	// JobID marks the process, so that FindLeft finds it after a crash. At most one live process may carry
	// an id. Empty means that nobody will look for it (a question asked beside a job).
	JobID string
	// RetryLock is how long restic waits for a lock; 0 means that it gives up at once.
	RetryLock time.Duration
	// LimitUploadKiB and LimitDownloadKiB are KiB per second; 0 means no limit.
	LimitUploadKiB   int
	LimitDownloadKiB int
	Hooks            Hooks
}

// Hooks are how a caller watches one process. Started, Line, Notice and Progress are never called at the
// same time; one that blocks stops restic's output and, soon, restic. Any of them may be nil.
type Hooks struct {
	// Started gets the process and its argument vector, which holds no secret,
	// right after its start, before any other hook.
	Started func(process Process, argv []string)
	// Line gets each line for the log of the job.
	Line func(Line)
	// Notice gets each plain line of stderr in its typed form, after Line.
	Notice func(Notice)
	// Progress gets each status message of a backup, at most two in a second.
	Progress func(Progress)
	// Silence is called when nothing has come from restic for SilenceAfter, and again, ever more rarely, while
	// nothing comes, never twice at once and beside the other hooks. Its context ends with the process. It
	// returns true when it has found the repository reachable, which counts as the first contact.
	Silence      func(ctx context.Context, silent time.Duration) (reached bool)
	SilenceAfter time.Duration
	// FirstContact is how long restic may take until its first message on stdout, which it sends once the
	// repository is open and locked; 0 means no limit. After it restic is stopped with ErrNoContact.
	FirstContact time.Duration
}

// LineSource says where a line of the log comes from.
type LineSource string

// The sources of a line.
const (
	LineStdout  LineSource = "stdout"  // a line of a program that is not restic
	LineStderr  LineSource = "stderr"  // a plain line of restic or of such a program
	LineError   LineSource = "error"   // an item that could not be read, or restic's last word
	LineSummary LineSource = "summary" // what a backup did, in one sentence
)

// Line is one line of text for people, without a line end, secrets masked.
type Line struct {
	Source LineSource
	Text   string
}
