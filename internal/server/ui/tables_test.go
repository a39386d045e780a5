package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
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
		job.CauseRestarted, job.CauseHostRemoved, job.CauseNoContact, job.CauseSessionEnded} {
		if strings.Contains(causeSentence(cause), string(cause)+`"`) {
			t.Errorf("cause %s has no sentence", cause)
		}
	}
	for _, kind := range []job.FindingKind{job.SourceMissing, job.SourceUnreadable, job.SourceSymlink, job.SourceEmpty, job.SourceMoved, job.FileUnreadable,
		job.NothingSaved, job.LiveFilesUsed, job.OtherNotice} {
		found := false
		for _, one := range findingWords {
			found = found || one.kind == kind
		}
		if !found {
			t.Errorf("finding %s has no words", kind)
		}
	}
	for _, phase := range []job.Phase{job.PhaseWaitingLock, job.PhaseWaitingRepository, job.PhaseFindingOut, job.PhaseStopping} {
		if phaseState(phase).Word == string(job.Running) {
			t.Errorf("phase %s has no word", phase)
		}
	}
}

func TestVerdict(t *testing.T) {
	now := time.Date(2026, 3, 14, 8, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		figures FleetFigures
		alerts  int
		want    string
	}{
		{FleetFigures{}, 0, "No machine is backed up yet."},
		{FleetFigures{Hosts: 3, None: 3}, 0, "3 hosts have joined; no backup has ended yet."},
		{FleetFigures{Hosts: 1, None: 1}, 0, "1 host has joined; no backup has ended yet."},
		{FleetFigures{Hosts: 3, Good: 3, OldestAt: now.Add(-9 * time.Hour)}, 0, "All 3 hosts were backed up within the last 9 h."},
		{FleetFigures{Hosts: 1, Good: 1, OldestAt: now.Add(-time.Second)}, 0, "The only host was backed up within the last minute."},
		{FleetFigures{Hosts: 9000, Good: 9000}, 0, "The last backups of 9,000 of 9,000 hosts ended well."},
		{FleetFigures{Hosts: 3, Good: 2, Bad: 1, WorstName: "db", WorstAt: now.Add(-12 * time.Minute)}, 1, "The last backup of db went wrong 12 min ago; 2 of the other 2 ended theirs well."},
		{FleetFigures{Hosts: 1, Bad: 1, WorstName: "db", WorstAt: now.Add(-12 * time.Minute)}, 0, "The last backup of db went wrong 12 min ago."},
		{FleetFigures{Hosts: 900, Good: 2, Bad: 7}, 0, "The last backups of 7 of 900 hosts went wrong."},
		{FleetFigures{Hosts: 3, Good: 2, Warned: 1}, 0, "The last backup of 1 of 3 hosts ended with a warning."},
		{FleetFigures{Hosts: 3, Good: 2, None: 1}, 0, "The last backups of 2 of 3 hosts ended well; 1 has no backup yet."},
		{FleetFigures{Hosts: 3, Good: 3, OldestAt: now.Add(-time.Hour)}, 2, "2 alerts are open. All 3 hosts were backed up within the last 1 h."},
	} {
		got := verdict(test.figures, test.alerts, now)
		if got.Word != test.want {
			t.Errorf("verdict of %+v:\n got %q\nwant %q", test.figures, got.Word, test.want)
		}
		if (got.Tone == ToneGood) != (test.figures.Good > 0 && test.figures.Good == test.figures.Hosts && test.alerts == 0) {
			t.Errorf("verdict of %+v is %s", test.figures, got.Tone)
		}
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
