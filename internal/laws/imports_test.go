package laws

import (
	"go/ast"
	"slices"
	"testing"
)

// mayImport says which packages of ours each package may import outside of
// tests, and why. A package without a row is an error, and so is a row without
// a package.
var mayImport = []struct {
	pkg     string
	allowed []string
	reason  string
}{
	{"internal/atomicfile", nil, "a leaf: both sides and the tests rest on it"},
	{"internal/filelock", nil, "a leaf: both sides guard a folder with it"},
	{"internal/crypto", []string{"internal/atomicfile"}, "a leaf but for its key file, which is written whole or not at all"},
	{"internal/job", nil, "a leaf: server and agent must compute the same ids and moves"},
	{"internal/schedule", nil, "a leaf: server and agent must agree on every moment"},
	{"internal/restic", nil, "a leaf: raw facts about the real program, no verdicts"},
	{"internal/api", []string{"internal/job", "internal/schedule"}, "the wire speaks of jobs and their schedules and of nothing that either side stores"},
	{"internal/fleet", []string{"internal/crypto", "internal/job", "internal/schedule"}, "the vocabulary knows no storage; its secrets are crypto.Text"},
	{"internal/auth", []string{"internal/crypto"}, "who may do what is decided without hosts or jobs"},
	{"internal/store", []string{"internal/auth", "internal/fleet", "internal/job", "internal/schedule"}, "stores the vocabulary, decides nothing"},
	{"internal/server/control", append([]string{"internal/api"}, storeAndBelow...), "the one place where permission, transaction and audit meet"},
	{"internal/server/rest", append([]string{"internal/server/control"}, storeAndBelow...), "reads go to the store, changes through control"},
	{"internal/server/ui", append([]string{"internal/server/control", "web"}, storeAndBelow...), "reads go to the store, changes through control"},
	{"internal/server", append([]string{"internal/api", "internal/filelock", "internal/server/control", "internal/server/rest", "internal/server/ui", "web"}, storeAndBelow...), "the composition root of its side"},
	{"internal/agent/journal", []string{"internal/api", "internal/atomicfile", "internal/filelock", "internal/job"}, "a file of records: it runs nothing"},
	{"internal/agent", []string{"internal/agent/journal", "internal/api", "internal/atomicfile", "internal/crypto", "internal/filelock", "internal/job", "internal/restic", "internal/schedule"}, "the whole other side"},
	{"internal/demo", []string{"internal/atomicfile", "internal/crypto", "internal/filelock"}, "uses the two programs from outside, as a person would"},
	{"internal/testkit", nil, "gives tests the real programs, without rules of ours"},
	{"internal/testkit/crashdisk", nil, "a disk for tests, whatever is written to it"},
	{"internal/laws", nil, "reads the source only"},
	{"web", nil, "files to embed"},
	{"cmd/server", append([]string{"internal/server", "internal/server/control", "internal/demo"}, storeAndBelow...), "flags, signals and exit codes of one side"},
	{"cmd/agent", []string{"internal/agent", "internal/api", "internal/crypto"}, "flags, signals and exit codes of the other side"},
	{"test/mustrun", nil, "wraps go test"},
	{"test/rig", []string{"internal/api", "internal/job", "internal/server", "internal/testkit"}, "starts the programs from outside; only what opens a repository is asked of the server's package"},
}

// storeAndBelow is what everything above the store on its side may use.
var storeAndBelow = []string{"internal/atomicfile", "internal/auth", "internal/crypto", "internal/fleet", "internal/job", "internal/schedule", "internal/store"}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	allowed := map[string][]string{}
	for _, law := range mayImport {
		allowed[law.pkg] = law.allowed
		if !slices.Contains(packages(t), law.pkg) {
			t.Errorf("mayImport has a row for %s, which does not exist", law.pkg)
		}
	}
	for _, pkg := range packages(t) {
		if _, ok := allowed[pkg]; !ok && !isOrBelow(pkg, "test") {
			t.Errorf("mayImport has no row for %s: say what it may import, and why", pkg)
		}
	}
	for _, file := range tree(t) {
		for _, imported := range file.imports {
			if !file.test && ours(imported) && !slices.Contains(allowed[file.pkg], imported) {
				t.Errorf("%s imports %s: %s", file.path, imported, reasonOf(file.pkg))
			}
		}
	}
}

