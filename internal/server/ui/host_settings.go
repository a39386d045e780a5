package ui

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// HostSettingsPage is what a person may set of a host, and what only its own
// policy file can.
type HostSettingsPage struct {
	Frame     Frame
	Head      HostHead
	Plan      State
	MayChange bool
	MayRemove bool
	Change    HostChangeForm
	Remove    RemoveForm
	Live      string
}

// HostChangeForm is what may be set, as it was typed.
type HostChangeForm struct {
	Name     string
	Tags     string
	Presence string
	Slots    string // of a storage box
	Errors   FieldErrors
}

// PresenceChoice is one presence with what it means.
type PresenceChoice struct {
	Presence fleet.Presence
	Title    string
	Sentence string
}

// Presences are what a machine can be.
func (p HostSettingsPage) Presences() []PresenceChoice {
	return []PresenceChoice{
		{fleet.AlwaysOn, "Always on", "A server. A moment without its backup is trouble, also when the machine is off."},
		{fleet.Intermittent, "Off at times", "A laptop, or a machine that is switched off. While it is off nothing is overdue; what it missed is made up for when it is back."},
	}
}

// AllowedKind is one kind of job, and whether the host's own policy allows it.
type AllowedKind struct {
	job.KindInfo
	Allowed bool
}

// Kinds are those that the host could carry out.
func (p HostSettingsPage) Kinds() []AllowedKind {
	place := job.OnEndpoint
	if p.Head.Host.IsStorage() {
		place = job.OnStorage
	}
	var kinds []AllowedKind
	for _, info := range job.Kinds {
		if allowed := slices.Contains(p.Head.Host.Allowed, info.Kind); allowed || info.On == place {
			kinds = append(kinds, AllowedKind{info, allowed})
		}
	}
	return kinds
}

// RemoveForm asks for the typed name of what will be gone.
type RemoveForm struct {
	Name  string
	Error string
}

// Field is the input of the typed name.
func (f RemoveForm) Field() Field {
	field := Field{Name: "typed_name", Label: "Type its name to confirm", Value: f.Name}
	if f.Error != "" {
		field.Errors = []string{f.Error}
	}
	return field
}

// planState compares the plan that a host has with the one that it should have.
func planState(host fleet.Host, wanted string) State {
	switch {
	case host.PlanDigest == "" && !host.Online:
		return State{Tone: ToneNone, Icon: "circle-dashed", Word: "none yet",
			Tip: "The agent is sent its plan when it connects."}
	case host.PlanDigest == wanted:
		return State{Tone: ToneGood, Icon: "circle-check", Word: "up to date",
			Tip: "The agent has the plan that it should have. While this server is away it goes by it."}
	case host.Online && host.QuarantinedAt.IsZero():
		return State{Tone: ToneWait, Icon: "send", Word: "being sent",
			Tip: "Something has changed; the agent is being sent its new plan."}
	}
	return State{Tone: ToneWarn, Icon: "alert-triangle", Word: "newest not yet taken",
		Tip: "Something has changed since. The agent goes by the plan that it has, and is sent the newer one as soon as it is back."}
}

func (u *UI) hostSettingsPage(r *http.Request) (HostSettingsPage, error) {
	view, err := u.hostView(r, "settings")
	if err != nil {
		return HostSettingsPage{}, err
	}
	host, may := view.host, visitorOf(r).who
	page := HostSettingsPage{Head: view.head, MayChange: may.Allows(auth.HostsWrite) && host.RemovedAt.IsZero(),
		MayRemove: may.Allows(auth.HostsRemove) && host.RemovedAt.IsZero(), Live: "/hosts/" + string(host.ID) + "/settings?part=live",
		Change: HostChangeForm{Name: host.Name, Tags: strings.Join(host.Tags, " "), Presence: string(host.Presence)}}
	if host.IsStorage() {
		page.Change.Slots = strconv.Itoa(host.Storage.Slots)
	} else {
		wanted, err := u.Control.PlanDigest(r.Context(), host)
		page.Plan = planState(host, wanted)
		if err != nil { // the host can still be set up, and removed
			u.Log.ErrorContext(r.Context(), "plan not made", "host", host.ID, "error", err)
			page.Plan = State{Tone: ToneBad, Icon: "circle-x", Word: "can't be made", Tip: "The server could not make the plan of this host. Its log names the cause."}
		}
	}
	page.Frame, err = u.frame(r, "Settings of "+host.Name, hostCrumbs(host.ID, host.Name)...)
	return page, err
}

func (u *UI) hostSettings(w http.ResponseWriter, r *http.Request) error {
	page, err := u.hostSettingsPage(r)
	if err != nil {
		return err
	}
	return u.show(w, r, "host_settings", "host-facts", page)
}

func (u *UI) doHostSettings(w http.ResponseWriter, r *http.Request) error {
	form := HostChangeForm{Name: strings.TrimSpace(r.PostFormValue("name")), Tags: r.PostFormValue("tags"), Presence: r.PostFormValue("presence"), Slots: r.PostFormValue("slots")}
	tags, presence := words(form.Tags), fleet.Presence(form.Presence)
	change := control.HostChange{Name: &form.Name, Tags: &tags, Presence: &presence}
	var invalid fleet.Invalid
	if r.PostForm.Has("slots") {
		change.Slots = new(int)
		fillNumber(&invalid, "slots", form.Slots, change.Slots)
	}
	err := invalid.Err()
	if err == nil {
		_, err = u.Control.UpdateHost(r.Context(), visitorOf(r).who, job.HostID(r.PathValue("id")), change)
	}
	fields, ok := fieldErrors(err)
	if !ok {
		if err != nil {
			return err
		}
		return done(w, r, "/hosts/"+r.PathValue("id")+"/settings", "host-changed")
	}
	page, err := u.hostSettingsPage(r)
	if err != nil {
		return err
	}
	form.Errors = fields
	page.Change = form
	return u.answer(w, http.StatusUnprocessableEntity, "host_settings", "layout", page)
}

func (u *UI) doHostRemove(w http.ResponseWriter, r *http.Request) error {
	page, err := u.hostSettingsPage(r)
	if err != nil {
		return err
	}
	typed := strings.TrimSpace(r.PostFormValue("typed_name"))
	if typed != page.Head.Host.Name {
		page.Remove = RemoveForm{Name: typed, Error: "This is not the host's name. Type " + page.Head.Host.Name + " to remove it."}
		return u.answer(w, http.StatusUnprocessableEntity, "host_settings", "layout", page)
	}
	if err := u.Control.RemoveHost(r.Context(), visitorOf(r).who, page.Head.Host.ID); err != nil {
		return err
	}
	return done(w, r, "/", "removed")
}
