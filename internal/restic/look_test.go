package restic_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/restic"
)

// twoSnapshots backs a folder up, changes it, and backs it up again.
func twoSnapshots(t *testing.T, runner restic.Runner, repository restic.Repository) (source, first, second string) {
	t.Helper()
	source = newSource(t, map[string]string{"kept": "same", "changed": "one", "gone": "12345", "folder/a\nb": "x", "folder/deep/file": "y"})
	backup := func() string {
		result, err := runner.Backup(t.Context(), restic.BackupOptions{Call: restic.Call{Repository: repository}, Host: "h", Tags: []string{"rm-group:g"}, Includes: []string{source}})
		if err != nil || result.Summary == nil {
			t.Fatalf("backup: %v, %+v", err, result)
		}
		return result.Summary.SnapshotID
	}
	first = backup()
	if err := errors.Join(os.Remove(filepath.Join(source, "gone")), os.WriteFile(filepath.Join(source, "changed"), []byte("two"), 0o600),
		os.WriteFile(filepath.Join(source, "new"), []byte("1234567"), 0o600), os.Chmod(filepath.Join(source, "kept"), 0o640)); err != nil {
		t.Fatal(err)
	}
	return source, first, backup()
}

func TestDiffThroughREST(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newREST(t, true)
	source, first, second := twoSnapshots(t, runner, repository)
	var changes []string
	diff, err := runner.Diff(t.Context(), restic.DiffOptions{Call: restic.Call{Repository: repository}, From: first, To: second,
		Changed: func(c restic.Change) {
			if name, below := strings.CutPrefix(c.Path, source); below {
				changes = append(changes, c.Modifier+name)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"U/", "M/changed", "-/gone", "U/kept", "+/new"}; !slices.Equal(changes, want) {
		t.Errorf("changes = %q, want %q", changes, want)
	}
	if s := diff.Summary; s.From != first || s.To != second || s.ChangedFiles != 1 || s.Added.Files != 1 || s.Removed.Files != 1 || s.Added.Bytes == 0 {
		t.Errorf("summary = %+v", s)
	}
	if _, err := runner.Diff(t.Context(), restic.DiffOptions{Call: restic.Call{Repository: repository}, From: "latest", To: second}); !errors.As(err, new(*restic.InvalidError)) {
		t.Errorf("a diff with no id = %v", err)
	}
	_, err = runner.Diff(t.Context(), restic.DiffOptions{Call: restic.Call{Repository: repository}, From: strings.Repeat("0", 64), To: second})
	var exit *restic.ExitError
	if !errors.As(err, &exit) || exit.Result.Exit != restic.ExitFatal {
		t.Errorf("a diff with no such snapshot = %v", err)
	}
}

func TestListAFolder(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newLocal(t)
	source, first, _ := twoSnapshots(t, runner, repository)
	list := func(folder string) ([]string, error) {
		var names []string
		_, err := runner.List(t.Context(), restic.ListOptions{Call: restic.Call{Repository: repository}, Snapshot: first, Folder: folder,
			Found: func(n restic.Node) { names = append(names, n.Type+" "+n.Name) }})
		return names, err
	}
	for folder, want := range map[string][]string{
		source:                     {"file changed", "dir folder", "file gone", "file kept"},
		source + "/":               {"file changed", "dir folder", "file gone", "file kept"},
		source + "/folder":         {"file a\nb", "dir deep"},
		"/":                        {"dir " + strings.Split(source, "/")[1]},
		filepath.Dir(source) + "/": {"dir " + filepath.Base(source)},
	} {
		if got, err := list(folder); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s = %q, %v, want %q", folder, got, err, want)
		}
	}
	for _, folder := range []string{source + "/none", source + "/kept", source + "/fold"} {
		if got, err := list(folder); !errors.Is(err, restic.ErrNoFolder) || len(got) > 0 {
			t.Errorf("%s = %q, %v", folder, got, err)
		}
	}
	for _, folder := range []string{"", "relative", "/a\x00b"} {
		if _, err := list(folder); !errors.As(err, new(*restic.InvalidError)) {
			t.Errorf("%q = %v", folder, err)
		}
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newLocal(t)
	twoSnapshots(t, runner, repository)
	call := restic.Call{Repository: repository}
	raw, err := runner.Stats(t.Context(), restic.StatsOptions{Call: call, Mode: restic.StatsRaw})
	if err != nil || raw.Stats.Snapshots != 3 || raw.Stats.Bytes < 200<<10 || raw.Stats.UncompressedBytes < raw.Stats.Bytes/2 || raw.Stats.Blobs == 0 {
		t.Errorf("raw = %+v, %v", raw.Stats, err)
	}
	// What the first snapshot has: 4+3+5+1+1 bytes; the second: 4+3+1+1+7.
	group, err := runner.Stats(t.Context(), restic.StatsOptions{Call: call, Mode: restic.StatsRestored, Tag: "rm-group:g"})
	if err != nil || group.Stats.Snapshots != 2 || group.Stats.Bytes != 30 {
		t.Errorf("of the group = %+v, %v", group.Stats, err)
	}
	for _, options := range []restic.StatsOptions{{Call: call}, {Call: call, Mode: restic.StatsRaw, Tag: "a,b"}} {
		if _, err := runner.Stats(t.Context(), options); !errors.As(err, new(*restic.InvalidError)) {
			t.Errorf("%+v = %v", options, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, path := newLocal(t)
	call := restic.Call{Repository: repository}
	for _, options := range []restic.CheckOptions{{Call: call}, {Call: call, ReadMiB: 1}, {Call: call, ReadAll: true}} {
		if sound, err := runner.Check(t.Context(), options); err != nil || sound.Summary == nil || sound.Summary.Errors != 0 {
			t.Fatalf("a sound repository: %+v, %v", sound, err)
		}
	}
	pack := largestPack(t, path)
	content, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := errors.Join(os.Chmod(pack, 0o600), os.WriteFile(pack, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	if unread, err := runner.Check(t.Context(), restic.CheckOptions{Call: call}); err != nil || unread.Summary.Errors != 0 {
		t.Errorf("without reading = %+v, %v", unread.Summary, err)
	}
	damaged, err := runner.Check(t.Context(), restic.CheckOptions{Call: call, ReadAll: true})
	if err != nil || damaged.Exit != restic.ExitFatal || damaged.Summary == nil || damaged.Summary.Errors == 0 ||
		!slices.Equal(damaged.Summary.BrokenPacks, []string{filepath.Base(pack)}) || !strings.Contains(damaged.StderrTail, filepath.Base(pack)) {
		t.Errorf("a flipped bit = %+v, %v", damaged, err)
	}
	if err := os.Remove(pack); err != nil {
		t.Fatal(err)
	}
	missing, err := runner.Check(t.Context(), restic.CheckOptions{Call: call})
	if err != nil || missing.Exit != restic.ExitFatal || missing.Summary == nil || missing.Summary.Errors == 0 {
		t.Errorf("a missing pack = %+v, %v", missing, err)
	}
	plantLock(t, path)
	_, err = runner.Check(t.Context(), restic.CheckOptions{Call: call})
	var exit *restic.ExitError
	if !errors.As(err, &exit) || exit.Result.Exit != restic.ExitLocked {
		t.Errorf("a locked repository = %v", err)
	}
	for _, options := range []restic.CheckOptions{{Call: call, ReadMiB: -1}, {Call: call, ReadMiB: 1, ReadAll: true}} {
		if _, err := runner.Check(t.Context(), options); !errors.As(err, new(*restic.InvalidError)) {
			t.Errorf("%+v = %v", options, err)
		}
	}
}

func largestPack(t *testing.T, path string) string {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(path, "data", "*", "*"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("packs: %q, %v", packs, err)
	}
	return slices.MaxFunc(packs, func(a, b string) int { return int(size(t, a) - size(t, b)) })
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
