package job_test

import (
	"testing"

	"github.com/restic-manager/restic-manager/internal/job"
)

func TestPlainLogLineCommandsNoTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"Grüße, 日本":            "Grüße, 日本",
		"one\r\ntwo\tthree":    `one\r\ntwo\tthree`,
		"\x1b]0;owned\a\x9b1A": `\x1b]0;owned\a` + "�" + `1A`,
		"gpj.\u202etxt\x00":    `gpj.\u202etxt\x00`,
	} {
		line := job.LogLine{At: 1700000000123, Level: job.LogWarn, Text: text}
		if got := line.Plain(); got != "2023-11-14T22:13:20.123Z warn  "+want {
			t.Errorf("Plain of %q = %q", text, got)
		}
	}
}
