package ui

import (
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

func (s sample) hostFrame(title string) Frame {
	frame := s.frame(title, "")
	frame.Crumbs = []Crumb{{Label: "Fleet", Path: "/"}, {Label: "web-1", Path: "/hosts/x"}}
	frame.Menu[0].Current = true
	return frame
}

func (s sample) head(tab string) HostHead {
	host := s.endpoint("AAA1", "web-1", "linux", "web", "production")
	return HostHead{Host: host, Result: lastResult(host), Connection: connection(host), Tab: tab}
}

func (s sample) host() HostPage {
	frame := s.hostFrame("web-1")
	frame.Notice = notices[2].sentence
	return HostPage{Frame: frame, Head: s.head("overview"), Groups: s.cards(), Repositories: s.repositories()[:1]}
}

func (s sample) hostEmpty() HostPage {
	page := s.host()
	page.Groups = nil
	page.Head.Host.LastBackupState = ""
	page.Head.Result = lastResult(page.Head.Host)
	return page
}

func (s sample) hostQuarantined() HostPage {
	page := s.host()
	page.Frame.Notice = ""
	page.Head.Host.QuarantinedAt = s.ago(25 * time.Minute)
	page.Head.Connection = connection(page.Head.Host)
	page.Alerts = s.fleet(true).Alerts
	page.Alerts[0].HostName, page.Alerts[0].Link = "", ""
	page.Sessions = []SessionRow{
		{ID: "a", Address: "192.0.2.17", Hostname: "web-1", Since: s.ago(31 * time.Hour), Counter: 214, Unsent: 3, Held: true, First: true},
		{ID: "b", Address: "192.0.2.17", Hostname: "web-1", Since: s.ago(25 * time.Minute), Counter: 214, Held: true},
	}
	return page
}

func (s sample) hostRemoved() HostPage {
	page := s.host()
	page.Frame.Notice = ""
	page.Head.Host.RemovedAt, page.Head.Host.Online = s.ago(3*24*time.Hour), false
	page.Head.Connection = connection(page.Head.Host)
	for i := range page.Groups {
		page.Groups[i].Removed, page.Groups[i].HostOnline, page.Groups[i].Running = true, false, nil
	}
	row := &page.Repositories[0]
	row.Repository.ProvisionedAt = time.Time{}
	row.State, row.Job, row.CanRetry = repositoryState(row.Repository, steps{removed: true})
	return page
}

func (s sample) hostNoRestic() HostPage {
	page := s.hostEmpty()
	page.Frame.Notice = ""
	page.Head.Host.ResticVersion = ""
	page.Head.NoRestic = noRestic(page.Head.Host)
	row := &page.Repositories[0]
	row.Repository.ProvisionedAt, row.Repository.ReadyAt = time.Time{}, time.Time{}
	row.State, row.Job, row.CanRetry = repositoryState(row.Repository, steps{last: &fleet.Job{ID: "01JNQ8Z4M2R7S9T1V3X5Y6Z7PR", State: job.Failed, FinishedAt: s.ago(time.Minute), Error: "The file of users can't be written."}})
	return page
}

func (s sample) hostStorage() HostPage {
	box := s.storageRow()
	page := HostPage{Frame: s.hostFrame("vault"), Repositories: s.repositories()}
	page.Head = HostHead{Host: box.Host, Connection: box.Connection, Tab: "overview"}
	return page
}

func (s sample) repositories() []RepositoryRow {
	ready := fleet.Repository{ID: "01JNQ8Z4M2R7S9T1V3X5Y6REP1", Name: "web-1", URL: "rest:https://vault.example:8000/web-1/", Host: "01JNQ8Z4M2R7S9T1V3X5Y6AAA1", Storage: "01JNQ8Z4M2R7S9T1V3X5Y6BOX1",
		User: "web-1", ProvisionedAt: s.ago(40 * 24 * time.Hour), ReadyAt: s.ago(40 * 24 * time.Hour), AppendOnly: true, AppendOnlyAt: s.ago(4 * time.Hour), SnapshotCount: 128, LatestAt: s.ago(4 * time.Hour)}
	open := ready
	open.ID, open.Name, open.URL, open.Storage, open.AppendOnly, open.SnapshotCount = "01JNQ8Z4M2R7S9T1V3X5Y6REP2", "mail", "rest:https://old-box.example:8000/mail/", "", false, 61
	missing := fleet.Repository{ID: "01JNQ8Z4M2R7S9T1V3X5Y6REP3", Name: "build-7", URL: "rest:https://vault.example:8000/build-7/", Host: "01JNQ8Z4M2R7S9T1V3X5Y6AAA5", Storage: "01JNQ8Z4M2R7S9T1V3X5Y6BOX1"}
	rows := []RepositoryRow{{Repository: ready, HostName: "web-1", StorageName: "vault"}, {Repository: open, HostName: "mail"}, {Repository: missing, HostName: "build-7", StorageName: "vault"}}
	for i := range rows {
		known := steps{}
		if !rows[i].Repository.Ready() {
			known.active = &fleet.Job{ID: "01JNQ8Z4M2R7S9T1V3X5Y6Z7PR", State: job.Running, Kind: job.Provision}
		}
		rows[i].State, rows[i].Job, rows[i].CanRetry = repositoryState(rows[i].Repository, known)
		rows[i].Proof = appendOnlyProof(rows[i].Repository)
	}
	return rows
}

func (s sample) snapshots() SnapshotsPage {
	page := SnapshotsPage{Frame: s.hostFrame("Snapshots"), Head: s.head("snapshots"), Groups: []fleet.SourceGroup{s.group("documents"), s.group("database")},
		ListedAt: s.ago(26 * time.Hour), Refresh: s.repositories()[:1], Live: "/hosts/x/snapshots?part=live", Next: "/hosts/x/snapshots?cursor=y"}
	for day := range 3 {
		rows := SnapshotDay{Day: s.ago(time.Duration(day) * 24 * time.Hour)}
		for hour := range 3 {
			one := fleet.Snapshot{Job: "01JNQ8Z4M2R7S9T1V3X5Y6Z7A8", Snapshot: job.Snapshot{ID: strings.Repeat("4f9a2c7b", 8), Time: s.ago(time.Duration(day*24+hour*4+1) * time.Hour),
				FilesProcessed: 20_412, BytesProcessed: 48_301_234_567, DataAdded: 31_234_567}}
			rows.Rows = append(rows.Rows, SnapshotRow{Snapshot: one, GroupName: "documents"})
		}
		page.Days = append(page.Days, rows)
	}
	page.Days[2].Rows[2].GroupName, page.Days[2].Rows[2].Snapshot.Job = "", ""
	page.Days[2].Rows[2].Snapshot.FilesProcessed, page.Days[2].Rows[2].Snapshot.BytesProcessed = 0, 0
	return page
}

func (s sample) settings() SettingsPage {
	return SettingsPage{Frame: s.frame("Settings", "/settings"), Username: "ann", Sessions: 3, MayToken: true, Tokens: []auth.APIToken{
		{ID: "a", Name: "grafana", Role: auth.Viewer, CreatedAt: s.ago(90 * 24 * time.Hour), LastUsedAt: s.ago(20 * time.Second)},
		{ID: "b", Name: "ansible", Role: auth.Admin, CreatedAt: s.ago(3 * time.Hour), ExpiresAt: s.now.Add(27 * 24 * time.Hour)},
	}}
}

func (s sample) setupWrong() SetupPage {
	return SetupPage{Frame: Frame{Title: "First start"}, Username: "ann", Token: "k3v9", Errors: FieldErrors{
		{Field: "token", Sentence: "This is not the token that the server printed."}, {Field: "password", Sentence: auth.CheckPassword("ann", "short")}}}
}
