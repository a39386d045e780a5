package ui_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func scheduleForm(group fleet.SourceGroup) url.Values {
	return url.Values{"repeat": {"daily"}, "at": {"02:30"}, "time_zone": {"Europe/Berlin"}, "missed_policy": {"run-once"}, "jitter": {"5"}, "group": {string(group.ID)}, "enabled": {"yes"}}
}

// planned makes a schedule of a group that is in force since a day.
func (r *rig) planned(group fleet.SourceGroup, cron string) fleet.Schedule {
	r.t.Helper()
	made, err := r.control.CreateSchedule(r.t.Context(), auth.Server, fleet.Schedule{Host: group.Host, Name: "nightly", Enabled: true, Groups: []job.GroupID{group.ID},
		Rule: schedule.Rule{Cron: cron, TimeZone: "UTC", JitterSeconds: 300, Missed: schedule.RunOnce}})
	if err != nil {
		r.t.Fatal(err)
	}
	made.EffectiveFrom = time.Now().Add(-48 * time.Hour).UnixMilli()
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSchedule(ctx, made) })
	return made
}

// occurrence is what became of a moment of a schedule.
func (r *rig) occurrence(planned fleet.Schedule, group fleet.SourceGroup, at time.Time, state job.State, change func(*fleet.Job)) fleet.Job {
	r.t.Helper()
	one := fleet.Job{ID: job.DueID(planned.ID, group.ID, at), Host: group.Host, Kind: job.Backup, State: state, Origin: job.BySchedule, Group: group.ID, Repository: group.Repository,
		Schedule: planned.ID, ScheduledAt: at, CreatedAt: at, SentAt: at, AcceptedAt: at, Spec: []byte(`{"group_name":"documents"}`)}
	if state.Ended() {
		one.FinishedAt = at.Add(5 * time.Minute)
	} else {
		one.SentAt, one.AcceptedAt = time.Time{}, time.Time{}
	}
	if change != nil {
		change(&one)
	}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertJob(ctx, one); err != nil || one.State == job.Skipped || !state.Ended() {
			return err
		}
		return tx.StartJob(ctx, one.ID, one.SentAt, nil)
	})
	return one
}

