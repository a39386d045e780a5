package ui

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// JobPage is one job, live while it runs.
type JobPage struct {
	Frame      Frame
	Job        fleet.Job
	Title      string // such as "Backup of documents"
	Rule       string // what jobs of this kind do
	State      State
	Host       fleet.Host
	Contact    State
	GroupName  string
	Repository fleet.Repository // ID "" when the job has none
	Why        string           // who or what asked for it
	Progress   *job.Progress
	Bar        Bar
	Phase      State // what a running job is doing
	Locks      []LockOffer
	Log        LogPart
	Live       string
	CanCancel  bool
	CanRepeat  bool
	Occasion   JobOccasion
	Now        time.Time // when the page was made
}

// Read is how much a check has read, unless it was all.
func (p JobPage) Read() string {
	if p.Job.Summary == nil || p.Job.Summary.Check == nil {
		return ""
	}
	return bytesText(p.Job.Summary.Check.ReadMiB << 20)
}

// IsBackup tells whether the job has data, files and a rate to tell of.
func (p JobPage) IsBackup() bool { return p.Job.Kind == job.Backup }

// Preview is what a look at sources has counted; nil for every other job.
func (p JobPage) Preview() *PreviewPart {
	if p.Job.Kind != job.PreviewSources || p.Job.State != job.Succeeded {
		return nil
	}
	part := previewOf(p.Job, p.Host)
	return &part
}

// WaitsForRepository tells that the repository does not answer a running job.
func (p JobPage) WaitsForRepository() bool {
	return p.Job.State == job.Running && p.Progress != nil && p.Progress.Phase == job.PhaseWaitingRepository
}

// NoContact tells whether the job runs where nobody can be asked.
func (p JobPage) NoContact() bool { return p.Job.State == job.Running && !p.Host.Online }

// Cancelling tells whether the agent's word on a cancel is waited for.
func (p JobPage) Cancelling() bool {
	return !p.Job.CancelRequestedAt.IsZero() && !p.Job.State.Ended()
}

// Reached tells that the repository has answered this job before.
func (p JobPage) Reached() bool {
	return p.Progress != nil && (p.Progress.BytesDone > 0 || p.Progress.FilesDone > 0)
}

// Elapsed is how long the job has run, or ran; "" before it began.
func (p JobPage) Elapsed() string {
	switch {
	case p.Job.StartedAt.IsZero():
		return ""
	case !p.Job.FinishedAt.IsZero():
		return durationText(p.Job.FinishedAt.Sub(p.Job.StartedAt))
	case p.Progress != nil && p.Progress.ElapsedSeconds > 0 && p.Progress.Phase == "":
		return secondsText(p.Progress.ElapsedSeconds)
	}
	// restic says nothing of the time while it waits.
	return secondsText(max(int64(p.Now.Sub(p.Job.StartedAt).Seconds()), 0))
}

// Rate is the mean rate so far; "" while there is nothing to tell.
func (p JobPage) Rate() string {
	if p.Progress == nil || p.Progress.ElapsedSeconds < 1 || p.Progress.BytesDone == 0 || p.Progress.Phase != "" || p.Bar.Sending {
		return ""
	}
	return bytesText(p.Progress.BytesDone/p.Progress.ElapsedSeconds) + "/s"
}

// Remaining is restic's estimate; "" while there is none.
func (p JobPage) Remaining() string {
	if p.Progress == nil || p.Progress.RemainingSeconds <= 0 || p.Progress.Phase != "" {
		return ""
	}
	return secondsText(p.Progress.RemainingSeconds)
}

// LockOffer is a lock in the way, and whether its removal is offered.
type LockOffer struct {
	Lock job.Lock
	// Host is where the lock can be removed, Repository what it holds.
	Repository job.RepositoryID
	Offered    bool
	Why        string // why it is not offered
	// Removal is the newest job that was to remove it, "" for none.
	Removal      job.ID
	RemovalState State
}

// LogPart is a run of a job's log. A page begins with the newest part; what
// follows is fetched by the number of the next line and never sent twice.
type LogPart struct {
	Job     job.ID
	Lines   []LogRow
	Before  int64 // lines before these
	Next    int64 // number of the line after these
	Total   int64
	Omitted int64 // lines that were never kept
	Follow  bool  // more may come
	Older   bool  // this part was asked for from the top
}

// More tells whether lines after these are there already.
func (p LogPart) More() bool { return p.Next < p.Total }

// LogRow is one line of a log.
type LogRow struct {
	Number int64
	At     time.Time
	Level  job.LogLevel
	Text   string
}

// findingWords says what each kind of finding means; a test holds it and the
// kinds of package job together.
var findingWords = []struct {
	kind  job.FindingKind
	words string
}{
	{job.SourceMissing, "Source is missing"},
	{job.SourceUnreadable, "Source can't be read"},
	{job.SourceSymlink, "Source is a symbolic link; only the link was saved"},
	{job.SourceEmpty, "Source is empty; is it a mount that is away?"},
	{job.SourceMoved, "Source is on another device than before"},
	{job.MountSkipped, "A file system of its own; left out by “one file system”"},
	{job.FileUnreadable, "Could not be read"},
	{job.NothingSaved, "Nothing was saved"},
	{job.LiveFilesUsed, "Saved from live files, without a shadow copy"},
	{job.BackupShrank, "Smaller than usual"},
	{job.HookFailed, "A hook did not end well"},
	{job.OtherNotice, "restic reports"},
}

// FindingRow is one finding in words.
type FindingRow struct {
	Words  string
	Path   string
	Detail string
}

// Findings are what was wrong though the job did its work.
func (p JobPage) Findings() []FindingRow {
	if p.Job.Summary == nil {
		return nil
	}
	rows := make([]FindingRow, 0, len(p.Job.Summary.Findings))
	for _, finding := range p.Job.Summary.Findings {
		row := FindingRow{Words: string(finding.Kind), Path: finding.Path, Detail: finding.Detail}
		for _, one := range findingWords {
			if one.kind == finding.Kind {
				row.Words = one.words
			}
		}
		if finding.Kind == job.SourceMissing && row.Detail == "" && hasWildcard(finding.Path) {
			row.Detail = wildcardRule
		}
		rows = append(rows, row)
	}
	return rows
}

// phaseOf says what a job is doing now.
func phaseOf(one fleet.Job, progress *job.Progress) State {
	if one.State == job.Running && stillSending(progress) {
		return sending
	}
	if one.State == job.Running && progress != nil {
		return phaseState(progress.Phase)
	}
	return lookOf(one.State)
}
