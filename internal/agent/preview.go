package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// Bounds of a look at sources.
const (
	previewTime = time.Minute
	// previewPatience is how long a walk may take to notice its end. One that
	// hangs, as it can on a dead network mount, can't be ended by anyone and is left.
	previewPatience = time.Second
	previewSamples  = 5
	// previewQueue is how many folders that were taken out wait to be counted.
	previewQueue = 20_000
	// maxPreview bounds an answer, in bytes of JSON: half a frame.
	maxPreview = api.MaxFrame / 2
	// maxShown bounds one path or pattern in it, in bytes.
	maxShown = 1024
	// While jobs are at work a walk rests as long as it works.
	previewSpell = 20 * time.Millisecond
)

// errPreviewTime ends a look that has taken its time.
var errPreviewTime = errors.New("the time for a preview is over")

// lookPreview counts what a source group would save and what its rules take out.
func (a *Agent) lookPreview(ctx context.Context, spec job.Spec, _ *api.Access) lookAnswer {
	asked, ok := spec.(*job.PreviewSpec)
	if !ok {
		return lookAnswer{ended: failed(fmt.Sprintf("The order %T is not one for a preview.", spec), "Update the agent on this machine.").ended}
	}
	if !a.previewing.TryLock() {
		return lookAnswer{ended: failed("This machine counts for another preview already.", "Ask again in a minute.").ended}
	}
	walker, err := restic.NewWalker(restic.Selection{Includes: asked.Includes, Excludes: asked.Excludes,
		OneFileSystem: asked.OneFileSystem, ExcludeCaches: asked.ExcludeCaches, CacheDir: a.cacheDir()})
	if err != nil {
		a.previewing.Unlock()
		sentence, advice := explainStart(err)
		return lookAnswer{ended: failed(sentence, advice).ended}
	}
	limited, cancel := context.WithTimeoutCause(ctx, previewTime, errPreviewTime)
	defer cancel()
	count := newCount(asked, mounts(), a.tasks.working)
	over := make(chan error, 1)
	go func() {
		defer a.previewing.Unlock()
		over <- count.run(limited, walker)
	}()
	select {
	case err = <-over:
	case <-limited.Done():
		select {
		case err = <-over:
		case <-time.After(previewPatience):
			err = context.Cause(limited)
		}
	}
	if cause := causeOf(context.Cause(ctx)); ctx.Err() != nil {
		return lookAnswer{ended: api.Ended{State: job.Cancelled, Cause: cause, Error: "It was stopped before it had an answer."}}
	}
	if err != nil && !errors.Is(err, errPreviewTime) {
		return lookAnswer{ended: failed("The sources could not be looked at"+colon(err.Error())+".", "").ended}
	}
	preview := fitPreview(count.result(err != nil))
	if preview == nil {
		return lookAnswer{ended: failed("The source group has too many exclusions for a preview.", "A backup may still take them. Ask for a preview with fewer.").ended}
	}
	return lookAnswer{preview: preview, ended: api.Ended{State: job.Succeeded, Summary: &job.Summary{}}}
}

// sourceCount is a preview while it is being made.
type sourceCount struct {
	begun   time.Time
	busy    func() bool // whether jobs are at work
	mounts  []mount
	indexOf map[int]int // of a restic rule, among those of the preview
	later   []takenOut  // folders that are counted once all that stays is

	spell time.Time // when the walk last rested
	steps int

	mutex   sync.Mutex // a walk that hangs is read while it does
	preview job.Preview
}

type takenOut struct {
	path string
	rule int
}

func newCount(asked *job.PreviewSpec, mounts []mount, busy func() bool) *sourceCount {
	c := &sourceCount{begun: time.Now(), busy: busy, mounts: mounts, indexOf: map[int]int{}, spell: time.Now()}
	for i, pattern := range asked.Excludes {
		c.indexOf[i] = i
		c.preview.Rules = append(c.preview.Rules, job.PreviewRule{Pattern: pattern})
	}
	for _, further := range []struct {
		on      bool
		rule    int
		pattern string
	}{{asked.ExcludeCaches, restic.RuleCaches, "CACHEDIR.TAG"}, {asked.OneFileSystem, restic.RuleFileSystem, "other file systems"}} {
		if further.on {
			c.indexOf[further.rule] = len(c.preview.Rules)
			c.preview.Rules = append(c.preview.Rules, job.PreviewRule{Pattern: further.pattern})
		}
	}
	return c
}

// run counts all that would be saved, then what is in the folders that are not.
func (c *sourceCount) run(ctx context.Context, walker *restic.Walker) error {
	missing, err := walker.Walk(ctx, func(found restic.Found) error { return c.take(ctx, found) })
	c.mutex.Lock()
	c.preview.Missing = missing
	c.mutex.Unlock()
	for _, folder := range c.later {
		if err != nil {
			return err
		}
		err = c.countFolder(ctx, folder)
	}
	return err
}

