package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/internal/auth"
)

// Route is one line of the table. Every route of the API is in it but its own
// description, /openapi.json, which is public.
type Route struct {
	Method     string
	Path       string // below Prefix
	Permission auth.Permission
	Summary    string
	register   func(*API, huma.Operation)
}

// Routes is the one table of routes: the mux, the guard, the description and the
// test of every route as every role read it.
var Routes = []Route{
	{"GET", "/me", auth.FleetRead, "Who the token or session belongs to", handle(http.StatusOK, (*API).me)},

	{"GET", "/hosts", auth.FleetRead, "List hosts", handle(http.StatusOK, (*API).hosts)},
	{"GET", "/hosts/{id}", auth.FleetRead, "Get a host", handle(http.StatusOK, (*API).host)},
	{"PATCH", "/hosts/{id}", auth.HostsWrite, "Rename or tag a host, or say how it is used", handle(http.StatusOK, (*API).changeHost)},
	{"DELETE", "/hosts/{id}", auth.HostsRemove, "Remove a host; its snapshots stay", handle(http.StatusNoContent, (*API).removeHost)},
	{"GET", "/hosts/{id}/snapshots", auth.FleetRead, "List the snapshots of a host, newest first", handle(http.StatusOK, (*API).snapshots)},
	{"GET", "/hosts/{id}/sessions", auth.FleetRead, "List the machines that use a host's identity now", handle(http.StatusOK, (*API).hostSessions)},
	{"POST", "/hosts/{id}/sessions/{session}/keep", auth.HostsEnrol, "Decide that this machine is the true one", handle(http.StatusNoContent, (*API).keepSession)},

	{"POST", "/enrollment-tokens", auth.HostsEnrol, "Invite a host", handle(http.StatusCreated, (*API).createEnrollment)},
	{"GET", "/enrollment-tokens", auth.HostsEnrol, "List invitations, newest first", handle(http.StatusOK, (*API).enrollments)},
	{"GET", "/enrollment-tokens/{id}", auth.HostsEnrol, "Get an invitation", handle(http.StatusOK, (*API).enrollment)},
	{"DELETE", "/enrollment-tokens/{id}", auth.HostsEnrol, "Take an invitation back", handle(http.StatusNoContent, (*API).withdrawEnrollment)},

	{"GET", "/hosts/{id}/source-groups", auth.FleetRead, "List the source groups of a host", handle(http.StatusOK, (*API).groups)},
	{"POST", "/hosts/{id}/source-groups", auth.GroupsWrite, "Add a source group", handle(http.StatusCreated, (*API).createGroup)},
	{"GET", "/exclude-presets", auth.FleetRead, "List exclusions that are often wanted on a system", handle(http.StatusOK, (*API).presets)},
	{"GET", "/source-groups/{id}", auth.FleetRead, "Get a source group", handle(http.StatusOK, (*API).group)},
	{"PUT", "/source-groups/{id}", auth.GroupsWrite, "Replace a source group", handle(http.StatusOK, (*API).replaceGroup)},
	{"DELETE", "/source-groups/{id}", auth.GroupsWrite, "Remove a source group; its snapshots stay", handle(http.StatusNoContent, (*API).removeGroup)},

	{"GET", "/schedules", auth.FleetRead, "List the schedules of the fleet, newest first", handle(http.StatusOK, (*API).schedules)},
	{"POST", "/schedules/preview", auth.SchedulesWrite, "Say when a rule would be due", handle(http.StatusOK, (*API).previewSchedule)},
	{"GET", "/hosts/{id}/schedules", auth.FleetRead, "List the schedules of a host", handle(http.StatusOK, (*API).hostSchedules)},
	{"POST", "/hosts/{id}/schedules", auth.SchedulesWrite, "Add a schedule", handle(http.StatusCreated, (*API).createSchedule)},
	{"GET", "/schedules/{id}", auth.FleetRead, "Get a schedule", handle(http.StatusOK, (*API).schedule)},
	{"PUT", "/schedules/{id}", auth.SchedulesWrite, "Replace a schedule", handle(http.StatusOK, (*API).replaceSchedule)},
	{"DELETE", "/schedules/{id}", auth.SchedulesWrite, "Remove a schedule; what it asked for and waits is abandoned", handle(http.StatusNoContent, (*API).removeSchedule)},

	{"GET", "/pauses", auth.FleetRead, "List the pauses that hold, newest first", handle(http.StatusOK, (*API).pauses)},
	{"POST", "/pauses", auth.PausesWrite, "Keep schedules from starting anything until a moment", handle(http.StatusCreated, (*API).createPause)},
	{"DELETE", "/pauses/{id}", auth.PausesWrite, "End a pause now", handle(http.StatusNoContent, (*API).endPause)},

	{"GET", "/pending-runs", auth.FleetRead, "List the backups that wait and why, newest first", handle(http.StatusOK, (*API).pendingRuns)},
	{"POST", "/pending-runs/{id}/run", auth.JobsRun, "Let a backup that waits go next", handle(http.StatusAccepted, (*API).runPending)},
	{"DELETE", "/pending-runs/{id}", auth.JobsCancel, "Take a backup out of the line", handle(http.StatusNoContent, (*API).dropPending)},
	{"GET", "/occurrences", auth.FleetRead, "List the jobs that schedules asked for, newest moment first", handle(http.StatusOK, (*API).occurrences)},

	{"POST", "/hosts/{id}/jobs", auth.JobsRun, "Ask for a job", handle(http.StatusAccepted, (*API).createJob)},
	{"GET", "/jobs", auth.FleetRead, "List jobs, newest first", handle(http.StatusOK, (*API).jobs)},
	{"GET", "/jobs/{id}", auth.FleetRead, "Get a job", handle(http.StatusOK, (*API).job)},
	{"POST", "/jobs/{id}/cancel", auth.JobsCancel, "Ask for the end of a job", handle(http.StatusAccepted, (*API).cancelJob)},
	{"GET", "/jobs/{id}/log", auth.FleetRead, "Read the log of a job", stream((*API).jobLog, "text/plain", ndjson)},
	{"GET", "/jobs/{id}/events", auth.FleetRead, "Follow a job until it has ended", stream((*API).jobEvents, eventStream)},

	{"GET", "/repositories", auth.FleetRead, "List repositories", handle(http.StatusOK, (*API).repositories)},
	{"GET", "/repositories/{id}", auth.FleetRead, "Get a repository", handle(http.StatusOK, (*API).repository)},
	{"POST", "/repositories/{id}/jobs", auth.JobsRun, "Ask for a job on a repository, wherever its files are", handle(http.StatusAccepted, (*API).createRepositoryJob)},
	{"POST", "/repositories/{id}/retry", auth.RepositoriesWrite, "Try again to make a repository", handle(http.StatusAccepted, (*API).retryRepository)},

	{"GET", "/alerts", auth.FleetRead, "List open alerts", handle(http.StatusOK, (*API).alerts)},
	{"POST", "/alerts/{id}/close", auth.HostsEnrol, "Say that an alert was dealt with", handle(http.StatusNoContent, (*API).closeAlert)},
	{"GET", "/audit", auth.AuditRead, "List who changed what, newest first", handle(http.StatusOK, (*API).audit)},
	{"GET", "/audit.csv", auth.AuditRead, "Read who changed what as a table, newest first", stream((*API).auditCSV, csvType)},

	{"GET", "/api-tokens", auth.TokensWrite, "List API tokens", handle(http.StatusOK, (*API).apiTokens)},
	{"POST", "/api-tokens", auth.TokensWrite, "Make an API token", handle(http.StatusCreated, (*API).createAPIToken)},
	{"DELETE", "/api-tokens/{id}", auth.TokensWrite, "Revoke an API token", handle(http.StatusNoContent, (*API).revokeAPIToken)},
}

