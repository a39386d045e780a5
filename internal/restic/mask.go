package restic

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// minMasked is the length in bytes below which a secret is not masked: it would be found in innocent
// words, and replacing those would spoil paths and messages.
const minMasked = 4

// newMask returns a replacer for everything by which restic could print the repository's secrets.
func newMask(repository Repository) *strings.Replacer {
	var found []string
	add := func(text string) {
		if len(text) >= minMasked && !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	for _, secret := range []string{repository.Password, repository.RESTPassword} {
		add(secret)
		add(url.QueryEscape(secret))
		add(url.PathEscape(secret))
		add(strings.TrimPrefix(url.UserPassword("", secret).String(), ":"))
		for line := range strings.Lines(secret) {
			add(strings.TrimRight(line, "\r\n"))
		}
	}
	if repository.RESTPassword != "" {
		add(base64.StdEncoding.EncodeToString([]byte(repository.RESTUsername + ":" + repository.RESTPassword)))
	}
	// At one position the replacer takes the first that fits, so the longest comes first.
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(found))
	for _, text := range found {
		pairs = append(pairs, text, redacted)
	}
	return strings.NewReplacer(pairs...)
}
