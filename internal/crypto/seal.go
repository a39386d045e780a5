package crypto

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/restic-manager/restic-manager/internal/atomicfile"
)

// Sealer seals secrets with XChaCha20-Poly1305. It is safe for concurrent use.
type Sealer struct{ aead cipher.AEAD }

// NewSealer takes a key of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("make sealer: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// ErrSealed means that sealed data was made with another key or for another
// place, or was changed.
var ErrSealed = errors.New("sealed data does not open with this key in this place")

// Seal encrypts plain. bound says where the result belongs (such as
// "repositories/ID/password"); it opens only there.
func (s *Sealer) Seal(bound string, plain []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // crypto/rand does not fail since Go 1.24
	return s.aead.Seal(nonce, nonce, plain, []byte(bound))
}

// Open decrypts what Seal made for bound.
func (s *Sealer) Open(bound string, sealed []byte) ([]byte, error) {
	if len(sealed) < s.aead.NonceSize() {
		return nil, ErrSealed
	}
	nonce, box := sealed[:s.aead.NonceSize()], sealed[s.aead.NonceSize():]
	plain, err := s.aead.Open(nil, nonce, box, []byte(bound))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// KeyFile reads the sealing key at path and makes one, mode 0600, when there is
// none. A file that is there but damaged is an error: making another would
// lose every secret.
func KeyFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, chacha20poly1305.KeySize)
		_, _ = rand.Read(key)
		line := base64.StdEncoding.EncodeToString(key) + "\n"
		if err := atomicfile.Create(path, []byte(line), 0o600); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return KeyFile(path)
			}
			return nil, fmt.Errorf("write key file: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("read key file %s: it does not hold a key of %d bytes in base64; put the right file back", path, chacha20poly1305.KeySize)
	}
	return key, nil
}

// NewSecret returns a random secret of n bytes in URL-safe base64.
func NewSecret(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// HashSecret is the one-way form in which random secrets (tokens, session ids)
// are stored. They have 128 bits or more, so no slow hash is needed.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
