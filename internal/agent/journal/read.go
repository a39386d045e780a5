package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

func (f frame) record() api.Record {
	return api.Record{
		Seq: f.seq, Kind: api.RecordKind(f.kind), Job: job.ID(f.job), At: f.at,
		Body: json.RawMessage(bytes.Clone(f.body)),
	}
}

// Read returns the durable records numbered above after, in order, whose bodies
// have maxBytes in all, but at least one if there is one. Numbers are missing
// where records were freed, which the server had, or given up after damage.
func (j *Journal) Read(after uint64, maxBytes int) ([]api.Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.readable(); err != nil {
		return nil, err
	}
	var records []api.Record
	if after >= j.durable {
		return nil, nil
	}
	total := 0
	err := walk(j.file, j.index.find(after), j.tail, func(f frame, _ int64) error {
		if f.seq > j.durable {
			return io.EOF
		}
		if f.mark() || f.seq <= after {
			return nil
		}
		total += len(f.body)
		if total > maxBytes && len(records) > 0 {
			return io.EOF
		}
		records = append(records, f.record())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read records after %d: %w", after, err)
	}
	return records, nil
}

// RecordsOf returns the records of one job that are kept, durable or not, in
// order. It reads the file from the job's beginning, for an ended job all of it.
func (j *Journal) RecordsOf(id job.ID) ([]api.Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.readable(); err != nil {
		return nil, err
	}
	from := int64(headerSize)
	if open := j.jobs.unfinished[id]; open != nil {
		from = j.index.find(open.seq - 1)
	}
	var records []api.Record
	err := walk(j.file, from, j.tail, func(f frame, _ int64) error {
		if !f.mark() && string(f.job) == string(id) {
			records = append(records, f.record())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read records of job %s: %w", id, err)
	}
	return records, nil
}

// readable is less than usable: what is durable can be read from a broken journal.
func (j *Journal) readable() error {
	if j.closed || j.file == nil {
		return j.usable()
	}
	return nil
}

// Acknowledge notes that the server has all records up to cursor, which frees
// what is no longer needed. An older cursor changes nothing. The only error is
// ErrAhead. The note itself reaches the disk with a later append.
func (j *Journal) Acknowledge(cursor uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if cursor > j.last {
		return fmt.Errorf("acknowledge %d of %d: %w", cursor, j.last, ErrAhead)
	}
	if cursor <= j.acknowledged {
		return nil
	}
	j.acknowledged = cursor
	if j.usable() == nil && j.worthJudging(max(j.step, j.tail/2)) {
		j.shrink()
	}
	return nil
}

// Rewind notes that the server knows no more than cursor: it was restored from a
// backup. It keeps what is left from there on, and returns the range that holds
// all records that are gone, for the caller to journal as a gap; nil for none.
// Other records of that range may still be there and are read as ever.
func (j *Journal) Rewind(cursor uint64) (missing *api.Gap, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if cursor > j.last {
		return nil, fmt.Errorf("rewind to %d of %d: %w", cursor, j.last, ErrAhead)
	}
	if err := j.usable(); err != nil {
		return nil, fmt.Errorf("rewind journal: %w", err)
	}
	if cursor >= j.acknowledged {
		j.acknowledged = cursor
		return nil, nil
	}
	before := j.acknowledged
	j.acknowledged = cursor
	// A restart must not free again by the newer cursor.
	if err := j.markNow(); err != nil {
		j.acknowledged = before
		return nil, fmt.Errorf("rewind journal: %w", err)
	}
	missing, err = j.missing(cursor, before)
	if err != nil {
		return nil, fmt.Errorf("rewind journal: %w", err)
	}
	return missing, nil
}

func (j *Journal) markNow() error {
	if err := j.makeRoom(markSize, 0); err != nil && j.broken != nil {
		return err
	}
	if err := j.usable(); err != nil {
		return err
	}
	if err := j.writeMark(); err != nil {
		return err
	}
	// A mark has no number of its own to wait for.
	j.waitForSync()
	if err := j.usable(); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return j.breakDown("sync journal", err)
	}
	j.madeDurable(j.last)
	return nil
}

// missing finds the numbers in (cursor, upTo] that no record has any more.
func (j *Journal) missing(cursor, upTo uint64) (*api.Gap, error) {
	var gap *api.Gap
	count := uint64(0)
	lost := func(from, to uint64) {
		from, to = max(from, cursor+1), min(to, upTo)
		if from > to {
			return
		}
		if gap == nil {
			gap = &api.Gap{From: from}
		}
		gap.To = to
		count += to - from + 1
	}
	last := uint64(0)
	err := walk(j.file, headerSize, j.tail, func(f frame, _ int64) error {
		end := f.seq
		if !f.mark() {
			end--
		}
		lost(last+1, end)
		last = f.seq
		return nil
	})
	if gap != nil {
		gap.Reason = fmt.Sprintf("%d records of this range are no longer kept", count)
	}
	return gap, err
}
