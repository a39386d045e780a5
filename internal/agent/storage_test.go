package agent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

// newStorageRig is a rig whose agent is beside a rest-server with one user.
func newStorageRig(t *testing.T, told bool) *rig {
	t.Helper()
	r := newRig(t, "")
	r.server = testkit.StartRestServer(t, testkit.RestServerOptions{AppendOnly: true, PrivateRepos: true, Users: map[string]string{"other": "other's"}})
	policy := fmt.Sprintf("restic: %s\nstorage:\n  path: %s\n  url: %s\n", testkit.Restic(t), r.server.Dir, r.server.URL)
	if told {
		policy += "  pid_file: " + r.write("rest-server.pid", fmt.Sprint(r.server.Pid)) + "\n"
	}
	r.writePolicy(policy)
	r.access = api.Access{Repository: job.RepositoryID(job.NewULID(time.Now())), URL: "rest:" + r.server.URL + "/" + restUser + "/",
		Username: restUser, Password: restPassword, Key: repositoryKey}
	r.enrol()
	r.start()
	return r
}

func (r *rig) provision(user, password string) api.Ended {
	r.t.Helper()
	spec := &job.ProvisionSpec{Repository: r.access.Repository, User: user, Remove: password == ""}
	if !spec.Remove {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			r.t.Fatal(err)
		}
		spec.PasswordHash = string(hash)
	}
	return r.peer.awaitEnded(r.peer.ask(job.Provision, spec, nil))
}

func (r *rig) knows(user, password string) bool {
	return probeUser(context.Background(), newHTTPClient(nil), r.server.URL, user, password) == nil
}

func TestStorageAgentMakesUserAndRepository(t *testing.T) {
	r := newStorageRig(t, true)
	before, err := os.ReadFile(r.server.HTPasswd)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.server.HTPasswd, 0o640); err != nil {
		t.Fatal(err)
	}
	if ended := r.provision(restUser, restPassword); ended.State != job.Succeeded {
		t.Fatalf("provision = %+v %+v", ended, ended.Summary)
	}
	if !r.knows(restUser, restPassword) || !r.knows("other", "other's") || r.knows(restUser, "wrong") {
		t.Error("rest-server knows the wrong users")
	}
	after, err := os.ReadFile(r.server.HTPasswd)
	if err != nil || !bytes.HasPrefix(after, before) || bytes.Contains(after, []byte(probePrefix)) {
		t.Errorf("file of users = %q, %v", after, err)
	}
	if info, err := os.Stat(r.server.HTPasswd); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode = %v, %v", info, err)
	}

	spec := &job.InitSpec{Repository: r.access.Repository, User: restUser}
	if ended := r.peer.awaitEnded(r.peer.ask(job.Init, spec, &r.access)); ended.State != job.Succeeded {
		t.Fatalf("init = %+v %+v", ended, ended.Summary)
	}
	if _, err := r.runner().CatConfig(t.Context(), r.call()); err != nil {
		t.Errorf("through rest-server: %v", err)
	}
	if ended := r.peer.awaitEnded(r.peer.ask(job.Init, spec, &r.access)); ended.State != job.Succeeded {
		t.Errorf("again = %+v", ended)
	}
	wrong := r.access
	wrong.Key = "another password"
	if ended := r.peer.awaitEnded(r.peer.ask(job.Init, spec, &wrong)); ended.State != job.Failed || !strings.Contains(ended.Error, "another password") || strings.Contains(ended.Error, wrong.Key+"\"") {
		t.Errorf("with another password = %+v", ended)
	}
	if ended := r.peer.awaitEnded(r.peer.ask(job.Backup, r.backupSpec(), &r.access)); ended.State != job.Failed || !strings.Contains(ended.Error, "policy") {
		t.Errorf("backup on a storage agent = %+v", ended)
	}
	storage := r.peer.hellos[0].Facts.Storage
	if storage == nil || storage.URL != r.server.URL || storage.BytesFree <= 0 || storage.BytesTotal < storage.BytesFree {
		t.Errorf("facts = %+v", storage)
	}

	if ended := r.provision(restUser, ""); ended.State != job.Succeeded {
		t.Fatalf("removal = %+v", ended)
	}
	if r.knows(restUser, restPassword) || !r.knows("other", "other's") {
		t.Error("rest-server knows the wrong users after the removal")
	}
}

