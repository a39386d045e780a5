package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client speaks the server's API as any program would.
type client struct{ base, token string }

var httpClient = &http.Client{Timeout: 20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (c *client) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// setUp makes the first user, by the form that a person fills in.
func (c *client) setUp(ctx context.Context, token, user, password string) error {
	form := url.Values{"token": {token}, "name": {user}, "password": {password}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/setup", strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("set the server up: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := httpClient.Do(request)
	if err != nil {
		return fmt.Errorf("set the server up: %w", err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusSeeOther {
		return errors.Join(fmt.Errorf("set the server up: it answered %s", response.Status), err)
	}
	return nil
}

func (c *client) post(ctx context.Context, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, raw, into)
}

// giveFiles lets the source group that a host has joined with hold these files,
// since all hosts of a demo are one machine, and returns the group's id.
func (c *client) giveFiles(ctx context.Context, hostID string, sources []string) (string, error) {
	var page struct {
		Items []struct {
			ID        string          `json:"id"`
			Retention json.RawMessage `json:"retention"`
		} `json:"items"`
	}
	if err := c.get(ctx, "/hosts/"+hostID+"/source-groups", &page); err != nil {
		return "", err
	}
	body := map[string]any{"name": "home", "includes": sources, "excludes": []string{"*.tmp"}}
	if len(page.Items) == 0 { // on a system that has no default
		var made struct {
			ID string `json:"id"`
		}
		err := c.post(ctx, "/hosts/"+hostID+"/source-groups", body, &made)
		return made.ID, err
	}
	group := page.Items[0]
	body["retention"] = group.Retention
	raw, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	return group.ID, c.do(ctx, http.MethodPut, "/source-groups/"+group.ID, raw, nil)
}

func (c *client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

func (c *client) do(ctx context.Context, method, path string, body []byte, into any) (err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("ask %s: %s: %s", path, response.Status, text)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

type host struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Online bool   `json:"online"`
}

func (c *client) hosts(ctx context.Context) ([]host, error) {
	var page struct {
		Items []host `json:"items"`
	}
	err := c.get(ctx, "/hosts?limit=500", &page)
	return page.Items, err
}

func (c *client) repositoryReady(ctx context.Context, hostID string) (bool, error) {
	var page struct {
		Items []struct {
			HostID  string  `json:"host_id"`
			ReadyAt *string `json:"ready_at"`
		} `json:"items"`
	}
	err := c.get(ctx, "/repositories?limit=500", &page)
	for _, r := range page.Items {
		if r.HostID == hostID && r.ReadyAt != nil {
			return true, err
		}
	}
	return false, err
}

type snapshot struct {
	ID    string `json:"id"`
	Files int64  `json:"files_processed"`
	Bytes int64  `json:"bytes_processed"`
}

func (c *client) snapshots(ctx context.Context, hostID string) ([]snapshot, error) {
	var page struct {
		Items []snapshot `json:"items"`
	}
	err := c.get(ctx, "/hosts/"+hostID+"/snapshots", &page)
	return page.Items, err
}
