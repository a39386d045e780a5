package restic_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/restic"
)

func TestExcludesMatch(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		path     string
		want     int
	}{
		{nil, "/a", -1},
		{[]string{"b"}, "/a/b/c", 0},
		{[]string{"/b"}, "/a/b/c", -1},
		{[]string{"/a/b"}, "/a/b/c", 0},
		{[]string{"/a/b/"}, "/a/b", 0},
		{[]string{"*.tmp"}, "/a/x.tmp", 0},
		{[]string{"*.TMP"}, "/a/x.tmp", -1},
		{[]string{"a/*/c"}, "/x/a/b/c", 0},
		{[]string{"a/*/c"}, "/x/a/c", -1},
		{[]string{"/a/**/c"}, "/a/c", 0},
		{[]string{"/a/**/c"}, "/a/x/y/c/z", 0},
		{[]string{"a[1].txt"}, "/a1.txt", 0},
		{[]string{`a\[1].txt`}, "/a[1].txt", 0},
		{[]string{"none", "b", "c"}, "/a/b/c", 1},
		{[]string{"*.txt", "!keep.txt"}, "/a/keep.txt", -1},
		{[]string{"*.txt", "!keep.txt", "/a"}, "/a/keep.txt", 2},
		{[]string{"!keep.txt", "*.txt"}, "/a/keep.txt", 1},
		{[]string{"/"}, "/a/b", 0},
		// restic tries no more parts for the first ** than leave the second one a part.
		{[]string{"/**/a/**"}, "/b/c/a", -1},
		{[]string{"**"}, "/a", 0},
		{[]string{"**/**/b"}, "/a/b", 0},
		// What would take for ever, were every way to read the pattern tried.
		{[]string{strings.Repeat("**/a/", 20) + "b"}, strings.Repeat("/a", 200), -1},
		{[]string{strings.Repeat("**/a/", 20) + "b"}, strings.Repeat("/a", 200) + "/b", 0},
	} {
		if runtime.GOOS == "windows" && strings.Contains(c.patterns[0], `\`) {
			continue // a backslash is a separator there
		}
		excludes, err := restic.ParseExcludes(c.patterns)
		if err != nil {
			t.Fatal(err)
		}
		if got := excludes.Match(filepath.FromSlash(c.path)); got != c.want {
			t.Errorf("%q on %q: rule %d, want %d", c.patterns, c.path, got, c.want)
		}
	}
}

func TestExcludesThatResticRefuses(t *testing.T) {
	for _, text := range []string{"", "a\x00b", "[a", "x/[]/y", "!["} {
		var invalid *restic.InvalidError
		if _, err := restic.ParseExcludes([]string{"fine", text}); !errors.As(err, &invalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzExcludes(f *testing.F) {
	f.Add("/a/**/b[c]*", "/a/x/b")
	f.Add("!**", "/")
	f.Fuzz(func(_ *testing.T, pattern, path string) {
		if excludes, err := restic.ParseExcludes([]string{pattern}); err == nil && path != "" {
			excludes.Match(filepath.Clean(path))
		}
	})
}

// casesVariable asks for more than the usual number of random cases.
const casesVariable = "RM_WALK_CASES"

// TestWalkSavesWhatResticSaves compares the walk with the real program on random trees and selections. The
// first differing case is shown with all that is needed to see it again.
func TestWalkSavesWhatResticSaves(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the names of this test are those of Unix")
	}
	t.Parallel()
	cases := 24
	if more, err := strconv.Atoi(os.Getenv(casesVariable)); err == nil {
		cases = more
	}
	runner := newRunner(t)
	repository := filepath.Join(t.TempDir(), "repository")
	if _, err := runner.Init(t.Context(), restic.Call{Repository: restic.Repository{URL: repository, Password: repositoryPassword}}); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	if text := os.Getenv("RM_WALK_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	compared := 0
	for i := range cases {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		base := filepath.Join(t.TempDir(), "b")
		makeTree(t, random, base, 4)
		selection := randomSelection(t, random, base)
		want, err := dryRun(t, runner, repository, selection)
		if err != nil {
			continue // restic refuses a pattern; the walk's own refusal has a test
		}
		compared++
		got, err := saved(t.Context(), selection)
		if err != nil {
			t.Fatalf("seed %d, case %d: %v", seed, i, err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, case %d: %+v\nrestic: %q\nwalk:   %q", seed, i, selection, want, got)
		}
	}
	if compared < cases/2 {
		t.Errorf("restic took %d of %d cases only", compared, cases)
	}
}

// names hold what is special in a pattern or a path, few enough to meet again.
var names = []string{"a", "b", "ab", "a.txt", "a1", "[1]", "a[1]", `a\b`, "*", "?x", "!a", "new\nline", "\xff\xfe", "ü", "A", " a ", "$HOME", "-x", "..a", "CACHEDIR.TAG", "x{y}"}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

func makeTree(t *testing.T, random *rand.Rand, dir string, depth int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 1 + random.IntN(4) {
		path := filepath.Join(dir, pick(random, names))
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		var err error
		switch kind := random.IntN(10); {
		case kind < 5 && depth > 0:
			makeTree(t, random, path, depth-1)
		case kind == 5:
			err = os.Symlink(pick(random, names), path)
		default:
			content := "Signature: 8a477f597d28d172789f06886806bc55\n"
			if random.IntN(3) == 0 {
				content = content[:random.IntN(len(content))]
			}
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func randomSelection(t *testing.T, random *rand.Rand, base string) restic.Selection {
	t.Helper()
	var paths []string
	if err := filepath.WalkDir(base, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	selection := restic.Selection{Includes: []string{base}, ExcludeCaches: random.IntN(2) == 0, OneFileSystem: random.IntN(4) == 0}
	if random.IntN(2) == 0 {
		selection.Includes = selection.Includes[:0]
	}
	for range random.IntN(3) {
		selection.Includes = append(selection.Includes, pick(random, paths))
	}
	if len(selection.Includes) == 0 {
		selection.Includes = []string{base}
	}
	for range random.IntN(5) {
		selection.Excludes = append(selection.Excludes, randomPattern(random, paths))
	}
	return selection
}

func randomPattern(random *rand.Rand, paths []string) string {
	parts := []string{}
	switch random.IntN(3) {
	case 0: // near a path that exists
		parts = strings.Split(pick(random, paths), "/")
		for i := range parts {
			if i > 0 && random.IntN(4) == 0 {
				parts[i] = pick(random, []string{"*", "**", "?*", "[a-z]*", "**"})
			}
		}
		if random.IntN(3) == 0 {
			parts = parts[random.IntN(len(parts)):]
		}
	default:
		for range 1 + random.IntN(3) {
			parts = append(parts, pick(random, append([]string{"*", "**", "a*", "*.txt", "[ab]", "[^a]*", `\*`, `a\[1]`, "?", "..", "."}, names...)))
		}
		if random.IntN(3) == 0 {
			parts = append([]string{""}, parts...)
		}
	}
	text := strings.Join(parts, "/")
	if random.IntN(6) == 0 {
		text += "/"
	}
	if random.IntN(4) == 0 {
		text = "!" + text
	}
	if text == "" {
		return "/"
	}
	return text
}

// dryRun asks restic what it would save.
func dryRun(t *testing.T, runner restic.Runner, repository string, s restic.Selection) ([]string, error) {
	t.Helper()
	list := filepath.Join(t.TempDir(), "includes")
	if err := os.WriteFile(list, []byte(strings.Join(s.Includes, "\x00")+"\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"backup", "--no-cache", "--no-lock", "--dry-run", "--json", "-vv", "--force", "--no-scan", "--files-from-raw=" + list}
	for _, exclude := range s.Excludes {
		args = append(args, "--exclude="+exclude)
	}
	if s.ExcludeCaches {
		args = append(args, "--exclude-caches")
	}
	if s.OneFileSystem {
		args = append(args, "--one-file-system")
	}
	command := exec.Command(runner.Binary.Path, args...)
	command.Env = []string{"RESTIC_REPOSITORY=" + repository, "RESTIC_PASSWORD=" + repositoryPassword}
	output, err := command.Output()
	if err != nil {
		return nil, err
	}
	var items []string
	lines := bufio.NewScanner(strings.NewReader(string(output)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var message struct {
			Type string `json:"message_type"`
			Item string `json:"item"`
		}
		if err := json.Unmarshal(lines.Bytes(), &message); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		if message.Type == "verbose_status" && message.Item != "" && !strings.HasSuffix(message.Item, "/") {
			items = append(items, message.Item)
		}
	}
	slices.Sort(items)
	return items, nil
}

// saved lists the files of a walk, undecodable bytes shown as restic's JSON shows them.
func saved(ctx context.Context, s restic.Selection) ([]string, error) {
	walker, err := restic.NewWalker(s)
	if err != nil {
		return nil, err
	}
	var items []string
	_, err = walker.Walk(ctx, func(found restic.Found) error {
		if found.Err != nil {
			return fmt.Errorf("%q: %w", found.Path, found.Err)
		}
		if found.Rule == restic.NoRule && found.Info.Mode().IsRegular() {
			var shown string
			raw, _ := json.Marshal(found.Path)
			_ = json.Unmarshal(raw, &shown)
			items = append(items, shown)
		}
		return nil
	})
	slices.Sort(items)
	return items, err
}
