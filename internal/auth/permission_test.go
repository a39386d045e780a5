package auth_test

import (
	"testing"

	"github.com/restic-manager/restic-manager/internal/auth"
)

func TestEachRoleHoldsWhatTheTableSays(t *testing.T) {
	for _, row := range []struct {
		permission              auth.Permission
		viewer, operator, admin bool
	}{
		{auth.FleetRead, true, true, true},
		{auth.AccountOwn, true, true, true},
		{auth.JobsRun, false, true, true},
		{auth.JobsCancel, false, true, true},
		{auth.GroupsWrite, false, true, true},
		{auth.SchedulesWrite, false, true, true},
		{auth.PausesWrite, false, true, true},
		{auth.HostsWrite, false, true, true},
		{auth.HostsEnrol, false, false, true},
		{auth.HostsRemove, false, false, true},
		{auth.RepositoriesWrite, false, false, true},
		{auth.AuditRead, false, false, true},
		{auth.TokensWrite, false, false, true},
		{"hosts.explode", false, false, false},
		{"", false, false, false},
		{"public", false, false, false},
	} {
		for role, want := range map[auth.Role]bool{auth.Viewer: row.viewer, auth.Operator: row.operator, auth.Admin: row.admin, "": false, "root": false} {
			if got := role.Holds(row.permission); got != want {
				t.Errorf("%q holds %q = %v", role, row.permission, got)
			}
			if row.permission == auth.AccountOwn {
				continue
			}
			for _, kind := range []auth.IdentityKind{auth.ByUser, auth.ByToken, auth.ByServer} {
				if got := (auth.Identity{Kind: kind, Role: role}).Allows(row.permission); got != want {
					t.Errorf("%s with role %q allows %q = %v", kind, role, row.permission, got)
				}
			}
			for _, kind := range []auth.IdentityKind{"", "ghost"} {
				if (auth.Identity{Kind: kind, Role: role}).Allows(row.permission) {
					t.Errorf("nobody (%q) with role %q is allowed %q", kind, role, row.permission)
				}
			}
		}
	}
}

func TestOnlyUsersHaveAnAccountOfTheirOwn(t *testing.T) {
	for kind, want := range map[auth.IdentityKind]bool{auth.ByUser: true, auth.ByToken: false, auth.ByServer: false, "": false} {
		if got := (auth.Identity{Kind: kind, Role: auth.Admin}).Allows(auth.AccountOwn); got != want {
			t.Errorf("%q allows account.own = %v", kind, got)
		}
	}
}

func TestLabelsCanNotBeForged(t *testing.T) {
	token := auth.APIToken{Name: "nightly"}.Identity("")
	if token.Label() != "token nightly" || auth.Server.Label() != "server" || (auth.Identity{}).Label() != "" {
		t.Errorf("labels are %q, %q, %q", token.Label(), auth.Server.Label(), auth.Identity{}.Label())
	}
	for _, name := range []string{"", "server", "Server", "token nightly", "agent web", "a\u00a0b", "a\tb", "a\x00", "a\u202eb", "\xff", string(make([]byte, 65))} {
		if auth.CheckUserName(name) == "" {
			t.Errorf("a user may be called %q", name)
		}
	}
	for _, name := range []string{"ann", "ann@example.org", "änne", "服务"} {
		if sentence := auth.CheckUserName(name); sentence != "" {
			t.Errorf("a user may not be called %q: %s", name, sentence)
		}
	}
	for name, fits := range map[string]bool{"ci of team 4": true, "": false, " ": false, " ci": false, "a\nb": false} {
		if (auth.CheckTokenName(name) == "") != fits {
			t.Errorf("CheckTokenName(%q) = %q", name, auth.CheckTokenName(name))
		}
	}
}
