package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

func TestTablesCoverTheirLists(t *testing.T) {
	if len(jobLooks) != len(job.States) {
		t.Errorf("%d looks for %d states", len(jobLooks), len(job.States))
	}
	for _, info := range job.States {
		if look := lookOf(info.State); look.Icon == "" || look.Tip != info.Sentence || look.Word != string(info.State) {
			t.Errorf("state %s looks like %+v", info.State, look)
		}
	}
	for _, cause := range []job.Cause{job.CauseOperator, job.CauseAgentStopped, job.CauseShutdown, job.CauseSleep, job.CauseTimeout, job.CauseKilled,
		job.CauseRestarted, job.CauseHostRemoved, job.CauseNoContact, job.CauseSessionEnded, job.CausePaused, job.CauseOverlapped, job.CauseCoalesced,
		job.CauseMissed, job.CauseSatisfied, job.CauseAbandoned, job.CauseDropped} {
		if strings.Contains(causeSentence(cause), string(cause)+`"`) {
			t.Errorf("cause %s has no sentence", cause)
		}
	}
	for _, kind := range []job.FindingKind{job.SourceMissing, job.SourceUnreadable, job.SourceSymlink, job.SourceEmpty, job.SourceMoved, job.FileUnreadable,
		job.NothingSaved, job.LiveFilesUsed, job.MountSkipped, job.BackupShrank, job.HookFailed, job.OtherNotice} {
		found := false
		for _, one := range findingWords {
			found = found || one.kind == kind
		}
		if !found {
			t.Errorf("finding %s has no words", kind)
		}
	}
	for _, phase := range []job.Phase{job.PhaseWaitingLock, job.PhaseWaitingRepository, job.PhaseFindingOut, job.PhaseStopping, job.PhasePreHook, job.PhasePostHook} {
		if phaseState(phase).Word == string(job.Running) {
			t.Errorf("phase %s has no word", phase)
		}
	}
}

