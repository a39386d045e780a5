package restic

import "io/fs"

// deviceOf is one for all: restic knows no file systems on Windows and refuses to keep to one.
func deviceOf(fs.FileInfo) uint64 { return 0 }
