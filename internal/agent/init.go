package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// workshop is the folder in rest-server's data folder where repositories are
// made before they get their place, and where half-made ones are kept. No user
// name begins with a dot, so rest-server shows it to nobody.
const workshop = ".restic-manager"

// initRepository makes an empty repository in a user's folder. It is made whole
// in the workshop first, so that a half-made one is never served.
func (a *Agent) initRepository(t *task, spec *job.InitSpec) outcome {
	if t.access == nil || t.access.Key == "" {
		return failed("The order came without the new repository's password.", "Try it again on the page of the repositories.")
	}
	runner, err := a.runner()
	if err != nil {
		return failed(explainStart(err))
	}
	place, problem := a.openPlace(spec.User)
	if problem != nil {
		return *problem
	}
	defer place.close()
	a.began(t, restic.Process{}, nil, nil)
	switch state, err := place.look(); {
	case err != nil:
		return failed("The folder of "+spec.User+" can't be used"+colon(err.Error())+".", "Look at it on the storage box.")
	case state == placeComplete:
		return a.judgeExisting(t, runner, place)
	case state == placeDamaged:
		return failed("The folder of "+spec.User+" holds data but no repository configuration, so nothing was done to it.",
			"Look at it on the storage box: it may be a damaged repository that can be saved.")
	case state == placeHalfMade:
		aside, err := place.setAside(a.options.Now())
		if err != nil {
			return failed("A half-made repository could not be moved aside"+colon(err.Error())+".", "Look at it on the storage box.")
		}
		t.log.add(job.LogWarn, "A half-made repository was there; it is moved to "+aside+".")
	}
	return a.makeRepository(t, runner, place)
}

// judgeExisting accepts a repository that is there already and opens with the
// password that was sent.
func (a *Agent) judgeExisting(t *task, runner restic.Runner, p place) outcome {
	_, err := runner.CatConfig(t.ctx, restic.Call{Repository: restic.Repository{URL: p.target(), Password: t.access.Key}, JobID: string(t.id)})
	var exit *restic.ExitError
	switch {
	case err == nil:
		t.log.add(job.LogInfo, "The repository is there already and opens with this password.")
		return outcome{ended: api.Ended{State: job.Succeeded}}
	case errors.As(err, &exit) && exit.Result.Exit == restic.ExitWrongPassword:
		return failed("There is a repository of "+p.user+" already, and it opens with another password.",
			"Enter that repository's password, or choose another name for the host. Nothing was changed.")
	}
	return a.explainQuery(err, api.Access{URL: p.target()}, 0)
}

func (a *Agent) makeRepository(t *task, runner restic.Runner, p place) outcome {
	made, err := p.prepare()
	if err != nil {
		return failed("No room for the new repository could be made"+colon(err.Error())+".", "Check that the agent may write "+p.path+".")
	}
	call := restic.Call{Repository: restic.Repository{URL: filepath.Join(p.path, made), Password: t.access.Key}, JobID: string(t.id)}
	result, err := runner.Init(t.ctx, call)
	if err != nil {
		return a.explainQuery(err, api.Access{URL: p.target()}, 0)
	}
	if err := p.handOver(made); err != nil {
		return failed("The new repository could not be put in its place"+colon(err.Error())+".", "Look at "+p.path+" on the storage box; then run it again.")
	}
	t.log.add(job.LogInfo, fmt.Sprintf("The repository %.8s is made for %s.", result.RepositoryID, p.user))
	return outcome{ended: api.Ended{State: job.Succeeded}}
}

// place is where one user's repository is, or will be.
type place struct {
	root *os.Root // the data folder; nothing outside of it is reached
	path string   // the same, for restic
	user string
}

