package restic_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/restic"
)

// restoredPaths asks restic itself what a snapshot holds. Names that are not UTF-8 come out of a restore
// only, since every listing replaces their bytes.
func restoredPaths(t *testing.T, runner restic.Runner, path, snapshot string) []string {
	t.Helper()
	target := t.TempDir()
	command := exec.Command(runner.Binary.Path, "restore", "--no-cache", "--target="+target, snapshot)
	command.Env = []string{"RESTIC_REPOSITORY=" + path, "RESTIC_PASSWORD=" + repositoryPassword}
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("restore: %v: %s", err, output)
	}
	var paths []string
	err := filepath.WalkDir(target, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, strings.TrimPrefix(name, target))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

func TestBackupThroughRESTWithOddCredentials(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newREST(t, true)
	source := newSource(t, map[string]string{"a": "one", "b/c": "two"})
	var watch collector
	options := restic.BackupOptions{
		Call: restic.Call{Repository: repository, JobID: "01REST", Hooks: watch.hooks()},
		Host: "db-1", Tags: []string{"rm-group:7"}, Includes: []string{source},
	}
	result, err := runner.Backup(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitOK)
	if result.Summary == nil || result.Summary.FilesNew != 2 || result.Summary.TotalBytesProcessed != 6 {
		t.Fatalf("summary = %+v, want two files", result.Summary)
	}
	// A further path does not cost the parent, because of --group-by host,tags.
	options.Includes = append(options.Includes, newSource(t, map[string]string{"d": "three"}))
	second, err := runner.Backup(t.Context(), options)
	if err != nil || second.Summary == nil || second.Summary.FilesUnmodified != 2 || second.Summary.FilesNew != 1 {
		t.Fatalf("second backup: %v, %+v", err, second.Summary)
	}

	list, err := runner.Snapshots(t.Context(), restic.SnapshotsOptions{
		Call: restic.Call{Repository: repository}, Host: "db-1", Tags: []string{"rm-group:7"},
	})
	if err != nil || len(list.Snapshots) != 2 {
		t.Fatalf("Snapshots = %+v, %v, want two", list.Snapshots, err)
	}
	first, last := list.Snapshots[0], list.Snapshots[1]
	if first.ID != result.Summary.SnapshotID || first.Parent != "" || last.Parent != first.ID ||
		!slices.Equal(first.Paths, []string{source}) || !slices.Equal(last.Tags, []string{"rm-group:7"}) ||
		last.Hostname != "db-1" || len(last.Tree) != 64 || last.Summary == nil || last.Summary.FilesNew != 1 {
		t.Errorf("snapshots = %+v", list.Snapshots)
	}
	one, err := runner.Snapshots(t.Context(), restic.SnapshotsOptions{Call: restic.Call{Repository: repository}, IDs: []string{first.ID}})
	if err != nil || len(one.Snapshots) != 1 || one.Snapshots[0].ID != first.ID {
		t.Errorf("Snapshots of one id = %+v, %v", one.Snapshots, err)
	}
}

