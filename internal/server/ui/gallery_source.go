package ui

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

func (s sample) group(name string, includes ...string) fleet.SourceGroup {
	return fleet.SourceGroup{ID: job.GroupID("01JNQ8Z4M2R7S9T1V3X5Y6G" + strings.ToUpper(name[:3])), Host: "01JNQ8Z4M2R7S9T1V3X5Y6AAA1", Name: name, Repository: "01JNQ8Z4M2R7S9T1V3X5Y6REP1",
		Includes: includes, Excludes: []string{"*.tmp", "/home/*/.cache"}, Retention: fleet.DefaultRetention, Options: fleet.DefaultGroupOptions(),
		LastJobID: "01JNQ8Z4M2R7S9T1V3X5Y6Z7A8", LastState: job.Succeeded, LastEndedAt: s.ago(4 * time.Hour), LastBackupAt: s.ago(4 * time.Hour)}
}

func (s sample) when(cron string, enabled bool) []WhenLine {
	one := fleet.Schedule{Rule: schedule.Rule{Cron: cron, TimeZone: "Europe/Berlin", Missed: schedule.RunOnce}, Enabled: enabled, Groups: []job.GroupID{"x"}}
	return linesOf([]fleet.Schedule{one}, "x", s.now)
}

func (s sample) cards() []GroupCard {
	documents, database, media := s.group("documents", "/home", "/srv/files and more"), s.group("database", "/var/backups/postgresql"), s.group("media", "/srv/media")
	database.LastState, database.LastError = job.Warning, "1 source is missing."
	database.Options.PreHook = &job.Hook{Name: "dump-database", TimeoutSeconds: 600}
	database.Retention = fleet.Retention{KeepLast: 10, KeepHourly: 48, KeepWithinDays: 2}
	media.LastState, media.LastEndedAt, media.LastBackupAt, media.LastJobID, media.Excludes = "", time.Time{}, time.Time{}, "", nil
	running := s.runningBackup()
	cards := []GroupCard{
		{Group: documents, Running: &running, LastJob: documents.LastJobID, Last: s.summary(), When: s.when("0 * * * *", true)},
		{Group: database, LastJob: database.LastJobID, When: append(s.when("30 2 * * 1,4", true), s.when("@hourly", false)...)},
		{Group: media},
	}
	for i := range cards {
		cards[i].RepositoryName, cards[i].Ready, cards[i].HostOnline, cards[i].Now = "web-1", true, true, s.now
		cards[i].Result = groupResult(cards[i].Group)
	}
	return cards
}

func (s sample) sources() SourcesPage {
	return SourcesPage{Frame: s.hostFrame("Sources"), Head: s.head("sources"), Cards: s.cards()}
}

func (s sample) sourcesPaused() SourcesPage {
	page := s.sources()
	for i := range page.Cards {
		card := &page.Cards[i]
		card.PausedUntil, card.Running = s.now.Add(7*time.Hour), nil
		for j := range card.When {
			if card.When[j].Enabled {
				card.When[j].Next = card.When[j].calendar.Next(card.PausedUntil)
			}
		}
	}
	return page
}

// sourceForm is that of a new group.
func (s sample) sourceForm() SourceFormPage {
	page := SourceFormPage{Frame: s.hostFrame("New source group"), Head: s.head("sources"), Repositories: []fleet.Repository{s.repositories()[0].Repository}, Form: newSourceForm("01JNQ8Z4M2R7S9T1V3X5Y6REP1")}
	page.Preview = PreviewPart{Host: page.Head.Host.ID, Name: page.Head.Host.Name}
	return page
}

// sourceFormFull has something in every field.
func (s sample) sourceFormFull() SourceFormPage {
	page := s.sourceForm()
	host := &page.Head.Host
	host.OS, host.HookNames, host.HooksSent = "windows", []string{"dump-database", "freeze"}, true
	group := s.group("documents", `C:\Users`, `D:\Files and more`)
	for _, preset := range fleet.PresetsFor("windows")[:1] {
		group.Excludes = append(group.Excludes, preset.Patterns...)
	}
	group.Options = fleet.GroupOptions{OneFileSystem: true, ExcludeCaches: true, UseVSS: true, LimitUploadKiB: 2048, RetryLockMinutes: 45, Tags: []string{"office", "daily"},
		RetryMax: 6, RetryBackoffSeconds: 300, ShrinkPercent: 30, PreHook: &job.Hook{Name: "thaw", TimeoutSeconds: 300},
		PostHook: &job.Hook{Command: []string{`C:\Tools\notify.exe`, "--done", "all of it"}, TimeoutSeconds: 60}}
	page.Group, page.Form, page.Gap = group.ID, sourceFormOf(group), 7*24*time.Hour
	page.Errors = FieldErrors{{Field: "pre_hook", Sentence: "Choose another."}, {Field: "limit_download_kib", Sentence: "A limit is 0 (none) or more."},
		{Field: "retry_max", Sentence: "A run has 1 to 100 attempts."}, {Field: "shrink_percent", Sentence: "The share is 0 (never warn) to 99 percent."}}
	page.Repositories = append(page.Repositories, s.repositories()[1].Repository)
	return page
}

