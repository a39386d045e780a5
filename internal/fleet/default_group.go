package fleet

// DefaultGroupName is the group that a host joins with.
const DefaultGroupName = "default"

// defaultIncludes are what is worth keeping on a machine of each system, by the
// name that Go gives it: settings, homes and data. Programs are installed again.
var defaultIncludes = map[string][]string{
	"linux":   {"/etc", "/home", "/opt", "/root", "/srv", "/usr/local", "/var"},
	"freebsd": {"/etc", "/home", "/root", "/usr/local", "/var"},
	"darwin":  {"/Users"},
	"windows": {`C:\ProgramData`, `C:\Users`},
}

// keptByDefault is the preset that a default group does without: what a build can
// make again is known only to who builds.
const keptByDefault = "builds"

// DefaultGroup is the source group that a host of a system joins with, for its
// operator to see and change before the first backup; false is that nothing is
// known of the system. Host, repository and id are the caller's.
func DefaultGroup(os string) (SourceGroup, bool) {
	includes, known := defaultIncludes[os]
	g := SourceGroup{Name: DefaultGroupName, Includes: includes, Excludes: []string{}, Options: DefaultGroupOptions(), Retention: DefaultRetention}
	// What somebody works on is open there, and only a shadow copy can read it.
	g.Options.UseVSS = os == windows
	for _, preset := range PresetsFor(os) {
		if preset.ID != keptByDefault {
			g.Excludes = append(g.Excludes, preset.Patterns...)
		}
	}
	return g, known
}
