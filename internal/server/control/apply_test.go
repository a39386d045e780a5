package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// running is a connected endpoint with a backup that it has accepted.
func running(t *testing.T) (*rig, *agent, fleet.SourceGroup, job.ID) {
	t.Helper()
	r := newRig(t)
	a := r.endpoint("web")
	g := r.group(a.host, "etc")
	a.connect()
	j := r.backup(g, false)
	order := await[*api.Job](a, 1)
	spec, err := job.DecodeSpec(order.Kind, order.Spec)
	if err != nil {
		t.Fatal(err)
	}
	a.accept(j.ID, spec)
	a.sync()
	return r, a, g, j.ID
}

func TestApplyAWholeBackup(t *testing.T) {
	r, a, g, id := running(t)
	began := time.Now().Add(-time.Second)
	a.skew = 48 * time.Hour // a wrong clock from now on is not believed beyond the present
	a.append(api.RecordStarted, id, api.Started{PID: 7, Command: []string{"restic", "backup"}})
	a.append(api.RecordLog, id, api.Log{Lines: []job.LogLine{{At: 1, Level: job.LogInfo, Text: "one"}, {At: 1 << 62, Level: "odd", Text: "two"}}, Omitted: -5})
	a.append(api.RecordSnapshot, id, api.SnapshotMade{Repository: g.Repository, Snapshot: job.Snapshot{ID: snapshotID(1), Time: time.Now(), Host: "web", Tags: []string{job.GroupTag(g.ID)}}})
	code := 3
	a.append(api.RecordEnded, id, api.Ended{State: job.Warning, ExitCode: &code, Error: "one file", Summary: &job.Summary{SnapshotID: snapshotID(1), Findings: make([]job.Finding, 1200)}})
	a.sync()
	j := r.job(id)
	if j.State != job.Warning || *j.ExitCode != 3 || j.Error != "one file" || len(j.Command) != 2 || j.LogLines != 2 || j.LogOmitted != 0 ||
		len(j.Summary.Findings) != 1000 || j.Summary.FindingsOmitted != 200 {
		t.Errorf("job = %+v", j)
	}
	for name, at := range map[string]time.Time{"started": j.StartedAt, "finished": j.FinishedAt} {
		if at.Before(began) || at.After(time.Now()) {
			t.Errorf("%s at %s", name, at)
		}
	}
	lines, _, err := r.store.Log(t.Context(), id, 0, 1<<20)
	if err != nil || len(lines) != 2 || lines[1].Level != job.LogInfo || lines[1].At > time.Now().UnixMilli() {
		t.Errorf("log = %+v, %v", lines, err)
	}
	list, _, err := r.store.Snapshots(t.Context(), store.SnapshotFilter{Host: a.host})
	if err != nil || len(list) != 1 || list[0].Job != id || list[0].Group != g.ID {
		t.Errorf("snapshots = %+v, %v", list, err)
	}
	host := r.host(a.host)
	if host.LastBackupState != job.Warning || host.LastJobID != id || host.LastError != "one file" {
		t.Errorf("host = %+v", host)
	}
	if group, err := r.store.Group(t.Context(), g.ID); err != nil || group.LastState != job.Warning {
		t.Errorf("group = %+v, %v", group, err)
	}
}

// TestBelowTheCursorIsIgnored: that is the only deduplication.
func TestBelowTheCursorIsIgnored(t *testing.T) {
	r, a, _, id := running(t)
	a.append(api.RecordLog, id, api.Log{Lines: []job.LogLine{{Text: "once"}}})
	a.sync()
	for range 3 {
		a.sent = 0 // everything again, with a new record behind
		a.append(api.RecordLog, id, api.Log{Lines: []job.LogLine{{Text: "more"}}})
		a.sync()
	}
	if j := r.job(id); j.LogLines != 4 {
		t.Errorf("%d lines", j.LogLines)
	}
	if link := r.link(a.host); link.Cursor != a.last() {
		t.Errorf("cursor %d of %d", link.Cursor, a.last())
	}
}

