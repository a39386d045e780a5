package ui_test

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
	"github.com/restic-manager/restic-manager/internal/store"
)

// values are what a browser would send of the first form that the selector meets.
func (a answer) values(selector string) url.Values {
	a.t.Helper()
	root, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		a.t.Fatal(err)
	}
	form := cascadia.Query(root, cascadia.MustCompile(selector))
	if form == nil {
		a.t.Fatalf("there is no form %s: %s", selector, a.text("main"))
	}
	attributes := func(node *html.Node) map[string]string {
		found := map[string]string{}
		for _, one := range node.Attr {
			found[one.Key] = one.Val
		}
		return found
	}
	sent := url.Values{}
	for _, node := range cascadia.QueryAll(form, cascadia.MustCompile("input[name], textarea[name], select[name]")) {
		has := attributes(node)
		_, checked := has["checked"]
		switch {
		case node.Data == "textarea" && node.FirstChild != nil:
			sent.Add(has["name"], node.FirstChild.Data)
		case node.Data == "textarea":
			sent.Add(has["name"], "")
		case node.Data == "select":
			option := cascadia.Query(node, cascadia.MustCompile("option[selected]"))
			if option == nil {
				option = cascadia.Query(node, cascadia.MustCompile("option"))
			}
			sent.Add(has["name"], attributes(option)["value"])
		case (has["type"] == "checkbox" || has["type"] == "radio") && !checked:
		default:
			sent.Add(has["name"], has["value"])
		}
	}
	return sent
}

// machine makes a host of the rig that system, with what its policy lets run
// beside a backup, and online for as long as the test may take.
func (r *rig) machine(host fleet.Host, system string, hooks ...string) fleet.Host {
	r.t.Helper()
	host.OS, host.HookNames, host.HooksSent, host.LastSeenAt = system, hooks, len(hooks) > 0, time.Now()
	host.Allowed = append(host.Allowed, job.PreviewSources)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NodeLease(ctx, "node", time.Now(), time.Now().Add(time.Hour)); err != nil {
			return err
		}
		return tx.OpenSession(ctx, "node", host)
	})
	return host
}

// fullGroup has something in every field.
func fullGroup(known fleet.SourceGroup) fleet.SourceGroup {
	known.Name, known.Includes, known.Excludes = "all of it", []string{`C:\Users`, ` D:\a b `[1:]}, []string{"*.tmp", "[a-z] x"}
	known.Options = fleet.GroupOptions{OneFileSystem: true, ExcludeCaches: true, UseVSS: true, LimitUploadKiB: 1, LimitDownloadKiB: 2, RetryLockMinutes: 3,
		Tags: []string{"a", "b"}, RetryMax: 4, RetryBackoffSeconds: 5, ShrinkPercent: 6, PreHook: &job.Hook{Name: "dump", TimeoutSeconds: 7},
		PostHook: &job.Hook{Command: []string{"notify", " with space", "--x=<y>"}, TimeoutSeconds: 8}}
	known.Retention = fleet.Retention{KeepLast: 9, KeepHourly: 10, KeepDaily: 11, KeepWeekly: 12, KeepMonthly: 13, KeepYearly: 14, KeepWithinDays: 15}
	return known
}

// TestSourceFormRoundTrip opens the form of a group that has something in every
// field and sends it back as a browser does.
func TestSourceFormRoundTrip(t *testing.T) {
	r := newRig(t)
	host, group := r.host("laptop")
	r.machine(host, "windows", "dump")
	want := fullGroup(group)
	for _, fields := range []any{want.Options, want.Retention} {
		for i := range reflect.TypeOf(fields).NumField() {
			if reflect.ValueOf(fields).Field(i).IsZero() {
				t.Errorf("the test leaves %s empty", reflect.TypeOf(fields).Field(i).Name)
			}
		}
	}
	if _, err := r.control.UpdateGroup(t.Context(), auth.Server, want); err != nil {
		t.Fatal(err)
	}
	path := "/hosts/" + string(host.ID) + "/sources/" + string(group.ID) + "/edit"
	again := func(form url.Values) fleet.SourceGroup {
		t.Helper()
		if got := r.ask(auth.Operator, path, form); got.status != http.StatusSeeOther {
			t.Fatalf("save = %d %s", got.status, got.text("main"))
		}
		saved, err := r.store.Group(t.Context(), group.ID)
		if err != nil {
			t.Fatal(err)
		}
		return saved
	}
	form := r.ask(auth.Operator, path, nil).values(".source-form")
	got := again(form)
	want.UpdatedAt, want.CreatedAt = got.UpdatedAt, got.CreatedAt
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the group came back as\n%+v, want\n%+v", got, want)
	}
	for field, value := range map[string]string{"pre_hook": "", "post_hook": "name:dump", "post_hook_timeout": "90", "use_vss": "", "tags": "", "limit_download_kib": " 77 "} {
		form.Set(field, value)
	}
	got = again(form)
	if o := got.Options; o.PreHook != nil || o.PostHook == nil || !reflect.DeepEqual(*o.PostHook, job.Hook{Name: "dump", TimeoutSeconds: 90}) || o.UseVSS || len(o.Tags) > 0 || o.LimitDownloadKiB != 77 {
		t.Errorf("changed options are %+v, post-hook %+v", o, o.PostHook)
	}
}

