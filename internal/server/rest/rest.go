// Package rest owns the JSON API under /api/v1: its table of routes, what each
// noun looks like in JSON, how errors are told, and the streams of logs and
// events. It must not know SQL, agents or pages: it reads from the store, and
// every change goes through control.
package rest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Prefix is where the API lives.
const Prefix = "/api/v1"

// Options are what the API works with; all are needed.
type Options struct {
	Control *control.Control
	Store   *store.Store
	Log     *slog.Logger
	Version string // of the server, for the description
	// PeerAddress tells where a request comes from, without port.
	PeerAddress func(*http.Request) string
	// Secure tells whether the browser speaks TLS, which decides the cookie's name.
	Secure func(*http.Request) bool
	// CrossOrigin refuses changes that another site makes with a session's cookie.
	CrossOrigin *http.CrossOriginProtection
}

// API is the http.Handler of everything below Prefix.
type API struct {
	Options
	mux  *http.ServeMux
	huma huma.API
}

// New builds the API from its table of routes.
func New(o Options) (*API, error) {
	a := &API{Options: o, mux: http.NewServeMux()}
	a.huma = humago.New(a.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "restic-manager", Version: o.Version,
				Description: "Everything that a page can do. Times are RFC 3339 in UTC, null when something has not happened yet. " +
					"Lists take `limit` and `cursor`; `next_cursor` is null on the last page."},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					bearerScheme: {Type: "http", Scheme: "bearer", Description: "An API token. A browser's session works too."},
				},
			},
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem},
	})
	for _, route := range Routes {
		route.register(a, a.operation(route))
	}
	for _, replaced := range []string{"ErrorModel", "ErrorDetail"} { // huma's, see asProblem
		delete(a.huma.OpenAPI().Components.Schemas.Map(), replaced)
	}
	description, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	a.mux.HandleFunc("GET "+Prefix+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(description) // a reader that went away is no error of ours
	})
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			panic(cause)
		default:
			a.write(w, a.problem(r.Context(), fmt.Errorf("handler panicked: %v", cause)))
		}
	}()
	if !cleanText(r) {
		a.write(w, newProblem(http.StatusBadRequest, "The address holds a NUL byte or is not UTF-8."))
		return
	}
	handler, pattern := a.mux.Handler(r)
	if pattern == "" {
		a.noRoute(w, r, handler)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// noRoute answers in our own format what the mux would say in plain text: that
// there is no such path, or not with this method.
func (a *API) noRoute(w http.ResponseWriter, r *http.Request, plain http.Handler) {
	said := &headersOnly{header: http.Header{}}
	plain.ServeHTTP(said, r)
	sentence := "There is nothing at this address."
	if said.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", said.header.Get("Allow"))
		sentence = "This address does not take " + r.Method + "."
	}
	a.write(w, newProblem(said.status, sentence))
}

// headersOnly takes an answer without its body.
type headersOnly struct {
	header http.Header
	status int
}

func (h *headersOnly) Header() http.Header            { return h.header }
func (h *headersOnly) Write(body []byte) (int, error) { return len(body), nil }
func (h *headersOnly) WriteHeader(status int)         { h.status = status }

// cleanText tells whether path and query hold only what a database can compare.
func cleanText(r *http.Request) bool {
	clean := func(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }
	if !clean(r.URL.Path) {
		return false
	}
	for name, values := range r.URL.Query() {
		if !clean(name) || !clean(strings.Join(values, "")) {
			return false
		}
	}
	return true
}
