package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// test names one test, or a package when Name is empty.
type test struct {
	Package string // import path
	Name    string // "TestX" or "TestX/sub"
}

func (t test) String() string {
	return strings.TrimPrefix(t.Package, module) + " " + t.Name
}

// event is one line of `go test -json`, see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build's output
	Test       string
	Output     string
}

// report prints what go test without -json would have printed and remembers
// which tests passed or failed, which is to say ran.
type report struct {
	output io.Writer
	said   map[test][]string // output of what has not ended
	ran    map[test]bool
}

func newReport(output io.Writer) *report {
	return &report{output: output, said: map[test][]string{}, ran: map[test]bool{}}
}

func (r *report) read(events io.Reader) error {
	for decoder := json.NewDecoder(events); ; {
		var next event
		if err := decoder.Decode(&next); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("decode a test event: %w", err)
		}
		if err := r.add(next); err != nil {
			return fmt.Errorf("print the tests' output: %w", err)
		}
	}
}

func (r *report) add(next event) error {
	subject := test{Package: next.Package, Name: next.Test}
	switch next.Action {
	case "build-output":
		_, err := io.WriteString(r.output, next.Output)
		return err
	case "output":
		// What go test prints with -v only.
		if next.Output != "PASS\n" && !strings.HasPrefix(next.Output, "=== ") {
			r.said[subject] = append(r.said[subject], next.Output)
		}
	case "pass", "fail":
		r.ran[subject] = true
		fallthrough
	case "skip":
		if next.Test == "" {
			return r.printPackage(next.Package)
		}
		if next.Action == "fail" {
			return r.print(subject)
		}
		delete(r.said, subject)
	}
	return nil
}

// printPackage prints what a package that ended still has to say: first the
// tests that a panic or a timeout cut off, then its own closing line.
func (r *report) printPackage(name string) error {
	var cut []test
	for said := range r.said {
		if said.Package == name && said.Name != "" {
			cut = append(cut, said)
		}
	}
	slices.SortFunc(cut, func(a, b test) int { return strings.Compare(a.Name, b.Name) })
	for _, subject := range append(cut, test{Package: name}) {
		if err := r.print(subject); err != nil {
			return err
		}
	}
	return nil
}

// print prints what the subject said, once.
func (r *report) print(subject test) error {
	_, err := io.WriteString(r.output, strings.Join(r.said[subject], ""))
	delete(r.said, subject)
	return err
}

// missing gives the wanted tests that were skipped or never ran.
func (r *report) missing(wanted []test) []test {
	return slices.DeleteFunc(slices.Clone(wanted), func(t test) bool { return r.ran[t] })
}
