package api_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/api"
)

const protocolFile = "../../docs/PROTOCOL.md"

// TestProtocolDocIsCurrent keeps docs/PROTOCOL.md what the catalogues say; run
// it with -update to write the file.
func TestProtocolDocIsCurrent(t *testing.T) {
	want := protocol(t)
	if *update {
		if err := os.WriteFile(protocolFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(protocolFile)
	if err != nil || string(got) != want {
		t.Errorf("docs/PROTOCOL.md is not what the catalogues say (%v): go test ./internal/api -run TestProtocolDocIsCurrent -update", err)
	}
}

func protocol(t *testing.T) string {
	d := &doc{t: t, comments: fieldComments(t, ".", "../job", "../schedule"), described: map[reflect.Type]bool{}}
	d.line("# The protocol between agent and server")
	d.line("")
	d.line("Written by `go test ./internal/api -run TestProtocolDocIsCurrent -update` from the catalogues in `internal/api`; do not edit.")
	d.line("")
	d.line("Version %d. Both sides use the smaller of their two versions. An agent dials `%s` and speaks JSON text frames", api.Version, api.SessionPath)
	d.line("`{\"type\": …, \"body\": …}` of at most %d KiB over the WebSocket. Unknown fields are ignored, an unknown type is answered with", api.MaxFrame>>10)
	d.line("`unsupported`, a message from the wrong side ends the session. Every message that changes something carries an id and may be")
	d.line("repeated. State goes down: a session repeats what the server wants of its host until it is told. A log comes up: the journal's records in one")
	d.line("order, acknowledged once they are durable; at or below the cursor a record is ignored.")
	d.line("")
	d.line("Before a session there are `GET %s` (the server proves its key) and `POST %s` (a one-time token).", api.IdentityPath, api.EnrolPath)
	d.line("")
	d.line("## Messages")
	d.line("")
	d.line("| type | direction | since | meaning |")
	d.line("| --- | --- | --- | --- |")
	for _, info := range api.Catalogue {
		d.line("| [`%s`](#%s) | %s | %d | %s |", info.Name, info.Name, info.Direction, info.Since, info.Sentence)
	}
	for _, info := range api.Catalogue {
		d.line("\n### %s\n", info.Name)
		d.line("%s\n", info.Sentence)
		d.fields(reflect.TypeOf(api.Empty(info.Name)).Elem())
	}
	d.line("\n## Records of the journal\n")
	d.line("| kind | since | meaning |")
	d.line("| --- | --- | --- |")
	for _, info := range api.RecordCatalogue {
		d.line("| `%s` | %d | %s |", info.Kind, info.Since, info.Sentence)
	}
	for _, info := range api.RecordCatalogue {
		d.line("\n### record %s\n", info.Kind)
		d.line("%s\n", info.Sentence)
		d.fields(reflect.TypeOf(api.EmptyRecord(info.Kind)).Elem())
	}
	d.line("\n## Enrolment")
	for _, message := range []any{new(api.Identity), new(api.EnrolRequest), new(api.EnrolResponse)} {
		kind := reflect.TypeOf(message).Elem()
		d.line("\n### %s\n", kind.Name())
		d.fields(kind)
	}
	d.line("\n## Types")
	for len(d.types) > 0 {
		next := d.types[0]
		d.types = d.types[1:]
		d.line("\n### %s\n", next.Name())
		d.fields(next)
	}
	return d.String()
}

type doc struct {
	strings.Builder
	t         *testing.T
	comments  map[string]string
	described map[reflect.Type]bool
	types     []reflect.Type // met, still to be described
}

func (d *doc) line(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *doc) fields(kind reflect.Type) {
	d.described[kind] = true
	d.line("| field | type | |")
	d.line("| --- | --- | --- |")
	d.rows(kind)
}

// rows describes each field; those of an embedded type stand among the others,
// as JSON has them.
func (d *doc) rows(kind reflect.Type) {
	for i := range kind.NumField() {
		field := kind.Field(i)
		if field.Anonymous {
			d.rows(field.Type)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			d.t.Errorf("%s.%s has no name for JSON", kind.Name(), field.Name)
		}
		note := d.comments[kind.Name()+"."+field.Name]
		if strings.Contains(options, "omitempty") {
			note = strings.TrimSpace("May be absent. " + note)
		}
		d.line("| `%s` | %s | %s |", name, d.typeName(field.Type), note)
	}
}

func (d *doc) typeName(kind reflect.Type) string {
	switch {
	case kind == rawType:
		return "JSON"
	case kind == timeType:
		return "RFC 3339 time"
	case kind.Kind() == reflect.Pointer:
		return d.typeName(kind.Elem())
	case kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Uint8:
		return "base64"
	case kind.Kind() == reflect.Slice:
		return "list of " + d.typeName(kind.Elem())
	case kind.Kind() == reflect.Struct:
		if !d.described[kind] {
			d.described[kind] = true
			d.types = append(d.types, kind)
		}
		return fmt.Sprintf("[%s](#%s)", kind.Name(), strings.ToLower(kind.Name()))
	case kind.Kind() == reflect.String && kind.Name() != "string":
		return kind.Name()
	case kind.Kind() == reflect.String:
		return "text"
	case kind.Kind() == reflect.Bool:
		return "boolean"
	case kind.Kind() == reflect.Float64:
		return "number"
	}
	return "integer"
}

// fieldComments reads what the source says of each struct's fields.
func fieldComments(t *testing.T, folders ...string) map[string]string {
	comments := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(syntax, func(node ast.Node) bool {
				spec, ok := node.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if body, ok := spec.Type.(*ast.StructType); ok {
					for _, field := range body.Fields.List {
						note := strings.Join(strings.Fields(field.Doc.Text()+" "+field.Comment.Text()), " ")
						for _, name := range field.Names {
							comments[spec.Name.Name+"."+name.Name] = strings.ReplaceAll(note, "|", "\\|")
						}
					}
				}
				return true
			})
		}
	}
	return comments
}
