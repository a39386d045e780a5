//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/testkit"
	"github.com/restic-manager/restic-manager/test/rig"
)

// demoCommand is one call of the demo, as `make demo` makes it.
func demoCommand(t *testing.T, args ...string) (command *exec.Cmd, output *bytes.Buffer) {
	t.Helper()
	command = exec.Command(rig.Build(t).Server, append([]string{"demo"}, args...)...)
	command.Env = append(os.Environ(), "PATH="+strings.Join([]string{filepath.Dir(testkit.Restic(t)), filepath.Dir(testkit.RestServer(t)), os.Getenv("PATH")}, ":"))
	output = new(bytes.Buffer) // read when the command has ended
	command.Stdout, command.Stderr = output, output
	return command, output
}

// demoReport are the names that demo.json has to keep.
type demoReport struct {
	URL           string `json:"url"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	APIToken      string `json:"api_token"`
	RepoServerURL string `json:"repo_server_url"`
	Hosts         []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"hosts"`
	Repositories []struct {
		HostID   string `json:"host_id"`
		URL      string `json:"url"`
		Password string `json:"password"`
	} `json:"repositories"`
}

func readDemoReport(t *testing.T, dir string) (report demoReport) {
	t.Helper()
	path := filepath.Join(dir, "demo.json")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("demo.json has the mode %o, want 600: it holds passwords", info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	return report
}

func TestDemoOnce(t *testing.T) {
	parallelBusy(t)
	dir := filepath.Join(rig.Dir(t), "demo")
	command, output := demoCommand(t, "--dir", dir, "--listen", freeAddress(t), "--hosts", "2", "--once")
	if err := testkit.Start(t, command).Wait(); err != nil {
		t.Fatalf("demo --once: %v\n%s", err, output)
	}
	wantSays(t, output.String(), "HOST", "SNAPSHOT", "web-1", "db-1", "every host has a snapshot")
	if left := mentioning(t, dir); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	// The same folder again: what an earlier demo left there is replaced.
	command, output = demoCommand(t, "--dir", dir, "--listen", freeAddress(t), "--hosts", "1", "--once")
	if err := testkit.Start(t, command).Wait(); err != nil {
		t.Fatalf("demo --once again: %v\n%s", err, output)
	}
	if report := readDemoReport(t, dir); len(report.Hosts) != 1 || report.Hosts[0].Name != "web-1" {
		t.Errorf("demo.json of the second demo names %+v", report.Hosts)
	}
}

func TestDemoUntilInterrupted(t *testing.T) {
	parallelBusy(t)
	dir := filepath.Join(rig.Dir(t), "demo")
	listen := freeAddress(t)
	command, output := demoCommand(t, "--dir", dir, "--listen", listen)
	demo := testkit.Start(t, command)
	wait(t, "demo.json", func() bool {
		select {
		case <-demo.Ended():
			t.Fatalf("the demo ended at once:\n%s", output)
		default:
		}
		_, err := os.Stat(filepath.Join(dir, "demo.json"))
		return !errors.Is(err, fs.ErrNotExist)
	})
	report := readDemoReport(t, dir)
	if report.URL != "http://"+listen || report.Username == "" || report.RepoServerURL == "" || len(report.Hosts) != 3 || len(report.Repositories) != 3 {
		t.Fatalf("demo.json holds %+v", report)
	}

	for _, test := range []struct {
		name string
		args []string
		says []string
	}{
		{"folder in use", []string{"--dir", dir, "--listen", freeAddress(t)}, []string{"another demo is running in " + dir, "ctrl-c", "--dir"}},
		{"port in use", []string{"--dir", filepath.Join(rig.Dir(t), "demo"), "--listen", listen}, []string{listen + " can't be listened on", "in use", "--listen"}},
		{"folder of something else", []string{"--dir", testkit.ModuleRoot(t), "--listen", freeAddress(t)}, []string{"holds something that is not a demo's", "--dir"}},
	} {
		other, said := demoCommand(t, test.args...)
		var exit *exec.ExitError
		if err := testkit.Start(t, other).Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: ended with %v, want exit code 1", test.name, err)
		}
		wantSays(t, said.String(), test.says...)
		if strings.Count(strings.TrimSpace(said.String()), "\n") > 0 {
			t.Errorf("%s: want one sentence, got\n%s", test.name, said)
		}
	}

	remote := &rig.API{Base: report.URL, Token: report.APIToken}
	for i, repository := range report.Repositories {
		if repository.HostID != report.Hosts[i].ID {
			t.Errorf("repository %d is of host %s, want %s", i, repository.HostID, report.Hosts[i].ID)
		}
		access := api.Access{URL: repository.URL, Key: repository.Password}
		wait(t, "a snapshot in "+report.Hosts[i].Name+"'s repository", func() bool { return len(rig.SnapshotsInRepository(t, access)) == 1 })
	}
	if hosts := remote.Hosts(t); len(hosts) != 4 {
		t.Errorf("the API shows %d hosts, want three and the storage box", len(hosts))
	}
	s := &rig.Server{URL: report.URL, User: report.Username, Password: report.Password}
	wantSays(t, s.SignIn(t).Page(t, "/"), "web-1", "db-1", "laptop-ann")

	if running := mentioning(t, dir); len(running) < 6 {
		t.Fatalf("the demo has only the processes %v", running)
	}
	demo.Signal(t, syscall.SIGINT)
	if err := demo.Wait(); err != nil {
		t.Errorf("after Ctrl-C the demo ended with %v\n%s", err, output)
	}
	wantSays(t, output.String(), report.URL, report.Username, report.Password, "ending every process")
	if left := mentioning(t, dir); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if _, err := http.Get(report.URL + "/healthz"); err == nil {
		t.Error("the server still answers")
	}
}

// TestDemoInterruptedEarly ends the demo while it is coming up: by Ctrl-C, by a
// plain kill, and by closing the terminal.
func TestDemoInterruptedEarly(t *testing.T) {
	parallelBusy(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			dir := filepath.Join(rig.Dir(t), "demo")
			command, output := demoCommand(t, "--dir", dir, "--listen", freeAddress(t))
			demo := testkit.Start(t, command)
			wait(t, "the first agent", func() bool {
				_, err := os.Stat(filepath.Join(dir, "storage", "agent"))
				return err == nil
			})
			demo.Signal(t, signal)
			if err := demo.Wait(); err == nil {
				t.Error("a demo that never came up ended with 0")
			}
			wantSays(t, output.String(), "stopped before it was ready")
			if left := mentioning(t, dir); len(left) > 0 {
				t.Errorf("processes are left: %v", left)
				for pid := range left {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
				}
			}
		})
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
}

// mentioning gives the command lines of the processes that name the folder, by
// their ids.
func mentioning(t *testing.T, dir string) map[int]string {
	t.Helper()
	lines := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if line := string(bytes.ReplaceAll(raw, []byte{0}, []byte{' '})); err == nil && strings.Contains(line, dir) {
			lines[pid] = line
		}
	}
	return lines
}
