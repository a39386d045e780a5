package restic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Selection is what a backup is told to read, and what to leave out.
type Selection struct {
	Includes      []string
	Excludes      []string
	OneFileSystem bool
	ExcludeCaches bool
	// CacheDir is restic's own cache, which restic leaves out of every backup; empty means none.
	CacheDir string
}

// The rules of a Selection beside its excludes, as Found names them.
const (
	// NoRule: it would be saved.
	NoRule = -1 - iota
	// RuleCaches: it lies in a folder that calls itself a cache.
	RuleCaches
	// RuleFileSystem: it lies on another file system.
	RuleFileSystem
)

// Found is one entry of the file system that a walk has met.
type Found struct {
	Path string
	// Info is of the entry itself, never of what a link leads to; nil for one that could not be looked at.
	Info fs.FileInfo
	// Rule is the index of the exclude that takes the entry out, or one of the rules above.
	Rule int
	// Err is why an entry could not be looked at or a folder not be listed.
	Err error
}

// Walker goes through what a backup would save, as restic 0.19 does (its internal/archiver), without reading
// a file. It is for one goroutine at a time.
type Walker struct {
	selection Selection
	excludes  Excludes
	devices   map[string]uint64
	caches    map[string]bool // of the folders that the walk is in
	found     func(Found) error
}

// NewWalker checks a selection. Its error is an *InvalidError.
func NewWalker(selection Selection) (*Walker, error) {
	excludes, err := ParseExcludes(selection.Excludes)
	if err != nil {
		return nil, err
	}
	return &Walker{selection: selection, excludes: excludes, devices: map[string]uint64{}, caches: map[string]bool{}}, nil
}

// Walk calls found for every file, link and folder that a backup would save and for every topmost one that a
// rule takes out; below those it does not look. It ends with ctx or with an error of found. Missing are the
// includes that do not exist.
func (w *Walker) Walk(ctx context.Context, found func(Found) error) (missing []string, err error) {
	w.found = found
	root := &target{}
	for _, include := range w.selection.Includes {
		path, err := filepath.Abs(include)
		if err != nil {
			return missing, fmt.Errorf("walk the sources: %w", err)
		}
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, include)
			continue
		}
		if err == nil {
			w.devices[path] = deviceOf(info)
		}
		root.add(path)
	}
	return missing, w.target(ctx, root)
}

// target goes through one node of the tree of includes.
func (w *Walker) target(ctx context.Context, t *target) error {
	if t.path != "" && len(t.below) == 0 {
		return w.entry(ctx, t.path, t.explicit)
	}
	if t.path != "" { // an include with another one below it: what it holds is looked at one by one
		names, err := namesIn(t.path)
		if err != nil {
			return w.found(Found{Path: t.path, Rule: NoRule, Err: err})
		}
		for _, name := range names {
			below := t.child(name)
			if below.path == "" {
				below.path = filepath.Join(t.path, name)
			}
		}
	}
	for _, name := range t.order {
		if err := w.target(ctx, t.below[name]); err != nil {
			return err
		}
	}
	return nil
}

// entry goes through one file, link or folder. No rule takes out what was named as an include itself.
func (w *Walker) entry(ctx context.Context, path string, explicit bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if w.selection.CacheDir != "" && (path == w.selection.CacheDir || isBelow(path, w.selection.CacheDir)) {
		return nil
	}
	rule := NoRule
	if !explicit {
		if by := w.excludes.Match(path); by >= 0 {
			rule = by
		}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return w.found(Found{Path: path, Rule: rule, Err: err})
	}
	if rule == NoRule && !explicit {
		rule = w.reject(path, info)
	}
	if rule != NoRule || !info.IsDir() {
		return w.found(Found{Path: path, Info: info, Rule: rule})
	}
	names, err := namesIn(path)
	if err := w.found(Found{Path: path, Info: info, Rule: NoRule, Err: err}); err != nil {
		return err
	}
	defer delete(w.caches, path)
	for _, name := range names {
		if err := w.entry(ctx, filepath.Join(path, name), false); err != nil {
			return err
		}
	}
	return nil
}

// reject applies the rules that need more than a name.
func (w *Walker) reject(path string, info fs.FileInfo) int {
	parent := filepath.Dir(path)
	if w.selection.ExcludeCaches && filepath.Base(path) != cacheTag {
		isCache, known := w.caches[parent]
		if !known {
			isCache = isCacheFolder(parent)
			w.caches[parent] = isCache
		}
		if isCache {
			return RuleCaches
		}
	}
	if !w.selection.OneFileSystem || w.sameDevice(path, info) {
		return NoRule
	}
	// The folder on which another file system is mounted is saved, as an empty one.
	if info.IsDir() {
		if above, err := os.Lstat(parent); err == nil && w.sameDevice(parent, above) {
			return NoRule
		}
	}
	return RuleFileSystem
}

// sameDevice compares an entry with the nearest include above it.
func (w *Walker) sameDevice(path string, info fs.FileInfo) bool {
	for {
		if device, ok := w.devices[path]; ok {
			return device == deviceOf(info)
		}
		above := filepath.Dir(path)
		if above == path {
			return false
		}
		path = above
	}
}

// cacheTag marks a folder as a cache (https://bford.info/cachedir/).
const (
	cacheTag       = "CACHEDIR.TAG"
	cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"
)

func isCacheFolder(dir string) bool {
	path := filepath.Join(dir, cacheTag)
	// Opening anything but a file could wait for ever.
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, len(cacheSignature))
	_, err = io.ReadFull(file, head)
	return err == nil && bytes.Equal(head, []byte(cacheSignature))
}

// namesIn lists a folder. What was read before an error is returned with it.
func namesIn(dir string) ([]string, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := folder.Readdirnames(-1)
	return names, errors.Join(err, folder.Close())
}
