package ui

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

// Example is one page in one state. The list of examples is behind the type
// check, the render test, the screenshots and the developer's gallery.
type Example struct {
	Page  string // the template's name
	State string // "empty", "usual", "failing", "huge" and the like
	Value any
}

// Name is the example's part of an address or a file name.
func (e Example) Name() string { return e.Page + "-" + e.State }

// GalleryPage lists the examples for developers.
type GalleryPage struct {
	Frame    Frame
	Examples []Example
}

// Examples gives every page in every state worth looking at, as of now.
func Examples(now time.Time) []Example {
	s := sample{now}
	return []Example{
		{"fleet", "empty", FleetPage{Frame: s.frame("Fleet", "/")}},
		{"fleet", "removed", FleetPage{Frame: s.frame("Fleet", "/"), States: fleetChoices(), Figures: FleetFigures{Removed: true}, Verdict: verdict(FleetFigures{Removed: true}, 0, now)}},
		{"fleet", "usual", s.fleet(false)},
		{"fleet", "failing", s.fleet(true)},
		{"fleet", "huge", s.fleetHuge()},
		{"host_new", "usual", s.hostNew()},
		{"host_new", "failing", s.hostNewWrong()},
		{"host_new", "storage", HostNewPage{Frame: s.frame("Add a storage box", "/"), Form: HostNewForm{Storage: true}}},
		{"host_join", "waiting", s.join(0)},
		{"host_join", "ready", s.join(4)},
		{"host_join", "storage", s.joinStorage()},
		{"host", "empty", s.hostEmpty()},
		{"host", "usual", s.host()},
		{"host", "failing", s.hostQuarantined()},
		{"host", "storage", s.hostStorage()},
		{"host", "removed", s.hostRemoved()},
		{"host", "no-restic", s.hostNoRestic()},
		{"snapshots", "empty", SnapshotsPage{Frame: s.hostFrame("Snapshots"), Head: s.head("snapshots")}},
		{"snapshots", "usual", s.snapshots()},
		{"sources", "empty", SourcesPage{Frame: s.hostFrame("Sources"), Head: s.head("sources")}},
		{"sources", "usual", s.sources()},
		{"sources", "paused", s.sourcesPaused()},
		{"source_form", "usual", s.sourceForm()},
		{"source_form", "full", s.sourceFormFull()},
		{"source_form", "failing", s.sourceFormWrong()},
		{"source_form", "counting", s.sourceFormCounting()},
		{"source_form", "counted", s.sourceFormCounted()},
		{"host_settings", "usual", s.hostSettings()},
		{"host_settings", "failing", s.hostSettingsBehind()},
		{"host_settings", "storage", s.hostSettingsStorage()},
		{"schedules", "empty", s.schedulesEmpty()},
		{"schedules", "usual", s.schedules(false)},
		{"schedules", "failing", s.schedules(true)},
		{"schedules", "huge", s.schedulesHuge()},
		{"schedule", "empty", s.schedulePageEmpty()},
		{"schedule", "usual", s.schedulePage(false)},
		{"schedule", "failing", s.schedulePage(true)},
		{"host_schedules", "no-groups", HostSchedulesPage{Frame: s.hostFrame("Schedules"), Head: s.head("schedules"), MayChange: true}},
		{"host_schedules", "empty", HostSchedulesPage{Frame: s.hostFrame("Schedules"), Head: s.head("schedules"), HasGroups: true, MayChange: true}},
		{"host_schedules", "usual", s.hostSchedules()},
		{"schedule_form", "usual", s.scheduleForm(repeatDaily)},
		{"schedule_form", "weekly", s.scheduleForm(repeatWeekly)},
		{"schedule_form", "hourly", s.scheduleForm(repeatHourly)},
		{"schedule_form", "failing", s.scheduleFormWrong()},
		{"schedule_form", "no-groups", ScheduleFormPage{Frame: s.hostFrame("New schedule"), Head: s.head("schedules")}},
		{"pause_form", "usual", s.pauseForm()},
		{"pause_form", "failing", s.pauseFormWrong()},
		{"pending", "empty", PendingPage{Frame: s.frame("Waiting runs", "/jobs"), Tabs: JobTabs{Pending: true}}},
		{"pending", "usual", s.pending()},
		{"pending", "huge", s.pendingHuge()},
		{"pending_drop", "usual", s.pendingDrop()},
		{"pending_drop", "gone", PendingDropPage{Frame: s.frame("Drop waiting runs", "/jobs"), Gone: 2, Back: "/pending"}},
		{"host_jobs", "usual", HostJobsPage{Frame: s.hostFrame("Jobs"), Head: s.head("jobs"), List: s.jobList(true)}},
		{"jobs", "empty", JobListPage{Frame: s.frame("Jobs", "/jobs"), List: JobList{Action: "/jobs", Kinds: job.Kinds, States: job.States}}},
		{"jobs", "usual", JobListPage{Frame: s.frame("Jobs", "/jobs"), List: s.jobList(false)}},
		{"job", "queued", s.jobQueued()},
		{"job", "waits", s.jobWaits()},
		{"job", "skipped", s.jobSkipped()},
		{"job", "running", s.jobRunning()},
		{"job", "sending", s.jobSending()},
		{"job", "provision", s.jobProvision()},
		{"job", "no-contact", s.jobNoContact()},
		{"job", "succeeded", s.jobSucceeded()},
		{"job", "warning", s.jobWarning()},
		{"job", "preview", s.jobPreview()},
		{"job", "failing", s.jobLocked()},
		{"job", "checked", s.jobChecked()},
		{"job", "damaged", s.jobDamaged()},
		{"job", "counted", s.jobCounted()},
		{"repositories", "empty", RepositoriesPage{Frame: s.frame("Repositories", "/repositories")}},
		{"repositories", "usual", RepositoriesPage{Frame: s.frame("Repositories", "/repositories"), Rows: s.repositories()}},
		{"repository", "new", s.repositoryNew()},
		{"repository", "usual", s.repositoryUsual()},
		{"repository", "damaged", s.repositoryDamaged()},
		{"audit", "empty", AuditPage{Frame: s.frame("Audit", "/audit"), Filter: AuditFilter{Text: "nobody"}}},
		{"audit", "usual", s.audit()},
		{"audit", "narrowed", s.auditOfOne()},
		{"settings", "empty", SettingsPage{Frame: s.frame("Settings", "/settings"), Username: "ann", Sessions: 1, MayToken: true}},
		{"settings", "usual", s.settings()},
		{"setup", "usual", SetupPage{Frame: Frame{Title: "First start"}}},
		{"setup", "failing", s.setupWrong()},
		{"sign_in", "usual", SignInPage{Frame: Frame{Title: "Sign in"}, Back: "/"}},
		{"sign_in", "failing", SignInPage{Frame: Frame{Title: "Sign in"}, Username: "ann", Problem: "User name or password is wrong."}},
		{"error", "usual", ErrorPage{Frame: s.frame("Not found", "/"), Heading: "Not found", Sentence: `There is no host "01HZX". It may have been removed.`}},
		{"error", "failing", ErrorPage{Frame: s.frame("Something went wrong", "/"), Heading: "Something went wrong", Sentence: "The server could not answer. Nothing was changed.", Incident: "7QK2XR"}},
	}
}