func TestSourceFormTellsWhatIsWrongBesideTheField(t *testing.T) {
	r := newRig(t)
	host, group := r.host("laptop")
	r.machine(host, "linux", "dump")
	path := "/hosts/" + string(host.ID) + "/sources/" + string(group.ID) + "/edit"
	good := r.ask(auth.Operator, path, nil).values(".source-form")
	for field, test := range map[string]struct{ value, note, says string }{
		"retry_max":             {"0", "#retry_max-note", "1 to 100 attempts"},
		"retry_backoff_seconds": {"x", "#retry_backoff_seconds-note", "not a number"},
		"retry_lock_minutes":    {"-1", "#retry_lock_minutes-note", "0 to 1440"},
		"limit_upload_kib":      {"-1", "#limit_upload_kib-note", "0 (none) or more"},
		"limit_download_kib":    {"-1", "#limit_download_kib-note", "0 (none) or more"},
		"shrink_percent":        {"100", "#shrink_percent-note", "99 percent"},
		"tags":                  {"rm-group:x", "#tags-note", "can't be a tag"},
		"pre_hook":              {"command", "#pre_hook-note", "Say what to run"},
		"post_hook_timeout":     {"soon", "#post_hook-note", "not a number"},
		"excludes":              {"x\x00", "#excludes-note", "NUL byte"},
	} {
		form := url.Values{}
		for name, value := range good {
			form[name] = value
		}
		form.Set("post_hook", "name:dump")
		form.Set(field, test.value)
		got := r.ask(auth.Operator, path, form)
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text(test.note), test.says) {
			t.Errorf("%s = %q: %d, beside it %q", field, test.value, got.status, got.text(test.note))
		}
		if field != "tags" && field != "excludes" && got.text("details[open] "+test.note) == "" {
			t.Errorf("%s: the mistake is folded away", field)
		}
	}
}

func TestSourceFormShowsWhatTheHostCanDo(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	host = r.machine(host, "linux")
	path := "/hosts/" + string(host.ID) + "/sources/" + string(group.ID) + "/edit"
	page := r.ask(auth.Operator, path, nil)
	if strings.Contains(page.body, `name="use_vss"`) || !strings.Contains(page.text(".folds"), "web-1 lets nothing run beside a backup") || !strings.Contains(page.text(".folds .example"), "hooks:") {
		t.Errorf("the form of a Linux machine without hooks shows %s", page.text("main"))
	}
	// What it does not show it leaves alone.
	set := fullGroup(group)
	set.Includes, set.Options.PreHook, set.Options.PostHook = []string{"/etc"}, nil, nil
	if _, err := r.control.UpdateGroup(t.Context(), auth.Server, set); err != nil {
		t.Fatal(err)
	}
	r.ask(auth.Operator, path, r.ask(auth.Operator, path, nil).values(".source-form"))
	saved, err := r.store.Group(t.Context(), group.ID)
	if err != nil || !saved.Options.UseVSS {
		t.Errorf("the shadow copy was lost: %+v %v", saved.Options, err)
	}
	// A hook that the policy no longer names is pointed out, and stays until a person decides.
	set.Options.PreHook = &job.Hook{Name: "gone", TimeoutSeconds: 60}
	if _, err := r.control.UpdateGroup(t.Context(), auth.Server, set); err != nil {
		t.Fatal(err)
	}
	page = r.ask(auth.Operator, path, nil)
	if !strings.Contains(page.text("#pre_hook-note"), "does not allow this any more") || page.values(".source-form").Get("pre_hook") != "name:gone" {
		t.Errorf("a hook that is not allowed shows %s", page.text(".hook"))
	}
	// Commands can be typed only where the policy lets the server send them.
	if strings.Contains(page.body, `name="pre_hook_command"`) {
		t.Error("a command can be typed though the policy lets none be sent")
	}
	r.machine(host, "linux", "dump")
	if page = r.ask(auth.Operator, path, nil); !strings.Contains(page.body, `name="pre_hook_command"`) || !strings.Contains(page.text("#post_hook"), "dump") {
		t.Errorf("what the policy allows is not offered: %s", page.text(".folds"))
	}
}