func (s sample) sourceFormWrong() SourceFormPage {
	page := s.sourceForm()
	page.Group, page.Gap = "01JNQ8Z4M2R7S9T1V3X5Y6GDOC", 24*time.Hour
	page.Form.Name, page.Form.Includes = "documents", "home/ann\n/srv\nsrv/*"
	page.Errors = FieldErrors{{Field: "includes", Sentence: `"srv/*" is not a whole path; begin it with / or, on Windows, with a drive such as C:\.`}, {Field: "includes", Sentence: `"home/ann" is not a whole path; begin it with / or, on Windows, with a drive such as C:\.`}}
	page.Preview.Problem = "web-1 is offline since 2026-04-14 09:12 UTC. Start its agent and try again."
	return page
}

func (s sample) sourceFormCounting() SourceFormPage {
	page := s.sourceForm()
	page.Preview.Job, page.Preview.State, page.Preview.AskedAt = "01JNQ8Z4M2R7S9T1V3X5Y6Z7PV", job.Sent, s.ago(2*time.Second)
	return page
}

// sourceFormCounted has an answer with everything that one can have.
func (s sample) sourceFormCounted() SourceFormPage {
	page := s.sourceForm()
	page.Form.Includes = "/home\n/srv\n/opt/gone"
	page.Form.Excludes = "*.iso\n/home/*/.cache\n**/node_modules\n*.bak\n/srv/scratch"
	page.Preview = s.counted()
	return page
}

func (s sample) counted() PreviewPart {
	part := PreviewPart{Host: "01JNQ8Z4M2R7S9T1V3X5Y6AAA1", Name: "web-1", Job: "01JNQ8Z4M2R7S9T1V3X5Y6Z7PV", State: job.Succeeded, EndedAt: s.ago(20 * time.Second)}
	part.Spec = job.PreviewSpec{Excludes: []string{"*.iso", "/home/*/.cache", "**/node_modules", "*.bak", "/srv/scratch"}, ExcludeCaches: true, OneFileSystem: true}
	part.Result = &job.Preview{Files: 204_118, Bytes: 91_301_234_567, Partial: true, Unreadable: 3, Seconds: 27.4, Missing: []string{"/opt/gone", "/home/evil \u202etxt.exe\n<b>"},
		Rules: []job.PreviewRule{
			{Pattern: "*.iso", Files: 4, Bytes: 14_301_234_567, Samples: []job.PreviewSample{{Path: "/home/ann/Downloads/debian-12.9.0-amd64-DVD-1.iso", Bytes: 4_001_234_567}, {Path: "/srv/images/" + strings.Repeat("a very long name of a folder ", 8) + ".iso", Bytes: 3_001_234_567}}},
			{Pattern: "/home/*/.cache", Files: 48_211, Bytes: 5_301_234_567, Samples: []job.PreviewSample{{Path: "/home/ann/.cache", Bytes: 5_001_234_567}, {Path: "/home/bob/.cache", Bytes: 300_000_000}}},
			{Pattern: "**/node_modules", Files: 120_553, Bytes: 2_301_234_567, Samples: []job.PreviewSample{{Path: "/srv/app/node_modules", Bytes: 2_301_234_567}}},
			{Pattern: "*.bak"}, {Pattern: "/srv/scratch"},
			{Pattern: "CACHEDIR.TAG", Files: 812, Bytes: 91_234_567, Samples: []job.PreviewSample{{Path: "/home/ann/.cargo/registry", Bytes: 91_234_567}}},
			{Pattern: "one file system"},
		}}
	return part
}

func (s sample) hostSettings() HostSettingsPage {
	page := HostSettingsPage{Frame: s.hostFrame("Settings of web-1"), Head: s.head("settings"), MayChange: true, MayRemove: true,
		Change: HostChangeForm{Name: "web-1", Tags: "web production", Presence: string(fleet.AlwaysOn)}}
	host := &page.Head.Host
	host.Allowed, host.PlanDigest, host.PlanAt = []job.Kind{job.Backup, job.Snapshots, job.PreviewSources}, "a", s.ago(3*time.Hour)
	page.Plan = planState(*host, "a")
	return page
}

func (s sample) hostSettingsBehind() HostSettingsPage {
	page := s.hostSettings()
	host := &page.Head.Host
	host.Online, host.LastSeenAt, host.HookNames, host.HooksSent = false, s.ago(26*time.Hour), []string{"dump-database", "freeze"}, true
	page.Head.Connection, page.Plan = connection(*host), planState(*host, "b")
	page.Change = HostChangeForm{Name: "web-1 ", Tags: "web web", Presence: string(fleet.Intermittent), Errors: FieldErrors{{Field: "tags", Sentence: `The tag "web" is there twice.`}}}
	page.Remove = RemoveForm{Name: "web1", Error: `Type "web-1" exactly to remove this host.`}
	return page
}

func (s sample) hostSettingsStorage() HostSettingsPage {
	page, box := s.hostSettings(), s.storageRow()
	page.Head = HostHead{Host: box.Host, Connection: box.Connection, Tab: "settings"}
	page.Head.Host.Allowed = []job.Kind{job.Provision, job.Init}
	page.Change = HostChangeForm{Name: "vault", Tags: "basement", Presence: string(fleet.AlwaysOn), Slots: "4"}
	return page
}

func (s sample) jobPreview() JobPage {
	page, part := s.jobPage(job.Succeeded), s.counted()
	page.Job.Kind, page.Title, page.Job.Group = job.PreviewSources, "Preview sources", ""
	page.Job.Summary = &job.Summary{Preview: part.Result}
	page.Job.Spec, _ = json.Marshal(part.Spec) // it has nothing that can't be encoded
	return page
}
