package ui

import (
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

func (s sample) repositoryUsual() RepositoryPage {
	page := RepositoryPage{Frame: s.frame("web-1", "/repositories"), Live: "/repositories/x?part=live", RepositoryRow: s.repositories()[0],
		Worker: fleet.Host{ID: "01JNQ8Z4M2R7S9T1V3X5Y6BOX1", Name: "vault", Online: true, Allowed: []job.Kind{job.Check, job.Stats}}}
	r := &page.Repository
	r.Check, r.CheckJob, r.CheckedAt = &job.CheckResult{ReadMiB: 14_210, Seconds: 1_190}, "01JNQ8Z4M2R7S9T1V3X5Y6Z7CK", s.ago(3*24*time.Hour)
	r.Stats, r.CountedAt = &job.StatsResult{StoredBytes: 61_234_567_890, UncompressedBytes: 88_210_000_000, Blobs: 412_000, RestoredBytes: 5_812_000_000_000, Files: 2_612_000, Snapshots: 128,
		Groups: []job.GroupStats{{Group: "01JNQ8Z4M2R7S9T1V3X5Y6G001", Bytes: 5_790_000_000_000}}}, s.ago(26*time.Hour)
	page.Groups = []RepositoryGroup{
		{GroupSnapshots: store.GroupSnapshots{Group: "01JNQ8Z4M2R7S9T1V3X5Y6G001", Count: 96, LatestAt: s.ago(4 * time.Hour)}, Name: "documents", Host: r.Host, Stats: &r.Stats.Groups[0]},
		{GroupSnapshots: store.GroupSnapshots{Group: "01JNQ8Z4M2R7S9T1V3X5Y6G002", Count: 30, LatestAt: s.ago(9 * time.Hour)}, Name: "database", Host: r.Host},
		{GroupSnapshots: store.GroupSnapshots{Count: 2, LatestAt: s.ago(400 * 24 * time.Hour)}, Host: r.Host},
	}
	page.Health = repositoryHealth(*r, s.now)
	return page
}

func (s sample) repositoryNew() RepositoryPage {
	page := s.repositoryUsual()
	page.Repository.Check, page.Repository.Stats, page.Groups = nil, nil, nil
	page.Repository.SnapshotCount, page.Repository.LatestAt = 0, time.Time{}
	page.Worker.Online = false
	page.Health = repositoryHealth(page.Repository, s.now)
	return page
}

func (s sample) repositoryDamaged() RepositoryPage {
	page := s.repositoryUsual()
	page.Repository.Check = &job.CheckResult{Errors: 3, ReadAll: true, BrokenCount: 2, BrokenPacks: []string{strings.Repeat("be99", 16), strings.Repeat("41c0", 16)}}
	page.Health = repositoryHealth(page.Repository, s.now)
	page.Active = []JobRow{{Job: fleet.Job{ID: "01JNQ8Z4M2R7S9T1V3X5Y6Z7CL", Kind: job.Check}, State: lookOf(job.Running), Title: "Check", HostName: "vault"}}
	return page
}

func (s sample) jobChecked() JobPage {
	page := s.jobPage(job.Succeeded)
	page.Title, page.Job.Kind, page.GroupName, page.Why = "Check", job.Check, "", "asked for by ann"
	page.Job.Command = []string{"restic", "check", "--json", "--read-data-subset=14210M"}
	page.Job.Summary = &job.Summary{Check: &job.CheckResult{ReadMiB: 14_210, Seconds: 1_190}}
	return page
}

func (s sample) jobDamaged() JobPage {
	page := s.jobChecked()
	page.Job.State, page.State = job.Failed, lookOf(job.Failed)
	page.Job.Summary.Check.Errors, page.Job.Summary.Check.BrokenCount, page.Job.Summary.Check.BrokenPacks = 3, 2, []string{strings.Repeat("be99", 16), strings.Repeat("41c0", 16)}
	page.Job.Error = "The repository is damaged: restic counts 3 errors: 2 of its packs can't be read."
	page.Job.Summary.Advice = "Change nothing in it and make no prune. Copy the repository's folder if there is room, then follow restic's troubleshooting guide; the log has restic's own words."
	return page
}

func (s sample) jobCounted() JobPage {
	page := s.jobChecked()
	page.Title, page.Job.Kind, page.Job.Command = "Count", job.Stats, nil
	page.Job.Summary = &job.Summary{Stats: s.repositoryUsual().Repository.Stats}
	return page
}
