//go:build unix

package testkit

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Main runs the tests of a package and then ends the PostgreSQL cluster they
// shared. A package that calls Postgres has it in its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
func Main(m *testing.M) (exitCode int) {
	mainRuns.Store(true)
	exitCode = m.Run()
	if theCluster != nil {
		theCluster.stop()
	}
	return exitCode
}

// Postgres gives the URL of a new, empty database of a PostgreSQL cluster that
// this test binary has to itself. The first call makes the cluster, on a Unix
// socket in a temporary folder; the database goes with the test, the cluster
// with the test binary, see Main. Run as root, the cluster belongs to the user
// postgres. Without PostgreSQL the test is skipped, or failed under CI=true.
func Postgres(t testing.TB) string {
	t.Helper()
	if !mainRuns.Load() {
		t.Fatal("a package that calls testkit.Postgres needs testkit.Main in its TestMain")
	}
	bin := postgresBin()
	if bin == "" {
		missing(t, "PostgreSQL is not here: run `make test-deps`, or install it")
	}
	cluster, err := sharedCluster(bin)
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	name := fmt.Sprintf("test_%d", databaseCount.Add(1))
	if err := cluster.execute("CREATE DATABASE " + name); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := cluster.execute("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the database: %v", err)
		}
	})
	return cluster.url(name)
}

var (
	mainRuns      atomic.Bool
	databaseCount atomic.Int64

	clusterOnce  sync.Once
	theCluster   *postgresCluster
	clusterError error
)

func sharedCluster(bin string) (*postgresCluster, error) {
	clusterOnce.Do(func() { theCluster, clusterError = startCluster(bin) })
	return theCluster, clusterError
}

// postgresCluster is a running server whose data and socket are in folder.
type postgresCluster struct {
	folder  string
	server  *exec.Cmd
	release func() // ends the guard
}

// startCluster makes and starts a cluster. When the test binary is killed, a
// guard ends the server and removes the folder.
func startCluster(bin string) (*postgresCluster, error) {
	owner, err := postgresOwner()
	if err != nil {
		return nil, err
	}
	// Not t.TempDir: the path of a Unix socket may have 107 bytes at most.
	folder, err := os.MkdirTemp("", "rm-pg-")
	if err != nil {
		return nil, err
	}
	if owner != nil {
		if err := os.Chown(folder, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(folder, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir = folder
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if output, err := initdb.CombinedOutput(); err != nil {
		_ = os.RemoveAll(folder)
		return nil, fmt.Errorf("initdb: %w\n%s", err, output)
	}

	logfile, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = logfile.Close() }() // the server has its own handle
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", folder,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200")
	server.Dir = folder
	server.Stdout, server.Stderr = logfile, logfile
	server.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	cluster := &postgresCluster{folder: folder, server: server}
	// SIGQUIT is the immediate shutdown. The server removes postmaster.pid last.
	cluster.release, err = guard(fmt.Sprintf(`kill -QUIT %d; tries=100
		while [ -e '%[2]s/postmaster.pid' ] && [ $tries -gt 0 ]; do sleep 0.1; tries=$((tries-1)); done
		rm -rf '%[3]s'`, server.Process.Pid, data, folder))
	if err != nil {
		cluster.stop()
		return nil, fmt.Errorf("guard postgres: %w", err)
	}
	if err := cluster.waitReady(); err != nil {
		text, _ := os.ReadFile(logfile.Name())
		cluster.stop()
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return cluster, nil
}

// stop ends the server at once and removes its folder.
func (c *postgresCluster) stop() {
	_ = c.server.Process.Signal(syscall.SIGQUIT) // fails when it is gone already
	_ = c.server.Wait()                          // reports the signal
	_ = os.RemoveAll(c.folder)
	c.release()
}

func (c *postgresCluster) waitReady() error {
	deadline := time.Now().Add(20 * time.Second)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := c.execute("SELECT 1")
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-ticker.C
	}
}

func (c *postgresCluster) url(database string) string {
	return "postgres://postgres@/" + database + "?" + url.Values{"host": {c.folder}}.Encode()
}

func (c *postgresCluster) execute(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	connection, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = connection.Close(ctx) }()
	if _, err := connection.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// postgresBin gives the folder of initdb and postgres, or "". Debian keeps them
// out of PATH, one folder per major version; the newest wins.
func postgresBin() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well formed
	if len(found) == 0 {
		return ""
	}
	major := func(path string) int {
		number, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return number
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) })
	return filepath.Dir(newest)
}

// postgresOwner says as whom the server has to run: PostgreSQL refuses root.
// Nil means the user of the test.
func postgresOwner() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("find the user postgres: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the id of postgres: %w", err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the group of postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
