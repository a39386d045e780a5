package ui

import (
	"github.com/restic-manager/restic-manager/internal/job"
)

// Bar is a share of something, for the progress element.
type Bar struct {
	Known    bool // false shows that work goes on, without a share
	Permille int
	Label    string // for those who do not see the bar
	Note     string // shown beside it
	Tone     Tone
	// Sending: all is read, and what was read is still on its way. A share would
	// stand still at its end and a rate would lie.
	Sending bool
}

// Percent is the share in words; "" when it is not known.
func (b Bar) Percent() string {
	if !b.Known || b.Sending {
		return ""
	}
	tenths := b.Permille % 10
	return countText(int64(b.Permille/10)) + "." + string(rune('0'+tenths)) + " %"
}

// progressBar shows how far a running job is.
func progressBar(progress *job.Progress) Bar {
	bar := Bar{Label: "Progress", Tone: ToneRun}
	if progress == nil {
		return bar
	}
	if progress.Percent > 0 {
		bar.Known = true
		bar.Permille = min(int(progress.Percent*1000), 1000)
	}
	bar.Sending = stillSending(progress)
	if bar.Sending {
		bar.Note = sending.Word
	} else if progress.Phase != "" {
		bar.Note = phaseState(progress.Phase).Word
		bar.Tone = ToneWait
	} else if progress.RemainingSeconds > 0 {
		bar.Note = "about " + secondsText(progress.RemainingSeconds) + " left"
	}
	return bar
}

// stillSending tells that all is read though the job goes on.
func stillSending(progress *job.Progress) bool {
	return progress != nil && progress.Phase == "" && progress.Percent >= 1 && progress.FilesDone >= progress.FilesTotal
}

// diskBar shows the used part of a disk.
func diskBar(free, total int64) Bar {
	if total <= 0 {
		return Bar{}
	}
	used := total - free
	bar := Bar{Known: true, Permille: int(float64(used) / float64(total) * 1000), Label: "Used disk space",
		Note: bytesText(free) + " free of " + bytesText(total), Tone: ToneNone}
	if bar.Permille > 900 {
		bar.Tone = ToneWarn
	}
	return bar
}
