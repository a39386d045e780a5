//go:build unix

package agent

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
)

// basicEnvironment is what any program of this system may expect.
func basicEnvironment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if who, err := user.Current(); err == nil {
		env = append(env, "HOME="+who.HomeDir, "USER="+who.Username)
	}
	return env
}

// scriptProblem says why a script of the policy must not be run, or "". Whoever
// can change it, or put another in its place, would run as this agent's user.
func scriptProblem(path string) string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "it can't be found: " + err.Error()
	}
	info, err := os.Lstat(target)
	if err != nil {
		return "it can't be looked at: " + err.Error()
	}
	if !info.Mode().IsRegular() {
		return target + " is not a file"
	}
	for _, way := range []string{path, target} {
		at, err := changeableOnTheWay(way)
		if err != nil {
			return "it can't be looked at: " + err.Error()
		}
		if at != "" {
			return fmt.Sprintf("%s can be changed by others than root and the agent's own user; mind its owner and mode", at)
		}
	}
	return ""
}

// changeableOnTheWay returns a file, folder or link on the way to an existing path
// that others may change, or "": whoever turns a link chooses what is run.
func changeableOnTheWay(path string) (string, error) {
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if changeable(info) {
			return at, nil
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(at)
			if err != nil {
				return "", err
			}
			if !filepath.IsAbs(target) {
				dir, err := filepath.EvalSymlinks(filepath.Dir(at))
				if err != nil {
					return "", err
				}
				target = filepath.Join(dir, target)
			}
			if found, err := changeableOnTheWay(target); found != "" || err != nil {
				return found, err
			}
		}
		if at == filepath.Dir(at) {
			return "", nil
		}
	}
}

// changeable tells whether others than root and this process's user may change
// an entry. In a sticky folder nobody changes what is another's; of a link only
// the owner counts.
func changeable(info fs.FileInfo) bool {
	uid, _, ok := ownerOf(info)
	if !ok || uid != 0 && uid != os.Geteuid() {
		return true
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return false
	}
	return info.Mode().Perm()&0o022 != 0 && (!info.IsDir() || info.Mode()&fs.ModeSticky == 0)
}
