package control_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestEnrol(t *testing.T) {
	r := newRig(t)
	a := r.newAgent()
	token := r.token(brought("web"))
	a.mustEnrol(token)
	first := a.host
	host := r.host(first)
	if host.Name != "web" || host.ResticHost != "web" || host.Hostname != "machine" || !bytes.Equal(host.PublicKey, a.public()) || host.IsStorage() {
		t.Errorf("host = %+v", host)
	}
	if repository := r.repository(first); !repository.Ready() || repository.User != "web" {
		t.Errorf("repository = %+v", repository)
	}
	if r.audited("host.enrolled", string(first)) != 1 {
		t.Error("the enrolment is not audited")
	}

	t.Run("again with the same key", func(t *testing.T) {
		if status, text := a.post(a.request(token)); status != http.StatusOK || a.host != first {
			t.Errorf("%d: %s", status, text)
		}
		if n := r.audited("host.enrolled", string(first)); n != 1 {
			t.Errorf("audited %d times", n)
		}
	})
	t.Run("used, with another key", func(t *testing.T) { refused(t, r.newAgent(), token, http.StatusForbidden, "used already") })
	t.Run("a key that is known", func(t *testing.T) {
		refused(t, a, r.token(brought("other")), http.StatusConflict, "--replace")
	})
	t.Run("unknown", func(t *testing.T) {
		refused(t, r.newAgent(), api.Token{Secret: "nonsense"}.String(), http.StatusForbidden, "not known")
	})
	t.Run("expired", func(t *testing.T) {
		late := r.token(brought("late"))
		r.pass(control.DefaultEnrollment + time.Second)
		refused(t, r.newAgent(), late, http.StatusForbidden, "expired")
	})
	t.Run("wrong proof", func(t *testing.T) {
		fresh := r.token(brought("proof"))
		for name, bend := range map[string]func(*api.EnrolRequest){
			"none":          func(q *api.EnrolRequest) { q.Proof = nil },
			"another key":   func(q *api.EnrolRequest) { q.AgentKey = a.public() },
			"no key":        func(q *api.EnrolRequest) { q.AgentKey = nil },
			"other facts":   func(q *api.EnrolRequest) { q.Facts.Hostname = "other" },
			"another nonce": func(q *api.EnrolRequest) { q.Nonce = make([]byte, api.NonceSize) },
			"short nonce":   func(q *api.EnrolRequest) { q.Nonce = q.Nonce[:8] },
		} {
			stranger := r.newAgent()
			request := stranger.request(fresh)
			bend(&request)
			if status, text := stranger.post(request); status != http.StatusForbidden || !strings.Contains(text, "proof") {
				t.Errorf("%s: %d: %s", name, status, text)
			}
		}
		r.newAgent().mustEnrol(fresh) // none of them has spent it
	})
	t.Run("not even a request", func(t *testing.T) {
		for _, body := range []string{"", "[]", `{"nonce":1}`, `{"secret":"` + strings.Repeat("x", 70<<10) + `"}`} {
			response, err := http.Post(r.web.URL+api.EnrolPath, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusBadRequest {
				t.Errorf("%.20q = %d", body, response.StatusCode)
			}
		}
	})
	t.Run("a host that was removed", func(t *testing.T) {
		if err := r.RemoveHost(t.Context(), auth.Server, first); err != nil {
			t.Fatal(err)
		}
		refused(t, a, token, http.StatusForbidden, "removed")
	})
}

func refused(t *testing.T, a *agent, token string, status int, word string) {
	t.Helper()
	if got, text := a.post(a.request(token)); got != status || !strings.Contains(text, word) {
		t.Errorf("%d: %s; want %d with %q", got, text, status, word)
	}
}

func TestEnrolTakesFactsAsTheyAre(t *testing.T) {
	r := newRig(t)
	a := r.newAgent()
	a.facts = api.Facts{Hostname: "bad\x00\n\xff" + strings.Repeat("ü", 300), OS: strings.Repeat("o", 5000),
		Allowed: append(slices.Repeat([]job.Kind{job.Backup}, 100), "dance", job.Unlock)}
	a.mustEnrol(r.token(brought("")))
	host := r.host(a.host)
	if len(host.Hostname) > 255 || strings.ContainsAny(host.Hostname, "\x00\n") || len(host.OS) > 100 || !slices.Equal(host.Allowed, []job.Kind{job.Backup, job.Unlock}) {
		t.Errorf("host = %+v", host)
	}
	if host.Name != "host" { // its own is too long for a name
		t.Errorf("name = %q", host.Name)
	}
}

func TestEnrolStorage(t *testing.T) {
	r := newRig(t)
	for address, want := range map[string]int{
		"https://box.example:8000": http.StatusOK, "http://[::1]:8000/base/": http.StatusOK,
		"": http.StatusConflict, "ftp://box": http.StatusConflict, "http://": http.StatusConflict, "http://user:pass@box/": http.StatusConflict, "http:box": http.StatusConflict,
		"http://box/?q": http.StatusConflict, "http://box/#f": http.StatusConflict, "http://box/ b": http.StatusConflict, "http://b\nox/": http.StatusConflict,
		"http://" + strings.Repeat("b", 600): http.StatusConflict,
	} {
		a := r.newAgent()
		a.facts.Storage = &api.StorageFacts{URL: address, BytesFree: -5, BytesTotal: 7}
		status, text := a.post(a.request(r.token(control.NewEnrollment{})))
		if status != want {
			t.Errorf("%q = %d: %s", address, status, text)
		}
		if status == http.StatusOK {
			if host := r.host(a.host); !host.IsStorage() || host.Storage.BytesFree != 0 || host.Storage.BytesTotal != 7 {
				t.Errorf("host = %+v", host.Storage)
			}
		}
	}
	t.Run("a token for a storage box makes no endpoint", func(t *testing.T) {
		refused(t, r.newAgent(), r.token(control.NewEnrollment{Name: "stray", ForStorage: true}), http.StatusConflict, "no storage section")
	})
	t.Run("a token that names none of several boxes", func(t *testing.T) {
		refused(t, r.newAgent(), r.token(control.NewEnrollment{Name: "stray"}), http.StatusConflict, "which of the storage boxes")
	})
	t.Run("the only box makes the repository of a host whose token names none", func(t *testing.T) {
		r := newRig(t)
		box, a := r.box(), r.newAgent()
		a.mustEnrol(r.token(control.NewEnrollment{Name: "web"}))
		made, _, err := r.store.Repositories(t.Context(), store.RepositoryFilter{Host: a.host})
		if err != nil || len(made) != 1 || made[0].Storage != box.host {
			t.Errorf("repositories = %+v, %v", made, err)
		}
	})
	t.Run("a token for an endpoint makes no storage box", func(t *testing.T) {
		a := r.newAgent()
		a.facts.Storage = &api.StorageFacts{URL: "http://box"}
		refused(t, a, r.token(brought("web")), http.StatusConflict, "storage box")
	})
}

// TestNamesStayApart: no two living hosts share what stands on their snapshots,
// also when one of them was renamed.
func TestNamesStayApart(t *testing.T) {
	r := newRig(t)
	one := r.endpoint("web")
	renamed := "front"
	if _, err := r.UpdateHost(t.Context(), auth.Server, one.host, control.HostChange{Name: &renamed}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "FRONT"} {
		if _, _, err := r.CreateEnrollmentToken(t.Context(), auth.Server, control.NewEnrollment{Name: name}); !is[*fleet.Invalid](err) {
			t.Errorf("a token for %q: %v", name, err)
		}
	}
	two := r.newAgent()
	two.facts.Hostname = "Web"
	nameless := brought("two")
	nameless.Name = ""
	two.mustEnrol(r.token(nameless))
	if host := r.host(two.host); host.Name != "Web-2" || host.ResticHost != "Web-2" {
		t.Errorf("the second is %q, %q on its snapshots", host.Name, host.ResticHost)
	}
	if err := r.RemoveHost(t.Context(), auth.Server, one.host); err != nil {
		t.Fatal(err)
	}
	three := r.endpoint("web")
	if host := r.host(three.host); host.ResticHost != "web" {
		t.Errorf("a removed host keeps %q from %q", "web", host.ResticHost)
	}
}

// TestManyEnrolAtOnce: thirty machines of one image have one host name.
func TestManyEnrolAtOnce(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			url := filepath.Join(t.TempDir(), "db")
			if engine == "postgres" {
				url = testkit.Postgres(t)
			}
			r := newNode(t, url, engine == "sqlite")
			var wait sync.WaitGroup
			for range 30 {
				invitation := brought("crowd")
				invitation.Name = ""
				a, token := r.newAgent(), r.token(invitation)
				wait.Go(func() {
					if status, text := a.post(a.request(token)); status != http.StatusOK {
						t.Errorf("%d: %s", status, text)
					}
				})
			}
			wait.Wait()
			hosts, _, err := r.store.Hosts(t.Context(), store.HostFilter{})
			if err != nil || len(hosts) != 30 {
				t.Fatalf("%d hosts, %v", len(hosts), err)
			}
			names := map[string]bool{}
			for _, h := range hosts {
				names[h.Name] = true
			}
			for n := 2; n <= 30; n++ {
				if !names[fmt.Sprint("machine-", n)] {
					t.Errorf("there is no machine-%d among %v", n, names)
				}
			}
		})
	}
}

