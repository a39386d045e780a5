package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// ran is a restic that ran and ended with code.
func ran(code restic.ExitCode, change ...func(*restic.BackupResult)) restic.BackupResult {
	result := restic.BackupResult{Result: restic.Result{Exit: code, Process: restic.Process{PID: 42}}}
	for _, f := range change {
		f(&result)
	}
	return result
}

func withSummary(files uint64) func(*restic.BackupResult) {
	return func(r *restic.BackupResult) {
		r.Summary = &restic.BackupSummary{SnapshotID: "abc", TotalFilesProcessed: files, FilesNew: files}
	}
}

func withMessage(text string) func(*restic.BackupResult) {
	return func(r *restic.BackupResult) { r.Message = text }
}

func withItem(path string) func(*restic.BackupResult) {
	return func(r *restic.BackupResult) {
		r.ItemErrors = append(r.ItemErrors, restic.ItemError{Item: path, During: "archival", Text: "permission denied"})
		r.ItemErrorCount++
	}
}

func withNotice(kind restic.NoticeKind, path string) func(*restic.BackupResult) {
	return func(r *restic.BackupResult) {
		r.Notices = append(r.Notices, restic.Notice{Kind: kind, Path: path, Text: "notice of " + path})
	}
}

func stoppedBy(cause error) func(*restic.BackupResult) {
	return func(r *restic.BackupResult) { r.Cause, r.Interrupted = cause, true }
}

