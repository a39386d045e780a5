package agent

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestBackupIsCarriedOutAndReported(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	id := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Succeeded || ended.Error != "" || ended.ExitCode == nil || *ended.ExitCode != 0 {
		t.Fatalf("ended = %+v", ended)
	}
	if ended.Summary.FilesProcessed != 2 || len(ended.Summary.SnapshotID) != 64 {
		t.Errorf("summary = %+v", ended.Summary)
	}
	want := []api.RecordKind{api.RecordAccepted, api.RecordStarted, api.RecordSnapshot, api.RecordEnded}
	if got := r.peer.kindsOf(id); !slices.Equal(got, want) {
		t.Errorf("records = %v, want %v", got, want)
	}
	list := r.snapshots()
	if len(list) != 1 || list[0].ID != ended.Summary.SnapshotID || list[0].Hostname != resticHost || !slices.Equal(list[0].Tags, []string{job.GroupTag(r.group)}) {
		t.Errorf("snapshots = %+v", list)
	}
	testkit.WaitFor(t, 10*time.Second, "the proof of append-only", func() bool { return len(r.peer.reports(api.ReportAppendOnly)) == 1 })
	if report := r.peer.reports(api.ReportAppendOnly)[0]; !report.OK || report.Repository != r.access.Repository {
		t.Errorf("report = %+v", report)
	}
	if again := r.backup(); again.State != job.Succeeded || again.Summary.FilesUnmodified != 2 {
		t.Errorf("second backup = %+v", again)
	}
	r.assertClean(id)

	look := r.peer.ask(job.Snapshots, &job.SnapshotsSpec{Repository: r.access.Repository}, &r.access)
	testkit.WaitFor(t, 20*time.Second, "the answer", func() bool {
		return r.peer.with(func() bool { return len(r.peer.answers) > 0 })
	})
	answer := r.peer.answers[0]
	if answer.Job != look || len(answer.Snapshots) != 2 || answer.Ended == nil || answer.Ended.State != job.Succeeded || answer.Ended.Summary.Snapshots != 2 {
		t.Errorf("answer = %+v", answer)
	}
}

// TestBackupWithTheOptionsOfAGroup: a shadow copy is asked for on Windows only,
// anywhere else restic would not know the flag.
func TestBackupWithTheOptionsOfAGroup(t *testing.T) {
	r := newRig(t, "limits: {download_kib: 4000}\n").withRepository()
	r.enrol()
	r.start()
	spec := r.backupSpec()
	spec.Tags, spec.UseVSS, spec.LimitDownloadKiB = []string{"nightly", "db"}, true, 9000
	id := r.peer.ask(job.Backup, spec, &r.access)
	if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded {
		t.Fatalf("ended = %+v", ended)
	}
	want := []string{job.GroupTag(r.group), "nightly", "db"}
	slices.Sort(want)
	if list := r.snapshots(); len(list) != 1 || !slices.Equal(slices.Sorted(slices.Values(list[0].Tags)), want) {
		t.Errorf("snapshots = %+v", list)
	}
	var started api.Started
	if err := json.Unmarshal(r.peer.awaitRecord(id, api.RecordStarted).Body, &started); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(started.Command, "--limit-download=4000") || slices.Contains(started.Command, "--use-fs-snapshot") != (runtime.GOOS == "windows") {
		t.Errorf("command = %q", started.Command)
	}
}

func TestBackupsThatAreNotGreen(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	base := filepath.Dir(r.dir)
	missing, link, empty := filepath.Join(base, "not-there"), filepath.Join(base, "link"), filepath.Join(base, "empty")
	if err := errors.Join(os.Symlink(r.source, link), os.Mkdir(empty, 0o700)); err != nil {
		t.Fatal(err)
	}
	wrongKey, wrongUser, absent := r.access, r.access, r.access
	wrongKey.Key, wrongUser.Password, absent.URL = "wrong", "wrong", "rest:"+r.server.URL+"/"+restUser+"/elsewhere/"
	tests := []struct {
		name    string
		access  api.Access
		paths   []string
		state   job.State
		finding job.FindingKind
		says    string
	}{
		{"one source missing", r.access, []string{r.source, missing}, job.Warning, job.SourceMissing, missing},
		{"every source missing", r.access, []string{missing}, job.Failed, job.SourceMissing, missing},
		{"source is a link", r.access, []string{link}, job.Warning, job.SourceSymlink, "Only a link was saved"},
		{"source is a link with a slash", r.access, []string{link + "/"}, job.Warning, job.SourceSymlink, "no file at all"},
		{"source is empty", r.access, []string{r.source, empty}, job.Warning, job.SourceEmpty, empty},
		{"nothing saved", r.access, []string{empty}, job.Warning, job.NothingSaved, "no file at all"},
		{"wrong password", wrongKey, nil, job.Failed, "", "password does not open"},
		{"wrong user", wrongUser, nil, job.Failed, "", "refused this host's user name or password"},
		{"no repository", absent, nil, job.Failed, "", "There is no repository at"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id := r.peer.ask(job.Backup, r.backupSpec(test.paths...), &test.access)
			ended := r.peer.awaitEnded(id)
			if ended.State != test.state || !strings.Contains(ended.Error, test.says) || ended.Summary.Advice == "" {
				t.Errorf("ended %s: %s (advice: %s)\nlog: %s", ended.State, ended.Error, ended.Summary.Advice, r.peer.logOf(id))
			}
			if test.finding != "" && !slices.ContainsFunc(ended.Summary.Findings, func(f job.Finding) bool { return f.Kind == test.finding }) {
				t.Errorf("findings = %+v", ended.Summary.Findings)
			}
			t.Logf("%s: %s | %s", ended.State, ended.Error, ended.Summary.Advice)
		})
	}
	if _, err := os.Stat(filepath.Join(r.server.Dir, restUser, "elsewhere")); err == nil {
		t.Error("a new repository was made in place of an absent one")
	}
}

func TestUnreachableRepository(t *testing.T) {
	r := newRig(t, "first_contact: 3s\n").withRepository()
	r.enrol()
	r.start()
	r.server.Stop()
	id := r.peer.ask(job.Backup, r.backupSpec(), &r.access)
	r.peer.awaitPhase(id, job.PhaseWaitingRepository)
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Failed || ended.Cause != job.CauseTimeout || !strings.Contains(ended.Error, "could not be reached within 3 seconds") ||
		!strings.Contains(ended.Summary.Advice, "connection refused") {
		t.Errorf("ended %s by %s: %s | %s", ended.State, ended.Cause, ended.Error, ended.Summary.Advice)
	}
}

func TestSourceThatLostItsFiles(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	r.start()
	disk := filepath.Dir(r.write("disk/file", "x"))
	if ended := r.backup(disk, r.source); ended.State != job.Succeeded {
		t.Fatalf("first backup = %+v", ended)
	}
	if err := os.Remove(filepath.Join(disk, "file")); err != nil {
		t.Fatal(err)
	}
	ended := r.backup(disk, r.source)
	if ended.State != job.Warning || len(ended.Summary.Findings) != 1 || !strings.Contains(ended.Summary.Findings[0].Detail, "held files at the last backup") {
		t.Errorf("second backup = %+v %+v", ended, ended.Summary.Findings)
	}
}
