package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

func (s sample) progress() *job.Progress {
	return &job.Progress{Percent: .427, FilesDone: 8_712, FilesTotal: 20_412, BytesDone: 20_612_345_678, BytesTotal: 48_301_234_567, ElapsedSeconds: 214, RemainingSeconds: 287,
		CurrentFiles: []string{"/srv/files/projects/2026/atlas/renders/shot-0412/frame-00183.exr", "/home/ann/Pictures/2026-03 Lisbon/IMG_2041.HEIC"}}
}

func (s sample) summary() *job.Summary {
	return &job.Summary{SnapshotID: strings.Repeat("4f9a2c7b", 8), FilesNew: 112, FilesChanged: 38, FilesUnmodified: 20_262, FilesProcessed: 20_412, BytesProcessed: 48_301_234_567, DataAdded: 412_345_678, DataAddedPacked: 312_345_678, Seconds: 192}
}

func (s sample) jobPage(state job.State) JobPage {
	host := s.endpoint("AAA1", "web-1", "linux", "web", "production")
	one := fleet.Job{ID: "01JNQ8Z4M2R7S9T1V3X5Y6Z7RR", Host: host.ID, Kind: job.Backup, State: state, Origin: job.ByPerson, AskedBy: "ann", Group: "01JNQ8Z4M2R7S9T1V3X5Y6GDOC", CreatedAt: s.ago(220 * time.Second)}
	if state != job.Queued {
		one.SentAt, one.AcceptedAt, one.StartedAt = s.ago(219*time.Second), s.ago(219*time.Second), s.ago(218*time.Second)
		one.Command = []string{"restic", "backup", "--json", "--tag", "rm-group:01JNQ8Z4M2R7S9T1V3X5Y6GDOC", "--host", "web-1", "--group-by", "host,tags", "--retry-lock", "30m", "--files-from-raw", "-"}
	}
	if state.Ended() {
		one.FinishedAt = s.ago(12 * time.Second)
	}
	page := JobPage{Frame: s.hostFrame("Backup of documents"), Job: one, Title: "Backup of documents", Host: host, Contact: connection(host), GroupName: "documents",
		Repository: s.repositories()[0].Repository, Why: "asked by ann", State: jobState(one), Rule: "Saves the files of one source group as a snapshot.", CanCancel: !state.Ended(), CanRepeat: state == job.Failed, Now: s.now}
	page.Phase = phaseOf(one, nil)
	page.Log = LogPart{Job: one.ID, Follow: !state.Ended()}
	return page
}

func (s sample) logLines(job *LogPart, texts ...string) {
	for i, text := range texts {
		level, plain, found := strings.Cut(text, "|")
		if !found {
			level, plain = "info", text
		}
		job.Lines = append(job.Lines, LogRow{Number: job.Before + int64(i), At: s.ago(time.Duration(218-i*9) * time.Second), Level: logLevel(level), Text: plain})
	}
	job.Next = job.Before + int64(len(texts))
	job.Total = job.Next
}

func logLevel(text string) job.LogLevel { return job.LogLevel(text) }

func (s sample) jobSending() JobPage {
	page := s.jobRunning()
	page.Progress.Percent, page.Progress.FilesDone, page.Progress.BytesDone, page.Progress.RemainingSeconds, page.Progress.CurrentFiles = 1, page.Progress.FilesTotal, page.Progress.BytesTotal, 0, nil
	page.Bar = progressBar(page.Progress)
	page.Phase = phaseOf(page.Job, page.Progress)
	return page
}

func (s sample) jobProvision() JobPage {
	page := s.jobPage(job.Running)
	page.Title, page.Job.Kind, page.GroupName, page.Job.Command = "Create repository user", job.Provision, "", nil
	page.Rule, page.Why = "Adds a host's user to rest-server, or removes it.", "a step of the server,"
	s.logLines(&page.Log, "The file of users is written; waiting for rest-server to read it.")
	return page
}

func (s sample) jobQueued() JobPage { return s.jobPage(job.Queued) }

func (s sample) jobRunning() JobPage {
	page := s.jobPage(job.Running)
	page.Progress = s.progress()
	page.Bar = progressBar(page.Progress)
	s.logLines(&page.Log, "open repository", "using parent snapshot 9bc1d20e", "load index files", "start scan on [/home /srv/files and more]", "start backup", "scan finished in 1.912s: 20412 files, 44.984 GiB")
	return page
}

func (s sample) jobNoContact() JobPage {
	page := s.jobRunning()
	page.Host.Online, page.Host.LastSeenAt = false, s.ago(9*time.Minute)
	page.Progress.Phase = job.PhaseWaitingRepository
	page.Bar = progressBar(page.Progress)
	page.Phase = phaseOf(page.Job, page.Progress)
	page.Job.CancelRequestedAt = s.ago(time.Minute)
	return page
}