func TestAScheduleIsMadeChangedAndRemoved(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	path := "/hosts/" + string(host.ID) + "/schedules"
	if got := r.ask(auth.Viewer, path, nil); !strings.Contains(got.text("main"), "Nothing of web-1 is backed up by itself yet") || strings.Contains(got.body, "schedules/new") {
		t.Errorf("without a schedule a viewer sees %s", got.text("main"))
	}
	form := scheduleForm(group)
	form.Set("at", "2.30")
	form.Del("group")
	got := r.ask(auth.Operator, path+"/new", form)
	if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("form"), "2 fields need another look") || !strings.Contains(got.text("#groups .field-error"), "at least one source group") {
		t.Fatalf("a wrong form = %d %s", got.status, got.text("form"))
	}
	got = r.ask(auth.Operator, path+"/new", scheduleForm(group))
	if got.status != http.StatusSeeOther {
		t.Fatalf("a good form = %d %s", got.status, got.text("main"))
	}
	page := r.ask(auth.Viewer, got.header.Get("Location"), nil)
	for _, want := range []string{"every day at 02:30", "Backs up documents of web-1 every day at 02:30, Europe/Berlin", "enabled", "None of its moments has come so far", "The schedule is added"} {
		if !strings.Contains(page.text("main"), want) {
			t.Errorf("the page does not say %q: %s", want, page.text("main"))
		}
	}
	if strings.Contains(page.body, "Remove this schedule") || strings.Contains(page.body, "/disable") {
		t.Error("a viewer is offered to change it")
	}
	all, err := r.store.SchedulesOf(t.Context(), host.ID)
	if err != nil || len(all) != 1 || all[0].Cron != "30 2 * * *" || all[0].JitterSeconds != 300 {
		t.Fatalf("schedules: %+v, %v", all, err)
	}
	id := string(all[0].ID)
	if got := r.ask(auth.Operator, path+"/"+id+"/edit", nil); !strings.Contains(got.body, `value="02:30"`) || got.status != http.StatusOK {
		t.Errorf("the form of a schedule = %d", got.status)
	}
	// Without a script the form comes back in the address, to have its times told.
	if got := r.ask(auth.Operator, path+"/new?repeat=custom&cron=0+4+1+*+*&time_zone=UTC&missed_policy=skip", nil); !strings.Contains(got.text("#next-times"), "on the 1st of the month at 04:00, UTC") || !strings.Contains(got.body, `value="0 4 1 * *"`) {
		t.Errorf("times without a script: %s", got.text("#next-times"))
	}
	other, _ := r.host("web-2")
	if got := r.ask(auth.Operator, "/hosts/"+string(other.ID)+"/schedules/"+id+"/edit", nil); got.status != http.StatusNotFound {
		t.Errorf("another host's schedule = %d", got.status)
	}
	for _, step := range []struct{ action, says string }{{"disable", "It is disabled: nothing is due"}, {"disable", "If a run of it waited, that was given up"}, {"enable", "The schedule is enabled from now on"}} {
		got := r.ask(auth.Operator, "/schedules/"+id+"/"+step.action, url.Values{})
		if got.status != http.StatusSeeOther {
			t.Fatalf("%s = %d %s", step.action, got.status, got.text("main"))
		}
		if page := r.ask(auth.Operator, got.header.Get("Location"), nil); !strings.Contains(page.text("main"), step.says) {
			t.Errorf("after %s the page says %s", step.action, page.text("main"))
		} else if shown := strings.Contains(page.body, `id="next-times"`); shown != (step.action == "enable") {
			t.Errorf("after %s next times are shown: %t", step.action, shown)
		}
	}
	for _, address := range []string{"/", "/hosts/" + string(host.ID) + "/head"} {
		if got := r.ask(auth.Viewer, address, nil); !strings.Contains(got.text("body"), "02:30") && !strings.Contains(got.text("body"), "01:30") && !strings.Contains(got.text("body"), "00:30") {
			t.Errorf("%s does not tell the next run: %s", address, got.text("body"))
		}
	}
	form = scheduleForm(group)
	form.Set("repeat", "weekly")
	form["day"] = []string{"1", "4"}
	if got := r.ask(auth.Operator, path+"/"+id+"/edit", form); got.status != http.StatusSeeOther {
		t.Fatalf("change = %d %s", got.status, got.text("main"))
	}
	if got := r.ask(auth.Viewer, path, nil); !strings.Contains(got.text("main"), "Mondays and Thursdays at 02:30") {
		t.Errorf("the list says %s", got.text("main"))
	}
	if got := r.ask(auth.Operator, "/schedules/"+id+"/remove", url.Values{}); got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), path) {
		t.Fatalf("remove = %d", got.status)
	}
	if got := r.ask(auth.Operator, path, nil); !strings.Contains(got.text("main"), "Nothing of web-1 is backed up by itself yet") {
		t.Errorf("after the removal: %s", got.text("main"))
	}
}

func TestTimesAreToldInTheZoneOfTheBrowser(t *testing.T) {
	r := newRig(t)
	_, group := r.host("web-1")
	r.planned(group, "30 2 * * *")
	for zone, want := range map[string]string{"Asia/Tokyo": "11:30", "UTC": "02:30", "../etc/passwd": "02:30", "Nowhere/Else": "02:30"} {
		if got := r.ask(auth.Viewer, "/schedules", nil, "Cookie", "rm_zone="+zone); !strings.Contains(got.text("tbody"), want) {
			t.Errorf("with %s the page says %s", zone, got.text("tbody"))
		}
	}
	if got := r.ask(auth.Operator, "/schedules/preview?repeat=daily&at=02:30&time_zone=Europe/Berlin", nil, "Cookie", "rm_zone=Asia/Tokyo", "HX-Request", "true"); !strings.Contains(got.body, "Asia/Tokyo") || strings.Contains(got.body, "<html") || strings.Count(got.body, "<li>") != 5 {
		t.Errorf("the preview: %s", got.body)
	}
	if got := r.ask(auth.Operator, "/schedules/preview?repeat=custom&cron=1+2&time_zone=UTC", nil); !strings.Contains(got.text("#next-times"), "five fields") {
		t.Errorf("the preview of a wrong rule: %s", got.text("#next-times"))
	}
}

