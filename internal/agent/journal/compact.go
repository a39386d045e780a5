package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// retryCompaction is how long a compaction that failed, most likely for want of
// disk, is not tried again.
const retryCompaction = time.Minute

// worthJudging tells whether atLeast bytes were acknowledged since a compaction
// last looked.
func (j *Journal) worthJudging(atLeast int64) bool {
	return j.index.find(j.acknowledged)-j.judged > atLeast
}

// shrink frees what may be freed, if that is more than half of the file and more
// than a step.
func (j *Journal) shrink() { j.judge(false) }

// shrinkForRoom frees what may be freed and shortens the oldest log text, until
// a quarter of the bound is free.
func (j *Journal) shrinkForRoom() { j.judge(true) }

// judge decides on a compaction. One that fails leaves the old file whole and
// loses nothing, so it is no error of the caller's: as long as room lacks,
// appends say so, and what could break the journal is kept in broken.
func (j *Journal) judge(forRoom bool) {
	j.waitForSync()
	if j.usable() != nil || j.now().Before(j.retryAt) {
		return
	}
	freed, err := j.freeable()
	if err == nil && forRoom {
		err = j.compact(max(0, j.tail-freed-j.maxBytes*3/4))
	} else if err == nil && freed > j.step && freed > j.tail/2 {
		err = j.compact(0)
	}
	if err != nil {
		j.retryAt = j.now().Add(retryCompaction)
		return
	}
	j.judged = j.index.find(j.acknowledged)
	if forRoom {
		j.forced = j.tail
	}
}

// free tells whether a record is needed no more: the server has it, its job is
// not open, and it is log text or old. By the clock alone nothing is old: one that
// ran a year ahead would make the journal forget what must never run again.
func (j *Journal) free(f frame) bool {
	if f.seq > j.acknowledged {
		return false
	}
	if j.jobs.isOpen(job.ID(f.job)) {
		return false
	}
	return f.log() || f.seq+j.recent <= j.last && time.UnixMilli(f.at).Before(j.now().Add(-j.keep))
}

// freeable counts the bytes that a compaction would free.
func (j *Journal) freeable() (int64, error) {
	freed := int64(0)
	err := walk(j.file, headerSize, j.tail, func(f frame, _ int64) error {
		if f.mark() || j.free(f) {
			freed += f.size()
		}
		return nil
	})
	return freed, err
}

// compact writes a new file with the records that are needed and puts it in
// place of the old one. Of log text, the oldest first, it shortens as much as
// frees shorten bytes more; acknowledged text is older than the rest.
func (j *Journal) compact(shorten int64) error {
	next := header{id: j.header.id, floor: j.last, written: j.now().UnixMilli()}
	omitted := int64(0)
	built, err := build(j.files, j.path, next, j.reserve+j.step, func(put func(frame) error) error {
		last := uint64(0)
		err := walk(j.file, headerSize, j.tail, func(f frame, _ int64) error {
			if f.mark() || j.free(f) {
				return nil
			}
			if shorten > 0 && f.log() {
				short, lines := shortened(f)
				if saved := f.size() - short.size(); saved > 0 {
					f, shorten, omitted = short, shorten-saved, omitted+int64(lines)
				}
			}
			if f.seq != last+1 {
				if err := put(markFrame(f.seq-1, j.acknowledged, next.written)); err != nil {
					return err
				}
			}
			last = f.seq
			return put(f)
		})
		if err != nil {
			return err
		}
		return put(markFrame(j.last, j.acknowledged, next.written))
	})
	if err != nil {
		return fmt.Errorf("compact journal: %w", err)
	}
	return j.replaceBy(built, next, omitted)
}

// replaceBy puts the built file in place of the open one. Both are closed first,
// since Windows renames neither while it is open.
func (j *Journal) replaceBy(built builtFile, next header, omitted int64) error {
	if err := j.file.Close(); err != nil {
		j.file = nil
		return j.breakDown("close journal", err)
	}
	renamed := j.files.Rename(built.path, j.path)
	file, err := j.files.Open(j.path)
	if err != nil {
		j.file = nil
		return j.breakDown("open compacted journal", errors.Join(renamed, err))
	}
	j.file = file
	if renamed != nil {
		return fmt.Errorf("compact journal: %w", errors.Join(renamed, j.files.Remove(built.path)))
	}
	j.header, j.index, j.tail, j.size = next, built.index, built.tail, built.size
	j.marked = j.acknowledged
	j.omitted += omitted
	// Until the name is durable, a power cut brings the old file back, without
	// what would be appended from now on.
	if err := j.files.SyncDir(j.dir); err != nil {
		return j.breakDown("sync journal's folder", err)
	}
	j.madeDurable(j.last)
	return nil
}

// shortened returns f without its lines, and how many they were.
func shortened(f frame) (frame, int) {
	var log api.Log
	if err := json.Unmarshal(f.body, &log); err != nil {
		return f, 0 // written by another build; left as it is
	}
	f.body = omittedBody(log.Omitted + len(log.Lines))
	return f, len(log.Lines)
}
