package sim

import (
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/internal/restic"
)

// ending is how the script lets a backup end.
type ending int

const (
	endsWell ending = iota
	endsIncomplete
	endsUnreachable // it loses the repository on its way
	endsLocked
	endsKilled // by the machine, for want of memory
	endsFatal
)

// play is what one backup does.
type play struct {
	ending ending
	takes  time.Duration
}

// backup is a backup process.
func (p *process) backup(begun chan<- struct{}) (code restic.ExitCode) {
	w, repo := p.machine.world, p.machine.repo
	play := w.newPlay(p.chance)
	done := w.truth.begin(p)
	close(begun)
	var made string
	defer func() { done(code, made) }()

	wall := p.machine.now()
	if err := p.pause(p.chance.between(50*time.Millisecond, 3*time.Second)); err != nil {
		return p.cutOff(err)
	}
	for patience := 0; repo.isAway(); patience++ {
		if patience == 80 {
			return p.fail(restic.ExitFatal, "unable to open config file: dial tcp 10.9.9.9:8000: connect: connection refused")
		}
		if patience%10 == 0 {
			_, _ = p.stderr.Write([]byte("Load(<config/>, 0, 0) returned error, retrying after 5s: dial tcp 10.9.9.9:8000: connect: connection refused\n"))
		}
		if err := p.pause(10 * time.Second); err != nil {
			return p.cutOff(err)
		}
	}
	switch play.ending {
	case endsLocked:
		if err := p.pause(play.takes); err != nil {
			return p.cutOff(err)
		}
		return p.fail(restic.ExitLocked, "unable to create lock in backend: repository is already locked by PID 1 on elsewhere")
	case endsFatal:
		return p.fail(restic.ExitFatal, "something that restic can't name")
	}
	lock := repo.lock(p)
	for part := range 3 {
		if err := p.pause(play.takes / 3); err != nil {
			if errors.Is(err, errStopped) {
				// restic needs a moment to clean up, in which it can be killed.
				if p.linger(p.chance.between(0, 2*time.Second)) {
					repo.unlock(lock)
				} else {
					err = errDied
				}
			}
			return p.cutOff(err)
		}
		p.say(map[string]any{"message_type": "status", "percent_done": float64(part+1) / 3, "total_files": 3, "files_done": part + 1, "total_bytes": 3000, "bytes_done": 1000 * part})
	}
	switch play.ending {
	case endsKilled:
		return restic.ExitKilled
	case endsUnreachable:
		repo.unlock(lock)
		return p.fail(restic.ExitFatal, "unable to save snapshot: write tcp 10.9.9.9:8000: broken pipe")
	}
	if play.ending == endsIncomplete {
		p.complain(map[string]any{"message_type": "error", "error": map[string]string{"message": "permission denied"}, "during": "archival", "item": "/data/secret"})
	}
	made = repo.save(p, wall)
	// From here on the snapshot is there, whatever becomes of the process.
	if !p.linger(p.chance.between(0, 2*time.Second)) {
		return restic.ExitKilled
	}
	repo.unlock(lock)
	p.say(map[string]any{"message_type": "summary", "files_new": 3, "total_files_processed": 3, "total_bytes_processed": 3000, "data_added": 1000,
		"total_duration": play.takes.Seconds(), "backup_start": wall, "backup_end": p.machine.now(), "snapshot_id": made})
	if !p.linger(p.chance.between(0, 300*time.Millisecond)) {
		return restic.ExitKilled
	}
	if play.ending == endsIncomplete {
		return p.fail(restic.ExitIncomplete, "at least one source file could not be read")
	}
	return restic.ExitOK
}

// linger is work that a polite stop does not interrupt.
func (p *process) linger(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.dying:
		return false
	}
	p.machine.awaitAwake()
	return true
}

// save puts a snapshot into the repository.
func (r *repository) save(p *process, wall time.Time) string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	id := r.world.newHash("snapshot")
	r.snapshots = append(r.snapshots, restic.Snapshot{ID: id, Time: wall, Paths: []string{"/data"}, Hostname: p.flag("--host"), Username: "root",
		Tags: p.flags("--tag"), ProgramVersion: "restic 0.19.1", Summary: &restic.SnapshotSummary{BackupStart: wall, BackupEnd: p.machine.now(),
			TotalFilesProcessed: 3, TotalBytesProcessed: 3000}})
	return id
}
