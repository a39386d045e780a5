package ui

import (
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/internal/job"
)

// Frame is what every page has around its content.
type Frame struct {
	Title string
	// Path is the page's own address with its query, for links back to it.
	Path string
	// Theme is "light" or "dark"; "" follows the system.
	Theme string
	// User is the name of who is signed in; "" shows a page without a menu.
	User    string
	Menu    []MenuItem
	Crumbs  []Crumb
	Status  Status
	Notice  string      // what the last request did, "" for nothing
	Pauses  []PauseNote // of the whole fleet
	Version string
}

// MenuItem is one entry of the menu.
type MenuItem struct {
	Label   string
	Path    string
	Icon    string
	Current bool
}

// Crumb is one step above the page.
type Crumb struct {
	Label string
	Path  string
}

// Status is what the frame always shows: it is live.
type Status struct {
	Running int // jobs that are running now
	Trouble int // hosts whose last backup went wrong, and open alerts
}

// Favicon is the static file that tells the tab's state.
func (s Status) Favicon() string {
	if s.Trouble > 0 {
		return "favicon-trouble.svg"
	}
	return "favicon.svg"
}

// menuItems are the routes that are entries of the menu.
func menuItems() []MenuItem {
	var items []MenuItem
	for _, route := range Routes {
		if route.Label != "" {
			items = append(items, MenuItem{Label: route.Label, Path: menuPath(route), Icon: route.Icon})
		}
	}
	return items
}

func menuPath(route Route) string { return strings.TrimSuffix(route.Pattern, "{$}") }

// plainFrame is the frame without what must be read from the store. The menu
// holds what the visitor's role allows; hosts belong to the fleet.
func (u *UI) plainFrame(r *http.Request, title string, crumbs ...Crumb) Frame {
	frame := Frame{Title: title, Path: r.URL.RequestURI(), Theme: themeOf(r), Crumbs: crumbs, Notice: noticeOf(r), Version: u.Version}
	who := visitorOf(r).who
	if !who.Known() {
		return frame
	}
	frame.User = who.Name
	for _, route := range u.routes {
		if route.Label == "" || !who.Allows(route.Permission) {
			continue
		}
		item := MenuItem{Label: route.Label, Path: menuPath(route), Icon: route.Icon}
		item.Current = r.URL.Path == item.Path || item.Path == "/jobs" && strings.HasPrefix(r.URL.Path, "/pending") || item.Path != "/" && strings.HasPrefix(r.URL.Path, item.Path+"/") ||
			item.Path == "/" && (strings.HasPrefix(r.URL.Path, "/hosts") || strings.HasPrefix(r.URL.Path, "/enrollments"))
		frame.Menu = append(frame.Menu, item)
	}
	return frame
}

// frame is the frame of a page for who is signed in.
func (u *UI) frame(r *http.Request, title string, crumbs ...Crumb) (Frame, error) {
	frame := u.plainFrame(r, title, crumbs...)
	var err error
	if frame.Pauses, err = u.fleetPauses(r); err != nil {
		return frame, err
	}
	frame.Status, err = u.statusNow(r)
	return frame, err
}

func (u *UI) statusNow(r *http.Request) (Status, error) {
	_, running, err := u.Store.CountActive(r.Context())
	if err != nil {
		return Status{}, err
	}
	counts, err := u.Store.CountHosts(r.Context(), u.Now())
	if err != nil {
		return Status{}, err
	}
	alerts, err := u.Store.Alerts(r.Context(), "")
	return Status{Running: running, Trouble: counts.Bad + len(alerts)}, err
}

func (u *UI) status(w http.ResponseWriter, r *http.Request) error {
	status, err := u.statusNow(r)
	if err != nil {
		return err
	}
	return u.answer(w, http.StatusOK, "error", "status", status)
}

// hostCrumbs lead from the fleet to a host.
func hostCrumbs(id job.HostID, name string) []Crumb {
	return []Crumb{{"Fleet", "/"}, {name, "/hosts/" + string(id)}}
}
