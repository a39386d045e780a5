package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// evidence is all that is known of one backup that is over.
type evidence struct {
	scene
	Result restic.BackupResult
	// RunError: restic could not be started, or its output not be read.
	RunError error
	// Sources are the paths that were to be saved, Findings what was seen of them.
	Sources  []string
	Findings []job.Finding
}

// verdict says how a backup ended. It is pure, and the only place that does: an
// exit code alone proves nothing.
func verdict(e evidence) api.Ended {
	result := e.Result.Result
	e.Message = result.Message
	findings := allFindings(e)
	ended := api.Ended{Summary: summaryOf(e.Result.Summary)}
	if result.Process.PID != 0 && result.Exit >= 0 {
		code := int(result.Exit)
		ended.ExitCode = &code
	}
	saved := ended.Summary.SnapshotID != "" && (result.Exit == restic.ExitOK || result.Exit == restic.ExitIncomplete)
	switch {
	case saved: // also when it was asked to stop too late
		weigh(&ended, e, findings)
	case result.Process.PID == 0 && e.RunError != nil:
		notStarted(&ended, e.RunError)
	case result.Cause != nil:
		stopped(&ended, e)
	case result.Exit == restic.ExitKilled:
		ended.State, ended.Cause = job.Failed, job.CauseKilled
		ended.Error = "restic was killed from outside, not by this agent."
		ended.Summary.Advice = "Look at the machine's own log: running out of memory is a usual reason. Then run the job again."
	case result.Exit == restic.ExitInterrupted:
		interrupted(&ended, result)
	case result.Exit == restic.ExitOK:
		ended.State = job.Failed
		ended.Error = "restic ended without an error but reported no snapshot, so nothing proves that anything was saved."
		ended.Summary.Advice = "Run the job again, and look at its log."
	default:
		ended.State = job.Failed
		what := troubleOf(result)
		if missingAll(e.Sources, findings) {
			what = job.TroubleSources
		}
		ended.Trouble = what
		ended.Error, ended.Summary.Advice = explain(what, e.scene)
		if what == job.TroubleLocked {
			ended.Summary.Locks = e.Locks
		}
		if what == job.TroubleSources {
			ended.Error = "None of the paths to back up exists: " + naming(findings, job.SourceMissing) + "."
		}
	}
	ended.Summary.FindingsOmitted += max(0, e.Result.ItemErrorCount-len(e.Result.ItemErrors))
	ended.Summary.Findings = findings
	return ended
}

// weigh decides between green and a warning for a backup that has a snapshot.
func weigh(ended *api.Ended, e evidence, findings []job.Finding) {
	ended.State = job.Succeeded
	if len(findings) == 0 {
		return
	}
	ended.State = job.Warning
	var parts, advices []string
	for _, kind := range findingKinds {
		count := 0
		for _, finding := range findings {
			if finding.Kind == kind.kind {
				count++
			}
		}
		if kind.kind == job.FileUnreadable {
			count = max(count, e.Result.ItemErrorCount)
		}
		if count == 0 {
			continue
		}
		parts = append(parts, kind.sentence(count, naming(findings, kind.kind)))
		advices = append(advices, kind.advice)
	}
	ended.Error = strings.Join(parts, " ")
	ended.Summary.Advice = strings.Join(advices, " ")
}

// findingKind is what one kind of finding is called, and what to do about it.
type findingKind struct {
	kind     job.FindingKind
	sentence func(count int, names string) string
	advice   string
}

var nothingSaved = findingKind{job.NothingSaved, func(int, string) string { return "The snapshot holds no file at all." },
	"Check that the sources hold what they should, and that no exclude removes it all."}