func TestPresetsAddTheirPatterns(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	r.machine(host, "linux")
	path := "/hosts/" + string(host.ID) + "/sources/" + string(group.ID) + "/edit"
	preset := fleet.PresetsFor("linux")[0]
	form := r.ask(auth.Operator, path, nil).values(".source-form")
	if form.Has("preset") {
		t.Fatal("a preset is ticked though nothing is left out")
	}
	form.Set("excludes", "*.iso\r\n"+preset.Patterns[0])
	form.Set("preset", preset.ID)
	r.ask(auth.Operator, path, form)
	saved, err := r.store.Group(t.Context(), group.ID)
	if want := slices.Concat([]string{"*.iso"}, preset.Patterns); err != nil || !slices.Equal(saved.Excludes, want) {
		t.Errorf("left out is %q, want %q, %v", saved.Excludes, want, err)
	}
	if again := r.ask(auth.Operator, path, nil).values(".source-form"); !slices.Contains(again["preset"], preset.ID) {
		t.Error("the preset is not ticked though all its patterns are there")
	}
}

func (r *rig) schedule(group fleet.SourceGroup, cron string) {
	r.t.Helper()
	one := fleet.Schedule{ID: job.ScheduleID(job.NewULID(time.Now())), Host: group.Host, Groups: []job.GroupID{group.ID}, Enabled: true,
		Rule: schedule.Rule{Cron: cron, TimeZone: "Europe/Berlin", Missed: schedule.RunOnce}, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertSchedule(ctx, one) })
}

func TestNotesFollowTheFormAndTheSchedules(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	base := "/hosts/" + string(host.ID) + "/sources"
	if got := r.ask(auth.Viewer, base, nil); !strings.Contains(got.text(".notes"), "No schedule runs this group") || !strings.Contains(got.text(".pairs"), "only by hand") {
		t.Errorf("a group without a schedule shows %s", got.text("main"))
	}
	r.schedule(group, "30 2 * * *")
	if got := r.ask(auth.Viewer, base, nil); !strings.Contains(got.text(".notes"), "48 hourly can't be filled") || !strings.Contains(got.text(".pairs"), "every day at 02:30 Europe/Berlin, next in") {
		t.Errorf("a group with a daily schedule shows %s", got.text("main"))
	}
	form := url.Values{"keep_daily": {"7"}, "retry_max": {"3"}, "retry_backoff_seconds": {"60"}, "limit_upload_kib": {"2048"}, "shrink_percent": {"20"},
		"includes": {"/srv/*"}, "pre_hook": {"name:dump"}}
	got := r.ask(auth.Operator, base+"/notes?group="+string(group.ID), form, "HX-Request", "true")
	for id, want := range map[string]string{"#keep-notes": "", "#retry-note": "tries 3 times over about 3 minutes", "#speed-note": "up 2.0 MiB/s",
		"#guard-note": "warns when a backup is smaller by more than 20 %", "#hooks-note": "before: dump"} {
		if text := got.text(id); text != want {
			t.Errorf("%s says %q, want %q", id, text, want)
		}
	}
	if !strings.Contains(got.text("#includes-hint"), "looks like a pattern") {
		t.Error("a path that looks like a pattern is not pointed out")
	}
	form.Set("keep_hourly", "24")
	if got := r.ask(auth.Operator, base+"/notes?group="+string(group.ID), form); !strings.Contains(got.text("#keep-notes"), "24 hourly can't be filled: backups are at least 1 day apart") {
		t.Errorf("the rule that can't be filled: %q", got.text("#keep-notes"))
	}
	form.Set("keep_hourly", "many")
	if got := r.ask(auth.Operator, base+"/notes?group="+string(group.ID), form); got.text("#keep-notes") != "" {
		t.Errorf("a rule that can't be read is judged: %q", got.text("#keep-notes"))
	}
}

