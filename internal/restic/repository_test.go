package restic

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

func TestRepositoryPrintsNoSecret(t *testing.T) {
	repository := Repository{
		URL: "rest:http://leaked:urlsecret@host:8000/h1/", RESTUsername: "h1", RESTPassword: "restsecret", Password: "reposecret",
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "repository", repository, "call", Call{Repository: repository})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "repository", repository, "call", Call{Repository: repository})
	text, err := json.Marshal(Call{Repository: repository}.Repository)
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		printed += fmt.Sprintf(verb, repository) + fmt.Sprintf(verb, &repository) + fmt.Sprintf(verb, Call{Repository: repository})
	}
	printed += repository.String() + repository.GoString()
	for _, secret := range []string{"urlsecret", "restsecret", "reposecret", fmt.Sprintf("%x", "reposecret")} {
		if strings.Contains(printed, secret) {
			t.Errorf("%q is printed: %s", secret, printed)
		}
	}
	if !strings.Contains(string(text), redacted) || !strings.Contains(printed, "host:8000/h1/") {
		t.Errorf("the address or the mark is missing: %s", printed)
	}
}

func TestLocal(t *testing.T) {
	for address, want := range map[string]string{
		"/srv/r": "/srv/r", "local:/srv/r": "/srv/r", `C:\backup`: `C:\backup`, "/with:colon": "/with:colon",
		"rest:http://h/": "", "sftp:u@h:/x": "", "s3:s3.example/b": "", "rclone:r:x": "",
	} {
		path, local := Repository{URL: address}.Local()
		if path != want || local != (want != "") {
			t.Errorf("Local(%q) = %q, %v", address, path, local)
		}
	}
}

func TestMask(t *testing.T) {
	repository := Repository{RESTUsername: "h1", RESTPassword: "p@:/ #%", Password: "first line\nsecond line"}
	mask := newMask(repository)
	for _, text := range []string{
		repository.RESTPassword, url.QueryEscape(repository.RESTPassword), url.UserPassword("h1", repository.RESTPassword).String(),
		base64.StdEncoding.EncodeToString([]byte("h1:" + repository.RESTPassword)), repository.Password, "second line",
	} {
		if got := mask.Replace("before " + text + " after"); strings.Contains(got, text) || !strings.Contains(got, redacted) {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := newMask(Repository{Password: "abc"}).Replace("abcdef"); got != "abcdef" {
		t.Errorf("a short password spoilt a word: %q", got)
	}
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{
		"0.19.0": true, "0.19.1": true, "0.19.1-dev (compiled manually)": true, "0.20": true, "1.0.0": true,
		"0.18.9": false, "0.9.6": false, "0.19": true,
	} {
		if got, err := atLeast(version, MinimumVersion); got != want || err != nil {
			t.Errorf("atLeast(%q) = %v, %v", version, got, err)
		}
	}
	if _, err := atLeast("unknown", MinimumVersion); err == nil {
		t.Error("a version without numbers was believed")
	}
}