func TestNamesAreTakenLiterally(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, path := newLocal(t)
	names := []string{
		"-rf", "--json", "with space ", "quote'\"", "new\nline", "not-utf8-\xff\xfe", "$HOME", "*", "a[1].txt", "#comment", `back\slash`,
		strings.Repeat("long", 60),
	}
	files := map[string]string{}
	for _, name := range names {
		files[name] = "content of " + name
	}
	source := newSource(t, files)
	var includes, want []string
	for _, name := range names {
		includes = append(includes, filepath.Join(source, name))
		want = append(want, filepath.Join(source, name))
	}
	result, err := runner.Backup(t.Context(), restic.BackupOptions{
		Call: restic.Call{Repository: repository}, Host: "h", Includes: includes,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitOK)
	slices.Sort(want)
	if got := restoredPaths(t, runner, path, result.Summary.SnapshotID); !slices.Equal(got, want) {
		t.Errorf("restored %q, want %q", got, want)
	}
	if left, err := os.ReadDir(runner.TempDir); err != nil || len(left) != 0 {
		t.Errorf("the temporary folder holds %v, %v", left, err)
	}
}

func TestExcludesAreNotExpanded(t *testing.T) {
	t.Setenv("SECRETDIR", "keep")
	runner := newRunner(t)
	runner.PassEnv = []string{"SECRETDIR"}
	repository, path := newLocal(t)
	source := newSource(t, map[string]string{
		"$SECRETDIR": "x", "keep": "x", "-dash": "x", "trailing ": "x", "two, words": "x", "large": strings.Repeat("x", 3000),
		"cache/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55", "cache/item": "x",
	})
	result, err := runner.Backup(t.Context(), restic.BackupOptions{
		Call: restic.Call{Repository: repository}, Host: "h", Includes: []string{source},
		Excludes:      []string{"$SECRETDIR", "-dash", "trailing ", "two, words"},
		ExcludeCaches: true, ExcludeLargerThan: 2000, OneFileSystem: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitOK)
	want := []string{filepath.Join(source, "cache/CACHEDIR.TAG"), filepath.Join(source, "keep")}
	if got := restoredPaths(t, runner, path, result.Summary.SnapshotID); !slices.Equal(got, want) {
		t.Errorf("restored %q, want %q", got, want)
	}
}

func TestProgressAndLimits(t *testing.T) {
	t.Parallel()
	runner := newRunner(t)
	repository, _ := newLocal(t)
	source := newSource(t, map[string]string{"large": string(randomBytes(2 << 20))})
	var watch collector
	result, err := runner.Backup(t.Context(), restic.BackupOptions{
		Call: restic.Call{Repository: repository, LimitUploadKiB: 1000, LimitDownloadKiB: 1000, Hooks: watch.hooks()},
		Host: "h", Includes: []string{source},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, result.Result, restic.ExitOK)
	if len(watch.progress) == 0 {
		t.Fatal("no progress came")
	}
	last := watch.progress[len(watch.progress)-1]
	if last.FilesTotal != 1 || last.BytesTotal != 2<<20 || last.Done <= 0 || last.Done > 1 {
		t.Errorf("last progress = %+v", last)
	}
	took := result.Ended.Sub(result.Process.Started)
	if most := int(took.Seconds()*2) + 2; len(watch.progress) > most {
		t.Errorf("%d progress messages in %v, want at most two in a second", len(watch.progress), took)
	}
}

func TestOptionsAreRefused(t *testing.T) {
	runner := restic.Runner{Binary: restic.Binary{Path: filepath.Join(t.TempDir(), "never-started")}}
	good := restic.BackupOptions{
		Call: restic.Call{Repository: restic.Repository{URL: t.TempDir(), Password: "x"}}, Host: "h", Includes: []string{"/a"},
	}
	for name, spoil := range map[string]func(*restic.BackupOptions){
		"no host":             func(o *restic.BackupOptions) { o.Host = "" },
		"no includes":         func(o *restic.BackupOptions) { o.Includes = nil },
		"empty include":       func(o *restic.BackupOptions) { o.Includes = []string{""} },
		"zero byte":           func(o *restic.BackupOptions) { o.Includes = []string{"/a\x00/b"} },
		"empty exclude":       func(o *restic.BackupOptions) { o.Excludes = []string{""} },
		"comma in a tag":      func(o *restic.BackupOptions) { o.Tags = []string{"nightly,rm-group:B"} },
		"empty password":      func(o *restic.BackupOptions) { o.Repository.Password = "" },
		"no URL":              func(o *restic.BackupOptions) { o.Repository.URL = "" },
		"credentials in URL":  func(o *restic.BackupOptions) { o.Repository.URL = "rest:http://a:b@host/" },
		"no cache for remote": func(o *restic.BackupOptions) { o.Repository.URL = "rest:http://host/" },
		"job id":              func(o *restic.BackupOptions) { o.JobID = "a/b" },
	} {
		t.Run(name, func(t *testing.T) {
			options := good
			spoil(&options)
			var invalid *restic.InvalidError
			if _, err := runner.Backup(t.Context(), options); !errors.As(err, &invalid) {
				t.Errorf("Backup = %v, want an *InvalidError", err)
			}
		})
	}
	var invalid *restic.InvalidError
	for _, id := range []string{"", "abc", strings.Repeat("A", 64), "../" + strings.Repeat("a", 61)} {
		if err := restic.RemoveLock(t.Context(), good.Repository, id); !errors.As(err, &invalid) {
			t.Errorf("RemoveLock(%q) = %v", id, err)
		}
		if _, err := runner.CatLock(t.Context(), good.Call, id); !errors.As(err, &invalid) {
			t.Errorf("CatLock(%q) = %v", id, err)
		}
		if _, err := runner.Snapshots(t.Context(), restic.SnapshotsOptions{Call: good.Call, IDs: []string{id}}); !errors.As(err, &invalid) {
			t.Errorf("Snapshots(%q) = %v", id, err)
		}
	}
}
