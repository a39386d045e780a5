package ui

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// HostNewPage asks what kind of machine joins, and where it backs up to.
type HostNewPage struct {
	Frame  Frame
	Form   HostNewForm
	Boxes  []StorageBox
	Errors FieldErrors
}

// existingTarget is the choice of a repository that exists already.
const existingTarget = "existing"

// HostNewForm is what was typed.
type HostNewForm struct {
	Storage bool // the machine is a storage box
	Name    string
	Tags    string // separated by commas or spaces
	// Target is the id of a storage box, or existingTarget.
	Target   string
	URL      string
	User     string
	Password string
	Key      string
}

// StorageBox is a storage agent that can make a repository.
type StorageBox struct {
	ID     job.HostID
	Name   string
	URL    string
	Online bool
	Space  string // what is free, "" when it is not known
}

func (u *UI) hostNewPage(r *http.Request, form HostNewForm) (HostNewPage, error) {
	title := "Add a host"
	if form.Storage {
		title = "Add a storage box"
	}
	frame, err := u.frame(r, title, Crumb{"Fleet", "/"})
	if err != nil {
		return HostNewPage{}, err
	}
	page := HostNewPage{Frame: frame, Form: form}
	rows, err := u.storageRows(r.Context())
	if err != nil {
		return page, err
	}
	for _, row := range rows {
		box := StorageBox{ID: row.Host.ID, Name: row.Host.Name, URL: row.Host.Storage.URL, Online: row.Host.Online}
		if row.Disk.Known {
			box.Space = bytesText(row.Host.Storage.BytesFree) + " free"
		}
		page.Boxes = append(page.Boxes, box)
	}
	if page.Form.Target == "" {
		page.Form.Target = existingTarget
		if len(page.Boxes) > 0 {
			page.Form.Target = string(page.Boxes[0].ID)
		}
	}
	return page, nil
}

func (u *UI) hostNew(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	page, err := u.hostNewPage(r, HostNewForm{Storage: query.Get("kind") == "storage", Name: query.Get("name"), Tags: query.Get("tags")})
	if err != nil {
		return err
	}
	return u.show(w, r, "host_new", "", page)
}

func (u *UI) doHostNew(w http.ResponseWriter, r *http.Request) error {
	form := HostNewForm{Storage: r.PostFormValue("kind") == "storage", Name: strings.TrimSpace(r.PostFormValue("name")), Tags: r.PostFormValue("tags"),
		Target: r.PostFormValue("target"), URL: strings.TrimSpace(r.PostFormValue("repository_url")), User: r.PostFormValue("user"),
		Password: r.PostFormValue("password"), Key: r.PostFormValue("repository_key")}
	err := form.check()
	if err == nil {
		var token fleet.EnrollmentToken
		var text string
		if token, text, err = u.Control.CreateEnrollmentToken(r.Context(), visitorOf(r).who, form.enrollment()); err == nil {
			u.tokens.put(token.ID, text)
			return done(w, r, "/enrollments/"+token.ID, "")
		}
	}
	fields, ok := fieldErrors(err)
	if !ok {
		return err
	}
	page, err := u.hostNewPage(r, form)
	if err != nil {
		return err
	}
	page.Errors = fields
	return u.answer(w, http.StatusUnprocessableEntity, "host_new", "layout", page)
}

// check finds what only the form knows: that an existing repository was meant.
func (f HostNewForm) check() error {
	var invalid fleet.Invalid
	if !f.Storage && f.Target == existingTarget && f.URL == "" {
		fleet.CheckRepositoryURL(&invalid, "repository_url", f.URL)
	}
	return invalid.Err()
}

func (f HostNewForm) enrollment() control.NewEnrollment {
	wanted := control.NewEnrollment{Name: f.Name, Tags: words(f.Tags), ForStorage: f.Storage}
	switch {
	case f.Storage:
	case f.Target == existingTarget:
		wanted.Repository.URL = f.URL
		wanted.User = f.User
		wanted.Access = &fleet.RepositorySecrets{Password: crypto.NewText(f.Password), Key: crypto.NewText(f.Key)}
	default:
		wanted.Repository.Storage = job.HostID(f.Target)
	}
	return wanted
}

// words are what stands between commas and spaces.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// HostJoinPage is where a person waits for the new machine.
type HostJoinPage struct {
	Frame Frame
	Token fleet.EnrollmentToken
	Name  string // of the host, or words for one that has no name yet
	// Commands are what to paste; they hold the token's secret and are shown once.
	Commands []JoinCommand
	Steps    []JoinStep
	// Begin is where the first source group is made, "" until the host is ready.
	Begin string
	Live  string
	Ended bool // nothing more will change: expired, or all is done
}

// Storage tells whether a storage box is to join.
func (p HostJoinPage) Storage() bool { return p.Token.Repository == (fleet.RepositoryChoice{}) }

// JoinStep is one step of joining.
type JoinStep struct {
	State State
	Title string
	Lines []string // the evidence
	Job   job.ID   // where to look when it went wrong
}

