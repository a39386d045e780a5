package agent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/atomicfile"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/filelock"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Identity is who this agent is and whom it trusts, as enrolment settled it.
type Identity struct {
	Host       job.HostID `json:"host_id"`
	Name       string     `json:"name"`
	Server     string     `json:"server"`     // base URL
	ServerKey  []byte     `json:"server_key"` // Ed25519 public key, pinned
	Insecure   bool       `json:"insecure,omitempty"`
	EnrolledAt time.Time  `json:"enrolled_at"`
}

// ErrNotEnrolled is returned where an identity is needed and there is none.
var ErrNotEnrolled = errors.New("this machine is not enrolled yet: make a token on the server's page \"Add host\" and run: restic-manager-agent enroll --server URL")

// The files of a state folder, and what sealed data is bound to.
const (
	identityFile = "identity.json"
	sealKeyFile  = "seal.key"
	agentKeyFile = "agent.key.sealed"
	planFile     = "plan.sealed"
	counterFile  = "counter"
	headFile     = "audit_head.json"
	goneFile     = "gone.json"
	lockFile     = "lock"
	statusFile   = "status.json"
	clockFile    = "clock"

	boundAgentKey = "agent/key"
	boundPlan     = "agent/plan"
)

// state is the state folder.
type state struct {
	dir    string
	sealer *crypto.Sealer
	held   *os.File // the lock; nil when it is not held
}

func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	key, err := crypto.KeyFile(filepath.Join(dir, sealKeyFile))
	if err != nil {
		return nil, err
	}
	sealer, err := crypto.NewSealer(key)
	if err != nil {
		return nil, err
	}
	return &state{dir: dir, sealer: sealer}, nil
}

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

// lockPatience is how long a lock that is held is tried again: a program that is
// just being started by the former holder has it until its exec, and status
// takes it for a moment.
const (
	lockPatience = time.Second
	lockPoll     = 20 * time.Millisecond
)

// patiently repeats take while it fails with held.
func patiently(take func() error, held error) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPoll) {
		if err := take(); !errors.Is(err, held) || time.Now().After(deadline) {
			return err
		}
	}
}

// lock takes the folder for this process; the system gives it back when the
// process ends in whatever way.
func (s *state) lock() error {
	var file *os.File
	err := patiently(func() (err error) { file, err = filelock.Take(s.path(lockFile)); return err }, filelock.ErrHeld)
	if errors.Is(err, filelock.ErrHeld) {
		return fmt.Errorf("another agent is at work on %s; two agents never share a state folder", s.dir)
	}
	if err != nil {
		return fmt.Errorf("lock state folder: %w", err)
	}
	s.held = file
	return nil
}

func (s *state) unlock() error {
	if s.held == nil {
		return nil
	}
	err := s.held.Close()
	s.held = nil
	return err
}

// busy tells whether a process holds the folder.
func (s *state) busy() bool {
	file, err := filelock.Take(s.path(lockFile))
	if err != nil {
		return true
	}
	_ = file.Close()
	return false
}

func (s *state) identity() (Identity, error) {
	var id Identity
	found, err := s.readJSON(identityFile, &id)
	if err != nil {
		return id, err
	}
	if !found {
		return id, ErrNotEnrolled
	}
	return id, nil
}

// agentKey returns the agent's private key, or nil when none was made.
func (s *state) agentKey() (ed25519.PrivateKey, error) {
	seed, err := s.readSealed(agentKeyFile, boundAgentKey)
	if err != nil || seed == nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("read agent key: %d bytes are not a key", len(seed))
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func (s *state) saveAgentKey(key ed25519.PrivateKey) error {
	return s.writeSealed(agentKeyFile, boundAgentKey, key.Seed())
}

// plan returns the stored plan; its Plan is nil when there is none.
func (s *state) plan() (plan storedPlan, err error) {
	raw, err := s.readSealed(planFile, boundPlan)
	if err != nil || raw == nil {
		return plan, err
	}
	if err := json.Unmarshal(raw, &plan); err != nil {
		return storedPlan{}, fmt.Errorf("read plan: %w", err)
	}
	return plan, nil
}

func (s *state) savePlan(plan storedPlan) error {
	raw, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	return s.writeSealed(planFile, boundPlan, raw)
}

// counter returns the number of connects so far.
func (s *state) counter() (uint64, error) {
	text, err := os.ReadFile(s.path(counterFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read counter: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read counter %s: %w", s.path(counterFile), err)
	}
	return n, nil
}

func (s *state) setCounter(n uint64) error {
	if err := atomicfile.Write(s.path(counterFile), []byte(strconv.FormatUint(n, 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("store counter: %w", err)
	}
	return nil
}

// auditHead returns the newest head of the server's audit log that this agent
// was ever told.
func (s *state) auditHead() (head api.AuditHead, err error) {
	_, err = s.readJSON(headFile, &head)
	return head, err
}

func (s *state) setAuditHead(head api.AuditHead) error { return s.writeJSON(headFile, head) }

// gone tells whether the server has said that this host was removed.
func (s *state) gone() (bool, error) {
	_, err := os.Stat(s.path(goneFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (s *state) markGone(gone *api.Gone) error { return s.writeJSON(goneFile, gone) }

// setAside moves everything that belongs to an earlier enrolment into a folder
// of its own. The sealing key stays in use.
func (s *state) setAside(now time.Time) error {
	aside := s.path("replaced-" + now.UTC().Format("20060102T150405.000Z"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return fmt.Errorf("set the earlier enrolment aside: %w", err)
	}
	for _, name := range []string{identityFile, agentKeyFile, planFile, counterFile, headFile, goneFile, statusFile, clockFile, leftLocksFile, proofsFile, "journal", sourcesDir} {
		err := os.Rename(s.path(name), filepath.Join(aside, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set the earlier enrolment aside: %w", err)
		}
	}
	return atomicfile.SyncDir(s.dir)
}

func (s *state) readSealed(name, bound string) ([]byte, error) {
	sealed, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	plain, err := s.sealer.Open(bound, sealed)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; was %s replaced?", s.path(name), err, sealKeyFile)
	}
	return plain, nil
}

func (s *state) writeSealed(name, bound string, plain []byte) error {
	if err := atomicfile.Write(s.path(name), s.sealer.Seal(bound, plain), 0o600); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

func (s *state) readJSON(name string, into any) (found bool, err error) {
	raw, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		err = decoder.Decode(into)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", s.path(name), err)
	}
	return true, nil
}

func (s *state) writeJSON(name string, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := atomicfile.Write(s.path(name), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}
