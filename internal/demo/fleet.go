package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/restic-manager/restic-manager/internal/crypto"
)

// fleet is one demo.
type fleet struct {
	Options
	programs programs
	children *children
	api      *client
	report   Report

	restAddress string
	storageID   string
	members     []member
}

// member is one endpoint of the demo.
type member struct {
	id, name, dir string
	sources       []string
}

// names of the demo's machines; further ones are numbered.
var names = []string{"web-1", "db-1", "laptop-ann"}

func nameOf(i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("host-%d", i+1)
}

// startTimeout is how long one step of the demo may take.
const startTimeout = 60 * time.Second

func (f *fleet) startRestServer(ctx context.Context) error {
	var err error
	if f.restAddress, err = freePort(ctx); err != nil {
		return err
	}
	f.report.RepoServerURL = "http://" + f.restAddress
	data := filepath.Join(f.Dir, "rest-server")
	// rest-server wants the file to be there; the storage agent fills it.
	if err := os.WriteFile(filepath.Join(data, ".htpasswd"), nil, 0o600); err != nil {
		return fmt.Errorf("make the users' file: %w", err)
	}
	child, err := f.children.start("rest-server", f.programs.restServer, "--append-only", "--private-repos", "--path", data, "--listen", f.restAddress)
	if err != nil {
		return err
	}
	pid := fmt.Sprintln(child.pid())
	if err := os.WriteFile(filepath.Join(f.Dir, "storage", "rest-server.pid"), []byte(pid), 0o600); err != nil {
		return fmt.Errorf("note rest-server's process: %w", err)
	}
	return until(ctx, "rest-server to answer", func() (bool, error) {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", f.restAddress)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

func (f *fleet) startServer(ctx context.Context) error {
	data := filepath.Join(f.Dir, "server")
	if _, err := f.children.start("server", f.programs.server, "serve", "--data-dir", data, "--listen", f.Listen); err != nil {
		return err
	}
	f.report.URL = "http://" + f.Listen
	f.api = &client{base: f.report.URL}
	if err := until(ctx, "the server to be ready", func() (bool, error) { return f.api.ready(ctx), nil }); err != nil {
		return err
	}
	setup, err := os.ReadFile(filepath.Join(data, "setup-token"))
	if err != nil {
		return fmt.Errorf("read the setup token: %w", err)
	}
	f.report.Username, f.report.Password = "admin", crypto.NewSecret(12)
	if err := f.api.setUp(ctx, strings.TrimSpace(string(setup)), f.report.Username, f.report.Password); err != nil {
		return err
	}
	token, err := f.children.output(ctx, f.programs.server, "token", "create", "--data-dir", data, "--name", "demo")
	if err != nil {
		return err
	}
	f.report.APIToken = strings.TrimSpace(token)
	f.api.token = f.report.APIToken
	return nil
}

func (f *fleet) enrolStorage(ctx context.Context) error {
	dir := filepath.Join(f.Dir, "storage")
	policy := fmt.Sprintf("restic: %q\nstorage:\n  path: %q\n  url: %q\n  pid_file: %q\n", f.programs.restic, filepath.Join(f.Dir, "rest-server"),
		f.report.RepoServerURL, filepath.Join(dir, "rest-server.pid"))
	id, err := f.enrol(ctx, "storage-box", dir, policy, map[string]any{"name": "storage-box", "kind": "storage"})
	f.storageID = id
	return err
}

func (f *fleet) enrolHosts(ctx context.Context) error {
	for i := range f.Hosts {
		m := member{name: nameOf(i), dir: filepath.Join(f.Dir, "hosts", nameOf(i))}
		if err := os.Mkdir(m.dir, 0o700); err != nil {
			return fmt.Errorf("make the folder of %s: %w", m.name, err)
		}
		var err error
		if m.sources, err = makeFiles(filepath.Join(m.dir, "files"), uint64(i)); err != nil {
			return err
		}
		policy := fmt.Sprintf("restic: %q\n", f.programs.restic)
		m.id, err = f.enrol(ctx, m.name, m.dir, policy, map[string]any{"name": m.name, "tags": []string{"demo"}, "storage_id": f.storageID})
		if err != nil {
			return err
		}
		f.members = append(f.members, m)
		f.report.Hosts = append(f.report.Hosts, ReportHost{m.id, m.name})
	}
	return nil
}

// enrol makes a token, joins with it as a person would, and starts the agent.
func (f *fleet) enrol(ctx context.Context, name, dir, policy string, invitation map[string]any) (string, error) {
	policyFile, state := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "agent")
	if err := os.WriteFile(policyFile, []byte(policy), 0o600); err != nil {
		return "", fmt.Errorf("write the policy of %s: %w", name, err)
	}
	var token struct {
		Token string `json:"token"`
	}
	if err := f.api.post(ctx, "/enrollment-tokens", invitation, &token); err != nil {
		return "", err
	}
	if err := f.children.feed(ctx, token.Token, f.programs.agent, "--state", state, "--policy", policyFile, "enroll", "--server", f.report.URL); err != nil {
		return "", fmt.Errorf("enrol %s: %w", name, err)
	}
	if err := f.children.keep(name, f.programs.agent, "--state", state, "--policy", policyFile, "run"); err != nil {
		return "", err
	}
	var id string
	return id, until(ctx, name+" to connect", func() (bool, error) {
		hosts, err := f.api.hosts(ctx)
		for _, h := range hosts {
			if h.Name == name && h.Online {
				id = h.ID
			}
		}
		return id != "", err
	})
}

func (f *fleet) startBackups(ctx context.Context) error {
	for _, m := range f.members {
		err := until(ctx, "the repository of "+m.name, func() (bool, error) {
			ready, err := f.api.repositoryReady(ctx, m.id)
			return ready, err
		})
		if err != nil {
			return err
		}
		group, err := f.api.giveFiles(ctx, m.id, m.sources)
		if err != nil {
			return err
		}
		if err := f.api.post(ctx, "/hosts/"+m.id+"/jobs", map[string]any{"kind": "backup", "source_group_id": group}, nil); err != nil {
			return err
		}
	}
	return nil
}

// row is one line of the table at the end.
type row struct{ host, snapshot, files, size string }

func (f *fleet) waitForSnapshots(ctx context.Context) ([]row, error) {
	var rows []row
	for _, m := range f.members {
		err := until(ctx, "a snapshot of "+m.name, func() (bool, error) {
			snapshots, err := f.api.snapshots(ctx, m.id)
			if err != nil || len(snapshots) == 0 {
				return false, err
			}
			s := snapshots[0]
			rows = append(rows, row{m.name, s.ID[:min(8, len(s.ID))], fmt.Sprint(s.Files), fmt.Sprintf("%.1f MiB", float64(s.Bytes)/(1<<20))})
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func table(rows []row) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "HOST\tSNAPSHOT\tFILES\tSIZE")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.host, r.snapshot, r.files, r.size)
	}
	_ = w.Flush() // into memory
	return text.String()
}

// until asks done a few times a second, for at most startTimeout.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("wait for %s: nothing within %.0f s; the demo's logs folder says more", what, startTimeout.Seconds())
			}
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

func withCredentials(a Access) (string, error) {
	rest, isREST := strings.CutPrefix(a.URL, "rest:")
	parsed, err := url.Parse(rest)
	if err != nil || !isREST {
		return "", errors.New("write the report: a repository's URL is not a rest-server's")
	}
	parsed.User = url.UserPassword(a.User, a.Password)
	return "rest:" + parsed.String(), nil
}

func freePort(ctx context.Context) (address string, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func portFree(ctx context.Context, address string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("start the demo: %s can't be listened on (%w); stop what uses it or choose another with --listen", address, errors.Unwrap(err))
	}
	return l.Close()
}
