package restic

import (
	"path/filepath"
	"strings"
)

// target is a node of the tree that restic makes of its includes, so that one below another is saved once.
type target struct {
	path     string // what is to be saved here; empty for a folder on the way to one
	explicit bool   // it was named, not found
	below    map[string]*target
	order    []string // of below
}

// add puts an absolute, clean path into the tree. The root itself was not named: what it holds is found.
func (t *target) add(path string) {
	node := t
	volume := filepath.VolumeName(path)
	if volume != "" {
		node = node.child(volume)
	}
	rest := strings.Trim(path[len(volume):], string(filepath.Separator))
	if rest != "" {
		for _, name := range strings.Split(rest, string(filepath.Separator)) {
			node = node.child(name)
		}
	}
	node.path, node.explicit = path, true
}

func (t *target) child(name string) *target {
	if below := t.below[name]; below != nil {
		return below
	}
	if t.below == nil {
		t.below = map[string]*target{}
	}
	below := &target{}
	t.below[name] = below
	t.order = append(t.order, name)
	return below
}

// isBelow tells whether a clean path lies in a folder.
func isBelow(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (strings.HasPrefix(rest, string(filepath.Separator)) || strings.HasSuffix(folder, string(filepath.Separator)) && rest != "")
}
