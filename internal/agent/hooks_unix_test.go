//go:build unix

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// hookRig is a rig whose policy names scripts that write what they see to files
// beside the state folder.
type hookRig struct{ *rig }

func newHookRig(t *testing.T, policy string) hookRig {
	r := hookRig{newRig(t, "")}
	scripts := "hooks:\n  scripts:\n"
	for name, text := range map[string]string{
		"note":    "echo to stdout\necho to stderr >&2\nenv | sort > $0.$RM_HOOK\n",
		"fail":    "echo begun > $0.$RM_HOOK\nexit 3\n",
		"wait":    "echo begun > $0.$RM_HOOK\nsleep 600\n",
		"leave":   "sleep 600 &\necho $! > $0.$RM_HOOK\n",
		"unsafe":  "echo begun > $0.$RM_HOOK\n",
		"tell":    "printf '%s' \"$1\" > $0.$RM_HOOK\n",
		"restore": "echo $RM_STATE: $RM_ERROR >> $0.$RM_HOOK\n",
	} {
		path := r.script(name, text)
		if name == "tell" {
			scripts += fmt.Sprintf("    tell: [%q, \"$HOME; `true` 'x'\"]\n", path)
			continue
		}
		scripts += fmt.Sprintf("    %s: %s\n", name, path)
	}
	scripts += "    gone: /not/there\n"
	if err := os.Chmod(r.file("unsafe"), 0o777); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(r.dir + ".policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r.writePolicy(string(text) + scripts + policy)
	r.withRepository()
	r.enrol()
	return r
}

func (r hookRig) file(name string) string { return filepath.Join(filepath.Dir(r.dir), "hook-"+name) }

func (r hookRig) script(name, text string) string {
	r.t.Helper()
	if err := os.WriteFile(r.file(name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		r.t.Fatal(err)
	}
	return r.file(name)
}

// wrote returns what a script has left, or "" when it did not run.
func (r hookRig) wrote(name string, side api.HookSide) string {
	r.t.Helper()
	text, err := os.ReadFile(r.file(name) + "." + string(side))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r hookRig) awaitHook(name string, side api.HookSide) {
	r.t.Helper()
	testkit.WaitFor(r.t, 20*time.Second, "the "+string(side)+"-hook", func() bool { return r.wrote(name, side) != "" })
}

func (r hookRig) spec(pre, post string) *job.BackupSpec {
	spec := r.backupSpec()
	if pre != "" {
		spec.PreHook = &job.Hook{Name: pre, TimeoutSeconds: 300}
	}
	if post != "" {
		spec.PostHook = &job.Hook{Name: post, TimeoutSeconds: 300}
	}
	return spec
}

func (r hookRig) hookRecords(id job.ID) (found []api.Record) {
	r.peer.mutex.Lock()
	defer r.peer.mutex.Unlock()
	for _, record := range r.peer.records {
		if record.Job == id && record.Kind == api.RecordHook {
			found = append(found, record)
		}
	}
	return found
}

func hookFindings(ended api.Ended) (found []job.Finding) {
	for _, finding := range ended.Summary.Findings {
		if finding.Kind == job.HookFailed {
			found = append(found, finding)
		}
	}
	return found
}

func TestHooksRunAroundABackup(t *testing.T) {
	r := newHookRig(t, "")
	r.start()
	id := r.peer.ask(job.Backup, r.spec("note", "note"), &r.access)
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Succeeded || ended.Error != "" || len(r.snapshots()) != 1 {
		t.Fatalf("ended = %+v", ended)
	}
	want := []api.RecordKind{api.RecordAccepted, api.RecordHook, api.RecordHook, api.RecordStarted, api.RecordHook, api.RecordHook, api.RecordSnapshot, api.RecordEnded}
	if got := r.peer.kindsOf(id); !slices.Equal(got, want) {
		t.Errorf("records = %v, want %v", got, want)
	}
	log := r.peer.logOf(id)
	for _, line := range []string{"pre-hook: to stdout\n", "pre-hook: to stderr\n", "post-hook: to stdout\n", `The pre-hook "note" ended well.`} {
		if !strings.Contains(log, line) {
			t.Errorf("the log does not say %q:\n%s", line, log)
		}
	}
	for side, extra := range map[api.HookSide][]string{api.HookPre: nil, api.HookPost: {"RM_ERROR", "RM_STATE"}} {
		var names []string
		for line := range strings.Lines(r.wrote("note", side)) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			if !slices.Contains([]string{"PWD", "_", "SHLVL", "OLDPWD"}, name) { // the shell's own
				names = append(names, name)
			}
			for known, want := range map[string]string{"RM_JOB_ID": string(id), "RM_GROUP": string(r.group), "RM_GROUP_NAME": "docs", "RM_HOOK": string(side), "RM_STATE": "succeeded"} {
				if name == known && value != want {
					t.Errorf("%s: %s = %q", side, name, value)
				}
			}
		}
		want := append([]string{"HOME", "PATH", "RM_GROUP", "RM_GROUP_NAME", "RM_HOOK", "RM_JOB_ID", "USER"}, extra...)
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("%s has %v, want %v", side, names, want)
		}
	}
	r.assertClean(id)
}

