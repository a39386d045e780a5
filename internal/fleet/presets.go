package fleet

import "slices"

// Preset is a set of exclusions that many source groups want.
type Preset struct {
	ID       string
	Title    string
	Sentence string
	Patterns []string // for one system, as restic understands them
}

// PresetsFor returns the presets that mean something on a system, as an agent
// names it; none for one that is not known.
func PresetsFor(system string) []Preset {
	var found []Preset
	for _, p := range presets {
		patterns := slices.Concat(p.everywhere, p.on[system])
		if _, known := systems[system]; known && len(patterns) > 0 {
			found = append(found, Preset{ID: p.id, Title: p.title, Sentence: p.sentence, Patterns: patterns})
		}
	}
	return found
}

// The systems with presets.
const (
	linux   = "linux"
	windows = "windows"
	darwin  = "darwin"
	freebsd = "freebsd"
)

var systems = map[string]struct{}{linux: {}, windows: {}, darwin: {}, freebsd: {}}

// presets is the one table of them. Nothing is in it that a person may have put
// there. Upper and lower case count for restic on Windows too, so a name that is
// seen in two forms stands here in both.
var presets = []struct {
	id, title, sentence string
	everywhere          []string
	on                  map[string][]string
}{
	{id: "caches", title: "Caches", sentence: "What programs can make or fetch again.", on: map[string][]string{
		linux:   {"/home/*/.cache", "/root/.cache", "/var/cache"},
		freebsd: {"/home/*/.cache", "/root/.cache", "/var/cache", "/usr/ports/distfiles"},
		darwin:  {"/Users/*/Library/Caches", "/Library/Caches", "/System/Library/Caches", "/private/var/folders"},
		windows: {`Users\*\AppData\Local\Microsoft\Windows\INetCache`, `Users\*\AppData\Local\Microsoft\Windows\WebCache`, `Users\*\AppData\Local\D3DSCache`,
			`Users\*\AppData\Local\CrashDumps`, `Users\*\AppData\Local\pip\Cache`, `Users\*\AppData\Local\npm-cache`, `ProgramData\Package Cache`, `Windows\SoftwareDistribution\Download`},
	}},
	{id: "temp", title: "Temporary files", sentence: "Folders that are emptied anyway, and copies that editors keep while they work.",
		everywhere: []string{"*.swp", "~$*"}, on: map[string][]string{
			linux:   {"/tmp", "/var/tmp"},
			freebsd: {"/tmp", "/var/tmp"},
			darwin:  {"/private/tmp", "/private/var/tmp"},
			windows: {`Users\*\AppData\Local\Temp`, `Windows\Temp`},
		}},
	{id: "browsers", title: "Browser caches", sentence: "Copies of web pages; bookmarks, passwords and open tabs stay in.", on: map[string][]string{
		linux: chromium([]string{".config/google-chrome", ".config/chromium", ".config/microsoft-edge", ".config/BraveSoftware/Brave-Browser"}, "/",
			".cache/mozilla", ".mozilla/firefox/*/storage/default/*/cache", "snap/firefox/common/.cache", "snap/chromium/common/.cache"),
		freebsd: chromium([]string{".config/chromium"}, "/", ".cache/mozilla", ".mozilla/firefox/*/storage/default/*/cache"),
		darwin: chromium([]string{"Library/Application Support/Google/Chrome", "Library/Application Support/Microsoft Edge", "Library/Application Support/BraveSoftware/Brave-Browser"}, "/",
			"Library/Caches/Firefox", "Library/Caches/com.apple.Safari", "Library/Application Support/Firefox/Profiles/*/storage/default/*/cache"),
		windows: chromium([]string{`AppData\Local\Google\Chrome\User Data`, `AppData\Local\Microsoft\Edge\User Data`, `AppData\Local\BraveSoftware\Brave-Browser\User Data`}, `\`,
			`AppData\Local\Mozilla\Firefox\Profiles\*\cache2`, `AppData\Roaming\Mozilla\Firefox\Profiles\*\storage\default\*\cache`),
	}},
	{id: "builds", title: "node_modules and other build folders", sentence: "What package managers and builds fetch or make again from the sources beside it.",
		everywhere: []string{"node_modules", "bower_components", "__pycache__", ".tox", ".mypy_cache", ".pytest_cache", ".ruff_cache"}, on: map[string][]string{
			linux:   unixBuilds,
			freebsd: unixBuilds,
			darwin:  slices.Concat(unixBuilds, []string{"Library/Developer/Xcode/DerivedData", "Library/Developer/CoreSimulator/Caches"}),
			windows: {`.gradle\caches`, `.m2\repository`, `.cargo\registry`, `.nuget\packages`, `go\pkg\mod`, `AppData\Local\go-build`},
		}},
	{id: "trash", title: "Trash and thumbnails", sentence: "What was thrown away, and small pictures that the desktop draws again.", on: map[string][]string{
		linux:   {".local/share/Trash", ".Trash-[0-9]*", ".thumbnails"},
		freebsd: {".local/share/Trash", ".Trash-[0-9]*", ".thumbnails"},
		darwin:  {".Trash", ".Trashes", ".DS_Store", ".fseventsd", ".Spotlight-V100", ".DocumentRevisions-V100", ".TemporaryItems"},
		windows: {`$RECYCLE.BIN`, `$Recycle.Bin`, `Thumbs.db`, `thumbs.db`, `AppData\Local\Microsoft\Windows\Explorer\thumbcache_*.db`, `AppData\Local\Microsoft\Windows\Explorer\iconcache_*.db`},
	}},
	{id: "virtual", title: "Virtual file systems", sentence: "What the running system shows as files, and its swap files. Nothing of it can be restored.", on: map[string][]string{
		linux:   {"/proc", "/sys", "/dev", "/run", "/var/run", "/swapfile", "/swap.img"},
		freebsd: {"/proc", "/dev", "/compat/linux/proc", "/compat/linux/sys"},
		darwin:  {"/dev", "/private/var/vm", "/private/var/run", "/cores"},
	}},
	{id: "system", title: "Windows system files", sentence: "Swap and hibernation files, restore points and what updates leave behind.", on: map[string][]string{
		windows: {`pagefile.sys`, `hiberfil.sys`, `swapfile.sys`, `DumpStack.log.tmp`, `System Volume Information`, `$WINDOWS.~BT`, `$Windows.~WS`, `Windows.old`},
	}},
	{id: "containers", title: "Container layers", sentence: "Images and layers that a registry or a build gives again; volumes stay in.", on: map[string][]string{
		linux: {"/var/lib/docker/overlay2", "/var/lib/docker/image", "/var/lib/docker/buildkit", "/var/lib/docker/tmp", "/var/lib/containerd",
			"/var/lib/containers/storage/overlay*", ".local/share/containers/storage/overlay*", "/var/lib/snapd/snaps", "/var/lib/snapd/cache"},
		windows: {`ProgramData\Docker\windowsfilter`, `ProgramData\Docker\image`, `ProgramData\Docker\tmp`},
	}},
}

var unixBuilds = []string{".npm/_cacache", ".gradle/caches", ".m2/repository", ".cargo/registry", "go/pkg/mod"}

// chromium adds to more where browsers of that family, with their profiles in
// the folders given, keep what they can fetch again.
func chromium(folders []string, separator string, more ...string) []string {
	var patterns []string
	for _, folder := range folders {
		for _, cache := range []string{"Cache", "Code Cache", "GPUCache", "Service Worker" + separator + "CacheStorage"} {
			patterns = append(patterns, folder+separator+"*"+separator+cache)
		}
	}
	return append(patterns, more...)
}