func TestVerdict(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lock := job.Lock{ID: "l", Host: "other-host", PID: 77, Time: now.Add(-3 * time.Hour)}
	found := func(kind job.FindingKind, path string) []job.Finding { return []job.Finding{{Kind: kind, Path: path}} }
	tests := []struct {
		name     string
		result   restic.BackupResult
		err      error
		findings []job.Finding
		locks    []job.Lock
		state    job.State
		cause    job.Cause
		says     string // in the sentence
		advises  string // in the advice
		finding  job.FindingKind
		trouble  job.Trouble
	}{
		{name: "all well", result: ran(0, withSummary(3)), state: job.Succeeded},
		{name: "exit 3 with a named file", result: ran(3, withSummary(3), withItem("/src/secret")), state: job.Warning, says: "/src/secret", advises: "exclude", finding: job.FileUnreadable},
		{name: "exit 0 with an error message", result: ran(0, withSummary(3), withItem("/src/secret")), state: job.Warning, says: "/src/secret", finding: job.FileUnreadable},
		{name: "exit 3 and not a word", result: ran(3, withSummary(3)), state: job.Warning, says: "did not say which", finding: job.OtherNotice},
		{name: "a source missing by restic's word", result: ran(3, withSummary(3), withNotice(restic.NoticeSourceMissing, "/gone")), state: job.Warning, says: "/gone", advises: "missing path", finding: job.SourceMissing},
		{name: "a source missing by ours alone", result: ran(0, withSummary(3)), findings: found(job.SourceMissing, "/gone"), state: job.Warning, says: "/gone", finding: job.SourceMissing},
		{name: "every source missing", result: ran(1, withMessage("Fatal: all source directories/files do not exist")), findings: append(found(job.SourceMissing, "/src"), found(job.SourceMissing, "/gone")...), state: job.Failed, says: "/src, /gone", advises: "Check the paths", finding: job.SourceMissing, trouble: job.TroubleSources},
		{name: "source is a link", result: ran(0, withSummary(0)), findings: found(job.SourceSymlink, "/src"), state: job.Warning, says: "Only a link", advises: "leads to", finding: job.SourceSymlink},
		{name: "source is an empty folder", result: ran(0, withSummary(2)), findings: found(job.SourceEmpty, "/mnt"), state: job.Warning, says: "Empty: /mnt", advises: "mounted", finding: job.SourceEmpty},
		{name: "source on another device", result: ran(0, withSummary(2)), findings: found(job.SourceMoved, "/mnt"), state: job.Warning, says: "another device", advises: "mounted", finding: job.SourceMoved},
		{name: "no file at all", result: ran(0, withSummary(0)), state: job.Warning, says: "no file at all", finding: job.NothingSaved},
		{name: "live files instead of a volume snapshot", result: ran(0, withSummary(2), withNotice(restic.NoticeVSSFallback, `C:\`)), state: job.Warning, says: `C:\`, finding: job.LiveFilesUsed},
		{name: "exit 0 without a snapshot", result: ran(0), state: job.Failed, says: "no snapshot"},
		{name: "exit 3 without a snapshot", result: ran(3, withMessage("Fatal: unable to save snapshot: x")), state: job.Failed, says: "unable to save snapshot", trouble: job.TroubleOther},
		{name: "wrong password", result: ran(12, withMessage("Fatal: wrong password or no key found")), state: job.Failed, says: "password does not open", advises: "add it again", trouble: job.TroublePassword},
		{name: "repository absent", result: ran(10), state: job.Failed, says: "no repository at rest:http://box/h1/", advises: "Nothing was created", trouble: job.TroubleNoRepository},
		{name: "locked", result: ran(11), locks: []job.Lock{lock}, state: job.Failed, says: "process 77 on other-host since 2026-01-02 00:04 UTC (3 hours ago), and the lock was not released within 5 minutes", advises: "remove this one lock", trouble: job.TroubleLocked},
		{name: "unreachable, given up by restic", result: ran(1, withMessage("Fatal: unable to open config file: dial tcp 10.0.0.1:8000: connect: connection refused")), state: job.Failed, says: "could not be reached", advises: "connection refused", trouble: job.TroubleUnreachable},
		{name: "unreachable, given up by us", result: ran(130, stoppedBy(restic.ErrNoContact)), state: job.Failed, cause: job.CauseTimeout, says: "within 10 minutes", advises: "rest-server", trouble: job.TroubleUnreachable},
		{name: "user refused", result: ran(1, withMessage("Fatal: unexpected HTTP response (401): 401 Unauthorized")), state: job.Failed, says: "refused this host's user", advises: "still exists", trouble: job.TroubleRefused},
		{name: "certificate", result: ran(1, withMessage("Fatal: tls: failed to verify certificate: x509: unknown authority")), state: job.Failed, says: "certificate", advises: "trusts", trouble: job.TroubleCertificate},
		{name: "repository's disk full", result: ran(1, withMessage("Fatal: unable to save snapshot: unexpected HTTP response (507): 507 Insufficient Storage")), state: job.Failed, says: "disk that holds the repository is full", advises: "storage box", trouble: job.TroubleRepositoryFull},
		{name: "this machine's disk full", result: ran(1, withMessage("Fatal: open /cache/x: no space left on device")), state: job.Failed, says: "disk is full", advises: "cache", trouble: job.TroubleLocalFull},
		{name: "something else", result: ran(1, withMessage("Fatal: the moon is in the way")), state: job.Failed, says: "restic gave up: the moon is in the way.", trouble: job.TroubleOther},
		{name: "an exit that nobody knows", result: ran(99), state: job.Failed, says: "restic gave up", trouble: job.TroubleOther},
		{name: "stopped by an operator", result: ran(130, stoppedBy(stopError{job.CauseOperator})), state: job.Cancelled, cause: job.CauseOperator, says: "It was cancelled. No snapshot"},
		{name: "stopped with the agent", result: ran(130, stoppedBy(stopError{job.CauseAgentStopped})), state: job.Cancelled, cause: job.CauseAgentStopped, says: "agent was stopped"},
		{name: "stopped by a shutdown", result: ran(130, stoppedBy(stopError{job.CauseShutdown})), state: job.Cancelled, cause: job.CauseShutdown, says: "shut down"},
		{name: "stopped with the host's removal", result: ran(130, stoppedBy(stopError{job.CauseHostRemoved})), state: job.Lost, cause: job.CauseHostRemoved, says: "removed"},
		{name: "killed because it did not stop", result: ran(restic.ExitKilled, stoppedBy(stopError{job.CauseOperator}), func(r *restic.BackupResult) { r.Killed = true }), state: job.Cancelled, cause: job.CauseOperator, says: "had to be killed"},
		{name: "asked to stop after the snapshot", result: ran(0, withSummary(3), stoppedBy(stopError{job.CauseOperator})), state: job.Succeeded},
		{name: "killed from outside", result: ran(restic.ExitKilled), state: job.Failed, cause: job.CauseKilled, says: "killed from outside", advises: "memory"},
		{name: "interrupted from outside", result: ran(130), state: job.Failed, cause: job.CauseKilled, says: "interrupted from outside"},
		{name: "the lock went while the machine slept", result: ran(130, withMessage("failed to refresh stale lock")), state: job.Failed, cause: job.CauseSleep, says: "slept"},
		{name: "no restic", err: fmt.Errorf("find: %w", restic.ErrNotFound), state: job.Failed, says: "no restic on this machine", advises: restic.MinimumVersion},
		{name: "restic too old", err: &restic.TooOldError{Binary: restic.Binary{Version: "0.14.0"}}, state: job.Failed, says: "0.14.0", advises: restic.MinimumVersion},
		{name: "an order that restic can't be given", err: &restic.InvalidError{Field: "includes", Reason: "is empty"}, state: job.Failed, says: "includes is empty"},
		{name: "stopped before restic", err: fmt.Errorf("not started: %w", stopError{job.CauseOperator}), state: job.Cancelled, cause: job.CauseOperator, says: "before restic had started"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ended := verdict(evidence{Result: test.result, RunError: test.err, Findings: test.findings, Sources: []string{"/src", "/gone"},
				scene: scene{Repository: "rest:http://box/h1/", Locks: test.locks, LockWait: 5 * time.Minute, FirstContact: 10 * time.Minute, Now: now}})
			if ended.State != test.state || ended.Cause != test.cause || ended.Trouble != test.trouble || !strings.Contains(ended.Error, test.says) || !strings.Contains(ended.Summary.Advice, test.advises) {
				t.Errorf("ended %s by %q with %q: %s | %s", ended.State, ended.Cause, ended.Trouble, ended.Error, ended.Summary.Advice)
			}
			if (ended.State == job.Succeeded) != (ended.Error == "") {
				t.Errorf("%s with the sentence %q", ended.State, ended.Error)
			}
			if test.finding != "" && !slices.ContainsFunc(ended.Summary.Findings, func(f job.Finding) bool { return f.Kind == test.finding }) {
				t.Errorf("findings = %+v", ended.Summary.Findings)
			}
			if started := test.result.Process.PID != 0 && test.result.Exit >= 0; started != (ended.ExitCode != nil) {
				t.Errorf("exit code = %v", ended.ExitCode)
			}
			if test.locks != nil && len(ended.Summary.Locks) != len(test.locks) {
				t.Errorf("locks = %v", ended.Summary.Locks)
			}
		})
	}
}

func TestEachTroubleHasItsOwnWords(t *testing.T) {
	seen := map[string]job.Trouble{}
	all := []job.Trouble{job.TroubleNoRepository, job.TroubleLocked, job.TroublePassword, job.TroubleUnreachable, job.TroubleRefused, job.TroubleCertificate,
		job.TroubleRepositoryFull, job.TroubleLocalFull, job.TroubleSources, job.TroubleOther}
	for _, what := range all {
		sentence, advice := explain(what, scene{Repository: "there", Message: "words"})
		if sentence == "" || advice == "" || seen[sentence] != "" || seen[advice] != "" {
			t.Errorf("%s: %q and %q are not its own", what, sentence, advice)
		}
		seen[sentence], seen[advice] = what, what
	}
	for _, line := range byMessage {
		if !slices.Contains(all, line.trouble) {
			t.Errorf("%s is not explained", line.trouble)
		}
	}
}

func TestManyFindingsAreCounted(t *testing.T) {
	result := ran(3, withSummary(3))
	for i := range 200 {
		withItem(fmt.Sprintf("/src/%d", i))(&result)
	}
	result.ItemErrorCount = 5000
	ended := verdict(evidence{Result: result, Sources: []string{"/src"}})
	if !strings.Contains(ended.Error, "5000 files could not be read: /src/0, /src/1, /src/2 and 197 more.") || len(ended.Summary.Findings) != 200 || ended.Summary.FindingsOmitted != 4800 {
		t.Errorf("%s; %d and %d omitted", ended.Error, len(ended.Summary.Findings), ended.Summary.FindingsOmitted)
	}
	long := &job.Summary{}
	for range 100 {
		long.Findings = append(long.Findings, job.Finding{Kind: job.FileUnreadable, Path: strings.Repeat("\x01", 4000)})
	}
	fitted := fitSummary(long)
	if len(fitted.Findings)+fitted.FindingsOmitted != 100 || len(mustJSON(t, fitted)) > maxFindingsSize+1000 {
		t.Errorf("%d findings, %d omitted, %d bytes", len(fitted.Findings), fitted.FindingsOmitted, len(mustJSON(t, fitted)))
	}
}

func TestEveryKindIsCarriedOut(t *testing.T) {
	for _, info := range job.Kinds {
		_, works := work[info.Kind]
		_, looks := lookWork[info.Kind]
		if works == looks || looks != info.Look {
			t.Errorf("%s: work %v, look %v", info.Kind, works, looks)
		}
		spec, err := job.DecodeSpec(info.Kind, []byte("{}"))
		if spec != nil || err == nil {
			t.Errorf("%s: an empty spec is taken", info.Kind)
		}
	}
	if len(work)+len(lookWork) != len(job.Kinds) {
		t.Error("something is carried out that is no kind")
	}
	for _, spec := range []job.Spec{&job.BackupSpec{Repository: "r"}, &job.SnapshotsSpec{Repository: "r"}, &job.UnlockSpec{Repository: "r"}, &job.ProvisionSpec{Repository: "r"}, &job.InitSpec{Repository: "r"}} {
		if repository, _ := spec.Subject(); repository != "r" {
			t.Errorf("%s: no subject", spec.Kind())
		}
	}
}