const bearerScheme = "token"

// maxBody bounds what a request may send, in bytes. The largest is a source
// group with a thousand paths.
const maxBody = 1 << 20

// bodyTimeout is long enough for a body on a slow line.
const bodyTimeout = 2 * time.Minute

// operation is what huma needs to know of a route.
func (a *API) operation(route Route) huma.Operation {
	id := strings.ToLower(route.Method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(route.Path)
	return huma.Operation{
		Method: route.Method, Path: Prefix + route.Path, OperationID: id, Summary: route.Summary,
		Description: "Takes the permission `" + string(route.Permission) + "`.",
		Tags:        []string{strings.Split(route.Path, "/")[1]},
		Security:    []map[string][]string{{bearerScheme: {}}},
		Middlewares: huma.Middlewares{a.guard(route)},
		// A body below its bound is read whole; huma refuses what reaches it.
		MaxBodyBytes:    maxBody,
		BodyReadTimeout: bodyTimeout,
		Responses: map[string]*huma.Response{"default": {
			Description: "What went wrong",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: a.huma.OpenAPI().Components.Schemas.Schema(problemType, true, "Problem")}},
		}},
	}
}

// handle registers a method that answers with JSON.
func handle[I, O any](status int, do func(*API, context.Context, auth.Identity, *I) (*O, error)) func(*API, huma.Operation) {
	return func(a *API, operation huma.Operation) {
		operation.DefaultStatus = status
		huma.Register(a.huma, operation, func(ctx context.Context, in *I) (*O, error) {
			out, err := do(a, ctx, identityOf(ctx), in)
			if err != nil {
				return nil, a.problem(ctx, err)
			}
			return out, nil
		})
	}
}

// stream registers a method that writes its answer piece by piece.
func stream[I any](do func(*API, context.Context, *I) (*huma.StreamResponse, error), contentTypes ...string) func(*API, huma.Operation) {
	return func(a *API, operation huma.Operation) {
		content := map[string]*huma.MediaType{}
		for _, contentType := range contentTypes {
			content[contentType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		}
		operation.Responses["200"] = &huma.Response{Description: "OK", Content: content}
		huma.Register(a.huma, operation, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
			out, err := do(a, ctx, in)
			if err != nil {
				return nil, a.problem(ctx, err)
			}
			return out, nil
		})
	}
}
