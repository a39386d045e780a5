package ui

import (
	"errors"
	"net/http"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// SetupPage makes the first user.
type SetupPage struct {
	Frame    Frame
	Username string
	Token    string
	Errors   FieldErrors
}

// SignInPage asks who it is.
type SignInPage struct {
	Frame    Frame
	Username string
	Back     string // where to go afterwards
	Problem  string
}

// SettingsPage is for one's own account and the tokens of programs.
type SettingsPage struct {
	Frame    Frame
	Username string
	Tokens   []auth.APIToken
	MayToken bool // see and revoke tokens
	Sessions int  // live ones of this user, with this one
	Errors   FieldErrors
	Next     string
}

// Others are the sessions beside this one.
func (p SettingsPage) Others() int { return max(p.Sessions-1, 0) }

// ErrorPage says what went wrong and what to do.
type ErrorPage struct {
	Frame    Frame
	Heading  string
	Sentence string
	Incident string // names the line in the server's log, "" for mistakes of the asker
	Back     string // the page before, "" when it is not known
}

func (u *UI) peer(r *http.Request) control.Peer {
	return control.Peer{Address: u.PeerAddress(r), Browser: r.UserAgent()}
}

func (u *UI) setup(w http.ResponseWriter, r *http.Request) error {
	needed, err := u.Control.SetupNeeded(r.Context())
	if err != nil {
		return err
	}
	if !needed {
		return done(w, r, "/sign-in", "")
	}
	return u.show(w, r, "setup", "", SetupPage{Frame: u.plainFrame(r, "First start")})
}

func (u *UI) doSetup(w http.ResponseWriter, r *http.Request) error {
	first := control.FirstUser{Token: crypto.NewText(r.PostFormValue("token")), Name: r.PostFormValue("name"), Password: crypto.NewText(r.PostFormValue("password"))}
	secret, session, err := u.Control.Setup(r.Context(), first, u.peer(r))
	if fields, ok := fieldErrors(err); ok {
		page := SetupPage{Frame: u.plainFrame(r, "First start"), Username: first.Name, Token: r.PostFormValue("token"), Errors: fields}
		return u.answer(w, http.StatusUnprocessableEntity, "setup", "layout", page)
	}
	if err != nil {
		return err
	}
	http.SetCookie(w, control.SessionCookie(secret, session, u.Secure(r)))
	return done(w, r, "/", "")
}

func (u *UI) signIn(w http.ResponseWriter, r *http.Request) error {
	needed, err := u.Control.SetupNeeded(r.Context())
	switch {
	case err != nil:
		return err
	case needed:
		return done(w, r, "/setup", "")
	case visitorOf(r).who.Known():
		return done(w, r, localPath(r.URL.Query().Get("back")), "")
	}
	return u.show(w, r, "sign_in", "", SignInPage{Frame: u.plainFrame(r, "Sign in"), Back: localPath(r.URL.Query().Get("back"))})
}

func (u *UI) doSignIn(w http.ResponseWriter, r *http.Request) error {
	who := control.Credentials{Name: r.PostFormValue("username"), Password: crypto.NewText(r.PostFormValue("password"))}
	back := localPath(r.PostFormValue("back"))
	secret, session, err := u.Control.SignIn(r.Context(), who, u.peer(r))
	var throttled *auth.Throttled
	if errors.Is(err, auth.ErrUnauthenticated) || errors.As(err, &throttled) {
		answer := u.Control.Explain(r.Context(), err)
		page := SignInPage{Frame: u.plainFrame(r, "Sign in"), Username: who.Name, Back: back, Problem: answer.Sentence}
		page.Frame.User = ""
		return u.answer(w, answer.Status, "sign_in", "layout", page)
	}
	if err != nil {
		return err
	}
	http.SetCookie(w, control.SessionCookie(secret, session, u.Secure(r)))
	return done(w, r, back, "")
}

func (u *UI) doSignOut(w http.ResponseWriter, r *http.Request) error {
	if err := u.Control.SignOut(r.Context(), visitorOf(r).session, u.PeerAddress(r)); err != nil {
		return err
	}
	http.SetCookie(w, control.NoSessionCookie(u.Secure(r)))
	return done(w, r, "/sign-in", "")
}

func (u *UI) settingsPage(r *http.Request) (SettingsPage, error) {
	here := visitorOf(r)
	frame, err := u.frame(r, "Settings")
	if err != nil {
		return SettingsPage{}, err
	}
	page := SettingsPage{Frame: frame, Username: here.who.Name, MayToken: here.who.Allows(auth.TokensWrite)}
	if page.Sessions, err = u.Store.CountSessions(r.Context(), here.session.User.ID, u.Now()); err != nil || !page.MayToken {
		return page, err
	}
	var next string
	page.Tokens, next, err = u.Store.APITokens(r.Context(), fleet.Page{Cursor: r.URL.Query().Get("cursor")})
	page.Next = nextPath(r, next)
	return page, err
}

func (u *UI) settings(w http.ResponseWriter, r *http.Request) error {
	page, err := u.settingsPage(r)
	if err != nil {
		return err
	}
	return u.show(w, r, "settings", "", page)
}

func (u *UI) doPassword(w http.ResponseWriter, r *http.Request) error {
	change := control.NewPassword{Old: crypto.NewText(r.PostFormValue("old_password")), New: crypto.NewText(r.PostFormValue("new_password"))}
	err := u.Control.ChangePassword(r.Context(), visitorOf(r).session, change, u.peer(r))
	fields, ok := fieldErrors(err)
	if !ok {
		if err != nil {
			return err
		}
		return done(w, r, "/settings", "password")
	}
	page, err := u.settingsPage(r)
	if err != nil {
		return err
	}
	page.Errors = fields
	return u.answer(w, http.StatusUnprocessableEntity, "settings", "layout", page)
}

func (u *UI) doEndOthers(w http.ResponseWriter, r *http.Request) error {
	if err := u.Control.EndOtherSessions(r.Context(), visitorOf(r).session, u.PeerAddress(r)); err != nil {
		return err
	}
	return done(w, r, "/settings", "others-ended")
}

func (u *UI) doRevoke(w http.ResponseWriter, r *http.Request) error {
	if err := u.Control.RevokeAPIToken(r.Context(), visitorOf(r).who, r.PathValue("id")); err != nil {
		return err
	}
	return done(w, r, "/settings", "revoked")
}