func TestBadLineIsNeverMadeWorse(t *testing.T) {
	r := newStorageRig(t, true)
	bad := "good:" + someHash + "\nthis is no user\n"
	if err := os.WriteFile(r.server.HTPasswd, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := r.provision(restUser, restPassword)
	if ended.State != job.Failed || !strings.Contains(ended.Error, "line 2") || strings.Contains(ended.Error, "this is no user") {
		t.Errorf("ended = %+v", ended)
	}
	if now, err := os.ReadFile(r.server.HTPasswd); err != nil || string(now) != bad {
		t.Errorf("file = %q, %v", now, err)
	}
}

func TestHalfMadeRepositories(t *testing.T) {
	r := newStorageRig(t, true)
	user := filepath.Join(r.server.Dir, restUser)
	spec := &job.InitSpec{Repository: r.access.Repository, User: restUser}
	outside := t.TempDir()
	tests := []struct {
		name  string
		build func() error
		state job.State
		says  string
	}{
		{"a link to elsewhere", func() error { return os.Symlink(outside, user) }, job.Failed, "a link or a file"},
		{"data without a configuration", func() error {
			r.copyRepository(user)
			return os.Rename(filepath.Join(user, "config"), filepath.Join(user, "data", "x"))
		}, job.Failed, "holds data but no repository configuration"},
		{"keys alone", func() error { r.copyRepository(user); return os.Remove(filepath.Join(user, "config")) }, job.Succeeded, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := os.RemoveAll(user); err != nil {
				t.Fatal(err)
			}
			if err := test.build(); err != nil {
				t.Fatal(err)
			}
			ended := r.peer.awaitEnded(r.peer.ask(job.Init, spec, &r.access))
			if ended.State != test.state || !strings.Contains(ended.Error, test.says) {
				t.Errorf("ended = %+v %+v", ended, ended.Summary)
			}
		})
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("outside = %v, %v", entries, err)
	}
	if aside, err := filepath.Glob(filepath.Join(r.server.Dir, workshop, restUser+".aside-*")); err != nil || len(aside) != 1 {
		t.Errorf("aside = %v, %v", aside, err)
	}
	call := restic.Call{Repository: restic.Repository{URL: user, Password: repositoryKey}}
	if _, err := r.runner().CatConfig(t.Context(), call); err != nil {
		t.Error(err)
	}
}

// TestFilesBelongToTheOwnerOfTheDataFolder needs root, as a storage agent that
// is installed as a service has.
func TestFilesBelongToTheOwnerOfTheDataFolder(t *testing.T) {
	if !mayGiveAway() {
		t.Skip("only root can give files away")
	}
	r := newStorageRig(t, true)
	const owner = 65534
	if err := os.Chown(r.server.Dir, owner, owner); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(r.server.HTPasswd, owner, owner); err != nil {
		t.Fatal(err)
	}
	if ended := r.provision(restUser, restPassword); ended.State != job.Succeeded {
		t.Fatalf("provision = %+v", ended)
	}
	spec := &job.InitSpec{Repository: r.access.Repository, User: restUser}
	if ended := r.peer.awaitEnded(r.peer.ask(job.Init, spec, &r.access)); ended.State != job.Succeeded {
		t.Fatalf("init = %+v", ended)
	}
	for _, root := range []string{r.server.HTPasswd, filepath.Join(r.server.Dir, restUser)} {
		err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if uid, gid, ok := ownerOf(info); err == nil && (!ok || uid != owner || gid != owner) {
				t.Errorf("%s belongs to %d:%d", path, uid, gid)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestReloadIsWaitedFor sits through rest-server's own interval.
func TestReloadIsWaitedFor(t *testing.T) {
	if os.Getenv("RM_SLOW_TESTS") == "" {
		t.Skip("takes half a minute; RM_SLOW_TESTS=1 runs it")
	}
	r := newStorageRig(t, false)
	spec := &job.ProvisionSpec{Repository: r.access.Repository, User: restUser, PasswordHash: someHash}
	id := r.peer.ask(job.Provision, spec, nil)
	testkit.WaitFor(t, 50*time.Second, "the end", func() bool {
		kinds := r.peer.kindsOf(id)
		return len(kinds) > 0 && kinds[len(kinds)-1] == api.RecordEnded
	})
	if ended := r.peer.awaitEnded(id); ended.State != job.Succeeded {
		t.Errorf("ended = %+v", ended)
	}
}

func TestReloadThatDoesNotComeIsSaid(t *testing.T) {
	r := newStorageRig(t, true)
	r.server.Stop()
	spec := &job.ProvisionSpec{Repository: r.access.Repository, User: restUser, PasswordHash: someHash}
	id := r.peer.ask(job.Provision, spec, nil)
	ended := r.peer.awaitEnded(id)
	if ended.State != job.Failed || !strings.Contains(ended.Error, "does not answer") {
		t.Errorf("ended = %+v", ended)
	}
}