// endPreview is the host's answer to the newest look.
func (r *rig) endPreview(host job.HostID, state job.State, end store.End) job.ID {
	r.t.Helper()
	active, err := r.store.ActiveJobs(r.t.Context(), host)
	if err != nil || len(active) != 1 || active[0].Kind != job.PreviewSources {
		r.t.Fatalf("under way: %+v, %v", active, err)
	}
	end.At = time.Now()
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.MoveJob(ctx, active[0].ID, active[0].State, state, job.ByAgent, time.Now()); err != nil {
			return err
		}
		return tx.EndJob(ctx, active[0].ID, end)
	})
	return active[0].ID
}

func TestPreviewOfAFormThatIsNotSaved(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	path := "/hosts/" + string(host.ID) + "/preview"
	form := url.Values{"includes": {"/home\n/gone"}, "excludes": {"*.iso\n*.bak"}, "exclude_caches": {"yes"}}
	ask := func() answer { return r.ask(auth.Operator, path, form, "HX-Request", "true") }
	r.machine(host, "linux")
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.CloseSession(ctx, "node", host.ID, time.Now())
	})
	if got := ask(); got.status != http.StatusOK || !strings.Contains(got.text("#preview .panel"), "web-1 is offline") {
		t.Errorf("while the host is away: %d %s", got.status, got.text("#preview"))
	}
	r.machine(host, "linux")
	form.Set("includes", "home")
	if got := ask(); !strings.Contains(got.text("#preview .panel"), "not a whole path") {
		t.Errorf("a wrong path: %s", got.text("#preview"))
	}
	form.Set("includes", "/home\n/gone")
	got := ask()
	if !strings.Contains(got.text("#preview"), "web-1 is counting") || !strings.Contains(got.body, "data-live") {
		t.Fatalf("asked: %s", got.body)
	}
	id := r.endPreview(host.ID, job.Succeeded, store.End{Summary: &job.Summary{Preview: &job.Preview{Files: 1204, Bytes: 3 << 30, Missing: []string{"/gone\u202e"}, Partial: true, Unreadable: 2, Seconds: 1.5,
		Rules: []job.PreviewRule{{Pattern: "*.iso", Files: 2, Bytes: 1 << 30, Samples: []job.PreviewSample{{Path: "/home/<b>\n.iso", Bytes: 1 << 29}}}, {Pattern: "*.bak"}, {Pattern: "x", Files: 7, Bytes: 2 << 30}}}}})
	got = r.ask(auth.Operator, path+"/"+string(id), nil, "HX-Request", "true")
	text := got.text("#preview")
	for _, want := range []string{"Saved3.0 GiB at least", "1,204 files", "Left out3.0 GiB", "1 path does not exist there:/gone\\u202e", "ran out before all was counted", "2 folders could not be listed",
		"*.iso2 files1.0 GiB", `/home/<b>\n.iso512.0 MiB`, "1 rule takes out nothing:*.bak", "Caches that carry a CACHEDIR.TAG7 files2.0 GiB"} {
		if !strings.Contains(text, want) {
			t.Errorf("the answer does not say %q: %s", want, text)
		}
	}
	if strings.Index(text, "Caches that") > strings.Index(text, "*.iso") {
		t.Error("the rule that takes out most does not come first")
	}
	if strings.Contains(got.body, "data-live") || strings.Contains(got.body, "<html") || strings.Contains(got.body, "<b>\n") {
		t.Error("the answer is not a fragment at rest, or a name got into the markup")
	}
	ask()
	id = r.endPreview(host.ID, job.Failed, store.End{Error: "The agent is too old.", Summary: &job.Summary{Advice: "Update it."}})
	if got := r.ask(auth.Operator, path+"/"+string(id), nil, "HX-Request", "true"); !strings.Contains(got.text("#preview .panel"), "The agent is too old. Update it.") {
		t.Errorf("a look that failed: %s", got.text("#preview"))
	}
	if got := r.ask(auth.Operator, path+"/"+string(id), nil); got.header.Get("Location") != "/jobs/"+string(id) {
		t.Errorf("without a script the answer is at %q", got.header.Get("Location"))
	}
	other, _ := r.host("web-2")
	backup := r.job(group, job.Running, 0)
	for _, wrong := range []string{"/hosts/" + string(other.ID) + "/preview/" + string(id), path + "/" + string(backup.ID)} {
		if got := r.ask(auth.Operator, wrong, nil, "HX-Request", "true"); got.status != http.StatusNotFound {
			t.Errorf("%s = %d", wrong, got.status)
		}
	}
}