func TestTheHistoryKeepsChainsTogetherAndIsFiltered(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	planned := r.planned(group, "0 * * * *")
	if page := r.ask(auth.Viewer, "/schedules/"+string(planned.ID), nil); !strings.Contains(page.text(".empty-state"), "web-1 has reported none of its moments yet") {
		t.Errorf("before any report: %s", page.text(".empty-state"))
	}
	start := time.Now().Truncate(time.Hour)
	for n := 1; n <= 150; n++ {
		at := start.Add(-time.Duration(n) * time.Hour)
		switch n {
		case 7, 110:
			root := r.occurrence(planned, group, at, job.Failed, func(one *fleet.Job) { one.Error = "The repository does not answer." })
			for retry := 1; retry <= 3; retry++ {
				r.occurrence(planned, group, at, job.Succeeded, func(one *fleet.Job) {
					id, err := job.RetryID(root.ID, retry)
					if err != nil {
						t.Fatal(err)
					}
					one.ID, one.Root, one.Retry, one.Attempt = id, root.ID, retry, retry
					if retry < 3 {
						one.State = job.Failed
					}
				})
			}
		case 12:
			r.occurrence(planned, group, at, job.Skipped, func(one *fleet.Job) { one.Cause, one.By = job.CauseOverlapped, "X" })
		default:
			r.occurrence(planned, group, at, job.Succeeded, nil)
		}
	}
	if page := r.ask(auth.Viewer, "/schedules/"+string(planned.ID)+"?outcome=overlapped", nil); !strings.Contains(page.text(".history"), "That run · Job") {
		t.Errorf("its links run together: %s", page.text(".history"))
	}
	seen, retried := 0, 0
	for address := "/schedules/" + string(planned.ID); address != ""; {
		page := r.ask(auth.Viewer, address, nil)
		if page.status != http.StatusOK {
			t.Fatalf("%s = %d", address, page.status)
		}
		seen += strings.Count(page.text(".history"), "It did its work") + strings.Count(page.text(".history"), "Another run of its source group")
		retried += strings.Count(page.text(".history"), "after 3 retries. first run, 1st retry, 2nd retry, 3rd retry")
		if strings.Contains(page.text(".history"), "It failed") {
			t.Error("a chain of retries is cut")
		}
		address = ""
		if _, rest, more := strings.Cut(page.body, `class="more"><a class="btn" href="`); more {
			address, _, _ = strings.Cut(rest, `"`)
			address = strings.ReplaceAll(address, "&amp;", "&")
		}
	}
	if seen != 150 || retried != 2 {
		t.Errorf("the history shows %d moments and %d chains", seen, retried)
	}
	if got := r.ask(auth.Viewer, "/schedules/"+string(planned.ID)+"?outcome=overlapped", nil); strings.Count(got.body, "<tr>")-1 != 1 || !strings.Contains(got.text(".history"), "overlapped") {
		t.Errorf("filtered: %s", got.text(".history"))
	}
	// The time line, too: 24 moments, of which one was retried and one skipped.
	line := r.ask(auth.Viewer, "/schedules", nil)
	if row := line.text("#line-" + string(host.ID)); !strings.Contains(row, ": overlapped. Another run of its source group") || !strings.Contains(row, "after 3 retries") || !strings.Contains(row, "expected") {
		t.Errorf("the time line shows %s", row)
	}
	one := r.ask(auth.Viewer, "/jobs/"+string(job.DueID(planned.ID, group.ID, start.Add(-7*time.Hour))), nil)
	if !strings.Contains(one.text("main"), "nightly, for") || !strings.Contains(one.text(".chain"), "first run, this one") || !strings.Contains(one.text(".chain"), "3rd retry") {
		t.Errorf("the job page says %s", one.text("main"))
	}
	skipped := r.ask(auth.Viewer, "/jobs/"+string(job.DueID(planned.ID, group.ID, start.Add(-12*time.Hour))), nil)
	if !strings.Contains(skipped.text("main"), "It was not run. Another run of its source group was still at work") {
		t.Errorf("the page of a skipped job says %s", skipped.text("main"))
	}
	if got := r.ask(auth.Viewer, "/jobs", nil); !strings.Contains(got.text("tbody"), "nightly, for") {
		t.Errorf("the list of jobs does not tell their schedule: %s", got.text("tbody"))
	}
}

