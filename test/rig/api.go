//go:build unix

package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

// API speaks the server's API with a token, as any program would.
type API struct{ Base, Token string }

var httpClient = &http.Client{Timeout: 30 * time.Second}

// Answer is what the API said.
type Answer struct {
	Status int
	Body   []byte
	Header http.Header
}

// Detail is the sentence of a problem, "" for an answer that is none.
func (a Answer) Detail() string {
	var problem struct {
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(a.Body, &problem) // not every answer is JSON
	return problem.Detail
}

// Ask makes one request below /api/v1 and gives whatever the answer is. A body
// of nil sends none. The error says that there was no answer.
func (a *API) Ask(ctx context.Context, method, path string, body any) (Answer, error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.Base+"/api/v1"+path, content)
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+a.Token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, text, response.Header}, err
}

// Do makes a request that has to get the status, and decodes the answer into
// into unless that is nil.
func (a *API) Do(t testing.TB, status int, method, path string, body, into any) {
	t.Helper()
	answer, err := a.Ask(context.WithoutCancel(t.Context()), method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if answer.Status != status {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, answer.Status, status, answer.Body)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, answer.Body)
	}
}

// get reads one thing.
func get[T any](t testing.TB, a *API, path string) (found T) {
	t.Helper()
	a.Do(t, http.StatusOK, http.MethodGet, path, nil, &found)
	return found
}

// list reads the first page of a list.
func list[T any](t testing.TB, a *API, path string) []T {
	t.Helper()
	return get[struct {
		Items []T `json:"items"`
	}](t, a, path).Items
}
