//go:build unix

package testkit

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestResticAndRestServer(t *testing.T) {
	binary := Restic(t)
	server := StartRestServer(t, RestServerOptions{
		AppendOnly: true, PrivateRepos: true, Users: map[string]string{"h1": "p@ss:word/#%"},
	})
	restic := func(path string) ([]byte, error) {
		command := exec.Command(binary, "init", "--repo", server.RepositoryURL("h1", "p@ss:word/#%", path))
		command.Env = []string{"RESTIC_PASSWORD=secret", "HOME=" + t.TempDir()}
		return command.CombinedOutput()
	}
	if output, err := restic("h1/repo"); err != nil {
		t.Fatalf("restic init: %v\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(server.Dir, "h1", "repo", "config")); err != nil {
		t.Errorf("the repository is not in the server's folder: %v", err)
	}
	if output, err := restic("h2/repo"); err == nil {
		t.Errorf("private repositories: h1 could write below h2\n%s", output)
	}

	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete,
		server.URL+"/h1/repo/snapshots/"+strings.Repeat("0", 64), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("h1", "p@ss:word/#%")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("DELETE of a snapshot: status %d, want 403 from an append-only server", response.StatusCode)
	}

	server.Stop()
	again := StartRestServer(t, RestServerOptions{Dir: server.Dir, Listen: server.Listen, PrivateRepos: true})
	if again.URL != server.URL {
		t.Errorf("restarted at %s, want %s", again.URL, server.URL)
	}
}

func TestPostgresGivesFreshDatabases(t *testing.T) {
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			connection, err := pgx.Connect(t.Context(), Postgres(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = connection.Close(context.Background()) }()
			if _, err := connection.Exec(t.Context(), "CREATE TABLE only_here (id BIGINT)"); err != nil {
				t.Errorf("create a table in a fresh database: %v", err)
			}
		})
	}
}

func TestChromium(t *testing.T) {
	tab := Chromium(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<title>before</title><script>document.title = 'af' + 'ter'</script>"))
	}))
	defer page.Close()
	ctx, cancel := context.WithTimeout(tab, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(page.URL)); err != nil {
		t.Fatal(err)
	}
	title, err := chromedp.Run(ctx, chromedp.Title())
	if err != nil {
		t.Fatal(err)
	}
	if title != "after" {
		t.Errorf("title %q, want the one the script set", title)
	}
}

// TestProcessesEndWithTheTest looks at what a test leaves behind: one that
// ended, and one whose test binary was killed.
func TestProcessesEndWithTheTest(t *testing.T) {
	t.Run("after the test", func(t *testing.T) {
		var pid int
		t.Run("starts one", func(t *testing.T) {
			pid = Start(t, exec.Command("tail", "-f", "/dev/null")).Pid
			if !alive(pid) {
				t.Fatalf("process %d is not there", pid)
			}
		})
		if alive(pid) {
			t.Errorf("process %d outlived its test", pid)
		}
	})
	t.Run("after a kill of the test binary", func(t *testing.T) {
		binary := exec.Command(os.Args[0], "-test.run=^TestHelperStartsAndHangs$")
		binary.Env = append(os.Environ(), helperSwitch+"=1")
		output, err := binary.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := binary.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(output).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if !alive(pid) {
			t.Fatalf("process %d is not there", pid)
		}
		if err := binary.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = binary.Wait() // reports the kill
		WaitFor(t, 10*time.Second, "the guard to end the process", func() bool { return !alive(pid) })
	})
}

const helperSwitch = "TESTKIT_HELPER"

// TestHelperStartsAndHangs is the program that TestProcessesEndWithTheTest kills.
func TestHelperStartsAndHangs(t *testing.T) {
	if os.Getenv(helperSwitch) == "" {
		t.Skip("only runs as a child of TestProcessesEndWithTheTest")
	}
	process := Start(t, exec.Command("tail", "-f", "/dev/null"))
	if _, err := os.Stdout.WriteString(strconv.Itoa(process.Pid) + "\n"); err != nil {
		t.Fatal(err)
	}
	<-process.Ended()
}

// alive says whether a process runs. One that ended but was not waited for by
// its parent is not alive.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(status), ") Z ")
}