// take counts what the walk has met.
func (c *sourceCount) take(ctx context.Context, found restic.Found) error {
	c.rest(ctx)
	if found.Err != nil {
		if found.Info == nil && errors.Is(found.Err, os.ErrNotExist) {
			return nil // it went meanwhile
		}
		c.mutex.Lock()
		c.preview.Unreadable++
		c.mutex.Unlock()
		return nil
	}
	if found.Rule == restic.NoRule {
		if found.Info.Mode().IsRegular() {
			c.mutex.Lock()
			c.preview.Files++
			c.preview.Bytes += found.Info.Size()
			c.mutex.Unlock()
		}
		return nil
	}
	out := takenOut{found.Path, c.indexOf[found.Rule]}
	if found.Info.IsDir() {
		if len(c.later) < previewQueue {
			c.later = append(c.later, out)
			return nil
		}
		return c.countFolder(ctx, out)
	}
	size := int64(0)
	if found.Info.Mode().IsRegular() && !isKernels(found.Path, c.mounts) {
		size = found.Info.Size()
		c.add(out.rule, size)
	}
	c.sample(out, size)
	return nil
}

// countFolder counts the files in a folder that a rule takes out.
func (c *sourceCount) countFolder(ctx context.Context, out takenOut) error {
	bytes, err := c.below(ctx, out.path, out.rule)
	c.sample(out, bytes)
	return err
}

// below counts the files in a folder and below it; its error is that of ctx.
func (c *sourceCount) below(ctx context.Context, dir string, rule int) (bytes int64, err error) {
	if isKernels(dir, c.mounts) {
		return 0, nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		c.mutex.Lock()
		c.preview.Unreadable++
		c.mutex.Unlock()
		return 0, nil //nolint:nilerr // counted
	}
	defer func() { _ = folder.Close() }()
	const atOnce = 500
	for {
		entries, readErr := folder.ReadDir(atOnce)
		for _, entry := range entries {
			if c.rest(ctx); ctx.Err() != nil {
				return bytes, context.Cause(ctx)
			}
			if entry.IsDir() {
				more, err := c.below(ctx, filepath.Join(dir, entry.Name()), rule)
				if bytes += more; err != nil {
					return bytes, err
				}
				continue
			}
			if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
				c.add(rule, info.Size())
				bytes += info.Size()
			}
		}
		if readErr != nil {
			if !errors.Is(readErr, io.EOF) {
				c.mutex.Lock()
				c.preview.Unreadable++
				c.mutex.Unlock()
			}
			return bytes, nil
		}
	}
}

func (c *sourceCount) add(rule int, bytes int64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.preview.Rules[rule].Files++
	c.preview.Rules[rule].Bytes += bytes
}

// sample keeps what is among the largest that a rule takes out.
func (c *sourceCount) sample(out takenOut, bytes int64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	samples := c.preview.Rules[out.rule].Samples
	at := slices.IndexFunc(samples, func(s job.PreviewSample) bool { return s.Bytes < bytes })
	if at < 0 {
		at = len(samples)
	}
	if at >= previewSamples {
		return
	}
	samples = slices.Insert(samples, at, job.PreviewSample{Path: out.path, Bytes: bytes})
	c.preview.Rules[out.rule].Samples = samples[:min(len(samples), previewSamples)]
}

// rest lets jobs that are at work have the disk for half of the time.
func (c *sourceCount) rest(ctx context.Context) {
	if c.steps++; c.steps%64 != 0 || time.Since(c.spell) < previewSpell {
		return
	}
	if c.busy() {
		sleep(ctx, previewSpell)
	}
	c.spell = time.Now()
}

// result is what was counted so far.
func (c *sourceCount) result(partial bool) *job.Preview {
	c.mutex.Lock()
	preview := c.preview
	preview.Rules = slices.Clone(preview.Rules)
	for i := range preview.Rules {
		preview.Rules[i].Samples = slices.Clone(preview.Rules[i].Samples)
	}
	c.mutex.Unlock()
	preview.Partial, preview.Seconds = partial, time.Since(c.begun).Seconds()
	return &preview
}

// fitPreview shortens a preview that it owns to what an answer holds: first the
// texts, then samples, then what is missing, and patterns, which whoever asked
// knows, at last; nil when all that is not enough.
func fitPreview(p *job.Preview) *job.Preview {
	for i := range p.Rules {
		p.Rules[i].Pattern = shorten(p.Rules[i].Pattern, maxShown)
		for j := range p.Rules[i].Samples {
			p.Rules[i].Samples[j].Path = shorten(p.Rules[i].Samples[j].Path, maxShown)
		}
	}
	for i := range p.Missing {
		p.Missing[i] = shorten(p.Missing[i], maxShown)
	}
	fits := func() bool {
		raw, err := json.Marshal(p)
		return err == nil && len(raw) <= maxPreview
	}
	for keep := previewSamples; keep > 0 && !fits(); keep-- {
		for i := range p.Rules {
			p.Rules[i].Samples = p.Rules[i].Samples[:min(len(p.Rules[i].Samples), keep-1)]
		}
	}
	const few, short = 50, 40
	if !fits() && len(p.Missing) > few {
		p.Missing = append(p.Missing[:few:few], fmt.Sprintf("… and %d more", len(p.Missing)-few))
	}
	if !fits() {
		for i := range p.Rules {
			p.Rules[i].Pattern = shorten(p.Rules[i].Pattern, short)
		}
	}
	if !fits() {
		return nil
	}
	return p
}

// shorten cuts a text in its middle.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	half := most / 2
	return strings.ToValidUTF8(text[:half], "") + " […] " + strings.ToValidUTF8(text[len(text)-half:], "")
}

// working tells whether a job is at work.
func (ts *tasks) working() bool {
	ts.mutex.Lock()
	defer ts.mutex.Unlock()
	return len(ts.active) > 0
}
