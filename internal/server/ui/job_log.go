package ui

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

const (
	// logTailLines is how many lines a job page begins with.
	logTailLines = 300
	// logPartLines is how many lines one fetch of earlier or later ones brings.
	logPartLines = 1000
	// logRead is how much is read of the store at once, in bytes.
	logRead = 256 << 10
)

func logRows(first int64, lines []job.LogLine) []LogRow {
	rows := make([]LogRow, len(lines))
	for i, line := range lines {
		rows[i] = LogRow{Number: first + int64(i), At: time.UnixMilli(line.At), Level: line.Level, Text: line.Text}
	}
	return rows
}

// logLines reads the lines from first up to but without end; fewer when they are
// not there.
func (u *UI) logLines(r *http.Request, id job.ID, first, end int64) ([]LogRow, error) {
	var rows []LogRow
	for next := first; next < end; {
		lines, after, err := u.Store.Log(r.Context(), id, next, logRead)
		if err != nil {
			return nil, err
		}
		if len(lines) == 0 {
			break
		}
		rows = append(rows, logRows(next, lines)...)
		next = after
	}
	if int64(len(rows)) > end-first {
		rows = rows[:end-first]
	}
	return rows, nil
}

// logTail is the newest part of a log, which a job page begins with.
func (u *UI) logTail(r *http.Request, one fleet.Job) (LogPart, error) {
	part := LogPart{Job: one.ID, Total: one.LogLines, Omitted: one.LogOmitted, Follow: !one.State.Ended()}
	part.Before = max(one.LogLines-logTailLines, 0)
	rows, err := u.logLines(r, one.ID, part.Before, one.LogLines)
	part.Lines, part.Next = rows, part.Before+int64(len(rows))
	return part, err
}

// jobLog answers with the lines from a number on, or with those before one.
func (u *UI) jobLog(w http.ResponseWriter, r *http.Request) error {
	one, err := u.Store.Job(r.Context(), job.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	part := LogPart{Job: one.ID, Total: one.LogLines, Omitted: one.LogOmitted, Follow: !one.State.Ended()}
	if text := r.URL.Query().Get("before"); text != "" {
		before, err := lineNumber(text)
		if err != nil {
			return err
		}
		part.Older, part.Before = true, max(before-logPartLines, 0)
		part.Lines, err = u.logLines(r, one.ID, part.Before, before)
		if err != nil {
			return err
		}
	} else {
		from, err := lineNumber(r.URL.Query().Get("from"))
		if err != nil {
			return err
		}
		end := min(one.LogLines, from+logPartLines)
		if part.Lines, err = u.logLines(r, one.ID, from, end); err != nil {
			return err
		}
		part.Next = from + int64(len(part.Lines))
		// There is more to fetch even when the job has ended.
		part.Follow = part.Follow || part.Next < one.LogLines
	}
	return u.answer(w, http.StatusOK, "job", "log-part", part)
}

func lineNumber(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 {
		return 0, fleet.NotFound("line", text)
	}
	return number, nil
}

// jobLogText streams the whole log as text, a part at a time.
func (u *UI) jobLogText(w http.ResponseWriter, r *http.Request) error {
	one, err := u.Store.Job(r.Context(), job.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="job-%s.txt"`, one.ID))
	for next := int64(0); next < one.LogLines; {
		lines, after, err := u.Store.Log(r.Context(), one.ID, next, logRead)
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			break
		}
		for _, line := range lines {
			if _, err := io.WriteString(w, line.Plain()+"\n"); err != nil {
				return nil // the reader went away
			}
		}
		next = after
	}
	return nil
}
