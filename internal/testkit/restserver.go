package testkit

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// RestServerOptions says which rest-server a test wants. Its zero value is one
// without authentication in a new folder.
type RestServerOptions struct {
	AppendOnly   bool
	PrivateRepos bool
	// Users maps names to passwords; they are written to Dir/.htpasswd. A nil
	// map switches authentication off unless the file is there already.
	Users map[string]string
	// Dir is the data folder; empty means a new one that goes with the test.
	Dir string
	// Listen is the address, host:port; empty means a free port of 127.0.0.1.
	// It serves to start a second server where a first one was stopped.
	Listen string
}

// RunningRestServer is a real rest-server on loopback.
type RunningRestServer struct {
	*Process

	URL      string // http://127.0.0.1:PORT, without a slash at the end
	Listen   string // 127.0.0.1:PORT
	Dir      string // data folder: the repositories of user U are below Dir/U
	HTPasswd string // path of the file with users, which may not exist
}

// restServerReady finds the address in the line that rest-server prints when
// its listener is open.
var restServerReady = regexp.MustCompile(`start server on (\S+:\d+)`)

// StartRestServer starts rest-server, waits until it accepts connections, and
// ends it with the test.
func StartRestServer(t testing.TB, options RestServerOptions) *RunningRestServer {
	t.Helper()
	binary := RestServer(t)
	server := &RunningRestServer{Dir: options.Dir}
	if server.Dir == "" {
		server.Dir = t.TempDir()
	}
	server.HTPasswd = filepath.Join(server.Dir, ".htpasswd")
	if options.Users != nil {
		WriteHTPasswd(t, server.HTPasswd, options.Users)
	}
	listen := options.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	arguments := []string{"--path", server.Dir, "--listen", listen}
	if options.AppendOnly {
		arguments = append(arguments, "--append-only")
	}
	if options.PrivateRepos {
		arguments = append(arguments, "--private-repos")
	}
	if _, err := os.Stat(server.HTPasswd); err != nil {
		arguments = append(arguments, "--no-auth")
	}

	output := &syncBuffer{}
	command := exec.Command(binary, arguments...)
	command.Stdout, command.Stderr = output, output
	server.Process = Start(t, command)
	WaitFor(t, 10*time.Second, "rest-server to listen", func() bool {
		select {
		case <-server.Ended():
			t.Fatalf("rest-server ended at once:\n%s", output)
		default:
		}
		match := restServerReady.FindStringSubmatch(output.String())
		if match == nil {
			return false
		}
		server.Listen = match[1]
		return true
	})
	server.URL = "http://" + server.Listen
	return server
}

// RepositoryURL gives the restic URL of the repository at path below the
// server, with the user's credentials inside unless user is empty.
func (s *RunningRestServer) RepositoryURL(user, password, path string) string {
	address := url.URL{Scheme: "http", Host: s.Listen, Path: "/" + strings.Trim(path, "/") + "/"}
	if user != "" {
		address.User = url.UserPassword(user, password)
	}
	return "rest:" + address.String()
}

// WriteHTPasswd writes the users with cheap bcrypt hashes, and nothing else,
// to the file.
func WriteHTPasswd(t testing.TB, path string, users map[string]string) {
	t.Helper()
	var lines strings.Builder
	for name, password := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatalf("hash the password of %s: %v", name, err)
		}
		fmt.Fprintf(&lines, "%s:%s\n", name, hash)
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatalf("write the users: %v", err)
	}
}

// syncBuffer collects the output of a process while a test reads it.
type syncBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(text []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(text)
}

func (b *syncBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}