func TestHooksThatKeepABackupFromRunning(t *testing.T) {
	r := newHookRig(t, "")
	a := r.start()
	base := r.backupSpec()
	for _, c := range []struct {
		name      string
		pre, post *job.Hook
		says      string
		begun     bool // whether the post-hook follows
	}{
		{"exit code", &job.Hook{Name: "fail", TimeoutSeconds: 60}, nil, `The pre-hook "fail" ended with exit code 3. Nothing was backed up.`, true},
		{"time", &job.Hook{Name: "wait", TimeoutSeconds: 1}, nil, `The pre-hook "wait" did not end within 1 seconds and was stopped.`, true},
		{"not named", &job.Hook{Name: "other", TimeoutSeconds: 60}, nil, a.policy.File + " names no such script", false},
		{"not there", &job.Hook{Name: "gone", TimeoutSeconds: 60}, nil, "can't be found", false},
		{"anybody's", &job.Hook{Name: "unsafe", TimeoutSeconds: 60}, nil, "can be changed by others", false},
		{"sent", &job.Hook{Command: []string{"/bin/true"}, TimeoutSeconds: 60}, nil, "lets no command of the server run", false},
		{"a post-hook that can't follow", &job.Hook{Name: "note", TimeoutSeconds: 60}, &job.Hook{Name: "other", TimeoutSeconds: 60}, "The post-hook \"other\" was not run", false},
	} {
		spec := *base
		spec.PreHook, spec.PostHook = c.pre, c.post
		if c.post == nil {
			spec.PostHook = &job.Hook{Name: "restore", TimeoutSeconds: 60}
		}
		before := r.wrote("restore", api.HookPost)
		id := r.peer.ask(job.Backup, &spec, &r.access)
		ended := r.peer.awaitEnded(id)
		if ended.State != job.Failed || ended.Trouble != job.TroubleHook || ended.Cause != "" || !strings.Contains(ended.Error, c.says) || ended.Summary.Advice == "" || len(hookFindings(ended)) != 1 {
			t.Errorf("%s: ended = %+v %+v", c.name, ended, ended.Summary)
		}
		if slices.Contains(r.peer.kindsOf(id), api.RecordStarted) {
			t.Errorf("%s: restic ran", c.name)
		}
		after := strings.TrimPrefix(r.wrote("restore", api.HookPost), before)
		if c.begun != strings.HasPrefix(after, "failed: The pre-hook") {
			t.Errorf("%s: the post-hook wrote %q", c.name, after)
		}
		r.assertClean(id)
	}
	if r.wrote("unsafe", api.HookPre) != "" || r.wrote("note", api.HookPre) != "" {
		t.Error("a hook ran that must not")
	}
}

func TestPostHookThatFails(t *testing.T) {
	r := newHookRig(t, "  sent: true\n")
	r.start()
	for name, hook := range map[string]*job.Hook{
		`The post-hook "fail" ended with exit code 3.`:     {Name: "fail", TimeoutSeconds: 60},
		`The post-hook "no-such-program" could not be run`: {Command: []string{"no-such-program"}, TimeoutSeconds: 60},
		`The post-hook "other" was not run`:                {Name: "other", TimeoutSeconds: 60},
	} {
		spec := r.backupSpec()
		spec.PostHook = hook
		id := r.peer.ask(job.Backup, spec, &r.access)
		ended := r.peer.awaitEnded(id)
		if ended.State != job.Warning || ended.Trouble != "" || !strings.Contains(ended.Error, name) || len(hookFindings(ended)) != 1 || ended.Summary.SnapshotID == "" {
			t.Errorf("%s: ended = %+v %+v", name, ended, ended.Summary)
		}
	}
	// A backup that failed for its own reason keeps it.
	spec := r.backupSpec(r.source + "-not-there")
	spec.PostHook = &job.Hook{Name: "fail", TimeoutSeconds: 60}
	ended := r.peer.awaitEnded(r.peer.ask(job.Backup, spec, &r.access))
	if ended.State != job.Failed || ended.Trouble != job.TroubleSources || !strings.Contains(ended.Error, "None of the paths") || !strings.Contains(ended.Error, "exit code 3") {
		t.Errorf("ended = %+v", ended)
	}
}