func TestVerdict(t *testing.T) {
	now := time.Date(2026, 3, 14, 8, 0, 0, 0, time.UTC)
	hour, twelve := now.Add(-time.Hour), now.Add(-12*time.Minute)
	for _, test := range []struct {
		figures FleetFigures
		alerts  int
		tone    Tone
		want    string
	}{
		{FleetFigures{}, 0, ToneNone, "No machine is backed up yet."},
		{FleetFigures{Removed: true}, 0, ToneNone, "No machine is backed up now: every host was removed."},
		// One host.
		{FleetFigures{Hosts: 1, None: 1}, 0, ToneNone, "1 host has joined; no backup has ended yet."},
		{FleetFigures{Hosts: 1, None: 1, FirstRunning: 1}, 0, ToneNone, "1 host has joined; the first backup is running."},
		{FleetFigures{Hosts: 1, Other: 1}, 0, ToneNone, "The last backup of the only host was cancelled."},
		{FleetFigures{Hosts: 1, Good: 1, OldestAt: now.Add(-time.Second)}, 0, ToneGood, "The only host was backed up within the last minute."},
		{FleetFigures{Hosts: 1, Good: 1}, 0, ToneGood, "The last backup of the only host ended well."},
		{FleetFigures{Hosts: 1, Warned: 1, OldestAt: hour}, 0, ToneWarn, "The last backup of the only host ended with a warning."},
		{FleetFigures{Hosts: 1, Bad: 1, WorstName: "db", WorstState: job.Failed, WorstAt: twelve}, 0, ToneBad, "The last backup of db failed 12 min ago."},
		{FleetFigures{Hosts: 1, Bad: 1, WorstName: "db", WorstState: job.Lost, WorstAt: twelve}, 0, ToneBad, "The last backup of db was lost 12 min ago."},
		{FleetFigures{Hosts: 1, Bad: 1}, 0, ToneBad, "The last backup of the only host failed or was lost."},
		// Many hosts alike.
		{FleetFigures{Hosts: 3, None: 3}, 0, ToneNone, "3 hosts have joined; no backup has ended yet."},
		{FleetFigures{Hosts: 3, None: 3, FirstRunning: 1}, 0, ToneNone, "3 hosts have joined; the first backup is running."},
		{FleetFigures{Hosts: 3, None: 3, FirstRunning: 2}, 0, ToneNone, "3 hosts have joined; 2 first backups are running."},
		{FleetFigures{Hosts: 3, Other: 3}, 0, ToneNone, "The last backups of all 3 hosts were cancelled."},
		{FleetFigures{Hosts: 3, Good: 3, OldestAt: now.Add(-9 * time.Hour)}, 0, ToneGood, "All 3 hosts were backed up within the last 9 h."},
		{FleetFigures{Hosts: 9000, Good: 9000}, 0, ToneGood, "The last backups of all 9,000 hosts ended well."},
		{FleetFigures{Hosts: 3, Warned: 3, OldestAt: hour}, 0, ToneWarn, "The last backups of all 3 hosts ended with warnings."},
		{FleetFigures{Hosts: 3, Bad: 3, WorstName: "db", WorstState: job.Failed, WorstAt: twelve}, 0, ToneBad, "The last backups of all 3 hosts failed or were lost; the latest is db, 12 min ago."},
		// Mixed.
		{FleetFigures{Hosts: 3, Good: 2, None: 1}, 0, ToneNone, "The last backups of 3 hosts: 2 ended well and 1 has none yet."},
		{FleetFigures{Hosts: 2, Good: 1, None: 1, FirstRunning: 1}, 0, ToneNone, "The last backups of 2 hosts: 1 ended well and 1 is running its first."},
		{FleetFigures{Hosts: 2, Other: 1, None: 1}, 0, ToneNone, "The last backups of 2 hosts: 1 was cancelled and 1 has none yet."},
		{FleetFigures{Hosts: 3, Good: 2, Other: 1}, 0, ToneNone, "The last backups of 3 hosts: 2 ended well and 1 was cancelled."},
		{FleetFigures{Hosts: 3, Good: 2, Warned: 1, OldestAt: hour}, 0, ToneWarn, "The last backups of 3 hosts: 2 ended well and 1 ended with a warning."},
		{FleetFigures{Hosts: 8, Good: 1, Warned: 2, Other: 2, None: 3, FirstRunning: 2}, 0, ToneWarn,
			"The last backups of 8 hosts: 1 ended well, 2 ended with warnings, 2 were cancelled and 3 have none yet (2 running)."},
		{FleetFigures{Hosts: 2, None: 1, Bad: 1, WorstName: "db", WorstState: job.Failed, WorstAt: twelve}, 0, ToneBad, "The last backup of db failed 12 min ago. Of the others, 1 has none yet."},
		{FleetFigures{Hosts: 3, Good: 2, Bad: 1, WorstName: "db", WorstState: job.Failed, WorstAt: twelve}, 1, ToneBad, "1 alert is open. The last backup of db failed 12 min ago. Of the others, 2 ended well."},
		{FleetFigures{Hosts: 900, Good: 2, Bad: 7, None: 891}, 0, ToneBad, "The last backups of 7 of 900 hosts failed or were lost. Of the others, 2 ended well and 891 have none yet."},
		{FleetFigures{Hosts: 900, Good: 899, Bad: 1}, 0, ToneBad, "The last backup of 1 of 900 hosts failed or was lost. Of the others, 899 ended well."},
		{FleetFigures{Hosts: 3, Good: 3, OldestAt: hour}, 2, ToneWarn, "2 alerts are open. All 3 hosts were backed up within the last 1 h."},
	} {
		f := test.figures
		if sum := f.Good + f.Warned + f.Bad + f.Other + f.None; sum != f.Hosts {
			t.Errorf("%+v counts %d hosts", f, sum)
		}
		got := verdict(f, test.alerts, now)
		if got.Word != test.want || got.Tone != test.tone {
			t.Errorf("verdict of %+v:\n got %s %q\nwant %s %q", f, got.Tone, got.Word, test.tone, test.want)
		}
	}
}

func TestAllReadIsNotAllSent(t *testing.T) {
	now := time.Now()
	page := sample{now}.jobSending()
	if page.Bar.Percent() != "" || page.Bar.Note != sending.Word || page.Phase.Word != sending.Word || page.Rate() != "" {
		t.Errorf("all read shows %q, note %q, phase %q, rate %q", page.Bar.Percent(), page.Bar.Note, page.Phase.Word, page.Rate())
	}
	for _, other := range []job.Progress{{Percent: .999, FilesDone: 9, FilesTotal: 9}, {Percent: 1, FilesDone: 8, FilesTotal: 9}, {Percent: 1, Phase: job.PhaseStopping}} {
		if bar := progressBar(&other); bar.Sending || bar.Percent() == "" {
			t.Errorf("%+v is taken for all read", other)
		}
	}
	waiting := sample{now}.jobNoContact()
	if waiting.Elapsed() != "3 min 38 s" || waiting.Rate() != "" {
		t.Errorf("while it waits: elapsed %q, rate %q", waiting.Elapsed(), waiting.Rate())
	}
}

