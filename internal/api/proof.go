package api

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// NonceSize is the length of every nonce, in bytes.
const NonceSize = 32

// The domain tags keep a signature made for one purpose from serving another.
const (
	tagAgent    = "restic-manager agent hello v1"
	tagServer   = "restic-manager server welcome v1"
	tagGone     = "restic-manager host removed v1"
	tagEnrol    = "restic-manager enrol v1"
	tagIdentity = "restic-manager server identity v1"
)

// AgentProof is what an agent signs in its hello: both nonces, both keys, the
// versions and everything else that the hello says. A field that a later version
// adds is bound from that version on, or older servers would refuse the proof.
func AgentProof(c Challenge, h Hello) []byte {
	fields := [][]byte{c.ServerNonce, h.AgentNonce, c.ServerKey, h.AgentKey,
		number(uint64(c.Version)), number(uint64(h.Version)), text(h.Host), text(h.JournalID),
		number(h.Counter), number(h.LastSeq), number(h.Acked), text(h.PlanDigest), number(uint64(h.Clock)), number(uint64(len(h.Unfinished)))}
	for _, id := range h.Unfinished {
		fields = append(fields, text(id))
	}
	fields = append(fields, number(uint64(len(h.Held))))
	for _, id := range h.Held {
		fields = append(fields, text(id))
	}
	fields = append(fields, number(h.AuditHead.Number), h.AuditHead.Hash)
	return transcript(tagAgent, append(fields, h.Facts.fields()...)...)
}

// ServerProof is what the server signs in its welcome: the handshake and
// everything that the welcome says.
func ServerProof(c Challenge, h Hello, w Welcome) []byte {
	return transcript(tagServer, c.ServerNonce, h.AgentNonce, c.ServerKey, h.AgentKey,
		number(uint64(c.Version)), number(uint64(h.Version)), text(h.Host),
		number(w.Cursor), number(uint64(w.Clock)), yes(w.Quarantined), number(w.Counter),
		number(uint64(w.Intervals.ReconnectMin)), number(uint64(w.Intervals.ReconnectMax)), number(uint64(w.Intervals.Ping)),
		number(w.AuditHead.Number), w.AuditHead.Hash)
}

// GoneProof is what the server signs for a removed host: its nonce and key.
func GoneProof(nonce, agentKey []byte) []byte { return transcript(tagGone, nonce, agentKey) }

// EnrolProof is what an agent signs when it asks to join.
func EnrolProof(r EnrolRequest, serverKey []byte) []byte {
	secret := sha256.Sum256([]byte(r.Secret))
	return transcript(tagEnrol, append([][]byte{r.Nonce, r.AgentKey, serverKey, secret[:]}, r.Facts.fields()...)...)
}

// IdentityProof is what the server signs to show that it holds its key.
func IdentityProof(nonce []byte) []byte { return transcript(tagIdentity, nonce) }

// Verify tells whether signature is key's over message. Keys of a wrong length
// are refused, not fatal.
func Verify(key, message, signature []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature)
}

// transcript joins a tag and fields, each with its length in front.
func transcript(tag string, fields ...[]byte) []byte {
	out := append([]byte(tag), 0)
	for _, field := range fields {
		out = append(out, number(uint64(len(field)))...)
		out = append(out, field...)
	}
	return out
}

// fields are the facts as a proof binds them. Lists have their length in front,
// and what is not there differs from what is zero.
func (f *Facts) fields() [][]byte {
	fields := [][]byte{text(f.Hostname), text(f.OS), text(f.Arch), text(f.AgentVersion), text(f.ResticVersion), number(uint64(len(f.Allowed)))}
	for _, kind := range f.Allowed {
		fields = append(fields, text(kind))
	}
	fields = append(fields, number(uint64(len(f.Hooks.Names))))
	for _, name := range f.Hooks.Names {
		fields = append(fields, text(name))
	}
	fields = append(fields, yes(f.Hooks.Sent), yes(f.Storage != nil))
	if f.Storage != nil {
		fields = append(fields, text(f.Storage.URL), number(uint64(f.Storage.BytesFree)), number(uint64(f.Storage.BytesTotal)))
	}
	return fields
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func yes(value bool) []byte {
	if value {
		return []byte{1}
	}
	return []byte{0}
}

// text is a string as it arrives through JSON, where each byte that is not UTF-8
// becomes U+FFFD; a host with an odd name must be able to prove itself.
func text[T ~string](value T) []byte { return []byte(string([]rune(string(value)))) }

// Fingerprint is the SHA-256 of a public key, as people compare it.
func Fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Token is a one-time enrolment token: the fingerprint of the server to trust,
// and a secret that only this server knows the hash of.
type Token struct {
	Fingerprint [sha256.Size]byte
	Secret      string
}

const tokenPrefix = "rm1"

// String is the token as it is pasted.
func (t Token) String() string {
	return tokenPrefix + "." + base64.RawURLEncoding.EncodeToString(t.Fingerprint[:]) + "." + t.Secret
}

// ParseToken reads what String wrote, with white space around it forgiven.
func ParseToken(text string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 || parts[0] != tokenPrefix || parts[2] == "" {
		return Token{}, errors.New("read token: it is not whole; copy it again from the page that made it")
	}
	sum, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || len(sum) != sha256.Size {
		return Token{}, errors.New("read token: the server's fingerprint in it is damaged; copy it again from the page that made it")
	}
	token := Token{Secret: parts[2]}
	copy(token.Fingerprint[:], sum)
	return token, nil
}
