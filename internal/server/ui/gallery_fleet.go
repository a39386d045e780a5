package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// sample makes the values of the examples.
type sample struct{ now time.Time }

func (s sample) ago(span time.Duration) time.Time { return s.now.Add(-span) }

func (s sample) frame(title, path string) Frame {
	frame := Frame{Title: title, Path: path, User: "ann", Version: "0.1.0", Status: Status{Running: 1}}
	for _, item := range menuItems() {
		item.Current = item.Path == path
		frame.Menu = append(frame.Menu, item)
	}
	return frame
}

func (s sample) endpoint(id, name, system string, tags ...string) fleet.Host {
	return fleet.Host{ID: job.HostID("01JNQ8Z4M2R7S9T1V3X5Y6" + id), Name: name, Tags: tags, ResticHost: name, Hostname: name,
		OS: system, Arch: "amd64", AgentVersion: "0.1.0", ResticVersion: "0.19.1", Address: "192.0.2.17",
		EnrolledAt: s.ago(40 * 24 * time.Hour), LastSeenAt: s.ago(2 * time.Second), Online: true,
		LastBackupAt: s.ago(4 * time.Hour), LastBackupState: job.Succeeded, LastEndedAt: s.ago(4 * time.Hour), LastJobID: "01JNQ8Z4M2R7S9T1V3X5Y6Z7A8"}
}

func (s sample) row(host fleet.Host) FleetRow {
	next := s.clock().moment(s.now.Truncate(time.Hour).Add(9 * time.Hour))
	return FleetRow{Host: host, Result: lastResult(host), Connection: connection(host), NoRestic: noRestic(host), Next: next}
}

func (s sample) storageRow() StorageRow {
	box := s.endpoint("BOX1", "vault", "linux", "basement")
	box.Storage = &fleet.Storage{URL: "https://vault.example:8000", BytesFree: 1_900 << 30, BytesTotal: 7_200 << 30}
	return StorageRow{Host: box, Connection: connection(box), Repositories: 4, Disk: diskBar(box.Storage.BytesFree, box.Storage.BytesTotal)}
}

func (s sample) runningBackup() RunningJob {
	return RunningJob{ID: "01JNQ8Z4M2R7S9T1V3X5Y6Z7RR", Title: "Backup of documents", Bar: progressBar(s.progress())}
}

func (s sample) fleet(failing bool) FleetPage {
	web, db, ann, mail := s.endpoint("AAA1", "web-1", "linux", "web", "production"), s.endpoint("AAA2", "db-2", "linux", "production"),
		s.endpoint("AAA3", "laptop-ann", "windows", "office"), s.endpoint("AAA4", "mail", "freebsd")
	db.LastBackupAt, db.LastEndedAt = s.ago(9*time.Hour), s.ago(9*time.Hour)
	ann.Online, ann.LastSeenAt = false, s.ago(3*time.Hour)
	figures := FleetFigures{Hosts: 4, Online: 3, Running: 1, Good: 4, Snapshots: 312, Storage: 1, OldestAt: db.LastBackupAt}
	page := FleetPage{Frame: s.frame("Fleet", "/"), States: fleetChoices(), Tags: []string{"office", "production", "web"}, Storage: []StorageRow{s.storageRow()}, MayPause: true, Live: "/?part=live"}
	if failing {
		db.LastBackupState, db.LastEndedAt, db.LastBackupAt = job.Failed, s.ago(12*time.Minute), s.ago(33*time.Hour)
		db.LastError = "The password does not open the repository at rest:https://vault.example:8000/db-2/."
		mail.LastBackupState = job.Warning
		mail.LastError = "2 files could not be read."
		fresh := s.endpoint("AAA5", "build-7", "linux", "ci")
		fresh.LastBackupState, fresh.LastBackupAt, fresh.LastEndedAt, fresh.LastJobID = "", time.Time{}, time.Time{}, ""
		fresh.QuarantinedAt, fresh.ResticVersion = s.ago(25*time.Minute), ""
		page.Frame.Status.Trouble = 2
		figures = FleetFigures{Hosts: 5, Online: 4, Running: 1, Queued: 1, Good: 2, Warned: 1, Bad: 1, None: 1, Snapshots: 312, Storage: 1, WorstName: "db-2", WorstState: job.Failed, WorstAt: db.LastEndedAt}
		page.Alerts = []AlertPanel{{HostName: "build-7", Link: "/hosts/x#sessions", Alert: fleet.Alert{Kind: fleet.AlertClone, OpenedAt: s.ago(25 * time.Minute), LastAt: s.ago(time.Minute), Count: 12,
			Sentence: "Two sessions use the key of this host: one machine is a copy of the other, or was restored from an image. The newer one is held back until you decide."}}}
		row := s.row(fresh)
		row.Next = Moment{}
		page.Rows = append(page.Rows, row)
		page.Frame.Pauses = s.notes()
		page.Frame.Pauses[0].What = "All schedules"
	}
	running := s.row(web)
	running.Running = []RunningJob{s.runningBackup()}
	page.Rows = append(page.Rows, s.row(db), s.row(mail), s.row(ann), running)
	page.Figures = figures
	page.Verdict = verdict(figures, len(page.Alerts), s.now)
	return page
}