func TestIdentityIsProved(t *testing.T) {
	r := newRig(t)
	nonce := make([]byte, api.NonceSize)
	_, _ = rand.Read(nonce)
	ask := func(query string) (*http.Response, api.Identity) {
		response, err := http.Get(r.web.URL + api.IdentityPath + query)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var identity api.Identity
		if err := json.NewDecoder(response.Body).Decode(&identity); err != nil {
			t.Fatal(err)
		}
		return response, identity
	}
	if _, identity := ask("?nonce=" + base64.RawURLEncoding.EncodeToString(nonce)); !bytes.Equal(identity.ServerKey, serverKey().Public().(ed25519.PublicKey)) ||
		!api.Verify(identity.ServerKey, api.IdentityProof(nonce), identity.Signature) {
		t.Error("the server does not prove its key")
	}
	for _, query := range []string{"", "?nonce=%%", "?nonce=AAAA"} {
		if response, _ := ask(query); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%q = %d", query, response.StatusCode)
		}
	}
}

// TestTokensAreJudged: who may invite, and what an invitation must say.
func TestTokensAreJudged(t *testing.T) {
	r := newRig(t)
	operator := auth.Identity{Kind: auth.ByUser, Name: "op", Role: auth.Operator}
	if _, _, err := r.CreateEnrollmentToken(t.Context(), operator, control.NewEnrollment{}); !is[*fleet.Problem](err) {
		t.Errorf("an operator invites: %v", err)
	}
	endpoint := r.endpoint("web")
	for name, bad := range map[string]control.NewEnrollment{
		"name":       {Name: " x"},
		"tags":       {Tags: []string{"a b"}},
		"lifetime":   {Lifetime: control.MaxEnrollment + 1},
		"storage":    {Repository: fleet.RepositoryChoice{Storage: endpoint.host}},
		"no storage": {Repository: fleet.RepositoryChoice{Storage: "nobody"}},
		"no key":     {Repository: fleet.RepositoryChoice{URL: "rest:http://x/"}},
		"both":       {Repository: fleet.RepositoryChoice{URL: "rest:http://x/", Storage: endpoint.host}},
	} {
		if _, text, err := r.CreateEnrollmentToken(t.Context(), auth.Server, bad); !is[*fleet.Invalid](err) || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	e, text, err := r.CreateEnrollmentToken(t.Context(), auth.Server, brought("gone"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WithdrawEnrollmentToken(t.Context(), auth.Server, e.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, r.newAgent(), text, http.StatusForbidden, "not known")
	r.write(func(ctx context.Context, tx *store.Tx) error {
		list, _, err := tx.Enrollments(ctx, fleet.Page{})
		if len(list) != 1 || list[0].UsedBy != endpoint.host {
			t.Errorf("tokens = %+v", list)
		}
		if err == nil {
			err = r.WithdrawEnrollmentToken(ctx, operator, list[0].ID)
		}
		if !is[*fleet.Problem](err) {
			t.Errorf("an operator withdraws a token: %v", err)
		}
		return nil
	})
}

// TestAHostJoinsWithADefaultGroup that fits its system and that no schedule runs.
func TestAHostJoinsWithADefaultGroup(t *testing.T) {
	r := newRig(t)
	for os, want := range map[string]string{"linux": "/home", "darwin": "/Users", "windows": `C:\Users`, "plan9": ""} {
		a := r.newAgent()
		a.facts.OS = os
		a.mustEnrol(r.token(brought("on-" + os)))
		groups := r.groups(a.host)
		if want == "" {
			if len(groups) != 0 {
				t.Errorf("on %s: %+v", os, groups)
			}
			continue
		}
		if len(groups) != 1 || groups[0].Name != fleet.DefaultGroupName || !slices.Contains(groups[0].Includes, want) || groups[0].Repository != r.repository(a.host).ID ||
			groups[0].Retention != fleet.DefaultRetention || groups[0].Options.UseVSS != (os == "windows") {
			t.Fatalf("on %s: %+v", os, groups)
		}
		if n := r.audited("source_group.created", string(groups[0].ID)); n != 1 {
			t.Errorf("on %s audited %d times", os, n)
		}
		if _, err := r.UpdateGroup(t.Context(), auth.Server, groups[0]); err != nil {
			t.Errorf("on %s it can't be saved as it is: %v", os, err)
		}
		schedules, err := r.store.SchedulesOf(t.Context(), a.host)
		if err != nil || len(schedules) != 0 {
			t.Errorf("on %s: %+v, %v", os, schedules, err)
		}
	}
	if groups := r.groups(r.box().host); len(groups) != 0 {
		t.Errorf("a storage box: %+v", groups)
	}
}

// TestFactsOfHooksAndSlots: what an agent lets run is shown, and how many slots a
// storage box has is a person's to say.
func TestFactsOfHooksAndSlots(t *testing.T) {
	r := newRig(t)
	a := r.endpoint("web")
	a.facts.Hooks = api.HookFacts{Names: []string{"dump", "dump", "", "a\nb", strings.Repeat("x", 200)}, Sent: true}
	a.connect()
	if host := r.host(a.host); !slices.Equal(host.HookNames, []string{"dump"}) || !host.HooksSent || host.Presence != fleet.AlwaysOn {
		t.Errorf("host = %+v", host)
	}
	box := r.box()
	if slots := r.host(box.host).Storage.Slots; slots != fleet.DefaultSlots {
		t.Errorf("a new box has %d slots", slots)
	}
	seven := 7
	if _, err := r.UpdateHost(t.Context(), auth.Server, box.host, control.HostChange{Slots: &seven}); err != nil {
		t.Fatal(err)
	}
	box.connect()
	if slots := r.host(box.host).Storage.Slots; slots != seven {
		t.Errorf("after a connect it has %d slots", slots)
	}
}