// TestNothingIsAcknowledgedThatIsNotDurable: a database that fails ends the
// session; its records come again.
func TestNothingIsAcknowledgedThatIsNotDurable(t *testing.T) {
	r, a, _, id := running(t)
	acked := a.acked
	r.closed = true
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	a.end(id, job.Succeeded)
	a.flush()
	a.awaitEnd()
	if a.acked != acked {
		t.Errorf("acknowledged %d, durable were %d", a.acked, acked)
	}
}

// TestLongBatchesAreWhole: more records than one transaction takes.
func TestLongBatchesAreWhole(t *testing.T) {
	r, a, _, id := running(t)
	for range control.MaxApplied + 7 {
		a.append(api.RecordLog, id, api.Log{Lines: []job.LogLine{{Text: "x"}}})
	}
	raw := api.Records{JournalID: a.journal, Items: a.records[a.sent:]}
	a.say(&raw)
	a.sent = a.last()
	a.sync()
	if j := r.job(id); j.LogLines != int64(control.MaxApplied+7) {
		t.Errorf("%d lines", j.LogLines)
	}
}

func TestUnknownJobIsRecordedFromAccount(t *testing.T) {
	r, a, g, _ := running(t)
	id := job.NewID(time.Now())
	a.accept(id, backupSpec(g))
	a.end(id, job.Succeeded)
	a.sync()
	j := r.job(id)
	if j.State != job.Succeeded || j.Origin != job.ByAccount || j.Group != g.ID || j.Repository != g.Repository || j.AcceptedAt.IsZero() {
		t.Errorf("job = %+v", j)
	}
	if r.audited("job.recorded_from_agent", string(id)) != 1 {
		t.Error("it is not audited")
	}
	for _, state := range []job.State{job.Cancelled, job.Skipped} {
		a.end(job.NewID(time.Now()), state) // of a cancel that came before its job
	}
	a.sync()
	if alert := r.alert(a.host, fleet.AlertRejected, ""); alert != nil {
		t.Errorf("alert: %s", alert.Sentence)
	}
}

// TestTimesThatCantBe: what an agent wrote by a wrong clock is not tidied away for
// its age.
func TestTimesThatCantBe(t *testing.T) {
	r, a, _, id := running(t)
	for _, skew := range []time.Duration{-2 * 365 * 24 * time.Hour, 365 * 24 * time.Hour} {
		a.skew = skew
		a.end(id, job.Succeeded)
		a.sync()
		if j := r.job(id); j.State != job.Succeeded || time.Since(j.FinishedAt) > time.Minute || j.FinishedAt.After(time.Now()) {
			t.Errorf("%s: the job is %s and ended at %s", skew, j.State, j.FinishedAt)
		}
		id = job.NewID(time.Now())
		a.accept(id, backupSpec(r.group(a.host, string(id))))
	}
}

func backupSpec(g fleet.SourceGroup) *job.BackupSpec {
	return &job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: g.ID, Repository: g.Repository, ResticHost: "web", Includes: []string{"/etc"}}
}