// TestPreviewInABrowser fills in a form, asks what it would save, and goes on
// typing while the host counts.
func TestPreviewInABrowser(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	r.machine(host, "linux")
	r.schedule(group, "@daily")
	preset := fleet.PresetsFor("linux")[0]
	b := r.browser()
	b.open("/hosts/" + string(host.ID) + "/sources/" + string(group.ID) + "/edit")
	b.waitFor("the form", `document.getElementById("includes") !== null && "htmxPowered" in document.querySelector(".form-cols").dataset`)
	b.eval(`document.querySelector('[name=preset][value="` + preset.ID + `"]').click(), true`)
	if !b.eval(`document.getElementById("excludes").value.includes(` + "`" + preset.Patterns[0] + "`" + `)`) {
		t.Error("the preset did not add its patterns")
	}
	b.eval(`(() => { const keep = document.getElementById("keep_last"); keep.value = "3"; document.getElementById("retry_max").value = "2"; keep.dispatchEvent(new Event("input", {bubbles: true})); return true; })()`)
	b.waitFor("the notes", `document.getElementById("retry-note").textContent === "tries 2 times over about 60 seconds" && document.getElementById("keep-notes").textContent.includes("48 hourly")`)
	b.eval(`document.querySelector(".preview-card button").click(), true`)
	b.waitFor("the host to be asked", `document.getElementById("preview").textContent.includes("is counting")`)
	b.eval(`document.getElementById("name").focus(), document.getElementById("name").value = "half typ", true`)
	r.endPreview(host.ID, job.Succeeded, store.End{Summary: &job.Summary{Preview: &job.Preview{Files: 12, Bytes: 1 << 20, Seconds: 1, Rules: []job.PreviewRule{{Pattern: "x", Files: 1, Bytes: 5}}}}})
	b.waitFor("the answer", `document.getElementById("preview").textContent.includes("1.0 MiB")`)
	if !b.eval(`document.querySelector("[data-stale]").hidden && document.activeElement.value === "half typ" && window.sameDocument === true`) {
		t.Error("the answer disturbed the form, or calls itself old")
	}
	b.eval(`(() => { const list = document.getElementById("excludes"); list.value = ""; list.dispatchEvent(new Event("input", {bubbles: true})); return true; })()`)
	if b.eval(`document.querySelector("[data-stale]").hidden || document.querySelector('[name=preset]:checked') !== null`) {
		t.Error("a changed form does not say that the answer is of another, or a preset stays ticked")
	}
	b.eval(`document.querySelector(".source-form .btn-primary").click(), true`)
	b.waitFor("the group to be saved", `location.search.includes("said=group-changed")`)
	if saved, err := r.store.Group(t.Context(), group.ID); err != nil || saved.Name != "half typ" || saved.Retention.KeepLast != 3 || len(saved.Excludes) != 0 {
		t.Errorf("saved: %+v %v", saved, err)
	}
	for len(b.told) > 0 {
		t.Errorf("the browser complains: %s", <-b.told)
	}
}

