// Package web owns the files of the front end: the templates, and the static
// files with the addresses under which they may be cached for ever. It must not
// know what a page shows or who may see it.
package web

import (
	"embed"
	"io/fs"
)

//go:embed templates static
var files embed.FS

// Templates gives the template files, below layout, pages and partials.
func Templates() fs.FS {
	sub, err := fs.Sub(files, "templates")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}
