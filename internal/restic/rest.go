package restic

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// restTimeout bounds one small request, answer included.
const restTimeout = 30 * time.Second

// HTTPError is an answer of a rest-server that is not what was asked for.
type HTTPError struct {
	Method string
	Status int
}

func (e *HTTPError) Error() string {
	return "the server answered " + e.Method + " with " + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
}

// restDelete asks a rest-server to delete one file of the repository and returns the status of the answer.
func restDelete(ctx context.Context, repository Repository, kind, id string) (status int, err error) {
	address, err := repository.restURL()
	if err != nil {
		return 0, err
	}
	transport, err := repository.transport()
	if err != nil {
		return 0, err
	}
	defer transport.CloseIdleConnections()
	client := http.Client{
		Transport: transport,
		Timeout:   restTimeout,
		// A redirected DELETE would go out as a GET; its answer would prove nothing.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, address.JoinPath(kind, id).String(), nil)
	if err != nil {
		return 0, err
	}
	if repository.RESTUsername != "" || repository.RESTPassword != "" {
		request.SetBasicAuth(repository.RESTUsername, repository.RESTPassword)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, answer.Body, 4<<10)
	_ = answer.Body.Close()
	return answer.StatusCode, nil
}

// restURL is the address of the repository at a rest-server that speaks HTTP over TCP.
func (r Repository) restURL() (*url.URL, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(r.URL, "rest:")
	if !ok {
		return nil, ErrUnsupportedRepository
	}
	address, err := url.Parse(text)
	if err != nil {
		return nil, &InvalidError{Field: "repository URL", Reason: "can't be parsed"}
	}
	if address.Scheme != "http" && address.Scheme != "https" {
		return nil, ErrUnsupportedRepository
	}
	return address, nil
}

// transport trusts the repository's private authority instead of the system's, as restic does.
func (r Repository) transport() (*http.Transport, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if r.CACertFile == "" {
		return transport, nil
	}
	pem, err := os.ReadFile(r.CACertFile)
	if err != nil {
		return nil, fmt.Errorf("read the CA certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("read the CA certificate: the file holds none")
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return transport, nil
}
