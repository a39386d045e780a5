package control

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Bounds of what an agent says of its machine, in bytes where nothing else is said.
const (
	maxHostname   = 255
	maxFact       = 100
	maxStorageURL = 500
	maxHooks      = 100 // names
)

// setFacts writes what an agent says of its machine. Nothing of it is believed
// to be well formed: an odd name is cut, not refused, since no backup hangs on it.
func setFacts(host *fleet.Host, f api.Facts) {
	host.Hostname, host.OS, host.Arch = tidyText(f.Hostname, maxHostname), tidyText(f.OS, maxFact), tidyText(f.Arch, maxFact)
	host.AgentVersion, host.ResticVersion = tidyText(f.AgentVersion, maxFact), tidyText(f.ResticVersion, maxFact)
	host.Allowed = []job.Kind{}
	for _, kind := range f.Allowed {
		if _, known := job.InfoOf(kind); known && !slices.Contains(host.Allowed, kind) {
			host.Allowed = append(host.Allowed, kind)
		}
	}
	host.HookNames, host.HooksSent = []string{}, f.Hooks.Sent
	for _, name := range f.Hooks.Names {
		// A name that would have to be cut is not the one that the agent knows.
		if name != "" && name == tidyText(name, maxFact) && !slices.Contains(host.HookNames, name) && len(host.HookNames) < maxHooks {
			host.HookNames = append(host.HookNames, name)
		}
	}
}

// setStorage writes what a storage agent says of its disk. The problem is a
// sentence; then everything stays as it was.
func setStorage(host *fleet.Host, f *api.StorageFacts) (problem string) {
	if problem := storageURLProblem(f.URL); problem != "" {
		return problem
	}
	slots := fleet.DefaultSlots
	if host.Storage != nil {
		slots = host.Storage.Slots // a person's to set
	}
	host.Storage = &fleet.Storage{URL: f.URL, BytesFree: max(f.BytesFree, 0), BytesTotal: max(f.BytesTotal, 0), Slots: slots}
	return ""
}

// storageURLProblem says what is wrong with the address of a rest-server, which
// becomes part of every URL of a repository there.
func storageURLProblem(text string) string {
	address, err := url.Parse(text)
	switch {
	case len(text) > maxStorageURL || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return "the address of its rest-server is too long or holds white space"
	case err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" || address.Opaque != "":
		return fmt.Sprintf("the address of its rest-server, %q, does not look like https://backup.example:8000", text)
	case address.User != nil || address.RawQuery != "" || address.ForceQuery || address.Fragment != "":
		return "the address of its rest-server holds a user, a query or a fragment"
	}
	return ""
}

// tidyText makes text from outside fit a page: no control characters, at most
// limit bytes.
func tidyText(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.TrimSpace(cut(text, limit))
}

// cut keeps at most limit bytes of text, and no half character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
