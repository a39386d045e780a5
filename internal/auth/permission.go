package auth

import "slices"

// Role is a set of permissions. Each role holds all of the one before.
type Role string

// Roles, weakest first.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Roles is the one list of roles, weakest first.
var Roles = []Role{Viewer, Operator, Admin}

// Valid tells whether r is a role at all.
func (r Role) Valid() bool { return slices.Contains(Roles, r) }

// Covers tells whether r holds all that other holds.
func (r Role) Covers(other Role) bool {
	return slices.Index(Roles, r) >= slices.Index(Roles, other)
}

// Permission is leave to do one thing. What is open to everybody has none, and
// the route tables say so in a word of their own.
type Permission string

// Permissions.
const (
	FleetRead         Permission = "fleet.read"         // see hosts, repositories, groups, jobs, logs, snapshots, alerts
	AccountOwn        Permission = "account.own"        // change one's own password, end one's own sessions
	JobsRun           Permission = "jobs.run"           // ask for a job
	JobsCancel        Permission = "jobs.cancel"        // ask for a job's end
	GroupsWrite       Permission = "groups.write"       // add, change and remove source groups
	SchedulesWrite    Permission = "schedules.write"    // add, change and remove schedules
	PausesWrite       Permission = "pauses.write"       // make and end pauses
	HostsWrite        Permission = "hosts.write"        // rename and tag hosts
	HostsEnrol        Permission = "hosts.enrol"        // invite hosts, decide which of two copies is the true one
	HostsRemove       Permission = "hosts.remove"       // remove hosts
	RepositoriesWrite Permission = "repositories.write" // make repositories, try again to
	AuditRead         Permission = "audit.read"         // read the audit table
	TokensWrite       Permission = "tokens.write"       // list, make and revoke API tokens
)

// weakest is the one table of permissions: the weakest role that holds each.
var weakest = map[Permission]Role{
	FleetRead:         Viewer,
	AccountOwn:        Viewer,
	JobsRun:           Operator,
	JobsCancel:        Operator,
	GroupsWrite:       Operator,
	SchedulesWrite:    Operator,
	PausesWrite:       Operator,
	HostsWrite:        Operator,
	HostsEnrol:        Admin,
	HostsRemove:       Admin,
	RepositoriesWrite: Admin,
	AuditRead:         Admin,
	TokensWrite:       Admin,
}

// Known tells whether p is a permission at all.
func (p Permission) Known() bool { return weakest[p] != "" }

// Holds tells whether the role has the permission. Unknown roles hold nothing,
// and nobody holds an unknown permission.
func (r Role) Holds(p Permission) bool {
	needed, known := weakest[p]
	return known && r.Covers(needed)
}
