package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// requestTimeout bounds one HTTP request to the server.
const requestTimeout = 30 * time.Second

// Dial makes a connection, as net.Dialer does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// newHTTPClient returns a client that keeps no idle connection: an agent talks
// HTTP once and then over its session.
func newHTTPClient(dial Dial) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck // net/http documents its type, and nothing here replaces it
	transport.DisableKeepAlives = true
	if dial != nil {
		transport.DialContext, transport.Proxy = dial, nil
	}
	return &http.Client{Transport: transport}
}

// ParseServer reads a server's base URL. Plain HTTP is for loopback, unless
// insecure says that the risk is known.
func ParseServer(text string, insecure bool) (string, error) {
	address, err := url.Parse(strings.TrimSpace(text))
	if err != nil || address.Host == "" {
		return "", fmt.Errorf("server address %q is not a URL such as https://backup.example.org", text)
	}
	switch address.Scheme {
	case "ws":
		address.Scheme = "http"
	case "wss":
		address.Scheme = "https"
	}
	switch {
	case address.Scheme != "http" && address.Scheme != "https":
		return "", fmt.Errorf("server address %q must begin with https:// or http://", text)
	case address.User != nil || address.RawQuery != "" || address.Fragment != "":
		return "", errors.New("server address must not hold credentials, a query or a fragment")
	case address.Scheme == "http" && !insecure && !isLoopback(address.Hostname()):
		return "", fmt.Errorf("server address %q is not encrypted; use https://, or --insecure when the network between is trusted", text)
	}
	return strings.TrimRight(address.String(), "/"), nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// plainError shortens network errors to what a person needs.
func plainError(err error) string {
	var opError *net.OpError
	if errors.As(err, &opError) {
		return opError.Error()
	}
	return err.Error()
}
