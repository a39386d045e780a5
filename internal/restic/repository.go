package restic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// redacted stands wherever a secret would be printed.
const redacted = "[redacted]"

// remoteSchemes are the backends of restic that are not a folder (restic's own location registry).
var remoteSchemes = map[string]bool{
	"rest": true, "sftp": true, "s3": true, "b2": true, "azure": true, "gs": true, "swift": true, "rclone": true,
}

// Repository says where a restic repository is and what opens it. It prints without its secrets in every
// form that fmt, log/slog and encoding/json know.
type Repository struct {
	// URL is what restic calls the repository: an absolute local path, "rest:https://…" without
	// credentials, or another backend's address.
	URL string
	// RESTUsername and RESTPassword are the everyday credential of a rest-server; both empty means none.
	RESTUsername string
	RESTPassword string
	// Password opens the repository; it is never empty.
	Password string
	// KeyHint is the id of the key to try first; empty lets restic try them all.
	KeyHint string
	// CACertFile names a PEM file with the only authorities to trust; empty means the system's.
	CACertFile string
}

// InvalidError refuses a value before any process was started.
type InvalidError struct {
	Field  string
	Reason string
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

// ErrUnsupportedRepository is returned where an operation needs a rest-server or a local folder and the
// repository is neither.
var ErrUnsupportedRepository = errors.New("this kind of repository does not support the operation")

// Validate refuses what restic would ask about at a terminal, misread or print.
func (r Repository) Validate() error {
	for field, value := range map[string]string{
		"repository URL": r.URL, "rest user name": r.RESTUsername, "rest password": r.RESTPassword,
		"repository password": r.Password, "key hint": r.KeyHint, "CA certificate file": r.CACertFile,
	} {
		if strings.ContainsRune(value, 0) {
			return &InvalidError{Field: field, Reason: "contains a zero byte"}
		}
	}
	if r.URL == "" {
		return &InvalidError{Field: "repository URL", Reason: "is empty"}
	}
	if r.Password == "" {
		return &InvalidError{Field: "repository password", Reason: "is empty"}
	}
	if address, ok := strings.CutPrefix(r.URL, "rest:"); ok {
		parsed, err := url.Parse(address)
		if err != nil {
			return &InvalidError{Field: "repository URL", Reason: "can't be parsed"}
		}
		if parsed.User != nil {
			return &InvalidError{Field: "repository URL", Reason: "contains credentials; they belong in their own fields"}
		}
	}
	return nil
}

// Local returns the folder of a repository on this machine's file system, and false for every other kind.
func (r Repository) Local() (path string, ok bool) {
	if path, found := strings.CutPrefix(r.URL, "local:"); found {
		return path, true
	}
	if scheme, _, found := strings.Cut(r.URL, ":"); found && remoteSchemes[scheme] {
		return "", false
	}
	return r.URL, r.URL != ""
}

// safeURL is the URL with anything that looks like a credential replaced.
func (r Repository) safeURL() string {
	start := strings.Index(r.URL, "://")
	if start < 0 {
		return r.URL
	}
	rest := r.URL[start+3:]
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return r.URL
	}
	return r.URL[:start+3] + redacted + rest[at:]
}

func hide(secret string) string {
	if secret == "" {
		return ""
	}
	return redacted
}

// String returns the repository's address without secrets.
func (r Repository) String() string { return "repository " + r.safeURL() }

// GoString keeps %#v from printing the secrets.
func (r Repository) GoString() string { return fmt.Sprintf("restic.Repository{URL:%q}", r.safeURL()) }

// Format answers every verb, so that %d or %x can't reach into the fields.
func (r Repository) Format(state fmt.State, verb rune) {
	text := r.String()
	if verb == 'v' && state.Flag('#') {
		text = r.GoString()
	}
	_, _ = io.WriteString(state, text)
}

// LogValue is what log/slog prints.
func (r Repository) LogValue() slog.Value { return slog.StringValue(r.safeURL()) }

// MarshalJSON shows which fields are set and hides the secret ones. There is no way back from it.
func (r Repository) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		URL          string `json:"url"`
		RESTUsername string `json:"rest_username,omitempty"`
		RESTPassword string `json:"rest_password,omitempty"`
		Password     string `json:"password,omitempty"`
		KeyHint      string `json:"key_hint,omitempty"`
		CACertFile   string `json:"ca_cert_file,omitempty"`
	}{r.safeURL(), r.RESTUsername, hide(r.RESTPassword), hide(r.Password), r.KeyHint, r.CACertFile})
}
