//go:build unix

package rig

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
	"time"
)

// Visitor is somebody who signed in with a browser that runs no script.
type Visitor struct {
	base   string
	client *http.Client
}

// SignIn signs the administrator in.
func (s *Server) SignIn(t testing.TB) *Visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatalf("make a cookie jar: %v", err)
	}
	v := &Visitor{s.URL, &http.Client{Jar: jar, Timeout: 30 * time.Second}}
	v.Post(t, "/sign-in", url.Values{"username": {s.User}, "password": {s.Password}})
	return v
}

// Page gives the HTML of a page, which has to be there.
func (v *Visitor) Page(t testing.TB, path string) string {
	t.Helper()
	response, err := v.client.Get(v.base + path)
	return read(t, path, response, err)
}

// Post sends a form and gives the page that it leads to.
func (v *Visitor) Post(t testing.TB, path string, form url.Values) string {
	t.Helper()
	response, err := v.client.PostForm(v.base+path, form)
	return read(t, path, response, err)
}

func read(t testing.TB, path string, response *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("open %s: %s %v\n%s", path, response.Status, err, text)
	}
	return string(text)
}
