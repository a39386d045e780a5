package ui

import (
	"net/http"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/web"
)

// gallery shows the examples to developers.
type gallery struct {
	renderer *renderer
	now      func() time.Time
}

// NewGallery serves only the examples and the static files, without a server
// behind them, for screenshots.
func NewGallery() (http.Handler, error) {
	static, err := web.NewStatic()
	if err != nil {
		return nil, err
	}
	renderer, err := newRenderer(static, time.Now)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+web.StaticPrefix, static)
	mux.Handle("GET /gallery/", &gallery{renderer: renderer, now: time.Now})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush() // nothing ever happens here
		<-r.Context().Done()
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SecureHeaders(w.Header())
		mux.ServeHTTP(w, r)
	}), nil
}

// ServeHTTP implements http.Handler. The theme of an example is that of the
// system.
func (g *gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	examples := Examples(g.now())
	page, value := "gallery", any(GalleryPage{Frame: Frame{Title: "Gallery", User: "ann", Menu: menuItems()}, Examples: examples})
	if wanted := strings.TrimPrefix(r.URL.Path, "/gallery/"); wanted != "" {
		page = ""
		for _, example := range examples {
			if example.Name() == wanted {
				page, value = example.Page, example.Value
			}
		}
	}
	if page == "" {
		http.NotFound(w, r)
		return
	}
	body, err := g.renderer.block(page, "layout", value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError) // a developer wants to see it
		return
	}
	writePage(w, http.StatusOK, body)
}
