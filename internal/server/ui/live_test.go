package ui_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// browser is a tab that is signed in as the admin.
type browser struct {
	t    *testing.T
	tab  context.Context
	rig  *rig
	told chan string // what the browser complained of
}

func (r *rig) browser() *browser {
	r.t.Helper()
	b := &browser{t: r.t, tab: testkit.Chromium(r.t), rig: r, told: make(chan string, 100)}
	cookie := r.cookies[auth.Admin]
	if _, err := chromedp.Call(b.tab, network.SetCookie, network.SetCookieParams{Name: cookie.Name, Value: cookie.Value, URL: r.server.URL}); err != nil {
		r.t.Fatal(err)
	}
	if err := chromedp.Listen(b.tab, func(event any) {
		if entry, ok := event.(*log.EventEntryAdded); ok && entry.Entry.Level == log.EntryLevelError {
			select {
			case b.told <- entry.Entry.Text + " " + entry.Entry.URL:
			default:
			}
		}
	}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := chromedp.Call(b.tab, log.Enable, cdp.Empty{}); err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (b *browser) open(path string) {
	b.t.Helper()
	if err := chromedp.Do(b.tab, chromedp.Navigate(b.rig.server.URL+path)); err != nil {
		b.t.Fatal(err)
	}
	// A mark that a reload would wipe out.
	b.eval("window.sameDocument = true")
}

func (b *browser) eval(expression string) bool {
	b.t.Helper()
	got, err := chromedp.Run(b.tab, chromedp.Evaluate[any](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	value, _ := got.(bool)
	return value
}

func (b *browser) waitFor(name, expression string) {
	b.t.Helper()
	testkit.WaitFor(b.t, 10*time.Second, name, func() bool {
		// While the tab goes to another page there is nothing to ask.
		got, err := chromedp.Run(b.tab, chromedp.Evaluate[any](expression))
		value, _ := got.(bool)
		return err == nil && value
	})
}

func TestFleetPageIsLive(t *testing.T) {
	r := newRig(t)
	host, _ := r.host("web-1")
	b := r.browser()
	b.open("/")
	b.waitFor("the list", `document.querySelector("#fleet tbody").textContent.includes("web-1")`)
	// Somebody is typing while live data comes.
	b.eval(`document.querySelector("[data-search]").focus(), document.querySelector("[data-search]").value = "we", true`)
	name := "web-one"
	testkit.WaitFor(t, 10*time.Second, "the event stream", func() bool {
		if _, err := r.control.UpdateHost(t.Context(), auth.Server, host.ID, control.HostChange{Name: &name}); err != nil {
			t.Fatal(err)
		}
		return b.eval(`document.querySelector("#fleet tbody").textContent.includes("web-one")`)
	})
	if !b.eval(`window.sameDocument === true`) {
		t.Error("the page was loaded again")
	}
	if !b.eval(`document.activeElement === document.querySelector("[data-search]") && document.activeElement.value === "we"`) {
		t.Error("typing was disturbed by live data")
	}
	// What no event told is caught up with when the stream is open again.
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.UpdateHost(ctx, fleet.Host{ID: host.ID, Name: "web-two", Presence: fleet.AlwaysOn})
	})
	r.server.CloseClientConnections()
	b.waitFor("the page to catch up", `document.querySelector("#fleet tbody").textContent.includes("web-two")`)
	if !b.eval(`window.sameDocument === true && [...document.querySelectorAll("[data-offline]")].every((note) => note.hidden)`) {
		t.Error("the page did not recover by itself")
	}
}

func TestJobPageIsLive(t *testing.T) {
	r := newRig(t)
	_, group := r.host("web-1")
	one := r.job(group, job.Running, 700)
	b := r.browser()
	b.open("/jobs/" + string(one.ID))
	b.waitFor("the tail of the log", `document.querySelectorAll("#log tr[data-n]").length === 300`)
	b.eval(`document.querySelector("#job details").open = true`)
	r.appendLog(one.ID, 700, 2100)
	if _, err := r.control.CancelJob(t.Context(), auth.Server, one.ID); err != nil {
		t.Fatal(err)
	}
	b.waitFor("the agent's word to be waited for", `document.getElementById("job").textContent.includes("waits for the agent")`)
	b.waitFor("the log to follow", `document.querySelectorAll("#log tr[data-n]").length === 2400`)
	if !b.eval(`(() => { const log = document.getElementById("log"); return log.scrollTop + log.clientHeight >= log.scrollHeight - 40; })()`) {
		t.Error("the log is not at its end")
	}
	if !b.eval(`document.querySelector("#job details").open`) {
		t.Error("live data closed what was opened")
	}
	b.eval(`document.querySelector("#log-before button").click(), true`)
	b.waitFor("earlier lines", `document.querySelectorAll("#log tr[data-n]").length === 2800 && document.querySelector("#log tr[data-n]").dataset.n === "0"`)
	if !b.eval(`(() => { const all = [...document.querySelectorAll("#log tr[data-n]")].map((row) => +row.dataset.n); return all.every((n, i) => n === i); })()`) {
		t.Error("lines are missing, twice or out of order")
	}
	b.eval(`(() => { const box = document.querySelector("[data-log-search]"); box.value = "<2.5µs>"; box.dispatchEvent(new Event("input", {bubbles: true})); return true; })()`)
	b.waitFor("the search", `document.querySelectorAll("#log tr[data-n]:not([hidden])").length === 1`)

	if _, err := r.control.CancelJob(t.Context(), auth.Server, one.ID); err != nil {
		t.Fatal(err)
	}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.MoveJob(ctx, one.ID, job.Running, job.Cancelled, job.ByAgent, time.Now()); err != nil {
			return err
		}
		return tx.EndJob(ctx, one.ID, store.End{At: time.Now(), Cause: job.CauseOperator})
	})
	r.server.CloseClientConnections()
	b.waitFor("the end", `document.querySelector("#job .state").textContent.includes("cancelled") && document.getElementById("log-next").textContent.includes("End of the log, 2,800 lines")`)
	for len(b.told) > 0 {
		if text := <-b.told; !strings.Contains(text, "/events") {
			t.Errorf("the browser complains: %s", text)
		}
	}
}

func TestTheKindOfAHostKeepsWhatWasTyped(t *testing.T) {
	r := newRig(t)
	b := r.browser()
	b.open("/hosts/new")
	b.eval(`document.getElementById("name").value = "vault & co", document.getElementById("password").value = "secret", document.querySelector(".switch a:not([aria-current])").click(), true`)
	b.waitFor("the other form", `location.search.includes("kind=storage") && document.readyState === "complete" && document.getElementById("name")?.value === "vault & co"`)
	if b.eval(`location.href.includes("secret")`) {
		t.Error("a password got into an address")
	}
}
