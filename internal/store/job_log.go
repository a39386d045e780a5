package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/internal/job"
)

// logChunk is how large a stored run of log lines grows before the next one
// begins, in bytes; it keeps the rows of a long job few.
const logChunk = 64 << 10

// Log returns the stored log of a job from line first on, at most about
// maxBytes of it (one chunk at least), and the number of the line behind it.
func (r reader) Log(ctx context.Context, id job.ID, first int64, maxBytes int64) (lines []job.LogLine, next int64, err error) {
	type chunk struct {
		first, lines, bytes int64
		body                string
	}
	chunks, err := collect(ctx, r.q, func(row scanner) (c chunk, err error) {
		return c, row.Scan(&c.first, &c.lines, &c.bytes, &c.body)
	}, `SELECT first_line, lines, bytes, body FROM job_logs WHERE job_id = $1 AND first_line + lines > $2 ORDER BY first_line LIMIT $3`,
		id, first, max(1, maxBytes/logChunk))
	if err != nil {
		return nil, 0, fmt.Errorf("read log of job %s: %w", id, err)
	}
	next = first
	for _, c := range chunks {
		decoder := json.NewDecoder(strings.NewReader(c.body))
		for number := c.first; number < c.first+c.lines; number++ {
			var line job.LogLine
			if err := decoder.Decode(&line); err != nil {
				return nil, 0, fmt.Errorf("read log of job %s at line %d: %w", id, number, err)
			}
			if number >= first {
				lines = append(lines, line)
			}
		}
		next = c.first + c.lines
	}
	return lines, next, nil
}

// AppendLog adds lines to a job's log; omitted counts lines that the agent left
// out before them.
func (t *Tx) AppendLog(ctx context.Context, id job.ID, lines []job.LogLine, omitted int) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	for _, line := range lines {
		line.Text = plain(line.Text)
		if err := encoder.Encode(line); err != nil {
			return fmt.Errorf("encode log of job %s: %w", id, err)
		}
	}
	var last, count, size int64
	err := t.tx.QueryRowContext(ctx, "SELECT first_line, lines, bytes FROM job_logs WHERE job_id = $1 ORDER BY first_line DESC LIMIT 1", id).Scan(&last, &count, &size)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read log of job %s: %w", id, err)
	}
	switch {
	case len(lines) == 0:
		err = nil
	case count > 0 && size+int64(body.Len()) <= logChunk:
		err = t.exec(ctx, "UPDATE job_logs SET lines = lines + $1, bytes = bytes + $2, body = body || $3 WHERE job_id = $4 AND first_line = $5",
			len(lines), body.Len(), body.String(), id, last)
	default:
		err = t.exec(ctx, "INSERT INTO job_logs (job_id, first_line, lines, bytes, body) VALUES ($1, $2, $3, $4, $5)",
			id, last+count, len(lines), body.Len(), body.String())
	}
	if err != nil {
		return fmt.Errorf("add to log of job %s: %w", id, err)
	}
	if err := t.exec(ctx, "UPDATE jobs SET log_lines = log_lines + $1, log_bytes = log_bytes + $2, log_omitted = log_omitted + $3 WHERE id = $4",
		len(lines), body.Len(), omitted, id); err != nil {
		return fmt.Errorf("count log of job %s: %w", id, err)
	}
	return nil
}
