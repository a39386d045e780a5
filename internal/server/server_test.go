package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/server"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// run starts a server on loopback and returns its address, its setup token, and
// what ends it and tells how.
func run(t *testing.T, dir string) (address, setup string, stop func() error) {
	t.Helper()
	s, err := server.New(t.Context(), server.Options{Dir: dir, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
		Announce: func(token, _ string) { setup = token }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s.Addr(), setup, stop
}

// browser keeps its cookies nowhere and follows nothing.
var browser = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func setUp(t *testing.T, address, token, name string) (status int, session string) {
	t.Helper()
	answer, err := browser.PostForm("http://"+address+"/setup", url.Values{"token": {token}, "name": {name}, "password": {"a long password of " + name}})
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	answer.Body.Close()
	for _, cookie := range answer.Cookies() {
		session = cookie.Name + "=" + cookie.Value
	}
	return answer.StatusCode, session
}

func TestServerLeavesNothingBehindAndStartsAgain(t *testing.T) {
	dir := t.TempDir()
	address, setup, stop := run(t, dir)
	_, session := setUp(t, address, setup, "ann")
	// A tab that is open when the server stops.
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Cookie", session)
	stream, err := browser.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if first, err := bufio.NewReader(stream.Body).ReadString('\n'); err != nil || first != "event: ready\n" {
		t.Fatalf("the stream began with %q, %v", first, err)
	}
	if err := stop(); err != nil {
		t.Fatalf("the server ended with %v", err)
	}
	if _, err := io.Copy(io.Discard, stream.Body); errors.Is(err, context.DeadlineExceeded) {
		t.Error("the stream outlived the server")
	}
	_, setup, stop = run(t, dir)
	if setup != "" {
		t.Error("a server that has a user announced a setup token")
	}
	if err := stop(); err != nil {
		t.Errorf("the server ended with %v the second time", err)
	}
	stream.Body.Close()
	if left := goroutinesLeft(); left != "" {
		t.Errorf("goroutines outlived the server:\n%s", left)
	}
}

// goroutinesLeft gives the stacks of goroutines that run our code beside the
// test, once they had a moment to end; "" is none.
func goroutinesLeft() (left string) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-ticker.C {
		stacks := make([]byte, 1<<20)
		left = ""
		for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(stack, "restic-manager/internal/") && !strings.Contains(stack, "goroutinesLeft") {
				left += stack + "\n\n"
			}
		}
		if left == "" {
			return ""
		}
	}
	return left
}

func TestTokenIsMadeOnlyWhereAServerHasItsData(t *testing.T) {
	dir := t.TempDir()
	wanted := control.NewAPIToken{Name: "backup script", Role: auth.Viewer}
	if token, err := server.CreateToken(t.Context(), server.Options{Dir: dir}, wanted); err == nil || token != "" {
		t.Errorf("a folder without a server gave %q, %v", token, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	address, _, _ := run(t, dir)
	token, err := server.CreateToken(t.Context(), server.Options{Dir: dir}, wanted)
	if err != nil {
		t.Fatal(err)
	}
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/api/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Authorization", "Bearer "+token)
	answer, err := browser.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the token is answered with %s", answer.Status)
	}
}

func TestServerThatCannotListenAnnouncesNothing(t *testing.T) {
	taken, _, _ := run(t, t.TempDir())
	dir := t.TempDir()
	_, err := server.New(t.Context(), server.Options{Dir: dir, Listen: taken, Log: slog.New(slog.DiscardHandler),
		Announce: func(string, string) { t.Error("a setup token was announced") }})
	if err == nil {
		t.Fatal("two servers listen on one address")
	}
	if _, err := os.Stat(filepath.Join(dir, "setup-token")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a setup token was left behind: %v", err)
	}
}

func TestOneOfManyBrowsersSetsUp(t *testing.T) {
	address, setup, _ := run(t, t.TempDir())
	var made sync.Map
	var all sync.WaitGroup
	for _, name := range strings.Fields("ann ben cyd dan eve fay") {
		all.Go(func() {
			if status, session := setUp(t, address, setup, name); status == http.StatusSeeOther && session != "" {
				made.Store(name, true)
			}
		})
	}
	all.Wait()
	count := 0
	made.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d browsers set the server up", count)
	}
}

func TestEveryAnswerTellsBrowsersWhatItMayNotDo(t *testing.T) {
	address, _, _ := run(t, t.TempDir())
	for _, path := range []string{"/", "/sign-in", "/nothing", "/healthz", "/api/v1/hosts", "/api/v1/nothing", "/agent/v1/identity", "/static/nothing"} {
		answer, err := browser.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		policy := answer.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		if answer.Header.Get("X-Content-Type-Options") != "nosniff" || answer.Header.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s has the headers %v", path, answer.Header)
		}
	}
}

func TestFormThatIsTooLargeIsRefused(t *testing.T) {
	address, setup, _ := run(t, t.TempDir())
	setUp(t, address, setup, "ann")
	// Not much larger: what the server leaves unread must fit between the two, or
	// the answer may be lost to the reset of the connection.
	answer, err := browser.PostForm("http://"+address+"/sign-in", url.Values{"username": {"ann"}, "password": {strings.Repeat("a", 1<<20+64<<10)}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), "larger than 1024 KiB") {
		t.Errorf("a form over 1 MiB = %d %s %v", answer.StatusCode, body, err)
	}
}
