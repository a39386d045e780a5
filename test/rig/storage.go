//go:build unix

package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/restic-manager/restic-manager/internal/testkit"
)

// StorageBox is a rest-server with the storage agent beside it.
type StorageBox struct {
	*Agent
	RestServer *testkit.RunningRestServer

	pidFile string
	owner   testing.TB // as of the server
}

// StartStorageBox starts an append-only rest-server with private repositories
// and enrols a storage agent beside it.
func StartStorageBox(t testing.TB, s *Server) *StorageBox {
	t.Helper()
	dir := Dir(t)
	box := &StorageBox{owner: t, pidFile: filepath.Join(dir, "rest-server.pid")}
	box.startRestServer(t, testkit.RestServerOptions{Dir: filepath.Join(dir, "data"), Users: map[string]string{}})
	box.Agent = NewAgent(t, s, "storage-box", AgentOptions{Policy: fmt.Sprintf("storage:\n  path: %q\n  url: %q\n  pid_file: %q\n",
		box.RestServer.Dir, box.RestServer.URL, box.pidFile)})
	box.Enrol(t, Invitation{Name: "storage-box"})
	box.Start(t)
	box.WaitOnline(t)
	return box
}

// StopRestServer makes every repository unreachable.
func (b *StorageBox) StopRestServer() { b.RestServer.Stop() }

// StartRestServer starts it again where it was.
func (b *StorageBox) StartRestServer(t testing.TB) {
	t.Helper()
	b.startRestServer(t, testkit.RestServerOptions{Dir: b.RestServer.Dir, Listen: b.RestServer.Listen})
}

func (b *StorageBox) startRestServer(t testing.TB, options testkit.RestServerOptions) {
	t.Helper()
	options.AppendOnly, options.PrivateRepos = true, true
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		t.Fatalf("make rest-server's folder: %v", err)
	}
	b.RestServer = testkit.StartRestServer(b.owner, options)
	if err := os.WriteFile(b.pidFile, fmt.Appendln(nil, b.RestServer.Pid), 0o600); err != nil {
		t.Fatalf("note rest-server's process: %v", err)
	}
}