// findingKinds are all kinds, in the order of weight.
var findingKinds = []findingKind{
	nothingSaved,
	{job.SourceMissing, func(_ int, names string) string { return "Not there, and so not saved: " + names + "." },
		"Put the missing path back, mount its disk, or take it out of the source group."},
	{job.SourceUnreadable, func(_ int, names string) string { return "Could not be looked at: " + names + "." },
		"Give the agent's user the right to read the source."},
	{job.SourceSymlink, func(_ int, names string) string {
		return "Only a link was saved, not what it leads to: " + names + "."
	}, "Name the folder that the link leads to as the source."},
	{job.SourceEmpty, func(_ int, names string) string { return "Empty: " + names + "." },
		"Check that the disk of the empty folder is mounted."},
	{job.SourceMoved, func(_ int, names string) string { return "On another device than at the last backup: " + names + "." },
		"If the data was moved on purpose, nothing is to be done; otherwise check that the right disk is mounted."},
	{job.MountSkipped, func(_ int, names string) string { return "A file system of its own, and so left out: " + names + "." },
		"Add it to the sources or, if it is not to be saved, to the exclusions of the source group."},
	shrank,
	{job.LiveFilesUsed, func(_ int, names string) string {
		return "No volume snapshot could be made, files in use were read as they were: " + names + "."
	}, "Look at the state of the volume shadow copy service."},
	{job.FileUnreadable, func(count int, names string) string {
		if count == 1 {
			return "One file could not be read: " + names + "."
		}
		return fmt.Sprintf("%d files could not be read: %s.", count, names)
	}, "Give the agent's user the right to read these files, or exclude them. All others are saved."},
	{job.OtherNotice, func(_ int, names string) string { return "restic had something to say: " + names + "." },
		"The job's log has the details."},
}

const maxNamed = 3 // paths that one sentence names