func TestWhatWaitsSaysWhyAndIsDroppedByName(t *testing.T) {
	r := newRig(t)
	_, group := r.host("web-1")
	_, other := r.host("web-2")
	var runs []fleet.Job
	for _, group := range []fleet.SourceGroup{group, other} {
		planned := r.planned(group, "0 * * * *")
		runs = append(runs, r.occurrence(planned, group, time.Now().Truncate(time.Hour), job.Queued, func(one *fleet.Job) { one.Attempt, one.NextAttemptAt = 2, time.Now() }))
	}
	for _, link := range []string{`<a href="/pending">2 waiting</a>`, `href="/pending">1 job waits</a>`} {
		if page := r.ask(auth.Viewer, "/", nil); !strings.Contains(page.body, link) {
			t.Errorf("no %s on the fleet page", link)
		}
	}
	page := r.ask(auth.Operator, "/pending", nil)
	for _, want := range []string{"2 runs wait", "Backup of documents", "web-1, nightly, for", "waits for its host", "web-1 has not been in contact yet", "2 of 10 attempts used", "Run now"} {
		if !strings.Contains(page.text("main"), want) {
			t.Errorf("the page does not say %q: %s", want, page.text("main"))
		}
	}
	if got := r.ask(auth.Viewer, "/pending", nil); strings.Contains(got.text("main"), "Run now") || strings.Contains(got.text("main"), "Drop") {
		t.Error("a viewer is offered to change what waits")
	}
	if got := r.ask(auth.Operator, "/pending?host=web-2", nil); strings.Contains(got.text("tbody"), "web-1") || !strings.Contains(got.text("tbody"), "web-2") {
		t.Errorf("filtered: %s", got.text("tbody"))
	}
	if got := r.ask(auth.Viewer, "/jobs/"+string(runs[0].ID), nil); !strings.Contains(got.text(".progress-card"), "waits for its host") || !strings.Contains(got.text(".progress-card"), "2 of 10 attempts") {
		t.Errorf("the job page says %s", got.text("main"))
	}
	if got := r.ask(auth.Operator, "/pending/"+string(runs[0].ID)+"/run", url.Values{}); got.status != http.StatusSeeOther {
		t.Errorf("run now = %d %s", got.status, got.text("main"))
	}
	hurried, err := r.store.Job(t.Context(), runs[0].ID)
	if err != nil || hurried.HurriedAt.IsZero() {
		t.Errorf("run now did nothing: %+v, %v", hurried, err)
	}
	both := url.Values{"run": {string(runs[0].ID), string(runs[1].ID)}}
	if got := r.ask(auth.Operator, "/pending/run", both); got.status != http.StatusSeeOther {
		t.Errorf("run both now = %d", got.status)
	}
	if got := r.ask(auth.Operator, "/pending/drop?"+both.Encode(), nil); got.text("h1") != "Drop 2 waiting runs?" || !strings.Contains(got.text("tbody"), "web-1") || !strings.Contains(got.text("tbody"), "web-2") {
		t.Errorf("before the drop: %s", got.text("main"))
	}
	if got := r.ask(auth.Operator, "/pending/drop", url.Values{}); got.status != http.StatusConflict || !strings.Contains(got.text("main"), "No run was chosen") {
		t.Errorf("drop nothing = %d", got.status)
	}
	if got := r.ask(auth.Operator, "/pending/drop", both); got.status != http.StatusSeeOther {
		t.Fatalf("drop = %d %s", got.status, got.text("main"))
	}
	for _, run := range runs {
		if dropped, err := r.store.Job(t.Context(), run.ID); err != nil || dropped.State != job.Skipped || dropped.Cause != job.CauseDropped {
			t.Errorf("dropped: %+v, %v", dropped, err)
		}
	}
	if got := r.ask(auth.Operator, "/pending", nil); !strings.Contains(got.text("main"), "Nothing waits") {
		t.Errorf("after the drop: %s", got.text("main"))
	}
	if got := r.ask(auth.Operator, "/pending/drop?"+both.Encode(), nil); !strings.Contains(got.text("main"), "waits no more") {
		t.Errorf("dropping what is gone: %s", got.text("main"))
	}
	if got := r.ask(auth.Viewer, "/schedules/"+string(runs[0].Schedule)+"?outcome=given-up", nil); !strings.Contains(got.text(".history"), "Dropped by") {
		t.Errorf("the history says %s", got.text("main"))
	}
}

