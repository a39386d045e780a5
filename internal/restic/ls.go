package restic

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// ErrNoFolder is that a snapshot has no such folder.
var ErrNoFolder = errors.New("the snapshot has no such folder")

// ListOptions names one folder of one snapshot.
type ListOptions struct {
	Call
	Snapshot string // a whole id
	// Folder is an absolute path with slashes, as restic writes it on every system (/C/Users).
	Folder string
	// Found gets each entry of the folder, by name.
	Found func(Node)
}

// Node is one entry of a folder as restic lists it. A name that is no UTF-8 comes with U+FFFD for each byte
// that is none: two such names can look alike.
type Node struct {
	Name    string    `json:"name"`
	Type    string    `json:"type"` // file, dir, symlink, dev, chardev, fifo, socket
	Path    string    `json:"path"`
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	User    string    `json:"user"`
	Group   string    `json:"group"`
	Size    uint64    `json:"size"` // of a file
	Mode    string    `json:"permissions"`
	ModTime time.Time `json:"mtime"`
}

// List lists one folder of one snapshot. It is ErrNoFolder where there is none.
func (r Runner) List(ctx context.Context, options ListOptions) (Result, error) {
	switch {
	case !isID(options.Snapshot):
		return Result{}, &InvalidError{Field: "snapshot id", Reason: "is not 64 hexadecimal digits"}
	case !strings.HasPrefix(options.Folder, "/") || strings.ContainsRune(options.Folder, 0):
		return Result{}, &InvalidError{Field: "folder", Reason: "is not an absolute path"}
	}
	folder := strings.TrimRight(options.Folder, "/")
	// restic lists the folder itself before what is in it, and says nothing when there is none.
	found := folder == ""
	args := []string{options.Snapshot, folder + "/"}
	result, err := r.query(ctx, options.Call, "ls", args, func(stdout io.Reader, record *record) error {
		return record.messages(stdout, lsMessages, func(decoded message) {
			node, ok := decoded.(*Node)
			switch {
			case !ok:
			case node.Path == folder:
				found = node.Type == "dir"
			case found && options.Found != nil:
				options.Found(*node)
			}
		})
	})
	if err == nil && !found {
		err = ErrNoFolder
	}
	return result, err
}
