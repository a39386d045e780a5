package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// preview asks the agent for a look at sources.
func (r *rig) preview(spec *job.PreviewSpec) api.Answer {
	r.t.Helper()
	return r.look(job.PreviewSources, spec, nil)
}

// look asks the agent for a look and returns its one answer.
func (r *rig) look(kind job.Kind, spec job.Spec, access *api.Access) api.Answer {
	r.t.Helper()
	id := r.peer.ask(kind, spec, access)
	var answer api.Answer
	testkit.WaitFor(r.t, 20*time.Second, "the answer", func() bool {
		return r.peer.with(func() bool {
			for _, one := range r.peer.answers {
				if one.Job == id {
					answer = one
					return true
				}
			}
			return false
		})
	})
	r.peer.mutex.Lock()
	delete(r.peer.wants, id)
	r.peer.mutex.Unlock()
	if answer.Ended == nil || answer.More {
		r.t.Fatalf("answer = %+v", answer)
	}
	return answer
}

func TestPreviewCountsWhatEachRuleTakesOut(t *testing.T) {
	r := newRig(t, "")
	r.enrol()
	size := func(count int) string { return strings.Repeat("x", count) }
	r.write("source/one.txt", size(10))
	r.write("source/two.txt", size(20))
	r.write("source/sub/keep.log", size(5))
	for i := range 7 {
		r.write(fmt.Sprintf("source/logs/%d.log", i), size(100*(i+1)))
	}
	r.write("source/node_modules/a/index.js", size(1000))
	r.write("source/node_modules/deep/er/x.log", size(2000))
	r.write("source/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
	r.write("source/cache/big", size(300))
	base := filepath.Dir(r.dir)
	source, absent := filepath.Join(base, "source"), filepath.Join(base, "absent")
	if err := os.Symlink("/", filepath.Join(source, "link.log")); err != nil {
		t.Fatal(err)
	}
	r.start()
	answer := r.preview(&job.PreviewSpec{Includes: []string{source, absent}, ExcludeCaches: true, OneFileSystem: true,
		Excludes: []string{"*.log", "!keep.log", "node_modules", "no\xffthing", filepath.Join(source, "logs")}})
	got := answer.Preview
	if answer.Ended.State != job.Succeeded || got == nil {
		t.Fatalf("answer = %+v, %+v", answer, answer.Ended)
	}
	tag := int64(len("Signature: 8a477f597d28d172789f06886806bc55\n"))
	if got.Files != 4 || got.Bytes != 10+20+5+tag || got.Partial || got.Unreadable != 0 || len(got.Missing) != 1 || got.Missing[0] != absent {
		t.Errorf("preview = %+v", got)
	}
	want := []job.PreviewRule{
		{Pattern: "*.log"}, // the link is no file, and the logs are in a folder that another rule takes out first
		{Pattern: "!keep.log"},
		{Pattern: "node_modules", Files: 2, Bytes: 3000},
		{Pattern: "no\uFFFDthing"},
		{Pattern: filepath.Join(source, "logs"), Files: 7, Bytes: 2800},
		{Pattern: "CACHEDIR.TAG", Files: 1, Bytes: 300},
		{Pattern: "other file systems"},
	}
	if len(got.Rules) != len(want) {
		t.Fatalf("rules = %+v", got.Rules)
	}
	for i, rule := range got.Rules {
		if rule.Pattern != want[i].Pattern || rule.Files != want[i].Files || rule.Bytes != want[i].Bytes {
			t.Errorf("rule %d = %+v, want %+v", i, rule, want[i])
		}
	}
	if samples := got.Rules[2].Samples; len(samples) != 1 || samples[0] != (job.PreviewSample{Path: filepath.Join(source, "node_modules"), Bytes: 3000}) {
		t.Errorf("samples = %+v", samples)
	}

	// The same files one by one: the five largest are named.
	got = r.preview(&job.PreviewSpec{Includes: []string{filepath.Join(source, "logs")}, Excludes: []string{"*.log"}}).Preview
	if got.Files != 0 || got.Rules[0].Files != 7 || len(got.Rules[0].Samples) != previewSamples || got.Rules[0].Samples[0].Bytes != 700 || got.Rules[0].Samples[4].Bytes != 300 {
		t.Errorf("preview = %+v", got)
	}
}

// TestPreviewAgreesWithABackup: what is counted is what restic goes through.
func TestPreviewAgreesWithABackup(t *testing.T) {
	r := newRig(t, "").withRepository()
	r.enrol()
	for i, name := range []string{"new\nline", "a[1].txt", "x.bak", "sub/y.bak", "sub/z", " spaces "} {
		r.write("source/"+name, strings.Repeat("y", 10*i))
	}
	r.start()
	spec := r.backupSpec()
	spec.Excludes = []string{"*.bak", `a\[1].txt`}
	ended := r.peer.awaitEnded(r.peer.ask(job.Backup, spec, &r.access))
	got := r.preview(&job.PreviewSpec{Includes: spec.Includes, Excludes: spec.Excludes}).Preview
	if ended.State != job.Succeeded || got.Files != ended.Summary.FilesProcessed || got.Bytes != ended.Summary.BytesProcessed || got.Rules[0].Files != 2 || got.Rules[1].Files != 1 {
		t.Errorf("preview = %+v, backup = %+v", got, ended.Summary)
	}
}

func TestPreviewsThatCannotBe(t *testing.T) {
	r := newRig(t, "allow: [preview]\n")
	r.enrol()
	a := r.start()
	if got := r.preview(&job.PreviewSpec{Includes: []string{"/"}, Excludes: []string{"[a"}}).Ended; got.State != job.Failed || !strings.Contains(got.Error, `"[a"`) {
		t.Errorf("bad pattern: %+v", got)
	}
	a.previewing.Lock()
	if got := r.preview(&job.PreviewSpec{Includes: []string{r.source}}).Ended; got.State != job.Failed || !strings.Contains(got.Error, "another preview") {
		t.Errorf("two at once: %+v", got)
	}
	a.previewing.Unlock()
	if got := r.preview(&job.PreviewSpec{Includes: []string{r.source}}); got.Ended.State != job.Succeeded || got.Preview.Files != 2 {
		t.Errorf("after that: %+v", got)
	}
}

func TestPreviewWithTooManyExclusions(t *testing.T) {
	r := newRig(t, "")
	r.enrol()
	r.start()
	r.peer.awaitConnected(1)
	excludes := make([]string, 30_000)
	for i := range excludes {
		excludes[i] = fmt.Sprint(i)
	}
	answer := r.preview(&job.PreviewSpec{Includes: []string{r.source}, Excludes: excludes})
	if answer.Ended.State != job.Failed || !strings.Contains(answer.Ended.Error, "too many exclusions") || len(r.peer.hellos) != 1 {
		t.Errorf("answer = %+v after %d sessions", answer.Ended, len(r.peer.hellos))
	}
}

func TestPreviewThatTakesTooLong(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec := &job.PreviewSpec{Includes: []string{dir}, Excludes: []string{"none"}}
	walker, err := restic.NewWalker(restic.Selection{Includes: spec.Includes})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	count := newCount(spec, nil, func() bool { return false })
	_, err = walker.Walk(ctx, func(found restic.Found) error {
		if count.preview.Files == 3 {
			cancel(errPreviewTime)
		}
		return count.take(ctx, found)
	})
	if got := count.result(err != nil); !errors.Is(err, errPreviewTime) || !got.Partial || got.Files < 3 || got.Files > 4 {
		t.Errorf("preview = %+v, %v", got, err)
	}
	if err := count.countFolder(ctx, takenOut{path: dir}); !errors.Is(err, errPreviewTime) {
		t.Errorf("a folder is counted after the time: %v", err)
	}
}

func TestLargePreviewFitsAFrame(t *testing.T) {
	long := strings.Repeat("\x01\"", 2000)
	preview := &job.Preview{}
	for range 1000 {
		rule := job.PreviewRule{Pattern: long}
		for range previewSamples {
			rule.Samples = append(rule.Samples, job.PreviewSample{Path: long})
		}
		preview.Rules = append(preview.Rules, rule)
		preview.Missing = append(preview.Missing, long)
	}
	fitted := fitPreview(preview)
	if _, err := api.Encode(&api.Answer{Job: "id", Preview: fitted, Ended: &api.Ended{State: job.Succeeded}}); err != nil {
		t.Error(err)
	}
	if len(fitted.Rules) != 1000 || !strings.HasPrefix(fitted.Missing[len(fitted.Missing)-1], "… and") {
		t.Errorf("%d rules, %d missing", len(fitted.Rules), len(fitted.Missing))
	}
	many := &job.Preview{Rules: make([]job.PreviewRule, 60_000)}
	if got := fitPreview(many); got != nil {
		t.Errorf("a preview with %d rules fits", len(got.Rules))
	}
	small := &job.Preview{Rules: []job.PreviewRule{{Pattern: "a", Samples: []job.PreviewSample{{Path: "b"}}}}, Missing: []string{"c"}}
	if got := fitPreview(small); got.Rules[0].Samples[0].Path != "b" || got.Missing[0] != "c" || got.Rules[0].Pattern != "a" {
		t.Errorf("a small preview became %+v", got)
	}
}
