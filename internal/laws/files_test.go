package laws

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// longestFile is where a file has to be split. Question it from 400 lines on.
const longestFile = 600

func TestFilesStayShort(t *testing.T) {
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipForeign(name, entry)
		}
		if !slices.Contains([]string{".go", ".css", ".js", ".html", ".sql", ".sh"}, filepath.Ext(name)) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		lines := strings.Count(string(text), "\n")
		if lines > longestFile && !generated.Match(text) {
			t.Errorf("%s has %d lines, more than %d: split it where a noun ends",
				strings.TrimPrefix(filepath.ToSlash(name), root+"/"), lines, longestFile)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestEveryPackageHasOneComment(t *testing.T) {
	comments := map[string][]string{}
	for _, file := range tree(t) {
		if file.syntax.Doc != nil && !strings.HasSuffix(file.syntax.Name.Name, "_test") {
			comments[file.pkg] = append(comments[file.pkg], file.syntax.Doc.Text())
		}
	}
	for _, pkg := range packages(t) {
		if len(comments[pkg]) != 1 {
			t.Errorf("%s has %d package comments, want one", pkg, len(comments[pkg]))
			continue
		}
		text := strings.Join(strings.Fields(comments[pkg][0]), " ")
		for _, phrase := range []string{"owns ", "must not know "} {
			if !strings.Contains(text, phrase) {
				t.Errorf("the package comment of %s does not say what it %q", pkg, phrase)
			}
		}
	}
}

func TestPackagesAreNamedForWhatTheyGive(t *testing.T) {
	for _, pkg := range packages(t) {
		if slices.Contains([]string{"util", "utils", "common", "models", "types", "helpers", "misc"}, path.Base(pkg)) {
			t.Errorf("%s is a drawer: name it for what it gives", pkg)
		}
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	for _, file := range tree(t) {
		if !file.test && !isOrBelow(file.pkg, "internal/testkit") && !isOrBelow(file.pkg, "test") {
			continue
		}
		ast.Inspect(file.syntax, func(node ast.Node) bool {
			if isSelector(node, "time", "Sleep") {
				t.Errorf("%s sleeps: wait for what is to happen (testing/synctest, a channel, testkit.WaitFor)", file.path)
			}
			return true
		})
	}
}

// TestSystemIsNotAsked lets a program report the name of its system, but not
// decide by it.
func TestSystemIsNotAsked(t *testing.T) {
	isSystem := func(node ast.Expr) bool { return isSelector(node, "runtime", "GOOS") }
	for _, file := range tree(t) {
		if file.test {
			continue
		}
		ast.Inspect(file.syntax, func(node ast.Node) bool {
			asked := false
			switch node := node.(type) {
			case *ast.BinaryExpr:
				asked = (node.Op == token.EQL || node.Op == token.NEQ) && (isSystem(node.X) || isSystem(node.Y))
			case *ast.SwitchStmt:
				asked = node.Tag != nil && isSystem(node.Tag)
			case *ast.IndexExpr:
				asked = isSystem(node.Index)
			}
			if asked {
				t.Errorf("%s decides by runtime.GOOS: make twins named _windows.go and _unix.go", file.path)
			}
			return true
		})
	}
}

func isSelector(node ast.Node, pkg, name string) bool {
	selector, ok := node.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	identifier, ok := selector.X.(*ast.Ident)
	return ok && identifier.Name == pkg
}

// mapped finds what ARCHITECTURE.md names as a path: in backticks, with a slash
// in it, below one of our folders, or a file of the root.
var mapped = regexp.MustCompile("`((?:cmd|internal|web|test|docs|scripts|deploy|design|\\.ci)(?:/[A-Za-z0-9_./-]*)?|Makefile|[A-Z]+\\.md)`")

func TestArchitectureIsTrue(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, match := range mapped.FindAllStringSubmatch(string(text), -1) {
		name := strings.TrimSuffix(match[1], "/")
		named[name] = true
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", name)
		}
	}
	for _, pkg := range packages(t) {
		if !named[pkg] {
			t.Errorf("ARCHITECTURE.md does not name %s", pkg)
		}
	}
}