func TestRepositoryTellsItsStep(t *testing.T) {
	now := time.Now()
	made := fleet.Repository{Storage: "box", ProvisionedAt: now, ReadyAt: now}
	asked := fleet.Repository{Storage: "box"}
	begun := fleet.Repository{Storage: "box", ProvisionedAt: now}
	job1 := func(state job.State) *fleet.Job { return &fleet.Job{ID: "J", State: state, Error: "Why not."} }
	for _, test := range []struct {
		name       string
		repository fleet.Repository
		known      steps
		word       string
		tone       Tone
		retry      bool
	}{
		{"ready", made, steps{}, "ready", ToneGood, false},
		{"asked", asked, steps{active: job1(job.Queued)}, "creating its user…", ToneWait, false},
		{"at it", asked, steps{active: job1(job.Running), last: job1(job.Failed)}, "creating its user…", ToneRun, false},
		{"user failed", asked, steps{last: job1(job.Failed)}, "user could not be made", ToneBad, true},
		{"init", begun, steps{active: job1(job.Running), last: job1(job.Succeeded)}, "creating the repository…", ToneRun, false},
		{"init failed", begun, steps{last: job1(job.Failed)}, "could not be made", ToneBad, true},
		{"between", begun, steps{last: job1(job.Succeeded)}, "waits for its storage box", ToneWait, false},
		{"no box", begun, steps{last: job1(job.Failed), homeless: true}, "its storage box was removed", ToneWarn, false},
		{"removed", asked, steps{removed: true}, "user removed; data stays", ToneNone, false},
		{"being removed", made, steps{removed: true, active: job1(job.Running)}, "removing its user…", ToneRun, false},
		{"not removed", made, steps{removed: true, last: job1(job.Failed)}, "user not removed", ToneBad, true},
		{"brought", fleet.Repository{ReadyAt: now}, steps{removed: true}, "host removed; data stays", ToneNone, false},
	} {
		state, step, retry := repositoryState(test.repository, test.known)
		if state.Word != test.word || state.Tone != test.tone || retry != test.retry {
			t.Errorf("%s: %s %q, retry %v", test.name, state.Tone, state.Word, retry)
		}
		if want := test.known.active != nil || test.retry; (step == "J") != want {
			t.Errorf("%s: link to job %q", test.name, step)
		}
	}
}

func TestSessionsAreToldApart(t *testing.T) {
	now := time.Now()
	rows := sessionRows([]control.SessionInfo{{ID: "late", Since: now}, {ID: "early", Since: now.Add(-time.Hour), Unsent: 3}})
	if rows[0].ID != "early" || !rows[0].First || rows[0].Unsent != 3 || rows[1].First {
		t.Errorf("sessions: %+v", rows)
	}
}

func TestAFieldShowsAllItsErrors(t *testing.T) {
	wrong := FieldErrors{{Field: "includes", Sentence: "One."}, {Field: "name", Sentence: "Two."}, {Field: "includes", Sentence: "Three."}}
	if got := wrong.For("includes"); len(got) != 2 || wrong.Fields() != 2 {
		t.Errorf("%v of %d fields", got, wrong.Fields())
	}
	if note := (SourceForm{Includes: "/etc\n/x/*"}).WildcardNote(); !strings.HasPrefix(note, "/x/*") {
		t.Errorf("note %q", note)
	}
	if note := (SourceForm{Includes: "/etc"}).WildcardNote(); note != "" {
		t.Errorf("note %q", note)
	}
}

func TestFormats(t *testing.T) {
	for size, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 48_301_234_567: "45.0 GiB", 1 << 60: "1.0 EiB"} {
		if got := bytesText(size); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", size, got, want)
		}
	}
	for number, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := countText(number); got != want {
			t.Errorf("countText(%d) = %q, want %q", number, got, want)
		}
	}
	for span, want := range map[time.Duration]string{40 * time.Millisecond: "40 ms", 2500 * time.Millisecond: "2.5 s", 59 * time.Second: "59 s", 214 * time.Second: "3 min 34 s", 26 * time.Hour: "1 d 2 h"} {
		if got := durationText(span); got != want {
			t.Errorf("durationText(%s) = %q, want %q", span, got, want)
		}
	}
	now := time.Now()
	for span, want := range map[time.Duration]string{time.Second: "just now", 12 * time.Minute: "12 min ago", 47 * time.Hour: "47 h ago", 50 * time.Hour: "2 days ago", -time.Second: "just now", -time.Hour: "in 1 h"} {
		if got := agoText(now, now.Add(-span)); got != want {
			t.Errorf("agoText of %s = %q, want %q", span, got, want)
		}
	}
	if got := progressBar(&job.Progress{Percent: .427}).Percent(); got != "42.7 %" {
		t.Errorf("percent = %q", got)
	}
}
