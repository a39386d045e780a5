//go:build unix

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// The backup that is watched: 80 MB, which the limit stretches over some ten
// seconds.
const (
	watchedFiles    = 20_000
	watchedFileSize = 4 << 10
	watchedLimitKiB = 8 << 10
)

// TestServerKilledDuringBackup kills the server in the middle of a backup that
// somebody watches, and brings it back before and after the backup's end.
func TestServerKilledDuringBackup(t *testing.T) {
	parallelBusy(t)
	f := startFleet(t, rig.AgentOptions{})
	tab := testkit.Chromium(t)
	f.signIn(t, tab)
	for _, test := range []struct {
		name string
		away func(t *testing.T) // what happens while the server is away
	}{
		{"back before the end", func(t *testing.T) {
			if len(f.host.Children(t)) == 0 {
				t.Error("the backup was over too soon: nothing was proved")
			}
		}},
		{"back after the end", func(t *testing.T) { waitNoChild(t, f.host) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			group := f.API.AddGroup(t, f.host.HostID, rig.Group{Name: test.name, LimitUploadKiB: watchedLimitKiB,
				Includes: []string{f.host.WriteFiles(t, test.name, watchedFiles, watchedFileSize)}})
			created := f.API.BackUp(t, f.host.HostID, group.ID)
			watch(t, tab, f.URL+"/jobs/"+string(created.ID))
			f.waitAtWork(t, created.ID)
			watchProgress(t, tab)

			f.Kill()
			test.away(t)
			f.Start(t)

			done := f.API.WaitJob(t, created.ID, job.Succeeded)
			wait(t, "the open page to catch up by itself", func() bool {
				return evaluate[string](t, tab, `document.querySelector(".title-line .state-word")?.textContent ?? ""`) == "succeeded"
			})
			if !evaluate[bool](t, tab, `window.sameDocument === true`) {
				t.Error("the page was loaded anew")
			}
			if done.Summary.FilesNew != watchedFiles {
				t.Errorf("%d files are new, want %d", done.Summary.FilesNew, watchedFiles)
			}
			checkLog(t, f.Server, done)
			f.wantSnapshots(t, f.Access(t, f.host.HostID), group, 1)
			f.wantNoRemains(t, f.host)
		})
	}
}

func (f fleet) signIn(t *testing.T, tab context.Context) {
	t.Helper()
	browse(t, tab, chromedp.Navigate(f.URL+"/sign-in"), chromedp.WaitVisible("#username"),
		chromedp.SendKeys("#username", f.User), chromedp.SendKeys("#password", f.Password+"\n"), chromedp.WaitReady(".menu, nav"))
}

// watch opens the page and notes, from then on, when the text of its progress
// changes.
func watch(t *testing.T, tab context.Context, address string) {
	t.Helper()
	browse(t, tab, chromedp.Navigate(address), chromedp.WaitVisible("#job"))
	evaluate[bool](t, tab, `(() => {
		window.sameDocument = true;
		window.changes = [];
		let before = "";
		new MutationObserver(() => {
			const text = document.querySelector(".progress-card")?.textContent ?? "";
			if (text !== before) { before = text; window.changes.push(performance.now()); }
		}).observe(document.getElementById("job"), { childList: true, subtree: true, characterData: true, attributes: true });
		return true;
	})()`)
}

// Of a progress that changes once a second, so many changes are waited for. The
// pause that is allowed is for a machine that has other tests to run.
const (
	wantedChanges = 6
	longestPause  = 2500 * time.Millisecond
)

func watchProgress(t *testing.T, tab context.Context) {
	t.Helper()
	begun := evaluate[float64](t, tab, `performance.now()`)
	var changes []float64
	wait(t, "the progress in the open page to change", func() bool {
		changes = evaluate[[]float64](t, tab, `window.changes`)
		for len(changes) > 0 && changes[0] < begun {
			changes = changes[1:]
		}
		return len(changes) >= wantedChanges
	})
	longest := time.Duration(0)
	for i := 1; i < len(changes); i++ {
		longest = max(longest, time.Duration((changes[i]-changes[i-1])*float64(time.Millisecond)))
	}
	took := time.Duration((changes[len(changes)-1] - changes[0]) * float64(time.Millisecond))
	t.Logf("%d changes of the progress in %s, the longest pause was %s", len(changes), took.Round(time.Millisecond), longest.Round(time.Millisecond))
	if longest > longestPause {
		t.Errorf("the progress stood still for %s", longest.Round(time.Millisecond))
	}
}

// browse does something in the tab, within a minute.
func browse(t *testing.T, tab context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, testPatience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("in the browser: %v", err)
	}
}

func evaluate[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, testPatience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatalf("in the browser: %v", err)
	}
	return value
}
