package agent

import (
	"context"
	"testing"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// TestPhaseOutlivesProgress wants a backup to wait for its repository until restic
// says that it was reached again: its lines of progress come meanwhile too.
func TestPhaseOutlivesProgress(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	run := &backupRun{watch: watch{agent: &Agent{live: newLive()}, task: &task{id: "J", ctx: ctx}}}
	progress := func() { run.progress(restic.Progress{FilesDone: 3}) }
	for _, step := range []struct {
		name string
		do   func()
		want job.Phase
	}{
		{"at work", progress, ""},
		{"cut off", func() { run.notice(restic.Notice{Kind: restic.NoticeRetrying}) }, job.PhaseWaitingRepository},
		{"progress without contact", progress, job.PhaseWaitingRepository},
		{"back", func() { run.notice(restic.Notice{Kind: restic.NoticeReached}) }, ""},
		{"at work again", progress, ""},
		{"cut off again", func() { run.notice(restic.Notice{Kind: restic.NoticeRetrying}) }, job.PhaseWaitingRepository},
		{"stopped meanwhile", func() { stop(stopError{job.CauseOperator}); progress() }, job.PhaseStopping},
	} {
		step.do()
		if got := run.agent.live.phaseOf("J"); got != step.want {
			t.Errorf("%s: phase %q, want %q", step.name, got, step.want)
		}
	}
}
