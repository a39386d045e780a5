package job_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

const (
	group      = job.GroupID("01JBBBBBBBBBBBBBBBBBBBBBBB")
	repository = job.RepositoryID("01JAAAAAAAAAAAAAAAAAAAAAAA")
)

func TestDerivedIDsAreTheSameOnBothSides(t *testing.T) {
	instant := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)
	schedule := job.ScheduleID("01JCCCCCCCCCCCCCCCCCCCCCCC")
	id := job.DueID(schedule, group, instant)
	if again := job.DueID(schedule, group, instant.In(time.FixedZone("somewhere", 7200))); again != id {
		t.Errorf("another zone gives another id: %s, %s", id, again)
	}
	if !job.ValidID(string(id)) {
		t.Errorf("%q is not a valid id", id)
	}
	different := map[job.ID]string{id: "the run itself"}
	for name, other := range map[string]job.ID{
		"another schedule": job.DueID("01JCCCCCCCCCCCCCCCCCCCCCCD", group, instant),
		"another group":    job.DueID(schedule, "01JBBBBBBBBBBBBBBBBBBBBBBC", instant),
		"another instant":  job.DueID(schedule, group, instant.Add(time.Minute)),
		"shifted parts":    job.DueID(schedule+job.ScheduleID(group[:1]), group[1:], instant),
		"first retry":      retry(t, id, 1),
		"second retry":     retry(t, id, 2),
		"retry of a retry": retry(t, retry(t, id, 1), 1),
	} {
		if first, taken := different[other]; taken {
			t.Errorf("%s has the same id as %s", name, first)
		}
		different[other] = name
	}
	if first := retry(t, id, 1); first[:10] != id[:10] {
		t.Errorf("a retry does not keep the time of its root: %s, %s", id, first)
	}
	if _, err := job.RetryID(id, 0); err == nil {
		t.Error("retry 0 was derived")
	}
	if _, err := job.RetryID("x", 1); err == nil {
		t.Error("a retry of no id was derived")
	}
}

