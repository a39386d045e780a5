//go:build unix

package e2e

import (
	"bufio"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Tests that wait for the clock all run at once; those that work take one of the
	// places of parallelBusy. They wait too, so there are more places than cores.
	if err := flag.Set("test.parallel", "64"); err != nil {
		panic(err)
	}
	os.Exit(rig.Main(m))
}

// fleet is the smallest fleet that can back up.
type fleet struct {
	*rig.Server
	box  *rig.StorageBox
	host *rig.Agent
}

func startFleet(t *testing.T, options rig.AgentOptions) fleet {
	t.Helper()
	return startFleetOn(t, rig.ServerOptions{}, options)
}

func startFleetOn(t *testing.T, server rig.ServerOptions, host rig.AgentOptions) fleet {
	t.Helper()
	f := fleet{Server: rig.StartServer(t, server)}
	f.box = rig.StartStorageBox(t, f.Server)
	f.host = rig.StartEndpoint(t, f.Server, f.box, "web-1", host)
	return f
}

// TestFleet takes the usual way once on each database: box, hosts, group,
// backup, and everything that can be asked about it.
func TestFleet(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]rig.ServerOptions{"sqlite": {}, "postgres": {Postgres: true}} {
		t.Run(name, func(t *testing.T) {
			parallelBusy(t)
			s := rig.StartServer(t, options)
			box := rig.StartStorageBox(t, s)
			hosts := []*rig.Agent{
				rig.StartEndpoint(t, s, box, "web-1", rig.AgentOptions{}),
				rig.StartEndpoint(t, s, box, "db-1", rig.AgentOptions{}),
			}
			for _, host := range hosts {
				backUpAndLook(t, s, host)
			}
			for _, host := range s.API.Hosts(t) {
				if host.OS != runtime.GOOS || host.Arch == "" || host.AgentVersion != "test" || host.ResticVersion == "" && host.Name != "storage-box" {
					t.Errorf("host %s: facts are missing: %+v", host.Name, host)
				}
				if host.Name != "storage-box" && (host.LastBackupAt == nil || host.LastBackupState != job.Succeeded) {
					t.Errorf("host %s: last backup at %v, %q", host.Name, host.LastBackupAt, host.LastBackupState)
				}
			}
		})
	}
}

func backUpAndLook(t *testing.T, s *rig.Server, host *rig.Agent) {
	t.Helper()
	group := s.API.AddGroup(t, host.HostID, rig.Group{Name: "home", Includes: []string{host.WriteFiles(t, "home", 200, 100)}})
	created := s.API.BackUp(t, host.HostID, group.ID)
	if created.State != job.Sent || created.Origin != job.ByPerson {
		t.Errorf("a job for a host that is online is born %s by %s", created.State, created.Origin)
	}
	states := followEvents(t, s, created.ID)
	if last := states[len(states)-1]; last != job.Succeeded {
		t.Errorf("the events ended with %s of %v", last, states)
	}
	done := s.API.WaitJob(t, created.ID, job.Succeeded)
	switch {
	case done.ExitCode == nil || *done.ExitCode != 0 || done.Error != "" || done.Cause != "":
		t.Errorf("exit code %v, error %q, cause %q", done.ExitCode, done.Error, done.Cause)
	case done.AcceptedAt == nil || done.StartedAt == nil || done.FinishedAt == nil || done.FinishedAt.Before(*done.StartedAt):
		t.Errorf("times: accepted %v, started %v, finished %v", done.AcceptedAt, done.StartedAt, done.FinishedAt)
	case done.Summary == nil || done.Summary.FilesNew != 200:
		t.Errorf("summary %+v, want 200 new files", done.Summary)
	}
	checkLog(t, s, done)
	checkSnapshot(t, s, host, group, done)

	created2 := s.API.BackUp(t, host.HostID, group.ID)
	second := s.API.WaitJob(t, created2.ID, job.Succeeded)
	if second.Summary.FilesUnmodified != 200 {
		t.Errorf("the second backup found %d files unmodified, want 200: no parent was used", second.Summary.FilesUnmodified)
	}
	actions := []string{}
	for _, subject := range []string{string(host.HostID), string(group.ID), string(created.ID)} {
		for _, entry := range s.API.Audit(t, subject) {
			actions = append(actions, entry.Action)
		}
	}
	for _, want := range []string{"host.enrolled", "source_group.created", "job.created"} {
		if !slices.Contains(actions, want) {
			t.Errorf("the audit table has no %s, only %v", want, actions)
		}
	}
	if alerts := s.API.Alerts(t, host.HostID); len(alerts) > 0 {
		t.Errorf("a host on which all went well has alerts: %+v", alerts)
	}
}

