package fleet_test

import (
	"testing"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

func TestEnrolCommandFitsHowTheServerWasReached(t *testing.T) {
	for _, c := range []struct {
		secure bool
		host   string
		want   string
	}{
		{true, "backup.example", "https://backup.example"},
		{true, "127.0.0.1:8443", "https://127.0.0.1:8443"},
		{false, "localhost:8080", "http://localhost:8080"},
		{false, "127.0.0.1:8080", "http://127.0.0.1:8080"},
		{false, "[::1]:8080", "http://[::1]:8080"},
		{false, "backup.example:8080", "http://backup.example:8080 --insecure"},
		{false, "192.0.2.7", "http://192.0.2.7 --insecure"},
	} {
		if got := fleet.EnrolCommand(c.secure, c.host); got != "restic-manager-agent enroll --server "+c.want {
			t.Errorf("EnrolCommand(%t, %q) = %q", c.secure, c.host, got)
		}
	}
}
