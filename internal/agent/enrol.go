package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/restic-manager/restic-manager/internal/api"
)

// EnrolOptions say how to join a server.
type EnrolOptions struct {
	// Server is its base URL, Token what its page gave.
	Server, Token string
	// Insecure allows plain HTTP off loopback.
	Insecure bool
	// Replace sets an earlier enrolment of this state folder aside.
	Replace bool
	// Timeout is how long to go on trying while the server can't be reached; 0 is
	// one hour.
	Timeout time.Duration
	// Notice is told once that the server can't be reached yet; nil is nobody.
	Notice func(text string)
}

// Enrol joins a server with a one-time token and stores who this agent then is.
// The key is stored before it is shown to anyone, so that a lost answer can be
// asked for again with the same key.
func Enrol(ctx context.Context, o Options, e EnrolOptions) (Identity, error) {
	if err := o.complete(); err != nil {
		return Identity{}, err
	}
	policy, err := LoadPolicy(o.PolicyFile)
	if err != nil {
		return Identity{}, err
	}
	server, err := ParseServer(e.Server, e.Insecure)
	if err != nil {
		return Identity{}, err
	}
	token, err := api.ParseToken(e.Token)
	if err != nil {
		return Identity{}, err
	}
	state, err := openState(o.Dir)
	if err != nil {
		return Identity{}, err
	}
	if err := state.lock(); err != nil {
		return Identity{}, err
	}
	defer func() { _ = state.unlock() }()
	if err := state.makeRoom(o, e.Replace); err != nil {
		return Identity{}, err
	}
	key, err := state.agentKey()
	if err != nil {
		return Identity{}, err
	}
	if key == nil {
		if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return Identity{}, fmt.Errorf("make agent key: %w", err)
		}
		if err := state.saveAgentKey(key); err != nil {
			return Identity{}, err
		}
	}
	facts := newFacts(ctx, o, policy)
	response, err := enrolUntil(ctx, o.Dial, server, token, key, facts, e)
	if err != nil {
		return Identity{}, err
	}
	identity := Identity{Host: response.Host, Name: response.Name, Server: server, ServerKey: response.ServerKey,
		Insecure: e.Insecure, EnrolledAt: o.Now().UTC()}
	return identity, state.writeJSON(identityFile, identity)
}

// makeRoom refuses a folder that is enrolled, or sets that enrolment aside.
func (s *state) makeRoom(o Options, replace bool) error {
	identity, err := s.identity()
	if errors.Is(err, ErrNotEnrolled) {
		return nil
	}
	if err != nil && !replace {
		return err
	}
	if !replace {
		return fmt.Errorf("this machine is already enrolled as %q at %s; --replace sets that enrolment aside and joins anew", identity.Name, identity.Server)
	}
	return s.setAside(o.Now())
}

func enrolUntil(ctx context.Context, dial Dial, server string, token api.Token, key ed25519.PrivateKey, facts api.Facts, e EnrolOptions) (*api.EnrolResponse, error) {
	timeout := e.Timeout
	if timeout <= 0 {
		timeout = time.Hour
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := newHTTPClient(dial)
	for attempt := 0; ; attempt++ {
		response, err := enrolOnce(ctx, client, server, token, key, facts)
		var again *retryError
		if err == nil || !errors.As(err, &again) {
			return response, err
		}
		if attempt == 0 && e.Notice != nil {
			e.Notice("server not reachable yet, trying again (" + plainError(again.err) + ")")
		}
		if !sleep(ctx, jitter(attempt, api.DefaultReconnectMin, api.DefaultReconnectMax)) {
			return nil, fmt.Errorf("enrol: gave up: %w", again.err)
		}
	}
}

// retryError marks a failure that may heal by itself.
type retryError struct{ err error }

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

func enrolOnce(ctx context.Context, client *http.Client, server string, token api.Token, key ed25519.PrivateKey, facts api.Facts) (*api.EnrolResponse, error) {
	nonce := make([]byte, api.NonceSize)
	_, _ = rand.Read(nonce)
	var identity api.Identity
	if err := call(ctx, client, http.MethodGet, server+api.IdentityPath+"?nonce="+base64.RawURLEncoding.EncodeToString(nonce), nil, &identity); err != nil {
		return nil, fmt.Errorf("ask the server who it is: %w", err)
	}
	if sha256.Sum256(identity.ServerKey) != token.Fingerprint || !api.Verify(identity.ServerKey, api.IdentityProof(nonce), identity.Signature) {
		return nil, fmt.Errorf("the server at %s is not the one that made this token (it shows %s); nothing was told to it. Check the address, and that nothing sits in between", server, api.Fingerprint(identity.ServerKey))
	}
	request := api.EnrolRequest{Secret: token.Secret, AgentKey: key.Public().(ed25519.PublicKey), Nonce: nonce, Facts: facts} //nolint:errcheck // an Ed25519 key has no other public key
	request.Proof = ed25519.Sign(key, api.EnrolProof(request, identity.ServerKey))
	response := new(api.EnrolResponse)
	if err := call(ctx, client, http.MethodPost, server+api.EnrolPath, request, response); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if !bytes.Equal(response.ServerKey, identity.ServerKey) || response.Host == "" {
		return nil, errors.New("enrol: the server's answer does not fit its identity")
	}
	return response, nil
}

// problem is the part of a problem+json answer that a person reads.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// maxAnswer bounds the answer to one request, in bytes.
const maxAnswer = 1 << 20

// call makes one JSON request. What may heal by itself comes as a retryError.
func call(ctx context.Context, client *http.Client, method, address string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return &retryError{err}
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return &retryError{err}
	}
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(raw, into); err != nil {
			return fmt.Errorf("the answer is not one of a restic-manager server: %w", err)
		}
		return nil
	}
	err = refusalOf(response, raw)
	if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusRequestTimeout {
		return &retryError{err}
	}
	return err
}

func refusalOf(response *http.Response, raw []byte) error {
	var said problem
	_ = json.Unmarshal(raw, &said) // not every answer on the way is ours
	switch {
	case said.Detail != "":
		return errors.New(graphic(said.Detail))
	case said.Title != "":
		return errors.New(graphic(said.Title))
	}
	return fmt.Errorf("the server answered %s", response.Status)
}

// graphic leaves out of a stranger's words what could command a terminal.
func graphic(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, text)
}
