// Command mustrun is `go test` with one more rule: under CI=true a test of
// test/must-run.txt that was skipped or absent fails the run; elsewhere it is
// only named. Its arguments are those of go test. It owns that list's meaning
// and the shape of the output; it must not know what any test is about.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

const module = "github.com/restic-manager/restic-manager/"

const listPath = "test/must-run.txt"

func main() {
	// The keyboard's interrupt reaches go test too, which then ends.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)

	wanted, err := readList(listPath)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mustrun:", err)
		os.Exit(2)
	}
	report := newReport(os.Stdout)
	exitCode := 0
	if err := runTests(os.Args[1:], report); err != nil {
		exitCode = 1
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
			fmt.Fprintln(os.Stderr, "mustrun:", err)
		}
	}
	for _, test := range report.missing(wanted) {
		fmt.Println("must run, but did not:", test)
		if os.Getenv("CI") == "true" {
			exitCode = 1
		}
	}
	os.Exit(exitCode)
}

func runTests(arguments []string, report *report) error {
	command := exec.Command("go", append([]string{"test", "-json"}, arguments...)...)
	command.Stderr = os.Stderr
	events, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the tests' events: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start go test: %w", err)
	}
	return errors.Join(report.read(events), command.Wait())
}

// readList reads the file: a package and a test per line, # for comments.
func readList(path string) ([]test, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the list: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	var list []test
	for lines := bufio.NewScanner(file); ; {
		if !lines.Scan() {
			return list, lines.Err()
		}
		line, _, _ := strings.Cut(lines.Text(), "#")
		switch fields := strings.Fields(line); len(fields) {
		case 0:
		case 2:
			list = append(list, test{Package: module + fields[0], Name: fields[1]})
		default:
			return nil, fmt.Errorf("read the list: %q is not a package and a test", lines.Text())
		}
	}
}
