package journal

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// entry is a record on its way into the file.
type entry struct {
	record api.Record
	fact   fact
}

// Append numbers records in the order given and writes them. With one that
// makes a job due, accepts, cancels or ends it, it returns only when all of them are durable;
// else they are the system's, which survives a kill of this process, until the
// next sync. On an error none of them counts, though after ErrBroken one may
// be found written after all.
//
// A log record for which there is no room comes back with Seq 0. Its lines are
// counted in a log record without lines that is put in front of the next one of
// its job, or of its ended record.
func (j *Journal) Append(records ...api.Record) ([]api.Record, error) {
	entries := make([]entry, len(records))
	for i, record := range records {
		one, err := newEntry(record)
		if err != nil {
			return nil, fmt.Errorf("append to journal: %w", err)
		}
		entries[i] = one
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	written, last, err := j.write(entries)
	if err != nil {
		return nil, fmt.Errorf("append to journal: %w", err)
	}
	for _, one := range entries {
		if mustSync(one.record.Kind) {
			return written, j.syncTo(last)
		}
	}
	return written, nil
}

// mustSync tells what a promise to the server or a person hangs on: a pre-hook
// that has begun owes its post-hook.
func mustSync(kind api.RecordKind) bool {
	switch kind { //nolint:exhaustive // nothing hangs on the others
	case api.RecordDue, api.RecordAccepted, api.RecordEnded, api.RecordCancel, api.RecordHook:
		return true
	}
	return false
}

func newEntry(record api.Record) (entry, error) {
	switch {
	case record.Kind == "" || len(record.Kind) > 255:
		return entry{}, fmt.Errorf("kind %q is empty or too long", record.Kind)
	case len(record.Job) > 255:
		return entry{}, fmt.Errorf("job id of %s record is too long", record.Kind)
	case len(record.Body) > api.MaxRecordBody:
		return entry{}, fmt.Errorf("body of %s record has %d bytes, more than %d", record.Kind, len(record.Body), api.MaxRecordBody)
	case !json.Valid(record.Body):
		return entry{}, fmt.Errorf("body of %s record is not JSON", record.Kind)
	case record.Job == "" && mustSync(record.Kind):
		return entry{}, fmt.Errorf("%s record names no job", record.Kind)
	}
	said, err := factOf(record.Kind, record.Body)
	return entry{record, said}, err
}

func (e entry) frame(seq uint64) frame {
	f := frame{seq: seq, at: e.record.At, kind: []byte(e.record.Kind), job: []byte(e.record.Job), body: e.record.Body}
	if e.fact.troubled && f.log() {
		f.flags = flagTroubled
	}
	return f
}

// write places entries behind the last frame and returns their records and the
// number that must be durable for them to be.
func (j *Journal) write(entries []entry) ([]api.Record, uint64, error) {
	var all, logs int64
	for _, one := range entries {
		size := one.frame(0).size()
		all += size
		if one.record.Kind == api.RecordLog {
			logs += size
		}
	}
	grown := j.makeRoom(all, logs)
	if err := j.usable(); err != nil {
		return nil, 0, err
	}

	batch := batch{journal: j, seq: j.last, offset: j.tail}
	if mark := markFrame(j.last, j.acknowledged, j.now().UnixMilli()); j.acknowledged != j.marked && batch.logFits(mark.size()) {
		batch.put(mark)
	}
	written := make([]api.Record, len(entries))
	omitted := int64(0)
	for i, one := range entries {
		if one.record.Kind == api.RecordLog {
			if !batch.logFits(one.frame(0).size() + batch.noteSize(one.record)) {
				omitted += int64(one.fact.lines)
				batch.omit(one)
				one.record.Seq = 0
				written[i] = one.record
				continue
			}
			batch.putNote(one.record)
		}
		if one.record.Kind == api.RecordEnded {
			// No log of that job follows that could say it.
			batch.putNote(one.record)
		}
		written[i] = batch.add(one)
	}
	if batch.offset+frameHeader > j.size {
		return nil, 0, errors.Join(ErrFull, grown)
	}
	if err := j.writeFrames(batch.raw, batch.seq); err != nil {
		return nil, 0, err
	}
	batch.commit()
	j.omitted += omitted
	return written, batch.seq, nil
}

// batch is what one Append writes, and what is true once it is written.
type batch struct {
	journal *Journal
	raw     []byte
	seq     uint64
	offset  int64 // where the next frame goes
	marks   bool
	added   []entry
	pending map[job.ID]omission // changed ones; no lines: reported
	starts  []indexEntry
}

// logFits tells whether a log frame leaves the reserve whole and the journal
// within its bound.
func (b *batch) logFits(size int64) bool {
	end := b.offset + size
	return end+b.journal.reserve <= b.journal.size && end <= b.journal.maxBytes
}

func (b *batch) put(f frame) {
	b.starts = append(b.starts, indexEntry{b.seq, b.offset})
	b.raw = f.append(b.raw)
	b.offset += f.size()
	b.seq = f.seq
	b.marks = b.marks || f.mark()
}

func (b *batch) add(one entry) api.Record {
	b.put(one.frame(b.seq + 1))
	one.record.Seq = b.seq
	b.added = append(b.added, one)
	return one.record
}

func (b *batch) omission(id job.ID) omission {
	if changed, ok := b.pending[id]; ok {
		return changed
	}
	return b.journal.pending[id]
}

func (b *batch) setOmission(id job.ID, now omission) {
	if b.pending == nil {
		b.pending = map[job.ID]omission{}
	}
	b.pending[id] = now
}

func (b *batch) omit(one entry) {
	now := b.omission(one.record.Job)
	b.setOmission(one.record.Job, omission{now.lines + one.fact.lines, now.troubled || one.fact.troubled})
}

// note is the log record that counts what was left out before next; false when
// nothing was.
func (b *batch) note(next api.Record) (entry, bool) {
	left := b.omission(next.Job)
	if left.lines == 0 {
		return entry{}, false
	}
	record := api.Record{Kind: api.RecordLog, Job: next.Job, At: next.At, Body: omittedBody(left.lines)}
	return entry{record, fact{troubled: left.troubled}}, true
}

func (b *batch) noteSize(next api.Record) int64 {
	note, ok := b.note(next)
	if !ok {
		return 0
	}
	return note.frame(0).size()
}

func (b *batch) putNote(next api.Record) {
	if note, ok := b.note(next); ok {
		b.add(note)
		b.setOmission(next.Job, omission{})
	}
}

// omittedBody is the body of a log record whose lines were left out.
func omittedBody(lines int) json.RawMessage {
	return fmt.Appendf(nil, `{"lines":[],"omitted":%d}`, lines)
}

func (b *batch) commit() {
	j := b.journal
	for _, start := range b.starts {
		j.index.note(start.before, start.offset)
	}
	for _, one := range b.added {
		j.jobs.learn(one.record.Kind, one.record.Job, one.record.Seq, one.record.At, one.fact)
	}
	for id, now := range b.pending {
		if now.lines == 0 {
			delete(j.pending, id)
			continue
		}
		j.pending[id] = now
		if open := j.jobs.unfinished[id]; open != nil {
			open.Troubled = open.Troubled || now.troubled
		}
	}
	if b.marks {
		j.marked = j.acknowledged
	}
}

// writeFrames writes raw at the tail, up to number last. What a failed write
// may have left is wiped, or the journal is broken.
func (j *Journal) writeFrames(raw []byte, last uint64) error {
	if _, err := j.file.WriteAt(raw, j.tail); err != nil {
		if _, wiped := j.file.WriteAt(make([]byte, len(raw)), j.tail); wiped != nil {
			return j.breakDown("wipe failed write", errors.Join(err, wiped))
		}
		return err
	}
	j.tail += int64(len(raw))
	j.last = last
	return nil
}

// writeMark writes the acknowledged cursor.
func (j *Journal) writeMark() error {
	mark := markFrame(j.last, j.acknowledged, j.now().UnixMilli())
	if j.tail+mark.size()+frameHeader > j.size {
		return ErrFull
	}
	if err := j.writeFrames(mark.append(nil), j.last); err != nil {
		return err
	}
	j.marked = j.acknowledged
	return nil
}

// makeRoom grows the file, or frees what it may, so that frames of all bytes,
// logs of them log text, leave the reserve whole. The error says why it could
// not grow; whether that matters is for the caller to find.
func (j *Journal) makeRoom(all, logs int64) error {
	if logs > 0 && j.tail+all > j.maxBytes && (j.tail > j.forced+j.maxBytes/8 || j.worthJudging(j.maxBytes/16)) {
		j.shrinkForRoom()
	}
	if j.closed || j.broken != nil || j.tail+all+j.reserve <= j.size {
		return nil
	}
	err := j.grow(j.tail + all + j.reserve + j.step)
	if err != nil && j.worthJudging(j.step) {
		j.shrink()
	}
	return err
}

// grow writes zeros up to size and syncs them, so that they are truly there.
func (j *Journal) grow(size int64) error {
	zeros := make([]byte, min(size-j.size, j.step))
	end := j.size
	var failed error
	for end < size && failed == nil {
		var n int
		n, failed = j.file.WriteAt(zeros[:min(int64(len(zeros)), size-end)], end)
		end += int64(n)
	}
	if err := j.file.Sync(); err != nil {
		return j.breakDown("sync journal", err)
	}
	j.size = end
	return failed
}