// naming lists the paths of a kind, the first ones by name.
func naming(findings []job.Finding, kind job.FindingKind) string {
	var names []string
	more := 0
	for _, finding := range findings {
		if finding.Kind != kind {
			continue
		}
		name := finding.Path
		if name == "" {
			name = finding.Detail
		}
		if len(names) < maxNamed {
			names = append(names, firstLine(name))
		} else {
			more++
		}
	}
	text := strings.Join(names, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// allFindings joins what was seen of the sources before with what restic said.
func allFindings(e evidence) []job.Finding {
	findings := slices.Clone(e.Findings)
	add := func(finding job.Finding) {
		if !slices.ContainsFunc(findings, func(f job.Finding) bool { return f.Kind == finding.Kind && samePath(f.Path, finding.Path) }) {
			findings = append(findings, finding)
		}
	}
	for _, notice := range e.Result.Notices {
		switch notice.Kind { //nolint:exhaustive // all others are no finding
		case restic.NoticeSourceMissing:
			add(job.Finding{Kind: job.SourceMissing, Path: notice.Path, Detail: notice.Text})
		case restic.NoticeVSSFallback:
			add(job.Finding{Kind: job.LiveFilesUsed, Path: notice.Path, Detail: notice.Text})
		}
	}
	for _, item := range e.Result.ItemErrors {
		if missingSource(findings, item.Item) {
			continue // named already, by a better word
		}
		add(job.Finding{Kind: job.FileUnreadable, Path: item.Item, Detail: item.Text})
	}
	if summary := e.Result.Summary; summary != nil && summary.SnapshotID != "" && summary.TotalFilesProcessed == 0 {
		add(job.Finding{Kind: job.NothingSaved})
	}
	if e.Result.Exit == restic.ExitIncomplete && len(findings) == 0 {
		for _, notice := range e.Result.Notices {
			add(job.Finding{Kind: job.OtherNotice, Path: "", Detail: notice.Text})
		}
		if len(findings) == 0 {
			add(job.Finding{Kind: job.OtherNotice, Detail: "some source files could not be read, and restic did not say which"})
		}
	}
	return findings
}

func samePath(one, other string) bool {
	return one != "" && strings.TrimRight(one, `/\`) == strings.TrimRight(other, `/\`) || one == "" && other == ""
}

func missingSource(findings []job.Finding, path string) bool {
	return slices.ContainsFunc(findings, func(f job.Finding) bool {
		return (f.Kind == job.SourceMissing || f.Kind == job.SourceUnreadable) && samePath(f.Path, path)
	})
}

func missingAll(sources []string, findings []job.Finding) bool {
	missing := 0
	for _, finding := range findings {
		if finding.Kind == job.SourceMissing {
			missing++
		}
	}
	return len(sources) > 0 && missing >= len(sources)
}

func notStarted(ended *api.Ended, err error) {
	if cause := causeOf(err); cause != "" {
		ended.State, ended.Cause = job.EndByCause(cause), cause
		ended.Error = "It was stopped before restic had started."
		return
	}
	ended.State = job.Failed
	ended.Error, ended.Summary.Advice = explainStart(err)
}

// explainStart says why restic could not be run.
func explainStart(err error) (sentence, advice string) {
	var tooOld *restic.TooOldError
	var invalid *restic.InvalidError
	switch {
	case errors.Is(err, restic.ErrNotFound):
		return "There is no restic on this machine.", "Install restic " + restic.MinimumVersion + " or newer, or name its path in the agent's policy file."
	case errors.As(err, &tooOld):
		return fmt.Sprintf("restic %s on this machine is too old.", tooOld.Binary.Version), "Install restic " + restic.MinimumVersion + " or newer."
	case errors.As(err, &invalid):
		return fmt.Sprintf("The order can't be given to restic: its %s.", invalid.Error()), "Correct it in the source group."
	}
	return "restic could not be run" + colon(err.Error()) + ".", "Look at the agent's own log on this machine."
}

// stopped judges a run that this agent ended.
func stopped(ended *api.Ended, e evidence) {
	result := e.Result.Result
	cause := causeOf(result.Cause)
	if errors.Is(result.Cause, restic.ErrNoContact) {
		ended.State, ended.Cause = job.Failed, cause
		e.Message = lastRetry(result) // its last word is only that it was stopped
		what := job.TroubleUnreachable
		if found := troubleOf(result); found == job.TroubleRefused || found == job.TroubleCertificate {
			what = found
		}
		ended.Trouble = what
		ended.Error, ended.Summary.Advice = explain(what, e.scene)
		return
	}
	if cause == "" {
		cause = job.CauseKilled
	}
	ended.State, ended.Cause = job.EndByCause(cause), cause
	ended.Error = stopSentence(cause) + " No snapshot was made; what was sent so far need not be sent again."
	if result.Killed {
		ended.Error += " restic did not stop when it was asked and had to be killed."
	}
	ended.Summary.Advice = "Run it again when it suits."
}

// stopSentence says who ended a job.
func stopSentence(cause job.Cause) string {
	switch cause { //nolint:exhaustive // the last line names any other
	case job.CauseOperator:
		return "It was cancelled."
	case job.CauseAgentStopped:
		return "The agent was stopped while it ran."
	case job.CauseShutdown:
		return "The machine was shut down while it ran."
	case job.CauseHostRemoved:
		return "The host was removed while it ran."
	}
	return "It was ended: " + string(cause) + "."
}

// lastRetry is what kept restic from reaching its repository, in its own words.
func lastRetry(result restic.Result) string {
	for _, notice := range slices.Backward(result.Notices) {
		if notice.Kind == restic.NoticeRetrying {
			return notice.Text
		}
	}
	return ""
}

// interrupted judges exit 130 without a wish of this agent.
func interrupted(ended *api.Ended, result restic.Result) {
	ended.State, ended.Cause = job.Failed, job.CauseKilled
	ended.Error = "restic was interrupted from outside, not by this agent."
	if words := strings.ToLower(result.Message + result.StderrTail); strings.Contains(words, "refresh") && strings.Contains(words, "lock") {
		ended.Cause = job.CauseSleep
		ended.Error = "restic gave up because its lock was no longer there: the machine slept, or was cut off, for too long."
	}
	ended.Summary.Advice = "Run the job again; what was sent so far need not be sent again."
}

// summaryOf turns restic's own summary into the job's. It is never nil.
func summaryOf(s *restic.BackupSummary) *job.Summary {
	if s == nil {
		return &job.Summary{}
	}
	return &job.Summary{
		SnapshotID: s.SnapshotID,
		FilesNew:   int64(s.FilesNew), FilesChanged: int64(s.FilesChanged), FilesUnmodified: int64(s.FilesUnmodified),
		FilesProcessed: int64(s.TotalFilesProcessed), BytesProcessed: int64(s.TotalBytesProcessed),
		DataAdded: int64(s.DataAdded), DataAddedPacked: int64(s.DataAddedPacked), Seconds: s.TotalDuration,
	}
}
