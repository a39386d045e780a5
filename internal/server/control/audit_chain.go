package control

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

// The domain tags keep a hash or signature made for one purpose from serving
// another.
const (
	tagAuditEntries = "restic-manager audit entries v1"
	tagAuditSeal    = "restic-manager audit seal v1"
	tagAuditSigned  = "restic-manager audit seal signed v1"
)

// transcript hashes a tag and fields, each with its length in front, so that no
// two lists of fields are one stream of bytes.
type transcript struct{ hash.Hash }

func newTranscript(tag string) transcript {
	t := transcript{sha256.New()}
	t.text(tag)
	return t
}

func (t transcript) number(n int64) {
	_, _ = t.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) // a hash does not fail
}

func (t transcript) text(value string) {
	t.number(int64(len(value)))
	_, _ = t.Write([]byte(value))
}

// instant is a time as the database keeps it.
func (t transcript) instant(at time.Time) {
	if at.IsZero() {
		t.number(0)
		return
	}
	t.number(at.UnixMilli())
}

// digestEntries binds every column of entries and their order.
func digestEntries(entries []fleet.AuditEntry) []byte {
	t := newTranscript(tagAuditEntries)
	t.number(int64(len(entries)))
	for _, e := range entries {
		t.instant(e.At)
		for _, column := range []string{e.ID, e.Actor, e.Action, e.Noun, e.Subject, e.Detail, e.Address} {
			t.text(column)
		}
	}
	return t.Sum(nil)
}

// hashSeal binds all of a seal but its hash and signature.
func hashSeal(s fleet.AuditSeal) []byte {
	t := newTranscript(tagAuditSeal)
	t.number(s.Number)
	t.number(int64(s.Entries))
	t.instant(s.SealedAt)
	for _, column := range []string{s.FirstID, s.LastID, string(s.Digest), string(s.Previous)} {
		t.text(column)
	}
	return t.Sum(nil)
}

// newSeal closes entries, at least one and in the order of their ids, after the
// seal before; the first comes after a zero one.
func newSeal(before fleet.AuditSeal, entries []fleet.AuditEntry, now time.Time, key ed25519.PrivateKey) fleet.AuditSeal {
	s := fleet.AuditSeal{Number: before.Number + 1, Entries: len(entries), FirstID: entries[0].ID, LastID: entries[len(entries)-1].ID,
		Digest: digestEntries(entries), Previous: before.Hash, SealedAt: now.Truncate(time.Millisecond)}
	s.Hash = hashSeal(s)
	s.Signature = ed25519.Sign(key, signedSeal(s.Hash))
	return s
}

func signedSeal(sum []byte) []byte { return append([]byte(tagAuditSigned+"\x00"), sum...) }

// checkSeal says what is wrong with a seal that should follow the one before; ""
// is nothing.
func checkSeal(before, s fleet.AuditSeal, key ed25519.PublicKey) string {
	switch {
	case s.Number != before.Number+1:
		return fmt.Sprintf("Seal %d is missing: after seal %d comes seal %d.", before.Number+1, before.Number, s.Number)
	case s.Entries < 1 || !bytes.Equal(hashSeal(s), s.Hash):
		return fmt.Sprintf("Seal %d was changed after it was made: its hash is not that of what it says.", s.Number)
	case !ed25519.Verify(key, signedSeal(s.Hash), s.Signature):
		return fmt.Sprintf("Seal %d was not signed by this server.", s.Number)
	case !bytes.Equal(s.Previous, before.Hash):
		return fmt.Sprintf("Seal %d does not follow seal %d: it was made after another one of that number.", s.Number, before.Number)
	}
	return ""
}

// checkEntries says what is wrong with the entries that are there under a seal
// whose own account is good; "" is nothing.
func checkEntries(s fleet.AuditSeal, entries []fleet.AuditEntry) string {
	of := fmt.Sprintf("seal %d (%d entries, %s to %s)", s.Number, s.Entries, s.FirstID, s.LastID)
	switch {
	case len(entries) < s.Entries:
		return fmt.Sprintf("Entries of %s were removed: %d are there.", of, len(entries))
	case len(entries) > s.Entries:
		return fmt.Sprintf("Entries were put under %s after it was made: there are more.", of)
	case !bytes.Equal(digestEntries(entries), s.Digest):
		for _, edge := range [][2]string{{entries[0].ID, s.FirstID}, {entries[len(entries)-1].ID, s.LastID}} {
			if edge[0] != edge[1] {
				return fmt.Sprintf("An entry of %s was replaced: %s stands where %s was.", of, edge[0], edge[1])
			}
		}
		return fmt.Sprintf("An entry of %s was changed after it was sealed.", of)
	}
	return ""
}
