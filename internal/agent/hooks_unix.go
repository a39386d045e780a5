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
	for at := target; ; at = filepath.Dir(at) {
		if info, err = os.Lstat(at); err != nil {
			return "it can't be looked at: " + err.Error()
		}
		if changeable(info) {
			return fmt.Sprintf("%s can be changed by others than root and the agent's own user; mind its owner and mode", at)
		}
		if at == filepath.Dir(at) {
			return ""
		}
	}
}

// changeable tells whether others than root and this process's user may change
// an entry. In a sticky folder nobody changes what is another's.
func changeable(info fs.FileInfo) bool {
	uid, _, ok := ownerOf(info)
	if !ok || uid != 0 && uid != os.Geteuid() {
		return true
	}
	return info.Mode().Perm()&0o022 != 0 && (!info.IsDir() || info.Mode()&fs.ModeSticky == 0)
}