func TestHostSettings(t *testing.T) {
	r := newRig(t)
	host, group := r.host("laptop")
	path := "/hosts/" + string(host.ID) + "/settings"
	form := r.ask(auth.Operator, path, nil).values("main form.form")
	if form.Get("presence") != string(fleet.AlwaysOn) || form.Has("slots") {
		t.Errorf("the form of an endpoint is %v", form)
	}
	form.Set("presence", string(fleet.Intermittent))
	form.Set("name", "laptop-ann")
	if got := r.ask(auth.Operator, path, form); got.status != http.StatusSeeOther || got.header.Get("Location") != path+"?said=host-changed" {
		t.Fatalf("save = %d %s", got.status, got.text("main"))
	}
	if saved, err := r.store.Host(t.Context(), host.ID); err != nil || saved.Presence != fleet.Intermittent || saved.Name != "laptop-ann" {
		t.Errorf("saved: %+v %v", saved, err)
	}
	form.Set("presence", "sometimes")
	if got := r.ask(auth.Operator, path, form); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text(".field-error"), "always_on or intermittent") {
		t.Errorf("an unknown presence = %d %s", got.status, got.text("main"))
	}
	if got := r.ask(auth.Viewer, path, nil); strings.Contains(got.body, `name="presence"`) || strings.Contains(got.body, "typed_name") || !strings.Contains(got.text("#host-facts"), "none yet") {
		t.Errorf("a viewer sees %s", got.text("main"))
	}
	// The plan that it has, and the one that it should have.
	wanted, err := r.control.PlanDigest(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	host.PlanDigest, host.PlanAt = wanted, time.Now().Add(-time.Hour)
	r.machine(host, "linux", "dump", "freeze")
	if got := r.ask(auth.Viewer, path, nil).text("#host-facts"); !strings.Contains(got, "up to datethe one that it has came 1 h ago") || !strings.Contains(got, "dumpfreezecommands that this server sends") {
		t.Errorf("an agent with its plan: %s", got)
	}
	group.Includes = []string{"/srv"}
	if _, err := r.control.UpdateGroup(t.Context(), auth.Server, group); err != nil {
		t.Fatal(err)
	}
	wantWord := func(word string) {
		t.Helper()
		if got := r.ask(auth.Viewer, path, nil).text("#host-facts .state-word"); got != word {
			t.Errorf("the plan is %q, want %q", got, word)
		}
	}
	wantWord("being sent")
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.CloseSession(ctx, "node", host.ID, time.Now())
	})
	wantWord("newest not yet taken")
}

// TestABackupWaitsForAHostThatIsOffline: what is asked for meanwhile is not lost.
func TestABackupWaitsForAHostThatIsOffline(t *testing.T) {
	r := newRig(t)
	host, group := r.host("laptop")
	page := r.ask(auth.Operator, "/hosts/"+string(host.ID)+"/sources", nil)
	if !strings.Contains(page.text("main"), "Back up when it is back") || strings.Contains(page.body, " disabled title") {
		t.Fatalf("the page of an offline host: %s", page.text("main"))
	}
	path := "/hosts/" + string(host.ID) + "/sources/" + string(group.ID) + "/run"
	if got := r.ask(auth.Operator, path, url.Values{}); got.status != http.StatusConflict {
		t.Errorf("without waiting = %d", got.status)
	}
	got := r.ask(auth.Operator, path, url.Values{"when_back": {"yes"}})
	if got.status != http.StatusSeeOther {
		t.Fatalf("when it is back = %d %s", got.status, got.text("main"))
	}
	if page := r.ask(auth.Viewer, got.header.Get("Location"), nil); !strings.Contains(page.text(".progress-card"), "waits for its host") {
		t.Errorf("the job page says %s", page.text("main"))
	}
}

func TestSlotsOfAStorageBox(t *testing.T) {
	r := newRig(t)
	box := fleet.Host{ID: job.HostID(job.NewULID(time.Now())), Name: "vault", ResticHost: "vault", PublicKey: []byte("vault"), EnrolledAt: time.Now(),
		Tags: []string{}, Allowed: []job.Kind{job.Provision, job.Init}, Storage: &fleet.Storage{URL: "https://vault:8000", Slots: fleet.DefaultSlots}}
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.InsertHost(ctx, box) })
	path := "/hosts/" + string(box.ID) + "/settings"
	form := r.ask(auth.Operator, path, nil).values("main form.form")
	if form.Get("slots") != "4" {
		t.Errorf("the form of a storage box is %v", form)
	}
	for value, says := range map[string]string{"": "1 to 1000 slots", "0": "1 to 1000 slots", "1001": "1 to 1000 slots", "few": "not a number"} {
		form.Set("slots", value)
		if got := r.ask(auth.Operator, path, form); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text("#slots-note"), says) {
			t.Errorf("slots %q = %d %q", value, got.status, got.text("#slots-note"))
		}
	}
	form.Set("slots", "12")
	r.ask(auth.Operator, path, form)
	if saved, err := r.store.Host(t.Context(), box.ID); err != nil || saved.Storage.Slots != 12 {
		t.Errorf("saved: %+v %v", saved.Storage, err)
	}
}
