package rest

import (
	"context"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
)

// Host is a host in JSON.
type Host struct {
	ID            job.HostID `json:"id"`
	Name          string     `json:"name"`
	Tags          []string   `json:"tags" nullable:"false"`
	Online        bool       `json:"online"`
	ResticHost    string     `json:"restic_host" doc:"The host name in its snapshots, fixed since it joined."`
	Hostname      string     `json:"hostname"`
	OS            string     `json:"os"`
	Arch          string     `json:"arch"`
	AgentVersion  string     `json:"agent_version"`
	ResticVersion string     `json:"restic_version"`
	AllowedKinds  []job.Kind `json:"allowed_kinds" nullable:"false" doc:"What its own policy lets through."`
	Address       string     `json:"address"`
	Storage       *Storage   `json:"storage" doc:"Of a storage agent."`
	Hooks         Hooks      `json:"hooks" doc:"What its own policy lets run beside a backup."`

	Presence    fleet.Presence `json:"presence" doc:"always_on, or intermittent for a machine that is off at times."`
	PausedUntil *time.Time     `json:"paused_until" doc:"Null while no pause holds."`

	EnrolledAt    *time.Time `json:"enrolled_at"`
	LastSeenAt    *time.Time `json:"last_seen_at"`
	ClockOffsetMs int64      `json:"clock_offset_ms" doc:"Its clock minus the server's."`
	QuarantinedAt *time.Time `json:"quarantined_at"`
	RemovedAt     *time.Time `json:"removed_at"`

	LastBackupAt    *time.Time `json:"last_backup_at" doc:"End of the last backup that succeeded or warned."`
	LastBackupState job.State  `json:"last_backup_state" doc:"Of the last backup that ended in any way; empty for never."`
	LastEndedAt     *time.Time `json:"last_ended_at"`
	LastJobID       job.ID     `json:"last_job_id"`
	LastError       string     `json:"last_error"`
}

// Storage is the rest-server beside a storage agent.
type Storage struct {
	URL        string `json:"url"`
	BytesFree  int64  `json:"bytes_free"`
	BytesTotal int64  `json:"bytes_total"`
	Slots      int    `json:"slots" doc:"How many jobs may move data to or from it at once."`
}

// Hooks are what the policy of a host lets run beside a backup.
type Hooks struct {
	Names []string `json:"names" nullable:"false" doc:"Local scripts that a source group may choose from."`
	Sent  bool     `json:"sent" doc:"Commands that a source group brings along are allowed."`
}

// TransformSchema implements huma.SchemaTransformer.
func (Host) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "storage")
}

// hostShower reads what hosts have in common and returns how to show one.
func (a *API) hostShower(ctx context.Context) (func(fleet.Host) Host, error) {
	now := time.Now()
	pauses, err := a.Store.Pauses(ctx, now)
	if err != nil {
		return nil, err
	}
	return func(h fleet.Host) Host {
		shown := showHost(h)
		shown.PausedUntil = at(fleet.PausedUntil(pauses, h.ID, h.Tags, now))
		return shown
	}, nil
}

// onlyHost is the answer that is one host.
func (a *API) onlyHost(ctx context.Context, h fleet.Host) (*only[Host], error) {
	show, err := a.hostShower(ctx)
	if err != nil {
		return nil, err
	}
	return &only[Host]{show(h)}, nil
}

func showHost(h fleet.Host) Host {
	shown := Host{
		ID: h.ID, Name: h.Name, Tags: orEmpty(h.Tags), Online: h.Online, ResticHost: h.ResticHost, Hostname: h.Hostname, OS: h.OS, Arch: h.Arch,
		AgentVersion: h.AgentVersion, ResticVersion: h.ResticVersion, AllowedKinds: orEmpty(h.Allowed), Address: h.Address,
		EnrolledAt: at(h.EnrolledAt), LastSeenAt: at(h.LastSeenAt), ClockOffsetMs: h.ClockOffset.Milliseconds(),
		QuarantinedAt: at(h.QuarantinedAt), RemovedAt: at(h.RemovedAt), LastBackupAt: at(h.LastBackupAt), LastBackupState: h.LastBackupState,
		LastEndedAt: at(h.LastEndedAt), LastJobID: h.LastJobID, LastError: h.LastError,
		Hooks: Hooks{orEmpty(h.HookNames), h.HooksSent}, Presence: h.Presence,
	}
	if h.Storage != nil {
		shown.Storage = &Storage{h.Storage.URL, h.Storage.BytesFree, h.Storage.BytesTotal, h.Storage.Slots}
	}
	return shown
}