func TestAPauseIsSeenEverywhereAndEnds(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	planned := r.planned(group, "0 * * * *")
	if got := r.ask(auth.Operator, "/pauses/new", url.Values{"scope": {"tag"}, "end": {"exact"}, "back": {"/schedules"}}); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("main"), "Say when the pause ends") {
		t.Errorf("a wrong pause = %d %s", got.status, got.text("main"))
	}
	if got := r.ask(auth.Operator, "/pauses/new", url.Values{"scope": {"tag"}, "end": {"hour"}}); !strings.Contains(got.text(".for-tag .field-error"), "Choose the tag") {
		t.Errorf("a pause of no tag: %s", got.text("main"))
	}
	// Of a host.
	got := r.ask(auth.Operator, "/pauses/new", url.Values{"scope": {"host"}, "host": {string(host.ID)}, "end": {"hour"}, "reason": {"New disks."}, "back": {"/hosts/" + string(host.ID) + "/schedules?said=x"}})
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/hosts/"+string(host.ID)+"/schedules?said=paused" {
		t.Fatalf("a pause = %d to %s %s", got.status, got.header.Get("Location"), got.text("main"))
	}
	for _, path := range []string{"/", "/schedules", "/hosts/" + string(host.ID), "/hosts/" + string(host.ID) + "/schedules", "/schedules/" + string(planned.ID)} {
		if got := r.ask(auth.Viewer, path, nil); !strings.Contains(got.text("main"), "paused until") || got.text(".banner") != "" {
			t.Errorf("%s does not tell the pause: %s", path, got.text("main"))
		}
	}
	if got := r.ask(auth.Viewer, "/schedules", nil); !strings.Contains(got.body, "band-paused") || !strings.Contains(got.text(".pause-note"), "New disks.") || strings.Contains(got.body, "End now") {
		t.Errorf("the time line does not show it: %s", got.text(".pause-note"))
	}
	// Of the whole fleet.
	if got := r.ask(auth.Operator, "/pauses/new", url.Values{"scope": {"fleet"}, "end": {"week"}, "back": {"/"}}); got.status != http.StatusSeeOther {
		t.Fatalf("a pause of the fleet = %d", got.status)
	}
	for _, path := range []string{"/", "/jobs", "/settings", "/repositories", "/pauses/banner"} {
		if got := r.ask(auth.Operator, path, nil); !strings.Contains(got.text(".banner"), "All schedules are paused until") || !strings.Contains(got.text(".banner"), "by operator") {
			t.Errorf("%s has no banner: %s", path, got.text(".banner"))
		}
	}
	pauses, err := r.store.Pauses(t.Context(), time.Now())
	if err != nil || len(pauses) != 2 {
		t.Fatalf("pauses: %+v, %v", pauses, err)
	}
	for _, pause := range pauses {
		if got := r.ask(auth.Operator, "/pauses/"+pause.ID+"/end", url.Values{}, "Referer", r.server.URL+"/jobs?said=paused"); got.status != http.StatusSeeOther || got.header.Get("Location") != "/jobs?said=pause-ended" {
			t.Errorf("end = %d to %s", got.status, got.header.Get("Location"))
		}
	}
	if got := r.ask(auth.Viewer, "/", nil); strings.Contains(got.body, "paused until") {
		t.Errorf("after the end: %s", got.text("main"))
	}
}