// TestRejected: what can't be applied is kept, an alert opens, and the log goes on.
func TestRejected(t *testing.T) {
	r, a, g, mine := running(t)
	other := r.endpoint("other")
	foreign := r.group(other.host, "theirs")
	other.connect()
	theirs := r.backup(foreign, false)
	long := strings.Repeat("x", 200<<10)
	fresh := func() job.ID { return job.NewID(time.Now()) }
	snapshot := func(id string, of job.RepositoryID) api.SnapshotMade {
		return api.SnapshotMade{Repository: of, Snapshot: job.Snapshot{ID: id, Time: time.Now()}}
	}
	accepted := func(spec job.Spec, kind job.Kind) api.Accepted {
		raw, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		return api.Accepted{Kind: kind, Spec: raw}
	}
	for _, bad := range []struct {
		name string
		kind api.RecordKind
		job  job.ID
		body any
	}{
		{"accepted of another host's job", api.RecordAccepted, theirs.ID, accepted(backupSpec(g), job.Backup)},
		{"end of another host's job", api.RecordEnded, theirs.ID, api.Ended{State: job.Succeeded}},
		{"log of another host's job", api.RecordLog, theirs.ID, api.Log{Lines: []job.LogLine{{Text: "x"}}}},
		{"start of another host's job", api.RecordStarted, theirs.ID, api.Started{}},
		{"snapshot of another host's job", api.RecordSnapshot, theirs.ID, snapshot(snapshotID(2), g.Repository)},
		{"end of no job", api.RecordEnded, fresh(), api.Ended{State: job.Succeeded}},
		{"end that is none", api.RecordEnded, mine, api.Ended{State: job.Running}},
		{"end of an odd state", api.RecordEnded, mine, api.Ended{State: job.State(long)}},
		{"account with an odd id", api.RecordAccepted, job.ID(long), accepted(backupSpec(g), job.Backup)},
		{"account of a look", api.RecordAccepted, fresh(), accepted(&job.SnapshotsSpec{Repository: g.Repository}, job.Snapshots)},
		{"account of an odd kind", api.RecordAccepted, fresh(), api.Accepted{Kind: job.Kind(long), Spec: []byte("{}")}},
		{"account with a bad spec", api.RecordAccepted, fresh(), accepted(&job.BackupSpec{}, job.Backup)},
		{"account of another host's group", api.RecordAccepted, fresh(), accepted(&job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: foreign.ID, Repository: g.Repository, ResticHost: "x", Includes: []string{"/"}}, job.Backup)},
		{"account of another host's repository", api.RecordAccepted, fresh(), accepted(backupSpec(foreign), job.Backup)},
		{"snapshot in another host's repository", api.RecordSnapshot, mine, snapshot(snapshotID(2), foreign.Repository)},
		{"snapshot in no repository", api.RecordSnapshot, mine, snapshot(snapshotID(2), "none")},
		{"snapshot with an odd id", api.RecordSnapshot, mine, snapshot(long, g.Repository)},
		{"proof of another host's repository", api.RecordReport, "", api.Report{Topic: api.ReportAppendOnly, Repository: foreign.Repository}},
		{"proof of no repository", api.RecordReport, "", api.Report{Topic: api.ReportAppendOnly}},
		{"lock in another host's repository", api.RecordReport, "", api.Report{Topic: api.ReportLockLeft, Repository: foreign.Repository}},
		{"report with an odd subject", api.RecordReport, "", api.Report{Topic: api.ReportLockLeft, Repository: job.RepositoryID(long)}},
		{"report of an odd topic", api.RecordReport, "", api.Report{Topic: api.ReportTopic(long)}},
		{"odd kind", api.RecordKind(long), mine, nil},
		{"body of another shape", api.RecordLog, mine, []int{1}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			before, err := r.store.CountRejected(t.Context(), a.host)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(bad.body)
			if err != nil {
				t.Fatal(err)
			}
			a.records = append(a.records, api.Record{Seq: a.last() + 1, Kind: bad.kind, Job: bad.job, At: time.Now().UnixMilli(), Body: raw})
			a.sync()
			if after, err := r.store.CountRejected(t.Context(), a.host); err != nil || after != before+1 {
				t.Errorf("%d records are kept, %v; want %d", after, err, before+1)
			}
			alert := r.alert(a.host, fleet.AlertRejected, "")
			if alert == nil || len(alert.Sentence) > 1000 {
				t.Fatalf("alert = %+v", alert)
			}
			if err := r.CloseAlert(t.Context(), auth.Server, alert.ID); err != nil {
				t.Fatal(err)
			}
		})
	}
	if j := r.job(mine); j.State != job.Running {
		t.Errorf("my job is %s", j.State)
	}
	if j := r.job(theirs.ID); j.State != job.Sent || j.LogLines != 0 {
		t.Errorf("their job = %+v", j)
	}
	if group, err := r.store.Group(t.Context(), foreign.ID); err != nil || group.LastJobID != "" {
		t.Errorf("their group = %+v, %v", group, err)
	}
	if list, _, err := r.store.Snapshots(t.Context(), store.SnapshotFilter{}); err != nil || len(list) != 0 {
		t.Errorf("snapshots = %+v, %v", list, err)
	}
	if alerts, err := r.store.Alerts(t.Context(), other.host); err != nil || len(alerts) != 0 {
		t.Errorf("their alerts = %+v, %v", alerts, err)
	}
	a.end(mine, job.Succeeded) // the log has gone on all the time
	a.end(mine, job.Failed)    // and what contradicts itself is rejected
	a.sync()
	if j := r.job(mine); j.State != job.Succeeded {
		t.Errorf("my job is %s at last", j.State)
	}
	if r.alert(a.host, fleet.AlertRejected, "") == nil {
		t.Error("a second end is taken for nothing")
	}
}

