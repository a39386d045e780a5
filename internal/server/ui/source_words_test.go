package ui

import (
	"testing"
	"time"
)

func TestRetryWords(t *testing.T) {
	for _, test := range []struct {
		attempts int
		first    time.Duration
		want     string
	}{
		{1, time.Minute, "tries once"},
		{2, 30 * time.Second, "tries 2 times over about 30 seconds"},
		{3, time.Minute, "tries 3 times over about 3 minutes"},
		{10, time.Minute, "tries 10 times over about 2½ hours"}, // 1+2+4+8+16 and four times 30
		{11, time.Minute, "tries 11 times over about 3 hours"},
		{4, 30 * time.Minute, "tries 4 times over about 90 minutes"},
		{100, 30 * time.Minute, "tries 100 times over about 2 days"},
	} {
		if got := retryWords(test.attempts, test.first); got != test.want {
			t.Errorf("%d from %v: %q, want %q", test.attempts, test.first, got, test.want)
		}
	}
}

func TestPlainText(t *testing.T) {
	for name, want := range map[string]string{
		"/srv/a b/ü.txt": "/srv/a b/ü.txt", "a\nb\t\x1b[31m": `a\nb\t\x1b[31m`, "x\u202etxt.exe": `x\u202etxt.exe`, "\xff": "\uFFFD", "": "",
	} {
		if got := plainText(name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}