func (s sample) jobSucceeded() JobPage {
	page := s.jobPage(job.Succeeded)
	page.Job.Summary = s.summary()
	zero := 0
	page.Job.ExitCode = &zero
	page.Log.Before = 1_840
	s.logLines(&page.Log, "scan finished in 1.912s: 20412 files, 44.984 GiB", "Files:  112 new, 38 changed, 20262 unmodified", "Added to the repository: 393.243 MiB (297.876 MiB stored)", "snapshot 4f9a2c7b saved")
	return page
}

func (s sample) jobWarning() JobPage {
	page := s.jobPage(job.Warning)
	page.Job.Summary = s.summary()
	three := 3
	page.Job.ExitCode = &three
	page.Job.Error = "2 files could not be read and 1 source is missing; all else was saved."
	page.Job.Summary.Advice = "Give the agent's user read access to these files, or leave them out."
	page.Job.Summary.Findings = []job.Finding{
		{Kind: job.SourceMissing, Path: "/srv/files and more"},
		{Kind: job.FileUnreadable, Path: "/home/ann/.ssh/id_ed25519", Detail: "permission denied"},
		{Kind: job.FileUnreadable, Path: "/home/ann/a name\nwith a line break", Detail: "permission denied"},
	}
	page.Job.Summary.FindingsOmitted = 4
	page.State = jobState(page.Job)
	s.logLines(&page.Log, "start backup", "warn|/srv/files and more does not exist, skipping", "error|error: open /home/ann/.ssh/id_ed25519: permission denied", "snapshot 4f9a2c7b saved", "error|Warning: at least one source file could not be read")
	return page
}

func (s sample) jobLocked() JobPage {
	page := s.jobPage(job.Failed)
	eleven := 11
	page.Job.ExitCode = &eleven
	page.Job.Error = "The repository is locked by process 4711 on web-1 since 2026-03-02 01:00 UTC (31 hours ago) and 1 more, and the lock was not released within 30 minutes."
	page.Job.Summary = &job.Summary{Advice: "If that process is at work, wait for it. If it is gone, remove this one lock on the job's page; then run the job again."}
	page.State = jobState(page.Job)
	page.Locks = []LockOffer{
		{Offered: true, Lock: job.Lock{ID: strings.Repeat("a1b2c3d4", 8), Host: "web-1", User: "root", PID: 4711, Time: s.ago(31 * time.Hour), Exclusive: true}},
		{Why: "It belongs to another host.", Lock: job.Lock{ID: strings.Repeat("99e8d7c6", 8), Host: "old-box", User: "root", PID: 812, Time: s.ago(50 * 24 * time.Hour)}},
	}
	s.logLines(&page.Log, "open repository", "warn|repo already locked, waiting up to 30m0s for the lock", "error|unable to create lock in backend: repository is already locked exclusively by PID 4711 on web-1 by root")
	return page
}

func (s sample) jobList(ofHost bool) JobList {
	list := JobList{Action: "/jobs", Kinds: job.Kinds, States: job.States, OfHost: ofHost, Live: "/jobs?part=list", Next: "/jobs?cursor=n"}
	for i, info := range job.States {
		one := fleet.Job{ID: job.ID(fmt.Sprintf("01JNQ8Z4M2R7S9T1V3X5Y6Z%03d", i)), Host: "01JNQ8Z4M2R7S9T1V3X5Y6AAA1", Kind: job.Backup, State: info.State, CreatedAt: s.ago(time.Duration(i*11+3) * time.Minute)}
		row := JobRow{Title: "Backup of documents", HostName: "web-1", GroupName: "documents"}
		switch {
		case info.State == job.Running:
			one.StartedAt = s.ago(3 * time.Minute)
			bar := progressBar(s.progress())
			row.Bar = &bar
		case info.Ended:
			one.StartedAt, one.FinishedAt = one.CreatedAt, one.CreatedAt.Add(98*time.Second)
			row.Took = durationText(98 * time.Second)
			row.Result = "297.9 MiB added, 112 new and 38 changed files"
		}
		if info.State == job.Skipped {
			one.Cause, one.StartedAt, row.Took = job.CauseOverlapped, time.Time{}, ""
			row.Result = skippedWords(one)
		}
		if i%2 == 0 {
			row.Occasion = "nightly, for " + s.clock().moment(one.CreatedAt).Text
		}
		if info.State == job.Failed {
			row.Result = "The repository does not answer: connection refused. Is rest-server running there, and does a firewall let it through?"
		}
		row.Job, row.State = one, jobState(one)
		list.Rows = append(list.Rows, row)
	}
	return list
}
