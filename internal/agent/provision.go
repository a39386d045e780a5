package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/atomicfile"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// provision makes one rest-server user exist, or be gone, and proves that
// rest-server has read the change.
func (a *Agent) provision(t *task, spec *job.ProvisionSpec) outcome {
	if strings.HasPrefix(spec.User, probePrefix) {
		return failed("This user name is kept for proofs.", "")
	}
	a.users.Lock()
	defer a.users.Unlock()
	a.began(t, restic.Process{}, nil, nil)
	secret := crypto.NewSecret(24)
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err != nil {
		return failed("No throw-away user could be made"+colon(err.Error())+".", "")
	}
	probe := userLine{probePrefix + strings.ToLower(job.NewULID(a.options.Now())), string(hash)}
	set, remove := []userLine{probe}, []string{spec.User}
	if !spec.Remove {
		set, remove = []userLine{{spec.User, spec.PasswordHash}, probe}, nil
	}
	if err := a.writeUsers(set, remove); err != nil {
		return usersFailed(a.policy.Storage, err)
	}
	t.log.add(job.LogInfo, fmt.Sprintf("The file of users is written (%s); waiting for rest-server to read it.", a.policy.Storage.HTPasswd))
	proof := a.proveReload(t.ctx, probe.Name, secret)
	if err := a.writeUsers(nil, []string{probe.Name}); err != nil {
		a.log.Warn("a throw-away user stays until the next change; its password is known to nobody", "error", err)
	}
	if proof != nil {
		if cause := causeOf(context.Cause(t.ctx)); cause != "" {
			return outcome{ended: api.Ended{State: job.EndByCause(cause), Cause: cause, Error: "It was stopped before rest-server had read the change."}}
		}
		return failed("rest-server did not take the change of its users: "+proof.Error()+".",
			"Check that rest-server runs at "+a.policy.Storage.URL+" and reads "+a.policy.Storage.HTPasswd+"; then run this again.")
	}
	t.log.add(job.LogInfo, "rest-server has read it.")
	return outcome{ended: api.Ended{State: job.Succeeded}}
}

func usersFailed(storage *StoragePolicy, err error) outcome {
	var bad *badLineError
	if errors.As(err, &bad) {
		return failed("The file of users was not touched, because rest-server could not read it any more: "+bad.Error()+".",
			fmt.Sprintf("Correct line %d of %s; until then any change would lock every host out.", bad.Line, storage.HTPasswd))
	}
	return failed("The file of users could not be changed"+colon(err.Error())+".", "Check that the agent may write "+storage.HTPasswd+" and its folder.")
}

// writeUsers edits the file of users in one atomic step that keeps its owner and
// mode. Throw-away users of proofs that were cut off go with it.
func (a *Agent) writeUsers(set []userLine, remove []string) error {
	path := a.policy.Storage.HTPasswd
	before, err := os.ReadFile(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return fmt.Errorf("read the file of users: %w", err)
	}
	names, err := userNames(before)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, probePrefix) {
			remove = append(remove, name)
		}
	}
	after, err := editUsers(before, set, remove)
	if err != nil {
		return err
	}
	changed := func(name string) bool {
		for _, user := range set {
			if user.Name == name {
				return true
			}
		}
		for _, gone := range remove {
			if gone == name {
				return true
			}
		}
		return false
	}
	if !bytes.Equal(bytes.Join(otherLines(before, changed), []byte("\n")), bytes.Join(otherLines(after, changed), []byte("\n"))) {
		return errors.New("other lines would have changed; nothing was written")
	}
	if bytes.Equal(before, after) {
		return nil
	}
	return replaceKeepingOwner(path, a.policy.Storage.Path, after)
}

// replaceKeepingOwner writes a file so that whoever could read it still can. A
// new one belongs to the owner of the folder model.
func replaceKeepingOwner(path, model string, content []byte) error {
	mode, like := fs.FileMode(0o600), model
	if info, err := os.Lstat(path); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not an ordinary file", path)
		}
		mode, like = info.Mode().Perm(), path
	}
	info, err := os.Stat(like)
	if err != nil {
		return fmt.Errorf("learn who owns %s: %w", like, err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".users-*")
	if err != nil {
		return fmt.Errorf("write beside %s: %w", path, err)
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(mode))
	if uid, gid, ok := ownerOf(info); ok && mayGiveAway() {
		err = errors.Join(err, temp.Chown(uid, gid))
	}
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = sameOwner(temp.Name(), info)
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", path, err), ignoreMissing(os.Remove(temp.Name())))
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// sameOwner refuses a file that belongs to someone else than like does.
func sameOwner(path string, like fs.FileInfo) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	uid, gid, ok := ownerOf(info)
	wantUID, wantGID, _ := ownerOf(like)
	if ok && (uid != wantUID || gid != wantGID) {
		return fmt.Errorf("it would belong to user %d and group %d instead of %d and %d; run the agent as root or as that user", uid, gid, wantUID, wantGID)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// probeEvery is how often rest-server is asked whether it knows the throw-away
// user; it looks at its file when a request comes.
const probeEvery = 300 * time.Millisecond

// proveReload tells rest-server of the change and waits until it knows the
// throw-away user that was written with it.
func (a *Agent) proveReload(ctx context.Context, user, secret string) error {
	a.tellRestServer()
	ctx, cancel := context.WithTimeout(ctx, a.patience.reload)
	defer cancel()
	client := newHTTPClient(nil)
	for {
		err := probeUser(ctx, client, a.policy.Storage.URL, user, secret)
		if err == nil {
			return nil
		}
		if !sleep(ctx, probeEvery) {
			return fmt.Errorf("after %s %w", roughly(a.patience.reload), err)
		}
	}
}

// tellRestServer sends SIGHUP where the policy names a pid file.
func (a *Agent) tellRestServer() {
	path := a.policy.Storage.PIDFile
	if path == "" {
		return
	}
	text, err := os.ReadFile(path)
	if err == nil {
		var pid int
		if pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
			err = hangUp(pid)
		}
	}
	if err != nil {
		a.log.Info("rest-server could not be told; it reads its users by itself within half a minute", "error", err)
	}
}

// probeUser asks rest-server for something of the user's that does not exist.
// Any answer but 401 means that it knows the user.
func probeUser(ctx context.Context, client *http.Client, base, user, secret string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/"+user+"/config", nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(user, secret)
	response, err := client.Do(request)
	if err != nil {
		return errors.New("it does not answer")
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	_ = response.Body.Close()
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		return errors.New("it still does not know the user that was written with the change")
	case response.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("it answers %s", response.Status)
	}
	return nil
}