// followEvents reads the event stream of a job until the server ends it, and
// gives the states that were told.
func followEvents(t *testing.T, s *rig.Server, id job.ID) (states []job.State) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/jobs/"+string(id)+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.API.Token)
	response, err := (&http.Client{Timeout: testPatience}).Do(request)
	if err != nil {
		t.Fatalf("follow the events: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var told rig.Job
		if err := json.Unmarshal([]byte(data), &told); err != nil || told.ID != id {
			t.Fatalf("event about %q: %v in %s", told.ID, err, data)
		}
		states = append(states, told.State)
	}
	if err := lines.Err(); err != nil || len(states) == 0 {
		t.Fatalf("the events broke off after %v: %v", states, err)
	}
	return states
}

// checkLog wants the log whole in both forms, without a line twice.
func checkLog(t *testing.T, s *rig.Server, done rig.Job) {
	t.Helper()
	text := strings.Count(s.API.Log(t, done.ID), "\n")
	answer, err := s.API.Ask(t.Context(), http.MethodGet, "/jobs/"+string(done.ID)+"/log?format=ndjson", nil)
	if err != nil {
		t.Fatal(err)
	}
	count := int64(0)
	for line := range strings.Lines(string(answer.Body)) {
		var row struct {
			Line int64  `json:"line"`
			Text string `json:"text"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Line != count {
			t.Fatalf("line %d of the log as ndjson: %v in %s", count, err, line)
		}
		count++
	}
	if count != done.LogLines || int64(text) != done.LogLines {
		t.Errorf("the log has %d lines as text, %d as ndjson, the job says %d", text, count, done.LogLines)
	}
}

// checkSnapshot compares what API, repository and append-only server say.
func checkSnapshot(t *testing.T, s *rig.Server, host *rig.Agent, group rig.Group, done rig.Job) {
	t.Helper()
	shown := s.API.Snapshots(t, host.HostID)
	if len(shown) != 1 || shown[0].ID != done.Summary.SnapshotID || shown[0].JobID != done.ID || shown[0].GroupID != group.ID {
		t.Fatalf("the API shows %+v, want the snapshot %s of job %s", shown, done.Summary.SnapshotID, done.ID)
	}
	access := s.Access(t, host.HostID)
	real := rig.SnapshotsInRepository(t, access)
	if len(real) != 1 || real[0].ID != shown[0].ID || real[0].Hostname != host.Name || !slices.Equal(real[0].Tags, []string{job.GroupTag(group.ID)}) {
		t.Fatalf("restic shows %+v, want the snapshot %s", real, shown[0].ID)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, strings.TrimPrefix(access.URL, "rest:")+"snapshots/"+real[0].ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(access.Username, access.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("DELETE of a snapshot with the host's credentials: %s, want 403", response.Status)
	}
	if err := rig.Restic(t, access, "forget", real[0].ID).Run(); err == nil {
		t.Error("restic forget with the host's credentials succeeded")
	}
	if left := rig.SnapshotsInRepository(t, access); len(left) != 1 {
		t.Errorf("%d snapshots are left, want 1", len(left))
	}
	wait(t, "the proof that the repository is append-only", func() bool {
		proved := s.API.Repository(t, host.HostID).AppendOnly
		return proved != nil && *proved
	})
}
