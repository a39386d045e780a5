//go:build unix

package rig

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// ServerOptions say which server a test wants. The zero value is one on SQLite.
type ServerOptions struct {
	Postgres bool
	// Unstarted leaves the start, and with it the first user, to Start.
	Unstarted bool
}

// Server is the real server on loopback. Its port and data stay the same over
// restarts.
type Server struct {
	*testkit.Process // of the last start

	URL, Listen string
	Dir         string // data folder
	Database    string // URL of PostgreSQL, "" for SQLite
	LogPath     string
	// User and Password sign the administrator in; API speaks with a token of
	// the same role. Both are there after the first start.
	User, Password string
	API            *API

	programs Programs
	// owner is the test that asked for the server: a subtest that starts it again
	// does not take it along when it ends.
	owner testing.TB
}

// StartServer starts a server with its first user and an API token.
func StartServer(t testing.TB, options ServerOptions) *Server {
	t.Helper()
	dir := Dir(t)
	listen := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	s := &Server{URL: "http://" + listen, Listen: listen, Dir: filepath.Join(dir, "data"), LogPath: filepath.Join(dir, "server.log"),
		User: "admin", Password: "correct horse battery staple", programs: Build(t), owner: t}
	if options.Postgres {
		s.Database = testkit.Postgres(t)
	}
	if !options.Unstarted {
		s.Start(t)
	}
	return s
}

// Start starts the server again, or for the first time, and waits until it is
// ready.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.Launch(t)
	testkit.WaitFor(t, 20*time.Second, "the server to be ready", func() bool {
		select {
		case <-s.Ended():
			t.Fatal("the server ended at once")
		default:
		}
		response, err := http.Get(s.URL + "/readyz")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	if s.API == nil {
		s.setUp(t)
	}
}

// Launch starts the server and does not wait for it.
func (s *Server) Launch(t testing.TB) {
	t.Helper()
	log := logFile(s.owner, s.LogPath)
	command := exec.Command(s.programs.Server, append([]string{"serve", "--listen", s.Listen}, s.location()...)...)
	command.Env = s.environment()
	command.Stdout, command.Stderr = log, log
	s.Process = testkit.Start(s.owner, command)
}

func (s *Server) location() []string { return []string{"--data-dir", s.Dir} }

func (s *Server) environment() []string {
	if s.Database == "" {
		return os.Environ()
	}
	return append(os.Environ(), "RM_DATABASE="+s.Database)
}

// setUp makes the first user by the form that a person fills in, and a token by
// the command line.
func (s *Server) setUp(t testing.TB) {
	t.Helper()
	setup, err := os.ReadFile(filepath.Join(s.Dir, "setup-token"))
	if err != nil {
		t.Fatalf("read the setup token: %v", err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.PostForm(s.URL+"/setup", url.Values{"token": {strings.TrimSpace(string(setup))},
		"name": {s.User}, "password": {s.Password}, "repeat": {s.Password}})
	if err != nil {
		t.Fatalf("set the server up: %v", err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("set the server up: it answered %s", response.Status)
	}
	command := exec.Command(s.programs.Server, append([]string{"token", "create", "--name", "rig"}, s.location()...)...)
	command.Env = s.environment()
	token, err := command.Output()
	if err != nil {
		t.Fatalf("make an API token: %v", err)
	}
	s.API = &API{Base: s.URL, Token: strings.TrimSpace(string(token))}
}

// Access tells how a host reaches its repository, with what opens it.
func (s *Server) Access(t testing.TB, host job.HostID) api.Access {
	t.Helper()
	all, err := server.RevealAccess(t.Context(), server.Options{Dir: s.Dir, Database: s.Database}, "")
	if err != nil {
		t.Fatalf("reveal the access: %v", err)
	}
	for _, access := range all {
		if access.Host == host {
			return access.Access
		}
	}
	t.Fatalf("host %s has no repository", host)
	return api.Access{}
}