func retry(t *testing.T, root job.ID, n int) job.ID {
	t.Helper()
	id, err := job.RetryID(root, n)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestMoves enumerates all moves, so that a new one is a decision.
func TestMoves(t *testing.T) {
	const server, agent, both = job.ByServer, job.ByAgent, job.ByServer | job.ByAgent
	legal := map[string]job.Authority{
		"queued sent": server, "queued running": agent, "queued succeeded": agent, "queued warning": agent, "queued failed": both,
		"queued cancelled": both, "queued lost": both, "queued skipped": both,
		"sent queued": server, "sent running": agent, "sent succeeded": agent, "sent warning": agent, "sent failed": both,
		"sent cancelled": both, "sent lost": both, "sent skipped": both,
		"running succeeded": agent, "running warning": agent, "running failed": agent, "running cancelled": agent, "running lost": both,
		"skipped running": agent, "skipped succeeded": agent, "skipped warning": agent, "skipped failed": agent, "skipped cancelled": agent, "skipped lost": agent,
		"lost running": agent, "lost succeeded": agent, "lost warning": agent, "lost failed": agent, "lost cancelled": agent,
		"cancelled running": agent, "cancelled succeeded": agent, "cancelled warning": agent, "cancelled failed": agent, "cancelled lost": agent,
	}
	for _, from := range job.States {
		for _, to := range job.States {
			for _, by := range []job.Authority{server, agent} {
				want := legal[fmt.Sprintf("%s %s", from.State, to.State)]&by != 0
				if got := job.CanMove(from.State, to.State, by); got != want {
					t.Errorf("CanMove(%s, %s, %d) = %v", from.State, to.State, by, got)
				}
			}
		}
		if from.State == job.Succeeded || from.State == job.Warning || from.State == job.Failed {
			for _, to := range job.States {
				if job.CanMove(from.State, to.State, both) {
					t.Errorf("what the agent proved moves on from %s to %s", from.State, to.State)
				}
			}
		}
	}
}

// TestRecover holds every row of the table of a restarted agent.
func TestRecover(t *testing.T) {
	end := func(state job.State, cause job.Cause) job.Decision {
		return job.Decision{Step: job.StepEnd, State: state, Cause: cause}
	}
	step := func(s job.Step) job.Decision { return job.Decision{Step: s} }
	for name, row := range map[string]struct {
		remains job.Remains
		want    job.Decision
	}{
		"a process is left":                        {job.Remains{Kind: job.Backup, Last: job.WasStarted, ProcessLeft: true}, step(job.StepEndProcess)},
		"a process of an accepted job is left":     {job.Remains{Kind: job.Backup, Last: job.WasAccepted, ProcessLeft: true}, step(job.StepEndProcess)},
		"a process of a storage job is left":       {job.Remains{Kind: job.Init, Last: job.WasStarted, ProcessLeft: true}, step(job.StepEndProcess)},
		"started, not asked":                       {job.Remains{Kind: job.Backup, Last: job.WasStarted, Proof: job.NotAsked}, step(job.StepAsk)},
		"started, unanswered":                      {job.Remains{Kind: job.Backup, Last: job.WasStarted, Proof: job.Unanswered}, step(job.StepAskLater)},
		"started, found":                           {job.Remains{Kind: job.Backup, Last: job.WasStarted, Proof: job.Found}, end(job.Succeeded, job.CauseRestarted)},
		"started, found, with trouble":             {job.Remains{Kind: job.Backup, Last: job.WasStarted, Proof: job.Found, Troubled: true}, end(job.Warning, job.CauseRestarted)},
		"started, found, though cancelled":         {job.Remains{Kind: job.Backup, Last: job.WasStarted, Proof: job.Found, CancelAsked: true}, end(job.Succeeded, job.CauseRestarted)},
		"started, absent":                          {job.Remains{Kind: job.Backup, Last: job.WasStarted, Proof: job.Absent}, end(job.Lost, job.CauseRestarted)},
		"started, absent, cancelled":               {job.Remains{Kind: job.Backup, Last: job.WasStarted, Proof: job.Absent, CancelAsked: true}, end(job.Cancelled, job.CauseOperator)},
		"accepted, not asked":                      {job.Remains{Kind: job.Backup, Last: job.WasAccepted, Proof: job.NotAsked}, step(job.StepAsk)},
		"accepted, unanswered":                     {job.Remains{Kind: job.Backup, Last: job.WasAccepted, Proof: job.Unanswered}, step(job.StepAskLater)},
		"accepted, absent":                         {job.Remains{Kind: job.Backup, Last: job.WasAccepted, Proof: job.Absent}, step(job.StepStart)},
		"accepted, absent, cancelled":              {job.Remains{Kind: job.Backup, Last: job.WasAccepted, Proof: job.Absent, CancelAsked: true}, end(job.Cancelled, job.CauseOperator)},
		"accepted, found: it ran without a record": {job.Remains{Kind: job.Backup, Last: job.WasAccepted, Proof: job.Found}, end(job.Succeeded, job.CauseRestarted)},
		"init, started":                            {job.Remains{Kind: job.Init, Last: job.WasStarted}, end(job.Lost, job.CauseRestarted)},
		"provision, accepted":                      {job.Remains{Kind: job.Provision, Last: job.WasAccepted}, end(job.Lost, job.CauseRestarted)},
		"unlock, accepted, cancelled":              {job.Remains{Kind: job.Unlock, Last: job.WasAccepted, CancelAsked: true}, end(job.Cancelled, job.CauseOperator)},
	} {
		if got := job.Recover(row.remains); got != row.want {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
	}
}

// TestRecoverNeverRunsTwice walks all inputs: a start needs the repository's
// word that there is no snapshot, and only backups are begun again.
func TestRecoverNeverRunsTwice(t *testing.T) {
	for _, info := range job.Kinds {
		for _, last := range []job.LastRecord{job.WasAccepted, job.WasStarted} {
			for _, proof := range []job.Proof{job.NotAsked, job.Found, job.Absent, job.Unanswered} {
				for mask := range 8 {
					r := job.Remains{Kind: info.Kind, Last: last, Proof: proof, ProcessLeft: mask&1 > 0, CancelAsked: mask&2 > 0, Troubled: mask&4 > 0}
					got := job.Recover(r)
					if got.Step == job.StepStart && (proof != job.Absent || r.ProcessLeft || r.CancelAsked || info.Kind != job.Backup || last != job.WasAccepted) {
						t.Errorf("%+v is started again", r)
					}
					if got.Step == job.StepEnd && !got.State.Ended() {
						t.Errorf("%+v ends as %q", r, got.State)
					}
					if r.ProcessLeft && got.Step != job.StepEndProcess {
						t.Errorf("%+v leaves a process alone", r)
					}
				}
			}
		}
	}
}

func TestKindsAndSpecsCoverEachOther(t *testing.T) {
	seen := map[job.Kind]bool{}
	for _, info := range job.Kinds {
		if seen[info.Kind] || info.Sentence == "" || info.Title == "" {
			t.Errorf("kind %q is registered twice or says nothing", info.Kind)
		}
		seen[info.Kind] = true
		if _, err := job.DecodeSpec(info.Kind, []byte(`{}`)); err == nil {
			t.Errorf("an empty spec of %q was accepted", info.Kind)
		}
	}
	if _, err := job.DecodeSpec("format-disk", []byte(`{}`)); err == nil {
		t.Error("an unknown kind was accepted")
	}
}

func TestSpecsAreValidated(t *testing.T) {
	lock := strings.Repeat("ab", 32)
	hash := "$2a$10$" + strings.Repeat("a", 53)
	for name, c := range map[string]struct {
		spec job.Spec
		ok   bool
	}{
		"backup":               {&job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: group, Repository: repository, ResticHost: "h", Includes: []string{"/etc"}}, true},
		"backup, odd names":    {&job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: group, Repository: repository, ResticHost: "h", Includes: []string{"/a b\n'\"", "-rf"}}, true},
		"backup of nothing":    {&job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: group, Repository: repository, ResticHost: "h"}, false},
		"backup, NUL":          {&job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: group, Repository: repository, ResticHost: "h", Includes: []string{"/a\x00"}}, false},
		"backup, no host":      {&job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: group, Repository: repository, Includes: []string{"/a"}}, false},
		"backup, group x":      {&job.BackupSpec{RetryMax: 1, RetryBackoffSeconds: 1, Group: "x,rm-group:y", Repository: repository, ResticHost: "h", Includes: []string{"/a"}}, false},
		"unlock":               {&job.UnlockSpec{Repository: repository, LockID: lock}, true},
		"unlock, path":         {&job.UnlockSpec{Repository: repository, LockID: "../../config"}, false},
		"unlock, upper case":   {&job.UnlockSpec{Repository: repository, LockID: strings.ToUpper(lock)}, false},
		"provision":            {&job.ProvisionSpec{Repository: repository, User: "web-1", PasswordHash: hash}, true},
		"provision, new line":  {&job.ProvisionSpec{Repository: repository, User: "web-1\nroot", PasswordHash: hash}, false},
		"provision, colon":     {&job.ProvisionSpec{Repository: repository, User: "web:1", PasswordHash: hash}, false},
		"provision, dots":      {&job.ProvisionSpec{Repository: repository, User: "..", PasswordHash: hash}, false},
		"provision, clear":     {&job.ProvisionSpec{Repository: repository, User: "web-1", PasswordHash: "secret"}, false},
		"provision, removal":   {&job.ProvisionSpec{Repository: repository, User: "web-1", Remove: true}, true},
		"init":                 {&job.InitSpec{Repository: repository, User: "web-1"}, true},
		"init, slash":          {&job.InitSpec{Repository: repository, User: "a/b"}, false},
		"snapshots":            {&job.SnapshotsSpec{Repository: repository}, true},
		"snapshots of nothing": {&job.SnapshotsSpec{}, false},
	} {
		raw, err := json.Marshal(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := job.DecodeSpec(c.spec.Kind(), raw)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && decoded.Kind() != c.spec.Kind() {
			t.Errorf("%s decodes as %s", name, decoded.Kind())
		}
	}
}

func TestEndByCause(t *testing.T) {
	for cause, want := range map[job.Cause]job.State{
		job.CauseOperator: job.Cancelled, job.CauseAgentStopped: job.Cancelled, job.CauseShutdown: job.Cancelled,
		job.CauseSleep: job.Failed, job.CauseTimeout: job.Failed, job.CauseKilled: job.Failed,
		job.CauseRestarted: job.Lost, job.CauseHostRemoved: job.Lost, job.CauseNoContact: job.Lost,
	} {
		if got := job.EndByCause(cause); got != want {
			t.Errorf("%s ends as %s, want %s", cause, got, want)
		}
	}
}

func FuzzDecodeSpec(f *testing.F) {
	for _, info := range job.Kinds {
		f.Add(string(info.Kind), []byte(`{"repository_id":"01JAAAAAAAAAAAAAAAAAAAAAAA","user":"a","includes":["/"],"group_id":"01JBBBBBBBBBBBBBBBBBBBBBBB","restic_host":"h"}`))
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		spec, err := job.DecodeSpec(job.Kind(kind), raw)
		if err == nil && spec.Validate() != nil {
			t.Error("an invalid spec was decoded")
		}
	})
}
