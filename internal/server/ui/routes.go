package ui

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/restic-manager/restic-manager/internal/auth"
)

// Public is the permission of what is open to everybody.
const Public auth.Permission = "public"

// Route is one line of the table.
type Route struct {
	Method     string
	Pattern    string
	Permission auth.Permission
	// Label and Icon make it an entry of the menu; "" is none.
	Label, Icon string
	handle      func(*UI, http.ResponseWriter, *http.Request) error
}

// Routes is the one table of routes: the mux, the check of who may, the menu
// and the test of every route as every role read it.
var Routes = []Route{
	{"GET", "/{$}", auth.FleetRead, "Fleet", "server-2", (*UI).fleet},
	{"GET", "/repositories", auth.FleetRead, "Repositories", "database", (*UI).repositories},
	{"GET", "/schedules", auth.FleetRead, "Schedules", "calendar-time", (*UI).schedules},
	{"GET", "/jobs", auth.FleetRead, "Jobs", "activity", (*UI).jobs},
	{"GET", "/audit", auth.AuditRead, "Audit", "history", (*UI).audit},
	{"GET", "/audit.csv", auth.AuditRead, "", "", (*UI).auditCSV},
	{"GET", "/settings", auth.AccountOwn, "Settings", "settings", (*UI).settings},

	{"GET", "/setup", Public, "", "", (*UI).setup},
	{"POST", "/setup", Public, "", "", (*UI).doSetup},
	{"GET", "/sign-in", Public, "", "", (*UI).signIn},
	{"POST", "/sign-in", Public, "", "", (*UI).doSignIn},
	{"POST", "/sign-out", auth.AccountOwn, "", "", (*UI).doSignOut},
	{"POST", "/theme", Public, "", "", (*UI).doTheme},
	{"POST", "/settings/password", auth.AccountOwn, "", "", (*UI).doPassword},
	{"POST", "/settings/sessions/end-others", auth.AccountOwn, "", "", (*UI).doEndOthers},
	{"POST", "/settings/tokens/{id}/revoke", auth.TokensWrite, "", "", (*UI).doRevoke},

	{"GET", "/events", auth.FleetRead, "", "", (*UI).eventStream},
	{"GET", "/status", auth.FleetRead, "", "", (*UI).status},

	{"GET", "/hosts/new", auth.HostsEnrol, "", "", (*UI).hostNew},
	{"POST", "/hosts/new", auth.HostsEnrol, "", "", (*UI).doHostNew},
	{"GET", "/enrollments/{token}", auth.HostsEnrol, "", "", (*UI).hostJoin},
	{"GET", "/hosts/{id}", auth.FleetRead, "", "", (*UI).host},
	{"GET", "/hosts/{id}/head", auth.FleetRead, "", "", (*UI).hostHead},
	{"GET", "/hosts/{id}/settings", auth.FleetRead, "", "", (*UI).hostSettings},
	{"POST", "/hosts/{id}/settings", auth.HostsWrite, "", "", (*UI).doHostSettings},
	{"POST", "/hosts/{id}/settings/remove", auth.HostsRemove, "", "", (*UI).doHostRemove},
	{"POST", "/hosts/{id}/sessions/{session}/keep", auth.HostsEnrol, "", "", (*UI).doKeepSession},
	{"GET", "/hosts/{id}/snapshots", auth.FleetRead, "", "", (*UI).snapshots},
	{"POST", "/hosts/{id}/snapshots/refresh", auth.JobsRun, "", "", (*UI).doRefresh},
	{"GET", "/hosts/{id}/jobs", auth.FleetRead, "", "", (*UI).hostJobs},
	{"GET", "/hosts/{id}/sources", auth.FleetRead, "", "", (*UI).sources},
	{"GET", "/hosts/{id}/sources/new", auth.GroupsWrite, "", "", (*UI).sourceNew},
	{"POST", "/hosts/{id}/sources/new", auth.GroupsWrite, "", "", (*UI).doSourceNew},
	{"POST", "/hosts/{id}/sources/notes", auth.GroupsWrite, "", "", (*UI).sourceNotes},
	{"POST", "/hosts/{id}/preview", auth.JobsRun, "", "", (*UI).doPreview},
	{"GET", "/hosts/{id}/preview/{job}", auth.FleetRead, "", "", (*UI).preview},
	{"GET", "/hosts/{id}/sources/{group}/edit", auth.GroupsWrite, "", "", (*UI).sourceEdit},
	{"POST", "/hosts/{id}/sources/{group}/edit", auth.GroupsWrite, "", "", (*UI).doSourceEdit},
	{"POST", "/hosts/{id}/sources/{group}/remove", auth.GroupsWrite, "", "", (*UI).doSourceRemove},
	{"POST", "/hosts/{id}/sources/{group}/run", auth.JobsRun, "", "", (*UI).doSourceRun},

	{"GET", "/hosts/{id}/schedules", auth.FleetRead, "", "", (*UI).hostSchedules},
	{"GET", "/hosts/{id}/schedules/new", auth.SchedulesWrite, "", "", (*UI).scheduleNew},
	{"POST", "/hosts/{id}/schedules/new", auth.SchedulesWrite, "", "", (*UI).doScheduleNew},
	{"GET", "/hosts/{id}/schedules/{schedule}/edit", auth.SchedulesWrite, "", "", (*UI).scheduleEdit},
	{"POST", "/hosts/{id}/schedules/{schedule}/edit", auth.SchedulesWrite, "", "", (*UI).doScheduleEdit},

	{"GET", "/schedules/preview", auth.SchedulesWrite, "", "", (*UI).schedulePreview},
	{"GET", "/schedules/{id}", auth.FleetRead, "", "", (*UI).schedule},
	{"POST", "/schedules/{id}/enable", auth.SchedulesWrite, "", "", (*UI).doScheduleEnable},
	{"POST", "/schedules/{id}/disable", auth.SchedulesWrite, "", "", (*UI).doScheduleDisable},
	{"POST", "/schedules/{id}/remove", auth.SchedulesWrite, "", "", (*UI).doScheduleRemove},
	{"GET", "/pauses/banner", auth.FleetRead, "", "", (*UI).pauseBanner},
	{"GET", "/pauses/new", auth.PausesWrite, "", "", (*UI).pauseNew},
	{"POST", "/pauses/new", auth.PausesWrite, "", "", (*UI).doPauseNew},
	{"POST", "/pauses/{id}/end", auth.PausesWrite, "", "", (*UI).doPauseEnd},

	{"GET", "/pending", auth.FleetRead, "", "", (*UI).pending},
	{"POST", "/pending/run", auth.JobsRun, "", "", (*UI).doPendingRun},
	{"POST", "/pending/{id}/run", auth.JobsRun, "", "", (*UI).doPendingRunOne},
	{"GET", "/pending/drop", auth.JobsCancel, "", "", (*UI).pendingDrop},
	{"POST", "/pending/drop", auth.JobsCancel, "", "", (*UI).doPendingDrop},

	{"GET", "/jobs/{id}", auth.FleetRead, "", "", (*UI).job},
	{"GET", "/jobs/{id}/log", auth.FleetRead, "", "", (*UI).jobLog},
	{"GET", "/jobs/{id}/log.txt", auth.FleetRead, "", "", (*UI).jobLogText},
	{"POST", "/jobs/{id}/cancel", auth.JobsCancel, "", "", (*UI).doCancel},
	{"POST", "/jobs/{id}/again", auth.JobsRun, "", "", (*UI).doAgain},
	{"POST", "/jobs/{id}/unlock", auth.JobsRun, "", "", (*UI).doUnlock},

	{"POST", "/alerts/{id}/close", auth.HostsEnrol, "", "", (*UI).doCloseAlert},
	{"GET", "/repositories/{id}", auth.FleetRead, "", "", (*UI).repository},
	{"POST", "/repositories/{id}/check", auth.JobsRun, "", "", (*UI).doCheck},
	{"POST", "/repositories/{id}/count", auth.JobsRun, "", "", (*UI).doCount},
	{"POST", "/repositories/{id}/retry", auth.RepositoriesWrite, "", "", (*UI).doRetry},
}

// pageOf finds the page that an address of forms belongs to: the nearest page
// above it. "" means that the address is a page itself.
func pageOf(route Route) string {
	pages := map[string]bool{}
	for _, one := range Routes {
		pages[one.Pattern] = pages[one.Pattern] || one.Method == http.MethodGet
	}
	if pages[route.Pattern] {
		return ""
	}
	above := route.Pattern
	for above != "" {
		above = above[:strings.LastIndex(above, "/")]
		if pages[above] {
			return above
		}
	}
	return "/"
}

// toPage sends who comes back to the address of a form, by a reload or the
// browser's history, to the page that the form is on.
func toPage(page string) func(*UI, http.ResponseWriter, *http.Request) error {
	return func(_ *UI, w http.ResponseWriter, r *http.Request) error {
		parts := strings.Split(page, "/")
		for i, part := range parts {
			if strings.HasPrefix(part, "{") {
				parts[i] = url.PathEscape(r.PathValue(strings.Trim(part, "{}")))
			}
		}
		http.Redirect(w, r, localPath(strings.Join(parts, "/")), http.StatusSeeOther)
		return nil
	}
}
