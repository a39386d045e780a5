package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestCheckPassword(t *testing.T) {
	for password, fits := range map[string]bool{
		"":                       false,
		"x":                      false,
		"ninechars":              false,
		"ten chars!":             true,
		"zehn Zeich":             true,
		strings.Repeat("ä", 10):  true,
		strings.Repeat("ä", 9):   false,
		strings.Repeat("p", 256): true,
		strings.Repeat("p", 257): false,
		"administrator":          false,
		"Administrator ":         false,
		"administrator2":         true,
	} {
		if got := CheckPassword("administrator", password); (got == "") != fits {
			t.Errorf("CheckPassword(%q) = %q", password, got)
		}
	}
}

func TestHashVerifies(t *testing.T) {
	hasher, ctx := NewHasher(), t.Context()
	hash, err := hasher.Hash(ctx, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash is %s", hash)
	}
	if again, err := hasher.Hash(ctx, "correct horse"); err != nil || again == hash {
		t.Errorf("two hashes of one password are the same: %v", err)
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false, "correct horse ": false} {
		if got, err := hasher.Verify(ctx, hash, password); err != nil || got != want {
			t.Errorf("Verify(%q) = %v, %v", password, got, err)
		}
	}
	if got, err := hasher.Verify(ctx, "", "correct horse"); err != nil || got {
		t.Errorf("a user who does not exist signed in: %v, %v", got, err)
	}
	if _, err := hasher.Verify(ctx, "$2y$05$abc", "x"); err == nil {
		t.Error("a foreign hash was taken")
	}
}

// TestLongPasswordsAreNotCut: what is beyond the bound must not make two
// passwords the same.
func TestLongPasswordsAreNotCut(t *testing.T) {
	hasher, longest := NewHasher(), strings.Repeat("p", MaxPasswordBytes)
	hash, err := hasher.Hash(t.Context(), longest)
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{longest + "p", longest + strings.Repeat("x", 1<<20)} {
		if got, err := hasher.Verify(t.Context(), hash, password); err != nil || got {
			t.Errorf("a password of %d bytes fits: %v", len(password), err)
		}
	}
}

func TestHasherWaitsForItsTurnNoLongerThanTheCaller(t *testing.T) {
	hasher := NewHasher()
	for range hashesAtOnce {
		hasher.slots <- struct{}{} // all at work
	}
	gone := errors.New("caller gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := hasher.Verify(ctx, "", "x"); !errors.Is(err, gone) {
		t.Errorf("Verify = %v", err)
	}
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=4$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parsePHC(text)
		if err != nil {
			return
		}
		if parsed.memoryKiB > 256*1024 || parsed.passes > 16 || parsed.lanes > 4 || parsed.memoryKiB < 8*uint32(parsed.lanes) ||
			parsed.passes < 1 || parsed.lanes < 1 || len(parsed.salt) < 8 || len(parsed.key) < 16 {
			t.Errorf("%q was taken as %+v", text, parsed)
		}
		if again, err := parsePHC(parsed.String()); err != nil || again.String() != parsed.String() {
			t.Errorf("%q does not survive: %v", text, err)
		}
	})
}