// TestJunkIsBounded: a hostile agent fills neither the rejected records nor a log.
func TestJunkIsBounded(t *testing.T) {
	r, a, _, id := running(t)
	for range control.MaxRejected + 50 {
		a.append("dance", "", map[string]string{"a": "b"})
	}
	a.sync()
	if n, err := r.store.CountRejected(t.Context(), a.host); err != nil || n != control.MaxRejected {
		t.Errorf("%d rejected records are kept, %v", n, err)
	}
	if alert := r.alert(a.host, fleet.AlertRejected, ""); alert == nil || alert.Count != control.MaxRejected+50 {
		t.Errorf("alert = %+v", alert)
	}
	if warned := strings.Count(r.log.String(), "records rejected"); warned == 0 || warned > 5 {
		t.Errorf("%d lines of log", warned)
	}
	r.write(func(ctx context.Context, tx *store.Tx) error { // as if so much had come already
		lines := []job.LogLine{{Text: strings.Repeat("x", control.MaxJobLog)}}
		return tx.AppendLog(ctx, id, lines, 0)
	})
	a.append(api.RecordLog, id, api.Log{Lines: []job.LogLine{{Text: "one"}, {Text: "two"}}, Omitted: 3})
	a.sync()
	if j := r.job(id); j.LogLines != 1 || j.LogOmitted != 5 {
		t.Errorf("%d lines, %d omitted", j.LogLines, j.LogOmitted)
	}
}

// TestJumpOpensAnAlert: records that an agent no longer has are said to be lost.
func TestJumpOpensAnAlert(t *testing.T) {
	r, a, _, id := running(t)
	a.append(api.RecordLog, id, api.Log{Lines: []job.LogLine{{Text: "lost"}}})
	a.end(id, job.Succeeded)
	a.records = append(a.records[:len(a.records)-2], a.records[len(a.records)-1])
	a.sync()
	if j := r.job(id); j.State != job.Succeeded || j.LogLines != 0 {
		t.Errorf("job = %+v", j)
	}
	if alert := r.alert(a.host, fleet.AlertGap, ""); alert == nil || !strings.Contains(alert.Sentence, "Records 2 to 2") {
		t.Errorf("alert = %+v", alert)
	}
}

