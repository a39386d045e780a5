package agent

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

func TestJobLogKeepsHeadAndTail(t *testing.T) {
	book, err := journal.Open(filepath.Join(t.TempDir(), "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	a := &Agent{journal: book, log: slog.New(slog.DiscardHandler), options: Options{Now: time.Now}}
	id := job.NewID(time.Now())
	log := a.newJobLog(id)
	line := strings.Repeat("\x01", 10_000) // escaped, it is six times as long
	const lines = 3000
	for range lines {
		log.add(job.LogInfo, line)
	}
	log.add(job.LogInfo, "last\nline\r\n"+strings.Repeat("x", maxLogLine))
	log.close()
	log.close()
	log.add(job.LogInfo, "too late")
	records, err := book.RecordsOf(id)
	if err != nil {
		t.Fatal(err)
	}
	kept, omitted, bytes, last := 0, 0, 0, ""
	for _, record := range records {
		var body api.Log
		if err := json.Unmarshal(record.Body, &body); err != nil {
			t.Fatal(err)
		}
		kept += len(body.Lines)
		omitted += body.Omitted
		for _, line := range body.Lines {
			bytes += len(line.Text)
			last = line.Text
		}
	}
	if kept+omitted != lines+1 || omitted == 0 || bytes > logHead+logTail || bytes < (logHead+logTail)*9/10 {
		t.Errorf("%d kept, %d omitted, %d bytes", kept, omitted, bytes)
	}
	if !strings.HasPrefix(last, "last line") || !strings.HasSuffix(last, "[…]") {
		t.Errorf("last line = %.40q", last)
	}
}

func TestAnswersFitFrames(t *testing.T) {
	var snapshots []job.Snapshot
	for range 200 {
		snapshots = append(snapshots, fitSnapshot(job.Snapshot{ID: strings.Repeat("a", 64), Paths: []string{strings.Repeat("p", 20_000)}}))
	}
	answers := parts("id", lookAnswer{snapshots: snapshots, ended: api.Ended{State: job.Succeeded}})
	got := 0
	for i, answer := range answers {
		if _, err := api.Encode(answer); err != nil {
			t.Error(err)
		}
		got += len(answer.Snapshots)
		final := i == len(answers)-1
		if answer.More == final || (answer.Ended != nil) != final {
			t.Errorf("part %d of %d: %v %v", i, len(answers), answer.More, answer.Ended)
		}
	}
	if got != 200 || len(answers) < 5 {
		t.Errorf("%d snapshots in %d parts", got, len(answers))
	}
	huge := fitSnapshot(job.Snapshot{Paths: []string{"a", strings.Repeat("p", maxPathsSize), "b"}})
	if len(huge.Paths) != 2 || huge.Paths[1] != "… and 2 more" {
		t.Errorf("%d paths", len(huge.Paths))
	}
	if one := parts("id", lookAnswer{}); len(one) != 1 || one[0].Ended == nil {
		t.Errorf("empty answer = %+v", one)
	}
}

func TestProgressIsThinnedAndTheLatestWins(t *testing.T) {
	now := time.Unix(1000, 0)
	live := newLive()
	live.now = func() time.Time { return now }
	for i := range 10 {
		live.set("a", func(p *job.Progress) { p.FilesDone = int64(i) })
	}
	due, wait := live.due()
	if len(due) != 1 || due[0].FilesDone != 9 || wait != -1 {
		t.Errorf("due = %+v, %s", due, wait)
	}
	live.set("a", func(p *job.Progress) { p.FilesDone = 10 })
	if due, wait := live.due(); len(due) != 0 || wait != api.ProgressEvery {
		t.Errorf("too soon: %+v, %s", due, wait)
	}
	now = now.Add(api.ProgressEvery)
	if due, _ := live.due(); len(due) != 1 || due[0].FilesDone != 10 {
		t.Errorf("later: %+v", due)
	}
	live.resend()
	if due, _ := live.due(); len(due) != 1 {
		t.Errorf("for a new session: %+v", due)
	}
	live.end("a")
	live.resend()
	if due, _ := live.due(); len(due) != 0 {
		t.Errorf("after the end: %+v", due)
	}
}
