package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// StaticPrefix is where Static is served.
const StaticPrefix = "/static/"

// Static serves the embedded static files, each under an address that holds a
// hash of its content, compressed once.
type Static struct {
	byName    map[string]*asset // by name below static, such as "app.css"
	byAddress map[string]*asset
}

type asset struct {
	address string
	kind    string // content type
	raw     []byte
	packed  func() []byte // gzip of raw, made when first asked for
}

// contentTypes is the one list of file types that are served.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// NewStatic reads the embedded files. Those of a type that is not served, such
// as licences, are left out.
func NewStatic() (*Static, error) {
	s := &Static{byName: map[string]*asset{}, byAddress: map[string]*asset{}}
	err := fs.WalkDir(files, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		kind, served := contentTypes[path.Ext(name)]
		if !served {
			return nil
		}
		raw, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(raw)
		base := strings.TrimSuffix(path.Base(name), path.Ext(name))
		one := &asset{
			address: StaticPrefix + base + "." + hex.EncodeToString(sum[:6]) + path.Ext(name),
			kind:    kind,
			raw:     raw,
			packed:  sync.OnceValue(func() []byte { return pack(raw) }),
		}
		s.byName[strings.TrimPrefix(name, "static/")] = one
		s.byAddress[one.address] = one
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read static files: %w", err)
	}
	return s, nil
}

// Address gives the address of the file that is called name below static.
func (s *Static) Address(name string) (string, error) {
	one, ok := s.byName[name]
	if !ok {
		return "", fmt.Errorf("there is no static file %q", name)
	}
	return one.address, nil
}

// ServeHTTP implements http.Handler.
func (s *Static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	one, ok := s.byAddress[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", one.kind)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Vary", "Accept-Encoding")
	body := one.raw
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = one.packed()
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader that went away needs no answer
	}
}

func pack(raw []byte) []byte {
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	// Writing to memory does not fail.
	_, _ = writer.Write(raw)
	_ = writer.Close()
	return packed.Bytes()
}