func TestAScheduleIsMadeInTheBrowser(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	b := r.browser()
	b.open("/hosts/" + string(host.ID) + "/schedules/new")
	b.waitFor("the next times", `document.querySelectorAll("#next-times li").length === 5 && "htmxPowered" in document.querySelector(".beside").dataset`)
	b.eval(`document.querySelector("[name=repeat][value=weekly]").click(), true`)
	if !b.eval(`document.getElementById("days").checkVisibility() && !document.getElementById("cron").checkVisibility()`) {
		t.Error("the fields of a weekly rule are not those that are shown")
	}
	b.waitFor("the times of a weekly rule", `document.getElementById("next-times").textContent.includes("Mondays at 02:30")`)
	b.eval(`document.querySelector("[name=repeat][value=custom]").click(), true`)
	b.eval(`(() => { const cron = document.getElementById("cron"); cron.focus(); cron.value = "15 4 * *"; cron.dispatchEvent(new Event("input", {bubbles: true})); return true; })()`)
	b.waitFor("what is wrong while typing", `document.getElementById("next-times").textContent.includes("five fields")`)
	b.eval(`(() => { const cron = document.getElementById("cron"); cron.value = "15 4 * * *"; cron.dispatchEvent(new Event("input", {bubbles: true})); return true; })()`)
	b.waitFor("the times while typing", `document.getElementById("next-times").textContent.includes("every day at 04:15")`)
	if !b.eval(`document.activeElement.id === "cron" && window.sameDocument === true`) {
		t.Error("typing was disturbed")
	}
	if !b.eval(`document.querySelectorAll("#zones option").length > 300 && document.cookie.includes("rm_zone=")`) {
		t.Error("the zones that the browser knows are not offered")
	}
	b.eval(`document.getElementById("schedule-form").requestSubmit(), true`)
	b.waitFor("the schedule", `location.pathname.startsWith("/schedules/") && document.readyState === "complete" && document.querySelector("h1")?.textContent === "every day at 04:15"`)
	b.eval(`document.querySelector("form[action$='/disable'] button").click(), true`)
	b.waitFor("it to be disabled", `document.readyState === "complete" && document.querySelector("main")?.textContent.includes("It is disabled: nothing is due")`)
	b.eval(`document.querySelector("form[action$='/enable'] button").click(), true`)
	b.waitFor("it to be enabled", `document.readyState === "complete" && document.querySelector("form[action$='/disable'] button") !== null`)

	// What becomes of its moments comes by itself.
	all, err := r.store.SchedulesOf(t.Context(), host.ID)
	if err != nil || len(all) != 1 {
		t.Fatalf("schedules: %v, %v", all, err)
	}
	b.eval("window.sameDocument = true")
	r.occurrence(all[0], group, time.Now().Add(-time.Hour).Truncate(time.Hour), job.Failed, func(one *fleet.Job) { one.Error = "The repository does not answer." })
	testkit.WaitFor(t, 10*time.Second, "the history", func() bool {
		if _, err := r.control.UpdateSchedule(t.Context(), auth.Server, all[0]); err != nil {
			t.Fatal(err)
		}
		return b.eval(`document.querySelector(".history")?.textContent.includes("It failed. The repository does not answer.")`)
	})
	if !b.eval("window.sameDocument === true") {
		t.Error("the page was loaded again")
	}

	// A mark of the time line tells of itself, to the pointer and the keyboard.
	if _, err := chromedp.Call(b.tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	b.open("/schedules")
	b.waitFor("the mark", `document.querySelector(".mark.tone-bad") !== null`)
	b.eval(`document.querySelector(".mark.tone-bad").focus(), true`)
	b.waitFor("what it tells", `document.querySelector(".tip:not([hidden])")?.textContent.includes("The repository does not answer.")`)
	b.eval(`document.activeElement.blur(), true`)
	b.waitFor("it to be quiet", `document.querySelector(".tip").hidden`)

	// A pause is told in every tab, and ends.
	b.open("/pauses/new")
	b.eval(`document.querySelector("[name=end][value=exact]").click(), true`)
	if !b.eval(`document.getElementById("exact").checkVisibility() && !document.getElementById("tag").checkVisibility()`) {
		t.Error("the fields of an exact end are not those that are shown")
	}
	b.eval(`document.querySelector("[name=end][value=hour]").click(), document.querySelector("main form").requestSubmit(), true`)
	b.waitFor("the banner", `location.pathname === "/schedules" && document.readyState === "complete" && document.querySelector(".banner")?.textContent.includes("All schedules are paused until")`)
	b.eval(`document.querySelector(".banner button").click(), true`)
	b.waitFor("the end of the pause", `document.readyState === "complete" && document.querySelector(".notice")?.textContent.includes("The pause has ended") && document.querySelector(".banner") === null`)
	for len(b.told) > 0 {
		if text := <-b.told; !strings.Contains(text, "/events") {
			t.Errorf("the browser complains: %s", text)
		}
	}
}

func TestManyHostsAreShownAPageAtATime(t *testing.T) {
	r := newRig(t)
	for n := range 60 {
		_, group := r.host(fmt.Sprintf("web-%03d", n))
		r.planned(group, "30 2 * * *")
	}
	first := r.ask(auth.Viewer, "/schedules", nil)
	if rows := strings.Count(first.body, `class="line-row"`); rows != 50 || strings.Count(first.body, `<tr id="schedule-`) != 50 || !strings.Contains(first.text(".more"), "Next page") {
		t.Errorf("the first page has %d rows", rows)
	}
	if got := r.ask(auth.Viewer, "/schedules?text=web-05", nil); strings.Count(got.body, `class="line-row"`) != 10 {
		t.Errorf("filtered: %d rows", strings.Count(got.body, `class="line-row"`))
	}
	if got := r.ask(auth.Viewer, "/schedules?state=failed", nil); !strings.Contains(got.text("main"), "No host fits") {
		t.Errorf("no host fits: %s", got.text("main"))
	}
}
