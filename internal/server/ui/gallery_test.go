package ui

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/cascadia"
	"github.com/jba/templatecheck"
	"golang.org/x/net/html"

	"github.com/restic-manager/restic-manager/web"
)

func testRenderer(t *testing.T) *renderer {
	t.Helper()
	static, err := web.NewStatic()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRenderer(static, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// liveBlocks are the blocks that are fetched by themselves, with a value of
// the type they are given.
var liveBlocks = []struct {
	page, block string
	value       any
}{
	{"fleet", "fleet-live", FleetPage{}}, {"host", "host-live", HostPage{}}, {"host", "host-head", HostHead{}},
	{"host_join", "join-live", HostJoinPage{}}, {"snapshots", "snapshots-live", SnapshotsPage{}}, {"sources", "sources-live", SourcesPage{}},
	{"source_form", "preview", PreviewPart{}}, {"source_form", "source-notes", SourceFormPage{}}, {"host_settings", "host-facts", HostSettingsPage{}},
	{"jobs", "job-list", JobList{}}, {"host_jobs", "job-list", JobList{}}, {"job", "job-live", JobPage{}}, {"job", "log-part", LogPart{}},
	{"schedules", "schedules-live", SchedulesPage{}}, {"schedule", "schedule-live", SchedulePage{}}, {"host_schedules", "host-schedules-live", HostSchedulesPage{}},
	{"schedule_form", "next-times", NextTimes{}}, {"pending", "pending-live", PendingPage{}}, {"error", "pause-banner", []PauseNote{}},
	{"repositories", "repositories-live", RepositoriesPage{}}, {"repository", "repository-live", RepositoryPage{}}, {"error", "status", Status{}},
}

func TestTemplatesFitTheirTypes(t *testing.T) {
	r := testRenderer(t)
	seen := map[string]bool{}
	check := func(page, block string, value any) {
		set := r.pages[page]
		if set == nil || set.Lookup(block) == nil {
			t.Errorf("page %s has no block %s", page, block)
			return
		}
		if err := templatecheck.CheckHTML(set.Lookup(block), value); err != nil {
			t.Errorf("page %s, block %s: %v", page, block, err)
		}
	}
	for _, example := range append(Examples(time.Now()), Example{"gallery", "list", GalleryPage{}}) {
		if !seen[example.Page] {
			seen[example.Page] = true
			check(example.Page, "layout", example.Value)
		}
	}
	for page := range r.pages {
		if !seen[page] {
			t.Errorf("page %s has no example", page)
		}
	}
	for _, block := range liveBlocks {
		check(block.page, block.block, block.value)
	}
}

func TestExamplesRender(t *testing.T) {
	r := testRenderer(t)
	inline := cascadia.MustCompile("[style], style, script:not([src]), [onclick], [onload], [onsubmit], [onchange]")
	for _, example := range Examples(time.Now()) {
		t.Run(example.Name(), func(t *testing.T) {
			body, err := r.block(example.Page, "layout", example.Value)
			if err != nil {
				t.Fatal(err)
			}
			root, err := html.Parse(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if found := inline.MatchAll(root); len(found) > 0 {
				t.Errorf("%d elements with inline script or style, the first is <%s>", len(found), found[0].Data)
			}
			if headings := cascadia.QueryAll(root, cascadia.MustCompile("h1")); len(headings) != 1 {
				t.Errorf("%d elements h1, want 1", len(headings))
			}
			checkIDs(t, root)
			checkLabels(t, root)
			if strings.Contains(string(body), "ZgotmplZ") {
				t.Error("a value was refused by html/template")
			}
		})
	}
}

// checkIDs wants every id once, and every reference to one to meet it.
func checkIDs(t *testing.T, root *html.Node) {
	t.Helper()
	ids := map[string]bool{}
	for _, node := range cascadia.QueryAll(root, cascadia.MustCompile("[id]")) {
		id := attribute(node, "id")
		if ids[id] {
			t.Errorf("the id %q is there twice", id)
		}
		ids[id] = true
	}
	for _, name := range []string{"for", "aria-describedby", "commandfor", "data-copy-from"} {
		for _, node := range cascadia.QueryAll(root, cascadia.MustCompile("["+name+"]")) {
			if !ids[attribute(node, name)] {
				t.Errorf("<%s %s=%q> names nothing", node.Data, name, attribute(node, name))
			}
		}
	}
}

// checkLabels wants a name for everything that takes input.
func checkLabels(t *testing.T, root *html.Node) {
	t.Helper()
	inputs := cascadia.MustCompile("input:not([type=hidden]), select, textarea")
	for _, node := range cascadia.QueryAll(root, inputs) {
		id := attribute(node, "id")
		labelled := attribute(node, "aria-label") != "" || id != "" && len(cascadia.QueryAll(root, cascadia.MustCompile(fmt.Sprintf("label[for=%q]", id)))) > 0
		for parent := node.Parent; parent != nil; parent = parent.Parent {
			labelled = labelled || parent.Data == "label"
		}
		if !labelled {
			t.Errorf("<%s name=%q> has no label", node.Data, attribute(node, "name"))
		}
	}
}

func attribute(node *html.Node, name string) string {
	for _, attribute := range node.Attr {
		if attribute.Key == name {
			return attribute.Val
		}
	}
	return ""
}

// TestIconsAreAllThere holds the icons in use and the vendored sprite together.
func TestIconsAreAllThere(t *testing.T) {
	r := testRenderer(t)
	static, err := web.NewStatic()
	if err != nil {
		t.Fatal(err)
	}
	address, err := static.Address(iconSprite)
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	static.ServeHTTP(answer, httptest.NewRequest("GET", address, nil))
	sprite := answer.Body.String()
	there := map[string]bool{}
	for _, match := range regexp.MustCompile(`<symbol id="([a-z0-9-]+)"`).FindAllStringSubmatch(sprite, -1) {
		there[match[1]] = true
	}
	used := map[string]bool{}
	reference := regexp.MustCompile(`icons\.[0-9a-f]+\.svg#([a-z0-9-]+)"`)
	for _, example := range Examples(time.Now()) {
		body, err := r.block(example.Page, "layout", example.Value)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range reference.FindAllStringSubmatch(string(body), -1) {
			used[match[1]] = true
			if !there[match[1]] {
				t.Errorf("%s shows the icon %q, which the sprite lacks; see scripts/assets.sh", example.Name(), match[1])
			}
		}
	}
	for name := range there {
		if !used[name] {
			t.Errorf("the sprite has the icon %q, which no example shows; see scripts/assets.sh", name)
		}
	}
}