// openPlace opens rest-server's data folder for one user's repository, until close.
func (a *Agent) openPlace(user string) (place, *outcome) {
	root, err := os.OpenRoot(a.policy.Storage.Path)
	if err != nil {
		o := failed("rest-server's data folder can't be opened"+colon(err.Error())+".", "Check storage.path in "+a.policy.File+".")
		return place{}, &o
	}
	return place{root: root, path: a.policy.Storage.Path, user: user}, nil
}

func (p place) close() { _ = p.root.Close() }

type placeState string

const (
	placeEmpty    placeState = "empty"
	placeComplete placeState = "complete"  // has a configuration
	placeHalfMade placeState = "half-made" // keys at most
	placeDamaged  placeState = "damaged"   // data without a configuration
)

func (p place) target() string { return filepath.Join(p.path, p.user) }

// look tells what is in the user's folder.
func (p place) look() (placeState, error) {
	info, err := p.root.Lstat(p.user)
	if errors.Is(err, fs.ErrNotExist) {
		return placeEmpty, nil
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", errors.New("it is a link or a file, not a folder")
	}
	if config, err := p.root.Lstat(filepath.Join(p.user, "config")); err == nil {
		if !config.Mode().IsRegular() {
			return "", errors.New("its configuration is not an ordinary file")
		}
		return placeComplete, nil
	}
	state := placeHalfMade
	err = fs.WalkDir(p.root.FS(), p.user, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inKeys := filepath.Base(filepath.Dir(path)) == "keys"
		if !entry.IsDir() && !inKeys {
			state = placeDamaged
			return fs.SkipAll
		}
		return nil
	})
	return state, err
}

// setAside moves what is there into the workshop.
func (p place) setAside(now time.Time) (string, error) {
	if err := p.openWorkshop(); err != nil {
		return "", err
	}
	aside := filepath.Join(workshop, p.user+".aside-"+now.UTC().Format("20060102T150405Z"))
	if err := p.root.Rename(p.user, aside); err != nil {
		return "", err
	}
	return filepath.Join(p.path, aside), nil
}

// openWorkshop makes the workshop, for this process's user alone.
func (p place) openWorkshop() error {
	if err := p.root.Mkdir(workshop, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := p.root.Lstat(workshop)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", workshop)
	}
	if uid, _, known := ownerOf(info); known && uid != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to this agent's, who could put links into it", workshop, uid)
	}
	return nil
}

// prepare names an empty place in the workshop. What an earlier try left there
// was never a repository of anyone.
func (p place) prepare() (string, error) {
	if err := p.openWorkshop(); err != nil {
		return "", err
	}
	made := filepath.Join(workshop, p.user+".new")
	return made, p.root.RemoveAll(made)
}

// handOver gives a whole repository to the owner of the data folder and puts it
// in its place.
func (p place) handOver(made string) error {
	owner, err := p.root.Lstat(".")
	if err != nil {
		return err
	}
	uid, gid, known := ownerOf(owner)
	err = fs.WalkDir(p.root.FS(), made, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !known {
			return err
		}
		if mayGiveAway() {
			if err := p.root.Lchown(path, uid, gid); err != nil {
				return err
			}
		}
		return sameOwner(filepath.Join(p.path, path), owner)
	})
	if err != nil {
		return err
	}
	return p.root.Rename(made, p.user)
}

// forgetProbes is called when a storage agent starts: a proof that was cut off
// leaves a user whose password nobody knows.
func (a *Agent) forgetProbes() {
	if a.policy.Storage == nil {
		return
	}
	a.users.Lock()
	defer a.users.Unlock()
	if err := a.writeUsers(nil, nil); err != nil {
		a.log.Warn("the file of users could not be checked", "error", err)
	}
	// rest-server does not start without it.
	if _, err := os.Lstat(a.policy.Storage.HTPasswd); errors.Is(err, fs.ErrNotExist) {
		if err := replaceKeepingOwner(a.policy.Storage.HTPasswd, a.policy.Storage.Path, nil); err != nil {
			a.log.Warn("no empty file of users could be made for rest-server", "error", err)
		}
	}
}
