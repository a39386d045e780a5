package fleet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/restic"
)

func TestPresetsAreWhole(t *testing.T) {
	seen := map[string]string{}
	for _, system := range []string{"linux", "windows", "darwin", "freebsd"} {
		ids := map[string]bool{}
		for _, preset := range fleet.PresetsFor(system) {
			if ids[preset.ID] || preset.Title == "" || !strings.HasSuffix(preset.Sentence, ".") || len(preset.Patterns) == 0 {
				t.Errorf("%s: preset %+v", system, preset)
			}
			ids[preset.ID] = true
			if title, known := seen[preset.ID]; known && title != preset.Title {
				t.Errorf("%s is called %q and %q", preset.ID, title, preset.Title)
			}
			seen[preset.ID] = preset.Title
			group := fleet.SourceGroup{Includes: []string{"/"}, Excludes: preset.Patterns}
			var invalid fleet.Invalid
			if group.CheckSources(&invalid); invalid.Err() != nil {
				t.Errorf("%s of %s: %v", preset.ID, system, invalid.Err())
			}
			for i, pattern := range preset.Patterns {
				if strings.HasPrefix(pattern, "!") || strings.TrimSpace(pattern) != pattern || slices.Contains(preset.Patterns[:i], pattern) {
					t.Errorf("%s of %s holds %q", preset.ID, system, pattern)
				}
				if strings.Contains(pattern, map[bool]string{true: "/", false: `\`}[system == "windows"]) {
					t.Errorf("%s of %s: %q is written for another system", preset.ID, system, pattern)
				}
			}
		}
		for _, id := range []string{"caches", "temp", "browsers", "builds", "trash"} {
			if !ids[id] {
				t.Errorf("%s has no preset %q", system, id)
			}
		}
	}
	if got := fleet.PresetsFor("plan9"); got != nil {
		t.Errorf("a system that is not known has %v", got)
	}
}

// TestPresetsTakeOut names which preset takes out what. Paths of Windows are
// written with slashes, so that any system can tell.
func TestPresetsTakeOut(t *testing.T) {
	for _, c := range []struct{ system, path, by string }{
		{"linux", "/home/ann/.cache/x", "caches"},
		{"linux", "/home/ann/.cachefile", ""},
		{"linux", "/tmp/x", "temp"},
		{"linux", "/home/ann/tmp/x", ""},
		{"linux", "/home/ann/.config/google-chrome/Profile 1/Service Worker/CacheStorage/a", "browsers"},
		{"linux", "/home/ann/.config/google-chrome/Default/Bookmarks", ""},
		{"linux", "/srv/app/node_modules/left-pad/index.js", "builds"},
		{"linux", "/srv/app/src/target/index.js", ""},
		{"linux", "/mnt/disk/.Trash-1000/files/x", "trash"},
		{"linux", "/proc/kcore", "virtual"},
		{"linux", "/home/ann/proc/notes", ""},
		{"linux", "/var/lib/docker/overlay2/a/diff", "containers"},
		{"linux", "/var/lib/docker/volumes/db/_data/x", ""},
		{"darwin", "/Users/ann/Library/Caches/x", "caches"},
		{"darwin", "/Users/ann/Documents/.DS_Store", "trash"},
		{"windows", "/C:/Users/ann/AppData/Local/Temp/x.log", "temp"},
		{"windows", "/C:/Users/ann/AppData/Local/Google/Chrome/User Data/Default/Code Cache/js", "browsers"},
		{"windows", "/C:/Users/ann/Documents/~$letter.docx", "temp"},
		{"windows", "/C:/pagefile.sys", "system"},
		{"windows", "/D:/$RECYCLE.BIN/S-1/x", "trash"},
		{"windows", "/D:/System Volume Information/x", "system"},
		{"windows", "/C:/Users/ann/Documents/letter.docx", ""},
	} {
		by := ""
		for _, preset := range fleet.PresetsFor(c.system) {
			var patterns []string
			for _, pattern := range preset.Patterns {
				patterns = append(patterns, strings.ReplaceAll(pattern, `\`, "/"))
			}
			excludes, err := restic.ParseExcludes(patterns)
			if err != nil {
				t.Fatalf("%s of %s: %v", preset.ID, c.system, err)
			}
			if excludes.Match(c.path) >= 0 {
				by = preset.ID
				break
			}
		}
		if by != c.by {
			t.Errorf("%s: %s is taken out by %q, want %q", c.system, c.path, by, c.by)
		}
	}
}