func (s sample) fleetHuge() FleetPage {
	page := s.fleet(false)
	page.Rows = nil
	for i := range 50 {
		host := s.endpoint("H", fmt.Sprintf("app-%03d.a-rather-long-subdomain.of-a-customer.example", i), "linux", "rack-12", "production", "eu-central")
		host.ID = job.HostID(fmt.Sprintf("01JNQ8Z4M2R7S9T1V3X5Y6H%03d", i))
		if i < 6 {
			host.LastBackupState = job.Failed
			host.LastError = strings.Repeat("The repository does not answer: connection refused by 192.0.2.9 port 8000. ", 3)
		}
		page.Rows = append(page.Rows, s.row(host))
	}
	page.Figures = FleetFigures{Hosts: 10_000, Online: 9_812, Running: 37, Queued: 204, Good: 9_698, Warned: 180, Bad: 6, Other: 2, None: 114, Snapshots: 1_204_332, Storage: 12, WorstName: page.Rows[0].Host.Name, WorstAt: s.ago(9 * time.Minute)}
	page.Verdict = verdict(page.Figures, 0, s.now)
	page.Next = "/?cursor=next"
	return page
}

func (s sample) boxes() []StorageBox {
	return []StorageBox{{ID: "01JNQ8Z4M2R7S9T1V3X5Y6BOX1", Name: "vault", URL: "https://vault.example:8000", Online: true, Space: "1.9 TiB free"}}
}

func (s sample) hostNew() HostNewPage {
	return HostNewPage{Frame: s.frame("Add a host", "/"), Boxes: s.boxes(), Form: HostNewForm{Target: "01JNQ8Z4M2R7S9T1V3X5Y6BOX1"}}
}

func (s sample) hostNewWrong() HostNewPage {
	page := s.hostNew()
	page.Form = HostNewForm{Tags: "web web", Target: existingTarget, URL: "http://backup.example/ann"}
	page.Errors = FieldErrors{{Field: "name", Sentence: "Give it a name."}, {Field: "tags", Sentence: `The tag "web" is there twice.`},
		{Field: "repository_url", Sentence: "restic does not know this kind of URL; a rest-server's begins with rest:http."}}
	return page
}

func (s sample) join(done int) HostJoinPage {
	token := fleet.EnrollmentToken{ID: "01JNQ8Z4M2R7S9T1V3X5Y6T0K1", Name: "web-3", ExpiresAt: s.now.Add(58 * time.Minute), CreatedAt: s.ago(2 * time.Minute),
		Repository: fleet.RepositoryChoice{Storage: "01JNQ8Z4M2R7S9T1V3X5Y6BOX1"}}
	page := HostJoinPage{Frame: s.frame("Add a host", "/"), Token: token, Name: token.Name, Live: "/enrollments/x?part=live"}
	if done == 0 {
		page.Commands = joinCommands(fleet.EnrolCommand(true, "backup.example"), "rm1.7Lk2mQ9vXaT40pReeyJzIjoiaHR0cHM6Ly9iYWNrdXAu.uY2dWqk3v8rTn1pXc5Zb9hLa")
	} else {
		page.Begin = "/hosts/x/sources/new"
		page.Token.UsedBy = "01JNQ8Z4M2R7S9T1V3X5Y6AAA9"
	}
	evidence := [][]string{{"from 192.0.2.31"}, {"web-3, linux amd64, restic 0.19.1", "key SHA256:7Lk2 mQ9v XaT4 0pRe"}, {"vault made the repository web-3"}, nil}
	for i, title := range []string{"Somebody has come with the token", "The host has joined", "Its repository is ready", "Choose what to back up"} {
		step := JoinStep{Title: title, State: State{Tone: ToneNone, Icon: "circle-dashed"}}
		switch {
		case i < done-1:
			step.State = State{Tone: ToneGood, Icon: "circle-check", At: s.ago(time.Minute)}
			step.Lines = evidence[i]
		case i == 0:
			step.Title, step.State = "Waiting for the machine", stepNow
		case i == done-1:
			step.State = stepNow
		}
		page.Steps = append(page.Steps, step)
	}
	return page
}

func (s sample) joinStorage() HostJoinPage {
	page := s.join(0)
	page.Name, page.Token.Name, page.Token.Repository = "vault", "vault", fleet.RepositoryChoice{}
	page.Steps = page.Steps[:2]
	return page
}
