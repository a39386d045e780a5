package ui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/web"
)

// Options are what the pages work with; all are needed but Developer.
type Options struct {
	Control *control.Control
	Store   *store.Store
	Log     *slog.Logger
	Version string
	// PeerAddress tells where a request comes from, without port.
	PeerAddress control.PeerAddress
	// Secure tells whether the browser speaks TLS, which decides the cookie's name.
	Secure func(*http.Request) bool
	// Developer shows the gallery.
	Developer bool
	Now       func() time.Time // nil is time.Now
}

// UI is the http.Handler of all pages and of what they are made of. Whoever
// serves it puts http.CrossOriginProtection around it, and SecureHeaders on every
// answer.
type UI struct {
	Options
	mux      *http.ServeMux
	renderer *renderer
	tokens   stash
	routes   []Route
}

// New parses the templates and builds the mux from the table of routes.
func New(o Options) (*UI, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	static, err := web.NewStatic()
	if err != nil {
		return nil, err
	}
	u := &UI{Options: o, mux: http.NewServeMux(), routes: Routes}
	if u.renderer, err = newRenderer(static, o.Now); err != nil {
		return nil, err
	}
	u.mux.Handle("GET "+web.StaticPrefix, static)
	for _, route := range u.routes {
		u.mux.Handle(route.Method+" "+route.Pattern, u.guard(route))
		if page := pageOf(route); page != "" {
			u.mux.Handle("GET "+route.Pattern, u.guard(Route{Permission: Public, handle: toPage(page)}))
		}
	}
	if o.Developer {
		u.mux.Handle("GET /gallery/", &gallery{renderer: u.renderer, now: o.Now})
	}
	u.mux.Handle("/", u.guard(Route{Permission: Public, handle: (*UI).nothing}))
	return u, nil
}

// contentPolicy allows nothing but our own files; Tabler draws its check marks
// from data URLs.
const contentPolicy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	u.mux.ServeHTTP(w, r)
}

// SecureHeaders tells a browser what no answer of ours may do, whatever text a
// stranger got into it.
func SecureHeaders(header http.Header) {
	header.Set("Content-Security-Policy", contentPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// maxForm bounds what is taken of a form, in bytes.
const maxForm = 1 << 20

type visitorKey struct{}

// visitor is who asks for a page. The zero value is nobody.
type visitor struct {
	session auth.Session
	who     auth.Identity
}

func visitorOf(r *http.Request) visitor {
	found, _ := r.Context().Value(visitorKey{}).(visitor)
	return found
}

// guard finds out who asks, refuses who may not, and turns the handler's error
// into a page.
func (u *UI) guard(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer u.recover(w, r)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		found, err := u.identify(r)
		r = r.WithContext(context.WithValue(r.Context(), visitorKey{}, found))
		switch {
		case err != nil && !errors.Is(err, auth.ErrUnauthenticated):
		case route.Permission == Public:
			err = u.handle(route, w, r)
		case err != nil:
		case !found.who.Allows(route.Permission):
			err = fleet.Forbidden("Your role, %s, does not allow this. Ask an administrator.", found.who.Role)
		default:
			err = u.handle(route, w, r)
		}
		if err != nil {
			u.fail(w, r, err)
		}
	})
}

// handle reads the form before the handler does, so that one that did not come
// whole is never taken for one with empty fields.
func (u *UI) handle(route Route, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return route.handle(u, w, r)
	}
	if err := r.ParseForm(); err != nil {
		invalid := &fleet.Invalid{}
		invalid.Add("", "What was sent did not come whole, or is larger than %d KiB. Nothing was changed.", maxForm>>10)
		return invalid
	}
	return route.handle(u, w, r)
}

func (u *UI) identify(r *http.Request) (visitor, error) {
	secret := control.SessionSecret(r, u.Secure(r))
	if secret == "" {
		return visitor{}, auth.ErrUnauthenticated
	}
	session, err := u.Control.SessionOf(r.Context(), secret)
	if err != nil {
		return visitor{}, err
	}
	return visitor{session, session.User.Identity(u.PeerAddress(r))}, nil
}

// recover turns a panic of a handler into an error page with an incident.
func (u *UI) recover(w http.ResponseWriter, r *http.Request) {
	switch cause := recover(); cause {
	case nil:
	case http.ErrAbortHandler:
		panic(cause)
	default:
		u.fail(w, r, fmt.Errorf("panic on %s %s: %v", r.Method, r.URL.Path, cause))
	}
}

// fail turns an error into a page. Who is not signed in is sent to sign in.
func (u *UI) fail(w http.ResponseWriter, r *http.Request, err error) {
	answer := u.Control.Explain(r.Context(), err)
	if answer.Status == http.StatusUnauthorized && r.Method == http.MethodGet && !isPart(r) && r.URL.Path != "/events" {
		u.toSignIn(w, r)
		return
	}
	if answer.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(answer.RetryAfter.Seconds())+1))
	}
	heading := map[int]string{
		http.StatusNotFound: "Not found", http.StatusConflict: "Not now", http.StatusForbidden: "Not allowed",
		http.StatusUnauthorized: "Sign in first", http.StatusTooManyRequests: "Not so fast", http.StatusUnprocessableEntity: "Not right",
	}[answer.Status]
	if heading == "" {
		heading = "Something went wrong"
	}
	page := ErrorPage{Heading: heading, Sentence: answer.Sentence, Incident: answer.Incident, Back: backOf(r)}
	if len(answer.Fields) > 0 {
		page.Sentence = answer.Fields[0].Sentence
	}
	page.Frame = u.plainFrame(r, heading)
	body, err := u.renderer.block("error", "layout", page)
	if err != nil {
		u.Log.ErrorContext(r.Context(), "error page not rendered", "error", err)
		http.Error(w, answer.Sentence, answer.Status)
		return
	}
	writePage(w, answer.Status, body)
}