// JoinCommand is what to paste on one kind of system.
type JoinCommand struct {
	ID     string // of its element
	System string
	Text   string
}

// joinCommands hand the token over to the command that enrols. Without a token
// there are none.
func joinCommands(enrol, token string) []JoinCommand {
	if token == "" {
		return nil
	}
	return []JoinCommand{
		{"command-unix", "Linux, macOS and FreeBSD, in a shell", "echo '" + token + "' | sudo " + enrol},
		{"command-windows", "Windows, in PowerShell as administrator", "'" + token + "' | " + enrol},
	}
}

func (u *UI) hostJoin(w http.ResponseWriter, r *http.Request) error {
	token, err := u.Store.Enrollment(r.Context(), r.PathValue("token"))
	if err != nil {
		return err
	}
	page := HostJoinPage{Token: token, Name: token.Name, Live: livePath(r)}
	if page.Name == "" {
		page.Name = "the new machine"
	}
	if err := u.joinSteps(r, &page); err != nil {
		return err
	}
	if page.Frame, err = u.frame(r, "Add a host", Crumb{"Fleet", "/"}); err != nil {
		return err
	}
	if r.Method == http.MethodGet && !isPart(r) { // a HEAD has no place to show it
		page.Commands = joinCommands(fleet.EnrolCommand(u.Secure(r), r.Host), u.tokens.take(token.ID))
	}
	return u.show(w, r, "host_join", "join-live", page)
}

var (
	stepDone  = State{Tone: ToneGood, Icon: "circle-check"}
	stepNow   = State{Tone: ToneRun, Icon: "loader-2"}
	stepLater = State{Tone: ToneNone, Icon: "circle-dashed"}
)

// joinSteps tells how far the machine has come.
func (u *UI) joinSteps(r *http.Request, page *HostJoinPage) error {
	token := page.Token
	seen := JoinStep{State: stepNow, Title: "Waiting for the machine"}
	joined := JoinStep{State: stepLater, Title: "The host joins"}
	ready := JoinStep{State: stepLater, Title: "Its repository is made"}
	begin := JoinStep{State: stepLater, Title: "First backup"}
	if token.Repository.URL != "" {
		ready.Title = "Its repository is known"
	}
	isStorage := page.Storage()
	defer func() {
		page.Steps = []JoinStep{seen, joined}
		if !isStorage {
			page.Steps = append(page.Steps, ready, begin)
		}
	}()
	if !token.SeenAt.IsZero() {
		seen = JoinStep{State: at(stepDone, token.SeenAt), Title: "Somebody has come with the token", Lines: []string{"from " + token.SeenAddress}}
		joined.State = stepNow
	}
	if token.UsedBy == "" {
		if u.Now().After(token.ExpiresAt) {
			page.Ended = true
			seen = JoinStep{State: State{Tone: ToneBad, Icon: "circle-x", At: token.ExpiresAt}, Title: "The command is over", Lines: []string{"Nobody used it in time. Make a new one under “Add host”."}}
			joined.State = stepLater
		}
		return nil
	}
	host, err := u.Store.Host(r.Context(), token.UsedBy)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return err
	}
	page.Name = host.Name
	joined = JoinStep{State: at(stepDone, token.UsedAt), Title: "The host has joined", Lines: []string{
		host.Hostname + ", " + host.OS + " " + host.Arch + ", " + resticText(host),
		"key " + control.KeyFingerprint(token.UsedKey)}}
	if isStorage {
		page.Ended = true
		return nil
	}
	repositories, _, err := u.Store.Repositories(r.Context(), store.RepositoryFilter{Host: host.ID})
	if err != nil {
		return err
	}
	ready.State = stepNow
	rows, err := u.repositoryRows(r.Context(), repositories)
	if err != nil {
		return err
	}
	for _, row := range rows {
		repository := row.Repository
		if !repository.Ready() {
			ready.Lines = []string{row.State.Word}
			if row.CanRetry {
				ready.State, ready.Job = State{Tone: ToneBad, Icon: "circle-x", At: row.State.At}, row.Job
			}
			continue
		}
		ready = JoinStep{State: at(stepDone, row.State.At), Title: "Its repository is ready", Lines: []string{repository.URL}}
		begin.State = stepNow
		begin.Title = "Choose what to back up"
		page.Begin = "/hosts/" + string(host.ID) + "/sources/new"
	}
	if !host.LastBackupAt.IsZero() {
		begin = JoinStep{State: at(stepDone, host.LastBackupAt), Title: "The first backup is there"}
		page.Begin, page.Ended = "", true
	}
	return nil
}

// resticText says which restic a host has.
func resticText(host fleet.Host) string {
	if host.ResticVersion == "" {
		return "no restic found there yet"
	}
	return "restic " + host.ResticVersion
}

// at is a state with its moment.
func at(state State, when time.Time) State {
	state.At = when
	return state
}