// TestHookArgumentsAreNotRead: nothing reads them as a shell would.
func TestHookArgumentsAreNotRead(t *testing.T) {
	r := newHookRig(t, "  sent: true\n")
	r.start()
	spec := r.spec("tell", "")
	spec.PostHook = &job.Hook{Command: []string{r.file("tell"), "$(id) * ; x"}, TimeoutSeconds: 60}
	if ended := r.peer.awaitEnded(r.peer.ask(job.Backup, spec, &r.access)); ended.State != job.Succeeded {
		t.Fatalf("ended = %+v", ended)
	}
	if pre, post := r.wrote("tell", api.HookPre), r.wrote("tell", api.HookPost); pre != "$HOME; `true` 'x'" || post != "$(id) * ; x" {
		t.Errorf("arguments came as %q and %q", pre, post)
	}
}

func TestCancelInAPreHook(t *testing.T) {
	r := newHookRig(t, "")
	running := r.start()
	id := r.peer.ask(job.Backup, r.spec("wait", "restore"), &r.access)
	r.awaitHook("wait", api.HookPre)
	if phase := running.live.phaseOf(id); phase != job.PhasePreHook {
		t.Errorf("in the pre-hook the phase is %q", phase)
	}
	r.peer.cancel(id)
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Cancelled || ended.Cause != job.CauseOperator || ended.Error != "It was cancelled. Nothing was backed up." {
		t.Errorf("ended = %+v", ended)
	}
	if wrote := r.wrote("restore", api.HookPost); !strings.HasPrefix(wrote, "cancelled: It was cancelled.") {
		t.Errorf("the post-hook wrote %q", wrote)
	}
	if len(r.snapshots()) != 0 {
		t.Error("a snapshot was made")
	}
	r.assertClean(id)
}

// TestStopAsAPreHookBegins: the job is stopped, and its hook has not failed.
func TestStopAsAPreHookBegins(t *testing.T) {
	r := newClockRig(t, nil)
	info, _ := job.InfoOf(job.Backup)
	spec := &job.BackupSpec{}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(stopError{causeStopped})
	err := r.runHook(ctx, r.newTask(job.NewID(noon), info, spec, nil), spec, &hook{side: api.HookPre, argv: []string{"/bin/sh"}, timeout: time.Minute}, nil)
	if ended := hookFailed(err).ended; ended.State != job.Cancelled || ended.Cause != job.CauseAgentStopped {
		t.Errorf("ended = %+v", ended)
	}
}

// TestPostHookIsNotCancelled: the work was done before the wish came.
func TestPostHookIsNotCancelled(t *testing.T) {
	r := newHookRig(t, "")
	r.script("wait", "echo begun > $0.$RM_HOOK\nwhile ! test -e $0.go; do sleep 0.1; done\n")
	running := r.start()
	id := r.peer.ask(job.Backup, r.spec("", "wait"), &r.access)
	r.awaitHook("wait", api.HookPost)
	if phase := running.live.phaseOf(id); phase != job.PhasePostHook {
		t.Errorf("in the post-hook the phase is %q", phase)
	}
	r.peer.cancel(id)
	r.peer.awaitRecord(id, api.RecordCancel)
	if err := os.WriteFile(r.file("wait")+".go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded {
		t.Errorf("ended = %+v", ended)
	}
}

func TestHookThatLeavesAChild(t *testing.T) {
	r := newHookRig(t, "")
	r.start()
	id := r.peer.ask(job.Backup, r.spec("leave", ""), &r.access)
	if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded {
		t.Errorf("ended = %+v", ended)
	}
	r.assertClean(id)
}

// TestAgentStoppedInAPostHook: it has the time that restic has, and no more.
func TestAgentStoppedInAPostHook(t *testing.T) {
	r := newHookRig(t, "")
	a := r.start()
	id := r.peer.ask(job.Backup, r.spec("", "wait"), &r.access)
	r.awaitHook("wait", api.HookPost)
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Warning || !strings.Contains(ended.Error, `The post-hook "wait" was stopped before its end.`) {
		t.Errorf("ended = %+v", ended)
	}
	r.assertClean(id)
}

