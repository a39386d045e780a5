package agent

import (
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Bounds of one job's log, in bytes.
const (
	logHead = 10 << 20
	logTail = 10 << 20
	// maxLogLine cuts a single line; with every byte escaped it still fits into a
	// record.
	maxLogLine = 16 << 10
	// lineCost is what a line takes beside its text.
	lineCost = 40
)

// jobLog gathers the lines of one job and journals them in batches: the first
// logHead bytes as they come, the last logTail bytes at the end, and a count of
// what was left out between.
type jobLog struct {
	agent *Agent
	id    job.ID

	mutex   sync.Mutex
	lines   []job.LogLine // not yet journalled, of the head
	bytes   int           // of lines
	head    int           // bytes gone to the head
	tail    []job.LogLine // begun when the head is full
	tailLen int
	omitted int
	timer   *time.Timer // runs while lines wait
	closed  bool
}

func (a *Agent) newJobLog(id job.ID) *jobLog { return &jobLog{agent: a, id: id} }

var lineEnds = strings.NewReplacer("\n", " ", "\r", " ")

// add takes one line. Line ends inside it become spaces.
func (l *jobLog) add(level job.LogLevel, text string) {
	text = strings.ToValidUTF8(strings.TrimRight(text, "\r\n"), "\uFFFD")
	text = lineEnds.Replace(text)
	if len(text) > maxLogLine {
		text = strings.ToValidUTF8(text[:maxLogLine], "") + " […]"
	}
	line := job.LogLine{At: l.agent.now(), Level: level, Text: text}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.closed {
		return
	}
	size := cost(line)
	if l.head+l.bytes+size > logHead {
		l.keepTail(line, size)
		return
	}
	l.lines = append(l.lines, line)
	l.bytes += size
	if l.bytes >= api.LogBatch {
		l.flush()
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(api.LogDelay, l.onTimer)
	}
}

func (l *jobLog) keepTail(line job.LogLine, size int) {
	l.tail = append(l.tail, line)
	l.tailLen += size
	for l.tailLen > logTail {
		l.tailLen -= cost(l.tail[0])
		l.tail = l.tail[1:]
		l.omitted++
	}
}

func cost(line job.LogLine) int { return len(line.Text) + lineCost }

func (l *jobLog) onTimer() {
	l.mutex.Lock()
	l.timer = nil
	closed := l.closed
	if !closed {
		l.flush()
	}
	l.mutex.Unlock()
	if closed {
		return
	}
	if err := l.agent.journal.Sync(); err != nil {
		l.agent.log.Error("journal could not be written", "job", l.id, "error", err)
	}
}

// flush journals the waiting lines of the head.
func (l *jobLog) flush() {
	if len(l.lines) == 0 {
		return
	}
	l.head += l.bytes
	l.write(api.Log{Lines: l.lines})
	l.lines, l.bytes = nil, 0
}

// write journals lines, in halves when they are too many for one record.
func (l *jobLog) write(body api.Log) {
	record, err := api.NewRecord(api.RecordLog, l.id, l.agent.now(), body)
	if err != nil && len(body.Lines) > 1 {
		middle := len(body.Lines) / 2
		l.write(api.Log{Lines: body.Lines[:middle], Omitted: body.Omitted})
		l.write(api.Log{Lines: body.Lines[middle:]})
		return
	}
	if err == nil {
		_, err = l.agent.journal.Append(record)
	}
	if err != nil {
		l.agent.log.Error("lines of a job's log are lost", "job", l.id, "lines", len(body.Lines), "error", err)
	}
}

// close journals all that is left. The record of the job's end follows it and
// makes it durable.
func (l *jobLog) close() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.flush()
	omitted := l.omitted
	for len(l.tail) > 0 {
		count, size := 0, 0
		for count < len(l.tail) && size < api.LogBatch {
			size += cost(l.tail[count])
			count++
		}
		l.write(api.Log{Lines: l.tail[:count], Omitted: omitted})
		l.tail, omitted = l.tail[count:], 0
	}
}