type hostsInput struct {
	Paged
	Text    string `query:"q" maxLength:"200" doc:"In name, hostname or tags."`
	Tag     string `query:"tag" maxLength:"40"`
	Storage string `query:"storage" enum:"true,false" doc:"Only storage agents, or none of them."`
	Removed bool   `query:"removed" doc:"Those that were removed instead of those that were not."`
}

func (a *API) hosts(ctx context.Context, _ auth.Identity, in *hostsInput) (*list[Host], error) {
	filter := store.HostFilter{Text: in.Text, Tag: in.Tag, Removed: in.Removed, Page: in.page()}
	if storage, err := strconv.ParseBool(in.Storage); err == nil {
		filter.Storage = &storage
	}
	hosts, next, err := a.Store.Hosts(ctx, filter)
	if err != nil {
		return nil, err
	}
	show, err := a.hostShower(ctx)
	if err != nil {
		return nil, err
	}
	return listOf(hosts, next, show), nil
}

func (a *API) host(ctx context.Context, _ auth.Identity, in *ByID) (*only[Host], error) {
	found, err := a.Store.Host(ctx, job.HostID(in.ID))
	if err != nil {
		return nil, err
	}
	return a.onlyHost(ctx, found)
}

type changeHostInput struct {
	ByID
	Body struct {
		Name *string   `json:"name,omitempty"`
		Tags *[]string `json:"tags,omitempty" nullable:"false" doc:"All of them; what is left out goes."`

		Presence *fleet.Presence `json:"presence,omitempty" doc:"always_on or intermittent."`
		Slots    *int            `json:"slots,omitempty" doc:"Of a storage box."`
	}
}

func (a *API) changeHost(ctx context.Context, who auth.Identity, in *changeHostInput) (*only[Host], error) {
	changed, err := a.Control.UpdateHost(ctx, who, job.HostID(in.ID), control.HostChange{
		Name: in.Body.Name, Tags: in.Body.Tags, Presence: in.Body.Presence, Slots: in.Body.Slots})
	if err != nil {
		return nil, err
	}
	return a.onlyHost(ctx, changed)
}

func (a *API) removeHost(ctx context.Context, who auth.Identity, in *ByID) (*nothing, error) {
	return &nothing{}, a.Control.RemoveHost(ctx, who, job.HostID(in.ID))
}

// HostSession is one machine that uses a host's identity now.
type HostSession struct {
	ID       string     `json:"id"`
	Address  string     `json:"address"`
	Hostname string     `json:"hostname"`
	Since    *time.Time `json:"since"`
	Held     bool       `json:"held" doc:"It is given nothing until a person decides which one is the true one."`
}

func (a *API) hostSessions(ctx context.Context, _ auth.Identity, in *ByID) (*list[HostSession], error) {
	if _, err := a.Store.Host(ctx, job.HostID(in.ID)); err != nil {
		return nil, err
	}
	return listOf(a.Control.Sessions(job.HostID(in.ID)), "", func(s control.SessionInfo) HostSession {
		return HostSession{s.ID, s.Address, s.Hostname, at(s.Since), s.Held}
	}), nil
}

type keepSessionInput struct {
	ByID
	Session string `path:"session" maxLength:"64"`
}

func (a *API) keepSession(ctx context.Context, who auth.Identity, in *keepSessionInput) (*nothing, error) {
	return &nothing{}, a.Control.KeepSession(ctx, who, job.HostID(in.ID), in.Session)
}
