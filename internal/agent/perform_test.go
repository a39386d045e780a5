package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// fullDisk is a disk that takes no byte while full is set.
type fullDisk struct {
	full    atomic.Bool
	refused atomic.Int64 // writes
}

type fullFile struct {
	*os.File
	disk *fullDisk
}

func (f fullFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f fullFile) WriteAt(raw []byte, at int64) (int, error) {
	if f.disk.full.Load() && raw[0] != 0 { // what wipes a failed write needs no room
		f.disk.refused.Add(1)
		return 0, errors.New("no space left on device")
	}
	return f.File.WriteAt(raw, at)
}

func (d *fullDisk) open(path string, flags int) (journal.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	return fullFile{file, d}, nil
}

func (d *fullDisk) MakeDir(dir string) error               { return os.MkdirAll(dir, 0o700) }
func (d *fullDisk) Open(path string) (journal.File, error) { return d.open(path, 0) }
func (d *fullDisk) Create(path string) (journal.File, error) {
	return d.open(path, os.O_CREATE|os.O_TRUNC)
}
func (d *fullDisk) Rename(from, to string) error   { return os.Rename(from, to) }
func (d *fullDisk) Remove(path string) error       { return os.Remove(path) }
func (d *fullDisk) SyncDir(string) error           { return nil }
func (d *fullDisk) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func TestEndOfACancelledJobIsWrittenOnceThereIsRoom(t *testing.T) {
	r := newRig(t, "")
	r.enrol()
	a, err := New(testOptions(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	hurry(a)
	if err := a.journal.Close(); err != nil {
		t.Fatal(err)
	}
	disk := new(fullDisk)
	if a.journal, err = journal.Open(filepath.Join(t.TempDir(), "journal"), journal.Options{Files: disk}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	a.tasks.open(t.Context())
	info, _ := job.InfoOf(job.Backup)
	cancelled := a.newTask(job.NewID(time.Now()), info, r.backupSpec(), nil)
	var end context.CancelCauseFunc
	cancelled.ctx, end = context.WithCancelCause(t.Context())
	if err := a.append(api.RecordAccepted, cancelled.id, api.Accepted{Kind: job.Backup, Spec: mustJSON(t, r.backupSpec())}); err != nil {
		t.Fatal(err)
	}
	end(stopError{job.CauseOperator})
	disk.full.Store(true)
	written := make(chan struct{})
	go func() {
		defer close(written)
		a.finish(cancelled, outcome{ended: api.Ended{State: job.Cancelled, Cause: job.CauseOperator}})
	}()
	select {
	case <-written:
		t.Error("the end was given up on while the disk was full")
	case <-time.After(3 * a.patience.retryMin):
	}
	disk.full.Store(false)
	<-written
	if left := a.journal.Unfinished(); len(left) != 0 {
		t.Errorf("unfinished = %v", left)
	}
}
