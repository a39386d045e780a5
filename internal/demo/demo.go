// Package demo owns the small fleet that one command starts on one machine:
// which processes, with which files, enrolled through the real protocol. It
// must not know how any of them works: it starts programs and speaks the API.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/internal/atomicfile"
	"github.com/restic-manager/restic-manager/internal/filelock"
)

// Options say what the demo is to be.
type Options struct {
	Dir    string // its folder; what an earlier demo left there is replaced
	Listen string // of the server, host:port
	Hosts  int    // endpoint agents, 1 to 50
	// Once ends when every host has a snapshot.
	Once bool
	Out  io.Writer
	// Access reveals how the repositories of the server in dataDir are reached.
	// Only a demo may write that down.
	Access func(ctx context.Context, dataDir string) ([]Access, error)
}

// Access is how one repository is reached.
type Access struct {
	Host     string
	URL      string // without credentials
	User     string
	Password string
	Key      string
}

// Report is what demo.json holds. It is the demo's alone: no other server writes
// a password down.
type Report struct {
	URL           string             `json:"url"`
	Username      string             `json:"username"`
	Password      string             `json:"password"`
	APIToken      string             `json:"api_token"`
	RepoServerURL string             `json:"repo_server_url"`
	Hosts         []ReportHost       `json:"hosts"`
	Repositories  []ReportRepository `json:"repositories"`
}

// ReportHost is one host of the demo.
type ReportHost struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// ReportRepository is one repository, as restic takes it.
type ReportRepository struct {
	HostID   string `json:"host_id"`
	URL      string `json:"url"`      // with the rest-server user and its password
	Password string `json:"password"` // of the repository
}

const reportName = "demo.json"

// Run starts the fleet and keeps it until ctx ends or, with Once, until every
// host has a snapshot. Every process that it started has ended when it returns.
func Run(ctx context.Context, o Options) (err error) {
	if o.Hosts < 1 || o.Hosts > 50 {
		return fmt.Errorf("start the demo: %d hosts are not between 1 and 50", o.Hosts)
	}
	f := &fleet{Options: o}
	if f.Dir, err = filepath.Abs(o.Dir); err != nil {
		return fmt.Errorf("start the demo: %w", err)
	}
	if f.programs, err = findPrograms(); err != nil {
		return err
	}
	lock, err := f.claim()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := portFree(ctx, o.Listen); err != nil {
		return err
	}
	if err := f.clear(); err != nil {
		return err
	}
	// A process that dies by itself ends the demo, with its name as the cause.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	f.children = newChildren(filepath.Join(f.Dir, "logs"), o.Out, fail)
	defer func() { err = errors.Join(err, f.children.end()) }()
	return f.run(ctx)
}

// claim takes the folder for this demo.
func (f *fleet) claim() (*os.File, error) {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the demo's folder: %w", err)
	}
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return nil, fmt.Errorf("look into the demo's folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(f.Dir, lockName)); err != nil && len(entries) > 0 {
		return nil, fmt.Errorf("start the demo: %s holds something that is not a demo's; name an empty folder with --dir", f.Dir)
	}
	lock, err := filelock.Take(filepath.Join(f.Dir, lockName))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("start the demo: another demo is running in %s; stop it with Ctrl-C, or give this one a folder of its own with --dir", f.Dir)
	}
	return lock, err
}

const lockName = "demo.lock"

// clear removes what an earlier demo left.
func (f *fleet) clear() error {
	for _, name := range []string{reportName, "logs", "server", "rest-server", "storage", "hosts"} {
		if err := os.RemoveAll(filepath.Join(f.Dir, name)); err != nil {
			return fmt.Errorf("clear the demo's folder: %w", err)
		}
	}
	for _, name := range []string{"logs", "server", "rest-server", "storage", "hosts"} {
		if err := os.Mkdir(filepath.Join(f.Dir, name), 0o700); err != nil {
			return fmt.Errorf("prepare the demo's folder: %w", err)
		}
	}
	return nil
}

// run brings the fleet up, tells about it, and waits.
func (f *fleet) run(ctx context.Context) error {
	began := time.Now()
	for _, step := range []struct {
		says string
		do   func(context.Context) error
	}{
		{"Starting rest-server, append-only, one private repository for each host", f.startRestServer},
		{"Starting the server", f.startServer},
		{"Enrolling the storage box", f.enrolStorage},
		{fmt.Sprintf("Enrolling %d hosts, each with folders of its own", f.Hosts), f.enrolHosts},
		{"Starting the first backups", f.startBackups},
	} {
		fmt.Fprintf(f.Out, "%s …\n", step.says)
		if err := step.do(ctx); err != nil {
			return f.explain(ctx, err)
		}
	}
	if err := f.writeReport(ctx); err != nil {
		return f.explain(ctx, err)
	}
	if f.Once {
		rows, err := f.waitForSnapshots(ctx)
		if err != nil {
			return f.explain(ctx, err)
		}
		fmt.Fprintf(f.Out, "\n%s\nEvery host has a snapshot, %.0f s after the start.\n", table(rows), time.Since(began).Seconds())
		return nil
	}
	f.children.open()
	fmt.Fprintf(f.Out, "\n  %s\n  user      %s\n  password  %s\n\n  %s has the API token and how each repository is reached.\n  An agent that you stop comes back after %.0f minutes: kill %d takes %s offline.\n  Ctrl-C ends it all.\n\n",
		f.report.URL, f.report.Username, f.report.Password, filepath.Join(f.Dir, reportName), awayFor.Minutes(), f.children.last().pid(), f.children.last().name)
	<-ctx.Done()
	var died *diedError
	if errors.As(context.Cause(ctx), &died) {
		return died
	}
	fmt.Fprintln(f.Out, "Ending every process …")
	return nil
}

// explain prefers the process that died to the request that failed because of it.
func (f *fleet) explain(ctx context.Context, err error) error {
	var died *diedError
	if errors.As(context.Cause(ctx), &died) {
		return died
	}
	if ctx.Err() != nil {
		return errors.New("the demo was stopped before it was ready")
	}
	return err
}

func (f *fleet) writeReport(ctx context.Context) error {
	all, err := f.Access(ctx, filepath.Join(f.Dir, "server"))
	if err != nil {
		return err
	}
	for _, access := range all {
		url, err := withCredentials(access)
		if err != nil {
			return err
		}
		f.report.Repositories = append(f.report.Repositories, ReportRepository{HostID: access.Host, URL: url, Password: access.Key})
	}
	text, err := json.MarshalIndent(f.report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", reportName, err)
	}
	return atomicfile.Write(filepath.Join(f.Dir, reportName), append(text, '\n'), 0o600)
}