func TestAgentKilledInAHook(t *testing.T) {
	for name, c := range map[string]struct {
		pre, post string
		in        api.HookSide
		state     job.State
		cause     job.Cause
		says      string
		restored  string
	}{
		"pre":          {"wait", "restore", api.HookPre, job.Lost, job.CauseRestarted, "no snapshot of it was found", "lost: The agent was restarted"},
		"post":         {"note", "wait", api.HookPost, job.Succeeded, job.CauseRestarted, "", ""},
		"post by fail": {"fail", "wait", api.HookPost, job.Failed, "", `The pre-hook "fail" ended with exit code 3. Nothing was backed up.`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHookRig(t, "")
			process := r.spawn()
			id := r.peer.ask(job.Backup, r.spec(c.pre, c.post), &r.access)
			r.awaitHook("wait", c.in)
			process.Kill()
			if left, err := restic.Machine.FindLeft(string(id)); err != nil || len(left) == 0 {
				t.Fatalf("left = %v, %v", left, err)
			}
			r.script("wait", "echo again >> $0.$RM_HOOK\n")
			r.start()
			ended := r.peer.awaitEnded(id)
			if ended.State != c.state || ended.Cause != c.cause || !strings.Contains(ended.Error, c.says) {
				t.Errorf("ended = %+v", ended)
			}
			if wrote := r.wrote("restore", api.HookPost); !strings.HasPrefix(wrote, c.restored) || (wrote == "") != (c.restored == "") {
				t.Errorf("the post-hook wrote %q", wrote)
			}
			if c.in == api.HookPost && r.wrote("wait", api.HookPost) != "begun\nagain\n" {
				t.Errorf("the post-hook that was cut off did not run again: %q", r.wrote("wait", api.HookPost))
			}
			var last api.HookRun
			for _, record := range r.hookRecords(id) {
				last = api.HookRun{}
				if err := json.Unmarshal(record.Body, &last); err != nil {
					t.Fatal(err)
				}
			}
			if last.Side != api.HookPost || !last.Over || last.Error != "" {
				t.Errorf("last hook record = %+v", last)
			}
			r.assertClean(id)
		})
	}
}

// TestRecoveryOfAPostHookThatIsOver does not run it again.
func TestRecoveryOfAPostHookThatIsOver(t *testing.T) {
	r := newHookRig(t, "")
	id := job.NewID(time.Now())
	r.leaveJournal([]left{
		{api.RecordAccepted, id, api.Accepted{Kind: job.Backup, Spec: mustJSON(t, r.spec("note", "restore"))}},
		{api.RecordHook, id, api.HookRun{Side: api.HookPre}}, {api.RecordHook, id, api.HookRun{Side: api.HookPre, Over: true}},
		{api.RecordStarted, id, api.Started{}},
		{api.RecordHook, id, api.HookRun{Side: api.HookPost}}, {api.RecordHook, id, api.HookRun{Side: api.HookPost, Over: true, Error: "It went wrong."}},
	})
	r.start()
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Lost || !strings.HasSuffix(ended.Error, "It went wrong.") || len(hookFindings(ended)) != 1 {
		t.Errorf("ended = %+v", ended)
	}
	if wrote := r.wrote("restore", api.HookPost); wrote != "" {
		t.Errorf("the post-hook ran again and wrote %q", wrote)
	}
}

func TestScriptsThatOthersMayChange(t *testing.T) {
	base := t.TempDir()
	make := func(mode os.FileMode, dirMode os.FileMode) string {
		dir, err := os.MkdirTemp(base, "d") //nolint:usetesting // one folder for each mode
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "script")
		if err := errors.Join(os.WriteFile(path, nil, 0o700), os.Chmod(path, mode), os.Chmod(dir, dirMode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	links := 0
	link := func(dir, target string) string {
		links++
		path := filepath.Join(dir, fmt.Sprint("link", links))
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := func() string { return filepath.Dir(make(0o700, 0o777)) } // a folder that others may change
	good := make(0o755, 0o755)
	for _, c := range []struct {
		path string
		ok   bool
	}{
		{make(0o755, 0o755), true},
		{make(0o755, 0o777|os.ModeSticky), true},
		{make(0o775, 0o755), false},
		{make(0o702, 0o755), false},
		{make(0o755, 0o777), false},
		{link(base, make(0o700, 0o777)), false},
		{link(base, good), true},
		{link(base, filepath.Join("..", filepath.Base(base), filepath.Base(filepath.Dir(good)), "script")), true},
		{link(open(), good), false},
		{link(base, link(open(), good)), false},
		{filepath.Join(link(open(), filepath.Dir(good)), "script"), false},
		{filepath.Join(link(base, filepath.Dir(good)), "script"), true},
		{link(base, "link"+fmt.Sprint(links+1)), false}, // itself
		{base, false},
		{filepath.Join(base, "none"), false},
	} {
		if problem := scriptProblem(c.path); (problem == "") != c.ok {
			t.Errorf("%s: %q", c.path, problem)
		}
	}
}