func reasonOf(pkg string) string {
	for _, law := range mayImport {
		if law.pkg == pkg {
			return law.reason
		}
	}
	return "its package has no row in mayImport"
}

// TestSidesNeverMeet holds for test files too: whoever needs both sides is a
// test of the whole, below test/.
func TestSidesNeverMeet(t *testing.T) {
	agentSide := []string{"cmd/agent", "internal/agent"}
	serverSide := []string{"cmd/server", "internal/server", "internal/store", "internal/fleet", "internal/auth", "web"}
	in := func(pkg string, side []string) bool {
		return slices.ContainsFunc(side, func(folder string) bool { return isOrBelow(pkg, folder) })
	}
	for _, file := range tree(t) {
		for _, imported := range file.imports {
			if in(file.pkg, agentSide) && in(imported, serverSide) || in(file.pkg, serverSide) && in(imported, agentSide) {
				t.Errorf("%s imports %s: server and agent meet only in internal/api", file.path, imported)
			}
		}
	}
}

// reserved says who alone may import something, and why. A path stands for
// everything below it too.
var reserved = []struct {
	imported string
	only     []string // packages, with what is below them
	tests    bool     // whether test files elsewhere may
	reason   string
}{
	{"database/sql", []string{"internal/store"}, false, "SQL has one home"},
	{"modernc.org/sqlite", []string{"internal/store"}, false, "engines are the store's business"},
	{"github.com/jackc/pgx", []string{"internal/store", "internal/testkit"}, false, "engines are the store's business; testkit makes test databases"},
	{"os/exec", []string{"internal/restic", "internal/testkit", "internal/demo", "test"}, true, "only internal/restic starts restic, and what runs beside it for a job; the demo starts our own programs"},
	{"internal/testkit", []string{"internal/testkit", "test"}, true, "tests only"},
	{"testing", []string{"internal/testkit", "test"}, true, "a program does not carry its tests"},
	{"net/http/httptest", []string{"internal/testkit", "test"}, true, "a program does not carry its tests"},
	{"log", []string{}, false, "log/slog, passed in"},
	{"unsafe", []string{"internal/restic", "internal/agent"}, false, "only where a system call wants it"},
}

func TestReservedImports(t *testing.T) {
	for _, file := range tree(t) {
		for _, imported := range file.imports {
			for _, law := range reserved {
				if !isOrBelow(imported, law.imported) || imported == "log/slog" && law.imported == "log" {
					continue
				}
				may := slices.ContainsFunc(law.only, func(folder string) bool { return isOrBelow(file.pkg, folder) })
				if !may && (!law.tests || !file.test) {
					t.Errorf("%s imports %s, which is for %v: %s", file.path, imported, law.only, law.reason)
				}
			}
		}
	}
}

// TestOnlyProgramsLog lets leaves and store say how a value is logged
// (slog.LogValuer), but not log: what goes wrong there they return.
func TestOnlyProgramsLog(t *testing.T) {
	logging := []string{"cmd", "internal/agent", "internal/demo", "internal/server", "test"}
	calls := []string{"Logger", "Default", "Log", "LogAttrs", "Debug", "Info", "Warn", "Error",
		"DebugContext", "InfoContext", "WarnContext", "ErrorContext"}
	for _, file := range tree(t) {
		if file.test || slices.ContainsFunc(logging, func(folder string) bool { return isOrBelow(file.pkg, folder) }) {
			continue
		}
		ast.Inspect(file.syntax, func(node ast.Node) bool {
			for _, call := range calls {
				if isSelector(node, "slog", call) {
					t.Errorf("%s uses slog.%s: leaves and store return, they do not log", file.path, call)
				}
			}
			return true
		})
	}
}
