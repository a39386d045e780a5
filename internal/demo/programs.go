package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are the files that the demo starts.
type programs struct{ server, agent, restic, restServer string }

func findPrograms() (programs, error) {
	var p programs
	self, err := os.Executable()
	if err != nil {
		return p, fmt.Errorf("find this program's own file: %w", err)
	}
	p.server = self
	p.agent = filepath.Join(filepath.Dir(self), strings.Replace(filepath.Base(self), "restic-manager-server", "restic-manager-agent", 1))
	if info, err := os.Stat(p.agent); err != nil || info.IsDir() || p.agent == self {
		return p, errors.New("find restic-manager-agent: it is not beside restic-manager-server; make build makes both")
	}
	if p.restic, err = lookUp("restic"); err != nil {
		return p, err
	}
	if p.restServer, err = lookUp("rest-server", "restic-rest-server"); err != nil {
		return p, err
	}
	return p, nil
}

func lookUp(names ...string) (string, error) {
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			return filepath.Abs(found)
		}
	}
	return "", fmt.Errorf("find %s: it is not in PATH; make deps gets it, and make demo uses what that got", names[0])
}
