package ui

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/web"
)

// iconSprite is the file that holds the icons in use.
const iconSprite = "vendor/tabler-icons/icons.svg"

// renderer holds one parsed template set per page.
type renderer struct {
	pages map[string]*template.Template // by name, such as "fleet"
	now   func() time.Time
}

// newRenderer parses all templates. Each page is a set of its own with the
// layout and the partials, so that blocks of two pages may share a name.
func newRenderer(static *web.Static, now func() time.Time) (*renderer, error) {
	r := &renderer{pages: map[string]*template.Template{}, now: now}
	files := web.Templates()
	shared, err := template.New("").Funcs(r.functions(static)).ParseFS(files, "layout/*.html", "partials/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse shared templates: %w", err)
	}
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("list page templates: %w", err)
	}
	for _, name := range names {
		set, err := shared.Clone()
		if err == nil {
			_, err = set.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("parse template %s: %w", name, err)
		}
		r.pages[strings.TrimSuffix(path.Base(name), ".html")] = set
	}
	return r, nil
}

// block renders one block of a page into memory, so that a mistake never
// leaves half a page behind. The whole page is the block "layout".
func (r *renderer) block(page, block string, data any) ([]byte, error) {
	set, ok := r.pages[page]
	if !ok {
		return nil, fmt.Errorf("render page %q: there is none", page)
	}
	var out bytes.Buffer
	if err := set.ExecuteTemplate(&out, block, data); err != nil {
		return nil, fmt.Errorf("render page %q: %w", page, err)
	}
	return out.Bytes(), nil
}

// functions are what templates may call.
func (r *renderer) functions(static *web.Static) template.FuncMap {
	return template.FuncMap{
		"asset": static.Address,
		"icon": func(name string) (template.HTML, error) {
			sprite, err := static.Address(iconSprite)
			return template.HTML(`<svg class="icon" aria-hidden="true"><use href="` + sprite + `#` + template.HTMLEscapeString(name) + `"/></svg>`), err
		},
		"iconAt": func(name string) (string, error) {
			sprite, err := static.Address(iconSprite)
			return sprite + "#" + name, err
		},
		"when":      r.when,
		"clock":     clockTime,
		"ago":       func(at time.Time) string { return agoText(r.now(), at) },
		"day":       func(at time.Time) string { return at.UTC().Format("Monday, 2 January 2006") },
		"bytes":     bytesText,
		"count":     countText,
		"comma":     func(number int) string { return countText(int64(number)) },
		"plural":    func(number int, one, many string) string { return plural(int64(number), one, many) },
		"many":      plural,
		"duration":  durationText,
		"passwords": passwordRule,
		"added":     func() string { return addedRule },
		"lastRule":  func() string { return lastBackupRule },
		"shortHash": shortHash,
		"shortID":   shortID,
		"lines":     func(list []string) string { return strings.Join(list, "\n") },
		"commas":    func(list []string) string { return strings.Join(list, ", ") },
		"plain":     plainText,
		"field":     newField,
	}
}

// when shows an instant by its age. The browser replaces the title by the same
// instant in its own zone and keeps the age true.
func (r *renderer) when(at time.Time) template.HTML {
	if at.IsZero() {
		return `<span class="quiet">–</span>`
	}
	utc := at.UTC()
	return template.HTML(`<time datetime="` + utc.Format("2006-01-02T15:04:05.000Z") + `" title="` +
		utc.Format("2006-01-02 15:04:05 UTC") + `">` + agoText(r.now(), at) + `</time>`)
}

// clockTime shows the time of day of an instant; the browser puts it into its
// own zone.
func clockTime(at time.Time) template.HTML {
	utc := at.UTC()
	return template.HTML(`<time datetime="` + utc.Format("2006-01-02T15:04:05.000Z") + `" title="` +
		utc.Format("2006-01-02 15:04:05.000 UTC") + `" data-clock>` + utc.Format("15:04:05") + `</time>`)
}