// TestEvidenceBeatsEveryGuess: what the server ended by a guess becomes what the
// agent proves, on the job, its group and its host.
func TestEvidenceBeatsEveryGuess(t *testing.T) {
	for _, guess := range []job.State{job.Lost, job.Cancelled, job.Skipped} {
		for _, proved := range []job.State{job.Succeeded, job.Failed, job.Lost} {
			t.Run(fmt.Sprintf("%s to %s", guess, proved), func(t *testing.T) {
				r := newRig(t)
				a := r.endpoint("web")
				g := r.group(a.host, "etc")
				j := r.backup(g, true)
				r.write(func(ctx context.Context, tx *store.Tx) error {
					if _, err := tx.MoveJob(ctx, j.ID, job.Queued, guess, job.ByServer, r.now()); err != nil {
						return err
					}
					j.State, j.FinishedAt = guess, r.now()
					if err := tx.NoteBackup(ctx, j); err != nil {
						return err
					}
					return tx.EndJob(ctx, j.ID, store.End{At: r.now(), Cause: job.CauseNoContact, Error: "guessed"})
				})
				a.accept(j.ID, backupSpec(g))
				a.connect()
				a.sync()
				if now := r.job(j.ID); now.State != job.Running || now.Error != "" || now.Cause != "" || !now.FinishedAt.IsZero() {
					t.Errorf("accepted = %+v", now)
				}
				a.append(api.RecordEnded, j.ID, api.Ended{State: proved, Error: "proved"})
				a.sync()
				now := r.job(j.ID)
				if now.State != proved || now.Error != "proved" || now.Cause != "" {
					t.Errorf("job = %+v", now)
				}
				if host := r.host(a.host); host.LastBackupState != proved || host.LastBackupAt.IsZero() != (proved != job.Succeeded) {
					t.Errorf("host = %+v", host)
				}
			})
		}
	}
}

// TestLostOnlyWhenTheJournalIsRead: what runs here and is not known there is lost,
// but not before all is read that the agent had at its hello.
func TestLostOnlyWhenTheJournalIsRead(t *testing.T) {
	r, a, g, id := running(t)
	a.leave(r)
	kept, err := r.store.Job(t.Context(), id)
	if err != nil || kept.State != job.Running {
		t.Fatalf("job = %+v, %v", kept, err)
	}
	// The agent forgets the job, and has two records that nobody has seen.
	other := job.NewID(time.Now())
	a.append(api.RecordLog, id, api.Log{Lines: []job.LogLine{{Text: "late"}}})
	a.accept(other, backupSpec(g))
	a.onHello = func(h *api.Hello) { h.Unfinished = []job.ID{other} }
	a.connect()
	a.quiet(r)
	if j := r.job(id); j.State != job.Running {
		t.Errorf("before the journal was read it is %s", j.State)
	}
	a.sync()
	if j := r.awaitState(id, job.Lost); j.Cause != job.CauseRestarted || j.LogLines != 1 {
		t.Errorf("job = %+v", j)
	}
	if j := r.job(other); j.State != job.Running {
		t.Errorf("the other is %s", j.State)
	}
	if host := r.host(a.host); host.LastBackupState != job.Lost {
		t.Errorf("host = %+v", host)
	}
}

// TestANewJournalLosesWhatRan: nothing in it is of the old one.
func TestANewJournalLosesWhatRan(t *testing.T) {
	r, a, g, id := running(t)
	a.leave(r)
	a.journal, a.records, a.acked = "another", nil, 0
	if w := a.connect(); w.Cursor != 0 || w.Quarantined {
		t.Errorf("welcome = %+v", w)
	}
	r.awaitState(id, job.Lost)
	if r.alert(a.host, fleet.AlertSetAside, "") == nil {
		t.Error("nobody is told of the new journal")
	}
	again := job.NewID(time.Now())
	a.accept(again, backupSpec(g))
	a.sync()
	if j := r.job(again); j.State != job.Running {
		t.Errorf("the new journal's job is %s", j.State)
	}
}

// TestNoContact: a host that is silent for a day loses its jobs, unless it comes back.
func TestNoContact(t *testing.T) {
	r, a, _, id := running(t)
	r.pass(25 * time.Hour)
	r.Tick(t.Context())
	if j := r.job(id); j.State != job.Running {
		t.Errorf("while its session lives it is %s", j.State)
	}
	a.leave(r)
	r.Tick(t.Context())
	if j := r.job(id); j.State != job.Running {
		t.Errorf("at once it is %s", j.State)
	}
	r.pass(25 * time.Hour)
	r.Tick(t.Context())
	if j := r.job(id); j.State != job.Lost || j.Cause != job.CauseNoContact {
		t.Errorf("job = %+v", j)
	}
	a.end(id, job.Succeeded)
	a.connect()
	a.sync()
	if j := r.job(id); j.State != job.Succeeded {
		t.Errorf("it came back and is %s", j.State)
	}
}

