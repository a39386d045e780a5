package laws

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/restic-manager/restic-manager/"
)

// goFile is one Go file of the module, whatever system it is built for: go list
// would leave out the twins of the other systems.
type goFile struct {
	path    string // slashes, below the module
	pkg     string // its folder: "internal/store"
	test    bool   // named _test.go
	syntax  *ast.File
	imports []string // ours without the module's name
}

// ours says whether the import is of this module.
func ours(imported string) bool {
	return strings.HasPrefix(imported, "internal/") || strings.HasPrefix(imported, "cmd/") ||
		strings.HasPrefix(imported, "test/") || imported == "web"
}

// isOrBelow says whether the package is the folder or inside of it.
func isOrBelow(pkg, folder string) bool {
	return pkg == folder || strings.HasPrefix(pkg, folder+"/")
}

var loadTree = sync.OnceValues(func() ([]goFile, error) {
	var files []goFile
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipForeign(name, entry)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parse(name)
		if err == nil {
			files = append(files, file)
		}
		return err
	})
	return files, err
})

// skipForeign leaves out folders that are not source of ours.
func skipForeign(name string, entry fs.DirEntry) error {
	below := strings.TrimPrefix(filepath.ToSlash(name), root+"/")
	if name != root && strings.HasPrefix(entry.Name(), ".") ||
		slices.Contains([]string{"vendor", "testdata", "node_modules"}, entry.Name()) ||
		slices.Contains([]string{"bin", "data", "demo", "dist"}, below) {
		return filepath.SkipDir
	}
	return nil
}

func parse(name string) (goFile, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	if err != nil {
		return goFile{}, err
	}
	below := strings.TrimPrefix(filepath.ToSlash(name), root+"/")
	file := goFile{
		path: below, pkg: path.Dir(below), test: strings.HasSuffix(below, "_test.go"), syntax: syntax,
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, err
		}
		file.imports = append(file.imports, strings.TrimPrefix(imported, module))
	}
	return file, nil
}

// tree gives every Go file of the module.
func tree(t *testing.T) []goFile {
	t.Helper()
	files, err := loadTree()
	if err != nil {
		t.Fatalf("read the source: %v", err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d Go files: this is not the module", len(files))
	}
	return files
}

// packages gives the folders that hold Go files, sorted.
func packages(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, file := range tree(t) {
		if !slices.Contains(found, file.pkg) {
			found = append(found, file.pkg)
		}
	}
	slices.Sort(found)
	return found
}
