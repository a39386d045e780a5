package api_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/api"
)

// TestProofsBindEveryField changes one value after the other: each makes another
// message of what is signed.
func TestProofsBindEveryField(t *testing.T) {
	challenge, hello, welcome, enrol := filled[api.Challenge](), filled[api.Hello](), filled[api.Welcome](), filled[api.EnrolRequest]()
	for _, proof := range []struct {
		name    string
		sign    func() []byte
		of      map[string]any
		unbound string // the proof itself
	}{
		{"hello", func() []byte { return api.AgentProof(*challenge, *hello) }, map[string]any{"challenge": challenge, "hello": hello}, "hello.Proof"},
		{"enrol", func() []byte { return api.EnrolProof(*enrol, []byte("server")) }, map[string]any{"enrol": enrol}, "enrol.Proof"},
		{"welcome", func() []byte { return api.ServerProof(*challenge, *hello, *welcome) }, map[string]any{"challenge": challenge, "welcome": welcome}, "welcome.Proof"},
	} {
		t.Run(proof.name, func(t *testing.T) {
			public, key, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			signature := ed25519.Sign(key, proof.sign())
			if !api.Verify(public, proof.sign(), signature) {
				t.Fatal("an unchanged proof is refused")
			}
			changes := 0
			for name, message := range proof.of {
				eachChange(message, func(path string) {
					if strings.HasPrefix(name+path, proof.unbound) {
						return
					}
					changes++
					if api.Verify(public, proof.sign(), signature) {
						t.Errorf("%s%s can be changed under the proof", name, path)
					}
				})
			}
			if changes < 5 {
				t.Errorf("only %d changes were tried", changes)
			}
		})
	}
}

// TestWelcomeIsBoundToItsHandshake: what names this handshake can't be exchanged.
func TestWelcomeIsBoundToItsHandshake(t *testing.T) {
	challenge, hello, welcome := *filled[api.Challenge](), *filled[api.Hello](), *filled[api.Welcome]()
	before := api.ServerProof(challenge, hello, welcome)
	for name, change := range map[string]func(*api.Hello){
		"nonce":   func(h *api.Hello) { h.AgentNonce = []byte("other") },
		"key":     func(h *api.Hello) { h.AgentKey = []byte("other") },
		"host":    func(h *api.Hello) { h.Host = "other" },
		"version": func(h *api.Hello) { h.Version++ },
	} {
		other := hello
		change(&other)
		if bytes.Equal(before, api.ServerProof(challenge, other, welcome)) {
			t.Errorf("the %s of a hello can be exchanged", name)
		}
	}
	if bytes.Equal(api.GoneProof([]byte("a"), []byte("bc")), api.GoneProof([]byte("ab"), []byte("c"))) {
		t.Error("nonce and key of a gone run into each other")
	}
}

// TestPurposesDiffer: no signature made for one purpose serves another.
func TestPurposesDiffer(t *testing.T) {
	nonce := []byte("n")
	all := [][]byte{api.IdentityProof(nonce), api.GoneProof(nonce, nil), api.EnrolProof(api.EnrolRequest{Nonce: nonce}, nil),
		api.AgentProof(api.Challenge{}, api.Hello{}), api.ServerProof(api.Challenge{}, api.Hello{}, api.Welcome{})}
	for i := range all {
		tag, _, _ := bytes.Cut(all[i], []byte{0})
		for j := range i {
			if bytes.HasPrefix(all[j], append(tag, 0)) {
				t.Errorf("proofs %d and %d have one tag", i, j)
			}
		}
	}
}

// TestProofSurvivesTheWire: a hello decoded on the other side makes the same
// message, whatever its texts hold.
func TestProofSurvivesTheWire(t *testing.T) {
	challenge, hello := *filled[api.Challenge](), filled[api.Hello]()
	hello.Facts.Hostname = "odd\xff\xfe name \u2028 <&> \x00 \xed\xa0\x80"
	hello.Unfinished = nil
	before := api.AgentProof(challenge, *hello)
	frame, err := api.Encode(hello)
	if err != nil {
		t.Fatal(err)
	}
	body, err := api.Decode(frame, api.Up)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, api.AgentProof(challenge, *body.(*api.Hello))) {
		t.Error("the other side sees another proof")
	}
}

func TestVerifyRefusesOddKeys(t *testing.T) {
	for _, key := range [][]byte{nil, {}, make([]byte, 31), make([]byte, 33)} {
		if api.Verify(key, []byte("m"), make([]byte, ed25519.SignatureSize)) {
			t.Errorf("a key of %d bytes verifies", len(key))
		}
	}
	if public, _, err := ed25519.GenerateKey(nil); err != nil || api.Verify(public, []byte("m"), nil) {
		t.Error("no signature verifies")
	}
}

func TestTokenReadsBack(t *testing.T) {
	token := api.Token{Secret: "abc-DEF_123"}
	copy(token.Fingerprint[:], bytes.Repeat([]byte{7}, 32))
	got, err := api.ParseToken(" \n" + token.String() + "\r\n")
	if err != nil || got != token {
		t.Errorf("ParseToken = %v, %v", got, err)
	}
	for _, bad := range []string{"", "rm1", "rm1..", "rm2." + token.String()[4:], token.String()[:20], "rm1.AAAA.x", token.String() + ".x"} {
		if _, err := api.ParseToken(bad); err == nil {
			t.Errorf("%q is a token", bad)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(api.Token{Secret: "s"}.String())
	f.Add("rm1.%%.x")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := api.ParseToken(text)
		if err != nil {
			return
		}
		if again, err := api.ParseToken(token.String()); err != nil || again != token {
			t.Errorf("%q reads as %v, and that as %v, %v", text, token, again, err)
		}
	})
}

func TestAccessHidesItsSecrets(t *testing.T) {
	access := filled[api.Access]()
	raw, err := json.Marshal(access)
	if err != nil || !bytes.Contains(raw, []byte(access.Key)) {
		t.Fatalf("the wire form lost the key: %s, %v", raw, err)
	}
	for _, shown := range []string{access.String(), access.GoString()} {
		if strings.Contains(shown, access.Key) || strings.Contains(shown, access.Password) {
			t.Errorf("%q shows a secret", shown)
		}
	}
}