func (u *UI) toSignIn(w http.ResponseWriter, r *http.Request) {
	needed, err := u.Control.SetupNeeded(r.Context())
	if err != nil {
		u.Log.ErrorContext(r.Context(), "setup not looked up", "error", err)
	}
	switch {
	case needed:
		http.Redirect(w, r, "/setup", http.StatusSeeOther)
	case r.URL.RequestURI() == "/":
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	default:
		http.Redirect(w, r, "/sign-in?back="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	}
}

// isPart tells whether only a block of a page is asked for.
func isPart(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// show answers with a page or, when its live part is asked for, with that block.
func (u *UI) show(w http.ResponseWriter, r *http.Request, page, live string, value any) error {
	block := "layout"
	if live != "" && r.URL.Query().Get("part") == "live" {
		block = live
	}
	return u.answer(w, http.StatusOK, page, block, value)
}

func (u *UI) answer(w http.ResponseWriter, status int, page, block string, value any) error {
	body, err := u.renderer.block(page, block, value)
	if err != nil {
		return err
	}
	writePage(w, status, body)
	return nil
}

func writePage(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a reader that went away needs no answer
}

// livePath is where a page's live part is fetched again.
func livePath(r *http.Request) string {
	query := r.URL.Query()
	query.Del("said")
	query.Set("part", "live")
	return r.URL.Path + "?" + query.Encode()
}

// nextPath is the address of the next page of a list, "" after the last.
func nextPath(r *http.Request, cursor string) string {
	if cursor == "" {
		return ""
	}
	query := r.URL.Query()
	query.Del("said")
	query.Del("part")
	query.Set("cursor", cursor)
	return r.URL.Path + "?" + query.Encode()
}

// backOf is the page of ours that a request came from, "" when it is not known.
func backOf(r *http.Request) string {
	from, err := url.Parse(r.Referer())
	if err != nil || from.Host != r.Host {
		return ""
	}
	return localPath(from.RequestURI())
}

// localPath is path when it stays on this server, else "/".
func localPath(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

// notices are what a page may say about the request before; the key is in the
// address.
var notices = []struct{ key, sentence string }{
	{"removed", "The host is removed. Its snapshots stay in the repository."},
	{"host-changed", "The host is changed."},
	{"group-added", "The source group is added."},
	{"group-changed", "The source group is changed. The next backup uses it."},
	{"group-removed", "The source group is removed. Its snapshots stay in the repository."},
	{"kept", "Decided. The other session has to join as a host of its own."},
	{"password", "The password is changed, and every other session of yours is signed out."},
	{"others-ended", "Every other browser of yours is signed out."},
	{"revoked", "The token is revoked."},
	{"retried", "The storage box is asked again to make the repository."},
	{"closed", "The alert is closed."},
	{"schedule-added", "The schedule is added. Its host learns of it at once, or as soon as it is back."},
	{"schedule-changed", "The schedule is changed. Its host learns of it at once, or as soon as it is back."},
	{"schedule-enabled", "The schedule is enabled from now on."},
	{"schedule-disabled", "The schedule is disabled. If a run of it waited, that was given up; one that runs goes on."},
	{"schedule-removed", "The schedule is removed. Its jobs and snapshots stay."},
	{"paused", "Paused. It ends by itself, or here."},
	{"pause-ended", "The pause has ended."},
	{"hurried", "What was chosen goes first now. It still waits for its host and for a free slot."},
	{"dropped", "What was chosen is dropped."},
}

// done sends the browser on after a change, with a notice from the list.
func done(w http.ResponseWriter, r *http.Request, path, notice string) error {
	if notice != "" {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + "said=" + notice
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}

func noticeOf(r *http.Request) string {
	key := r.URL.Query().Get("said")
	for _, one := range notices {
		if one.key == key {
			return one.sentence
		}
	}
	return ""
}

// themeCookie keeps the chosen theme, so that the first byte of a page has it.
const themeCookie = "rm_theme"

var themes = []string{"light", "dark"}

func themeOf(r *http.Request) string {
	cookie, err := r.Cookie(themeCookie)
	if err != nil || !slices.Contains(themes, cookie.Value) {
		return ""
	}
	return cookie.Value
}

func (u *UI) doTheme(w http.ResponseWriter, r *http.Request) error {
	theme := r.PostFormValue("theme")
	if !slices.Contains(themes, theme) {
		return fleet.NotFound("theme", theme)
	}
	http.SetCookie(w, &http.Cookie{Name: themeCookie, Value: theme, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return done(w, r, localPath(r.PostFormValue("back")), "")
}

func (u *UI) nothing(_ http.ResponseWriter, r *http.Request) error {
	if !visitorOf(r).who.Known() {
		return auth.ErrUnauthenticated
	}
	return fleet.NotFound("page", r.URL.Path)
}
