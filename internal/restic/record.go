package restic

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// errOutputTooLarge ends the reading of an answer that no real repository gives.
var errOutputTooLarge = errors.New("restic's answer is larger than 64 MiB")

// maxAnswer bounds what a listing or a cat may print: about 90,000 snapshots.
const maxAnswer = 64 << 20

// record gathers what one process says. Its two readers share it.
type record struct {
	hooks Hooks
	mask  *strings.Replacer

	spoke   atomic.Int64 // when restic last said anything, in nanoseconds of the monotonic clock since start
	started time.Time
	contact chan struct{} // closed at the first byte on stdout
	once    sync.Once

	mutex  sync.Mutex // also keeps the hooks from running at the same time
	result Result
	tail   []byte
}

func newRecord(call Call) *record {
	return &record{hooks: call.Hooks, mask: newMask(call.Repository), started: time.Now(), contact: make(chan struct{})}
}

// silent is how long nothing has been said.
func (r *record) silent() time.Duration {
	return time.Since(r.started) - time.Duration(r.spoke.Load())
}

func (r *record) touch()   { r.spoke.Store(int64(time.Since(r.started))) }
func (r *record) reached() { r.once.Do(func() { close(r.contact) }) }

// heard wraps a stream so that every byte on it counts as a sign of life, and on stdout as the contact.
type heard struct {
	io.Reader
	record *record
	stdout bool
}

func (h heard) Read(buffer []byte) (int, error) {
	count, err := h.Reader.Read(buffer)
	if count > 0 {
		h.record.touch()
		if h.stdout {
			h.record.reached()
		}
	}
	return count, err
}

// capped fails once more than maxAnswer bytes were read.
type capped struct {
	io.Reader
	left int
}

func (c *capped) Read(buffer []byte) (int, error) {
	count, err := c.Reader.Read(buffer)
	if c.left -= count; c.left < 0 {
		return 0, errOutputTooLarge
	}
	return count, err
}

// clean masks and bounds a text that restic gave.
func (r *record) clean(text string) string { return bounded(r.mask.Replace(text)) }

// stderr takes one line of stderr.
func (r *record) stderr(line []byte, cut bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if cut {
		r.result.CutLines++
	}
	decoded, err := decodeStderr(line)
	if err != nil {
		r.plain(string(line))
		return
	}
	switch body := decoded.(type) {
	case *errorMessage:
		r.itemError(body)
	case *exitErrorMessage:
		r.result.Message = r.clean(body.Message)
		for text := range strings.Lines(r.result.Message) {
			r.line(LineError, strings.TrimRight(text, "\r\n"))
		}
	}
}

// messages reads a command's messages from stdout. What is no message goes to the log as it is.
func (r *record) messages(stdout io.Reader, known vocabulary, each func(message)) error {
	return readLines(stdout, func(line []byte, cut bool) {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		if cut {
			r.result.CutLines++
		}
		decoded, err := decodeMessage(line, known)
		if err != nil {
			r.plain(string(line))
			return
		}
		each(decoded)
	})
}

func (r *record) plain(text string) {
	text = r.clean(text)
	r.line(LineStderr, text)
	r.notice(newNotice(text))
}

func (r *record) itemError(body *errorMessage) {
	if body.Message != "" {
		text := strings.TrimSpace(r.clean(body.Message))
		for line := range strings.Lines(text) {
			r.line(LineError, strings.TrimRight(line, "\r\n"))
		}
		r.notice(newNotice(text))
		return
	}
	item := ItemError{Item: r.clean(body.Item), During: r.clean(body.During), Text: r.clean(body.Error.Message)}
	r.line(LineError, item.Item+": "+item.Text)
	// With --json restic reports a volume that it could not snapshot like a file that it could not read.
	if notice := newNotice(item.Text); notice.Kind == NoticeVSSFallback {
		r.notice(notice)
		return
	}
	r.result.ItemErrorCount++
	if len(r.result.ItemErrors) < MaxItemErrors {
		r.result.ItemErrors = append(r.result.ItemErrors, item)
	}
}

func (r *record) notice(notice Notice) {
	r.result.NoticeCount++
	if len(r.result.Notices) < MaxNotices {
		r.result.Notices = append(r.result.Notices, notice)
	}
	if r.hooks.Notice != nil {
		r.hooks.Notice(notice)
	}
}

func (r *record) line(source LineSource, text string) {
	if source != LineSummary {
		r.tail = append(append(r.tail, text...), '\n')
		if over := len(r.tail) - MaxStderrTail; over > 0 {
			r.tail = append(r.tail[:0], r.tail[over:]...)
		}
	}
	if r.hooks.Line != nil {
		r.hooks.Line(Line{Source: source, Text: text})
	}
}

// finish returns the facts gathered.
func (r *record) finish() Result {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.result.StderrTail = strings.ToValidUTF8(string(r.tail), "\uFFFD")
	return r.result
}
