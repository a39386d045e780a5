package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/restic-manager/restic-manager/internal/job"
)

// defaultFirstContact is how long restic may try to reach its repository before
// a job ends as unreachable; restic itself would try for a quarter of an hour
// per request.
const defaultFirstContact = 10 * time.Minute

// defaultLockWatch is longer than the five minutes after which a live restic
// renews its lock under another id (refreshInterval in its internal/repository).
// A container or a clone can share this machine's name and process numbers, so
// a process that is not found here proves nothing by itself.
const defaultLockWatch = 6 * time.Minute

// Policy is the agent's own policy. It lives in a file of this machine that the
// server can read about but never change.
type Policy struct {
	// File is where it was read from, or would be.
	File string `yaml:"-"`
	// Allow lists the job kinds that may run here. Empty means the kinds of an
	// endpoint, or with a storage section those of a storage agent.
	Allow []job.Kind `yaml:"allow"`
	// Restic is the path of the restic binary; "" looks in PATH.
	Restic string `yaml:"restic"`
	// CacheDir is restic's cache; "" is a folder inside the state folder.
	CacheDir string `yaml:"cache_dir"`
	// FirstContact bounds how long a backup tries to reach its repository; 0 is
	// ten minutes.
	FirstContact time.Duration `yaml:"first_contact"`
	// LockWatch is how long a lock of a process that is not on this machine is
	// watched before it is believed to be dead; 0 is six minutes.
	LockWatch time.Duration `yaml:"lock_watch"`
	Limits    Limits        `yaml:"limits"`
	// Hooks say what may run beside a backup; nothing by default.
	Hooks HookPolicy `yaml:"hooks"`
	// Storage makes this a storage agent.
	Storage *StoragePolicy `yaml:"storage"`
}

// Limits bound what jobs may take of this machine.
type Limits struct {
	// UploadKiB and DownloadKiB are in KiB per second; 0 is no limit.
	UploadKiB   int `yaml:"upload_kib"`
	DownloadKiB int `yaml:"download_kib"`
}

// HookPolicy says what may run on this machine beside a backup.
type HookPolicy struct {
	// Scripts are what the server may choose from, by name.
	Scripts map[string]Script `yaml:"scripts"`
	// Sent lets commands run that the server sends.
	Sent bool `yaml:"sent"`
}

// Script is an argument vector whose first entry is an absolute path; in the
// file it may be that path alone.
type Script []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Script) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*s = Script{node.Value}
		return nil
	}
	var list []string
	if err := node.Decode(&list); err != nil {
		return err
	}
	*s = list
	return nil
}

// names are the scripts that the server may choose from.
func (p HookPolicy) names() []string { return slices.Sorted(maps.Keys(p.Scripts)) }

func (p HookPolicy) check() error {
	for name, script := range p.Scripts {
		if name == "" || len(name) > 100 || strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("hooks.scripts: the name %q is empty, longer than 100 bytes or holds a control character", name)
		}
		if len(script) == 0 || !filepath.IsAbs(script[0]) {
			return fmt.Errorf("hooks.scripts: %q must be an absolute path, or a list that begins with one", name)
		}
		for _, argument := range script {
			if strings.ContainsRune(argument, 0) {
				return fmt.Errorf("hooks.scripts: %q holds a NUL byte", name)
			}
		}
	}
	return nil
}

// StoragePolicy describes the rest-server on the same disk.
type StoragePolicy struct {
	// Path is rest-server's data folder.
	Path string `yaml:"path"`
	// HTPasswd is its file of users; "" is .htpasswd in Path.
	HTPasswd string `yaml:"htpasswd"`
	// URL is where endpoints reach it, without credentials.
	URL string `yaml:"url"`
	// PIDFile names rest-server's process, which then is told of changes by
	// SIGHUP; "" waits until it reads the file by itself.
	PIDFile string `yaml:"pid_file"`
}

// LoadPolicy reads the policy file. A file that does not exist is the policy of
// an endpoint; unknown fields and kinds are errors that name their line.
func LoadPolicy(path string) (Policy, error) {
	policy := Policy{File: path}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return policy, fmt.Errorf("read policy: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&policy); err != nil && !errors.Is(err, io.EOF) {
		return policy, fmt.Errorf("read policy %s: %w", path, err)
	}
	if err := policy.complete(); err != nil {
		return policy, fmt.Errorf("read policy %s: %w", path, err)
	}
	return policy, nil
}

func (p *Policy) complete() error {
	place := job.OnEndpoint
	if p.Storage != nil {
		place = job.OnStorage
		if err := p.Storage.complete(); err != nil {
			return err
		}
	}
	for _, kind := range p.Allow {
		info, ok := job.InfoOf(kind)
		if !ok {
			return fmt.Errorf("allow: kind %q is not known", kind)
		}
		if info.On == job.OnStorage && p.Storage == nil {
			return fmt.Errorf("allow: %q needs a storage section", kind)
		}
	}
	if len(p.Allow) == 0 {
		for _, info := range job.Kinds {
			if info.On == place || info.On == job.OnRepository {
				p.Allow = append(p.Allow, info.Kind)
			}
		}
	}
	if p.FirstContact < 0 || p.LockWatch < 0 || p.Limits.UploadKiB < 0 || p.Limits.DownloadKiB < 0 {
		return errors.New("first_contact, lock_watch and limits can't be negative")
	}
	if err := p.Hooks.check(); err != nil {
		return err
	}
	if p.LockWatch == 0 {
		p.LockWatch = defaultLockWatch
	}
	if p.FirstContact == 0 {
		p.FirstContact = defaultFirstContact
	}
	return nil
}

func (s *StoragePolicy) complete() error {
	if !filepath.IsAbs(s.Path) {
		return errors.New("storage.path must be an absolute path")
	}
	if s.HTPasswd == "" {
		s.HTPasswd = filepath.Join(s.Path, ".htpasswd")
	}
	if !filepath.IsAbs(s.HTPasswd) {
		return errors.New("storage.htpasswd must be an absolute path")
	}
	address, err := url.Parse(s.URL)
	if err != nil || address.Host == "" || address.User != nil || address.Scheme != "http" && address.Scheme != "https" {
		return errors.New("storage.url must be an http or https address without credentials")
	}
	s.URL = strings.TrimRight(s.URL, "/")
	return nil
}

// refusal says why kind may not run here, or "".
func (p Policy) refusal(kind job.Kind) string {
	if slices.Contains(p.Allow, kind) {
		return ""
	}
	return fmt.Sprintf("This machine's own policy in %s does not allow jobs of kind %q.", p.File, kind)
}

// stricter is the lower of two limits in KiB per second, of which 0 is none.
func stricter(own, asked int) int {
	if own > 0 && (asked == 0 || own < asked) {
		return own
	}
	return asked
}
