package crypto_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/crypto"
)

func TestTextNeverPrintsItself(t *testing.T) {
	secret := crypto.NewText("hunter2")
	encoded, err := json.Marshal(map[string]any{"password": secret, "pointer": &secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{
		fmt.Sprint(secret), fmt.Sprintf("%v %+v %#v %s %q", secret, secret, secret, secret, secret),
		fmt.Sprintf("%+v", struct{ P crypto.Text }{secret}), string(encoded),
		fmt.Sprintf("%d %t %e %c %U %8.3v", secret, secret, secret, secret, secret, secret),
	} {
		if strings.Contains(printed, "hunter2") {
			t.Errorf("printed as %q", printed)
		}
	}
	if secret.Reveal() != "hunter2" {
		t.Error("Reveal lost the secret")
	}
}

func TestSealOpensOnlyWhereItBelongs(t *testing.T) {
	key, err := crypto.KeyFile(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := crypto.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	sealed := sealer.Seal("row/1", []byte("secret"))
	if plain, err := sealer.Open("row/1", sealed); err != nil || string(plain) != "secret" {
		t.Fatalf("Open = %q, %v", plain, err)
	}
	if _, err := sealer.Open("row/2", sealed); !errors.Is(err, crypto.ErrSealed) {
		t.Errorf("opened in another row: %v", err)
	}
	for i := range sealed {
		damaged := append([]byte(nil), sealed...)
		damaged[i] ^= 1
		if _, err := sealer.Open("row/1", damaged); !errors.Is(err, crypto.ErrSealed) {
			t.Errorf("opened with byte %d changed: %v", i, err)
		}
		if _, err := sealer.Open("row/1", sealed[:i]); !errors.Is(err, crypto.ErrSealed) {
			t.Errorf("opened when cut to %d bytes: %v", i, err)
		}
	}
}

func TestKeyFileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	first, err := crypto.KeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := crypto.KeyFile(path)
	if err != nil || string(again) != string(first) {
		t.Fatalf("second read differs: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := crypto.KeyFile(path); err == nil {
		t.Error("a damaged key file was replaced or accepted")
	}
}