// TestReports: facts that no job yields.
func TestReports(t *testing.T) {
	r, a, g, id := running(t)
	report := func(topic api.ReportTopic, ok bool) {
		t.Helper()
		repository := g.Repository
		if topic == api.ReportQuarantine {
			repository = ""
		}
		a.append(api.RecordReport, "", api.Report{Topic: topic, Repository: repository, OK: ok, Detail: strings.Repeat("d", 5000)})
		a.sync()
	}
	report(api.ReportAppendOnly, true)
	if repository := r.repository(a.host); !repository.AppendOnly || repository.AppendOnlyAt.IsZero() {
		t.Errorf("repository = %+v", repository)
	}
	report(api.ReportLockLeft, false)
	if alert := r.alert(a.host, fleet.AlertLockLeft, string(g.Repository)); alert == nil || len(alert.Sentence) > 500 {
		t.Errorf("alert = %+v", alert)
	}
	report(api.ReportLockRemoved, true)
	if alert := r.alert(a.host, fleet.AlertLockLeft, string(g.Repository)); alert != nil {
		t.Errorf("alert = %+v", alert)
	}
	report(api.ReportQuarantine, false)
	if alert := r.alert(a.host, fleet.AlertSetAside, ""); alert == nil {
		t.Error("nobody is told of the damage")
	}
	code := 10
	a.append(api.RecordEnded, id, api.Ended{State: job.Failed, ExitCode: &code, Error: "gone"})
	a.sync()
	if alert := r.alert(a.host, fleet.AlertRepository, string(g.Repository)); alert == nil {
		t.Error("nobody is told that the repository is gone")
	}
	a.quiet(r)
	next := r.backup(g, false)
	a.carryOut(await[*api.Job](a, 2), job.Succeeded)
	if alert := r.alert(a.host, fleet.AlertRepository, string(g.Repository)); alert != nil || r.job(next.ID).State != job.Succeeded {
		t.Errorf("a backup went well and the alert stays: %+v", alert)
	}
}

// TestProgressOfStrangersIsIgnored: only a host's own job that runs is shown.
func TestProgressOfStrangersIsIgnored(t *testing.T) {
	r, a, _, mine := running(t)
	other := r.endpoint("other")
	other.connect()
	theirs := r.backup(r.group(other.host, "theirs"), false)
	await[*api.Job](other, 1)
	long := make([]string, 100)
	for i := range long {
		long[i] = strings.Repeat("é", 4000)
	}
	for _, id := range []job.ID{theirs.ID, "nonsense", mine} {
		a.say(&job.Progress{Job: id, Percent: 7, Phase: job.Phase(strings.Repeat("p", 1000)), CurrentFiles: long, FilesDone: 5})
	}
	r.await("progress", func() bool { _, ok := r.Progress(mine); return ok })
	for _, id := range []job.ID{theirs.ID, "nonsense"} {
		if p, ok := r.Progress(id); ok {
			t.Errorf("progress of %s = %+v", id, p)
		}
	}
	p, _ := r.Progress(mine)
	if p.Percent != 1 || len(p.Phase) > 40 || len(p.CurrentFiles) != 8 || len(p.CurrentFiles[0]) > 4096 || p.FilesDone != 5 {
		t.Errorf("progress = %.0f, %d, %d, %d", p.Percent, len(p.Phase), len(p.CurrentFiles), len(p.CurrentFiles[0]))
	}
	a.end(mine, job.Succeeded)
	a.sync()
	if _, ok := r.Progress(mine); ok {
		t.Error("a job that ended has progress")
	}
	a.say(&job.Progress{Job: mine})
	a.quiet(r)
	if _, ok := r.Progress(mine); ok {
		t.Error("a job that ended has progress again")
	}
}
