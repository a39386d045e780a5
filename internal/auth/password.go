package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Bounds of passwords.
const (
	MinPasswordCharacters = 10
	MaxPasswordBytes      = 256 // so that nobody sends a megabyte to be hashed
)

// CheckPassword says in one sentence what is wrong with a new password of the
// user with this name; "" is nothing.
func CheckPassword(name, password string) string {
	switch {
	case utf8.RuneCountInString(password) < MinPasswordCharacters:
		return "A password has at least 10 characters."
	case len(password) > MaxPasswordBytes:
		return "A password has at most 256 bytes."
	case strings.EqualFold(strings.TrimSpace(password), name):
		return "A password is not the user's name."
	}
	return ""
}

// The cost of one hash: the least that OWASP's Password Storage Cheat Sheet asks
// of Argon2id (19 MiB of memory, 2 passes, 1 lane). More memory would not slow a
// guesser here as much as the throttle does.
const (
	hashMemoryKiB = 19 * 1024
	hashPasses    = 2
	hashLanes     = 1
	hashSaltBytes = 16
	hashKeyBytes  = 32
)

// hashesAtOnce bounds the memory that a flood of sign-ins takes.
const hashesAtOnce = 2

// nobody is the hash that is checked for a name without a user, so that the
// answer takes as long as for a real one. No password is known to fit it, and
// Verify refuses it anyhow.
var nobody = phc{hashMemoryKiB, hashPasses, hashLanes, make([]byte, hashSaltBytes), make([]byte, hashKeyBytes)}

// Hasher hashes passwords, a few at a time.
type Hasher struct{ slots chan struct{} }

// NewHasher returns a Hasher. One per server bounds its memory.
func NewHasher() *Hasher { return &Hasher{slots: make(chan struct{}, hashesAtOnce)} }

// Hash returns the PHC string of password. It waits for its turn.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, hashSaltBytes)
	_, _ = rand.Read(salt) // crypto/rand does not fail since Go 1.24
	made := phc{hashMemoryKiB, hashPasses, hashLanes, salt, nil}
	key, err := h.derive(ctx, made, password, hashKeyBytes)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	made.key = key
	return made.String(), nil
}

// Verify tells whether password is the one that hash was made of. An empty hash
// stands for a user that does not exist: it takes the same time and never fits.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (bool, error) {
	want, exists := nobody, hash != ""
	if exists {
		var err error
		if want, err = parsePHC(hash); err != nil {
			return false, fmt.Errorf("verify password: %w", err)
		}
	}
	key, err := h.derive(ctx, want, password, len(want.key))
	if err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	return subtle.ConstantTimeCompare(key, want.key) == 1 && exists, nil
}

func (h *Hasher) derive(ctx context.Context, with phc, password string, size int) ([]byte, error) {
	if len(password) > MaxPasswordBytes {
		password = password[:MaxPasswordBytes+1] // longer than any real one, so it fits none
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), with.salt, with.passes, with.memoryKiB, with.lanes, uint32(size)), nil
}

// phc is an Argon2id hash in the string format of the Password Hashing
// Competition: $argon2id$v=19$m=19456,t=2,p=1$SALT$KEY.
type phc struct {
	memoryKiB uint32
	passes    uint32
	lanes     uint8
	salt, key []byte
}

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memoryKiB, p.passes, p.lanes,
		base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.key))
}

var errPHC = errors.New("the stored hash is damaged or of a kind that this version does not know")

// parsePHC reads what String wrote, and refuses costs that would harm the server.
func parsePHC(text string) (phc, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errPHC
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return phc{}, errPHC
	}
	memory, errM := cost(costs[0], "m=", 8, 256*1024)
	passes, errT := cost(costs[1], "t=", 1, 16)
	lanes, errP := cost(costs[2], "p=", 1, 4)
	salt, errS := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	key, errK := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errors.Join(errM, errT, errP, errS, errK) != nil || memory < 8*lanes ||
		len(salt) < 8 || len(salt) > 64 || len(key) < 16 || len(key) > 64 {
		return phc{}, errPHC
	}
	return phc{uint32(memory), uint32(passes), uint8(lanes), salt, key}, nil
}

func cost(text, prefix string, least, most uint64) (uint64, error) {
	digits, ok := strings.CutPrefix(text, prefix)
	if !ok || strings.HasPrefix(digits, "+") {
		return 0, errPHC
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n < least || n > most {
		return 0, errPHC
	}
	return n, nil
}
