// Package screens owns the look at every example page in a real browser: the
// screenshots of the documentation, and the checks that only a browser can make.
// It must not know how a page is made, or any server behind it.
package screens

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"github.com/restic-manager/restic-manager/internal/server/ui"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

var folder = flag.String("screenshots", "", "folder that the screenshots are written to")

// The two widths that every page is looked at.
const (
	desktop = 1440
	phone   = 390
)

var schemes = []string{"light", "dark"}

// visit opens an example at a width in a colour scheme.
func visit(tab context.Context, address string, width int64, scheme string) error {
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, media); err != nil {
		return err
	}
	if err := resize(tab, width, 900); err != nil {
		return err
	}
	return chromedp.Do(tab, chromedp.Navigate(address), chromedp.WaitReady("main"))
}

func resize(tab context.Context, width, height int64) error {
	_, err := chromedp.Call(tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width == phone})
	return err
}

// maxPicture bounds how much of a long page a picture shows, in pixels.
const maxPicture = 2200

// picture takes a picture of the whole page, as if the screen were as long.
func picture(tab context.Context, width int64) ([]byte, error) {
	height, err := chromedp.Run(tab, chromedp.Evaluate[int64]("Math.ceil(document.documentElement.scrollHeight)"))
	if err != nil {
		return nil, err
	}
	if err := resize(tab, width, min(max(height, 800), maxPicture)); err != nil {
		return nil, err
	}
	return chromedp.Run(tab, chromedp.CaptureScreenshot())
}

func gallery(t *testing.T) *httptest.Server {
	t.Helper()
	handler, err := ui.NewGallery()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestScreenshots(t *testing.T) {
	if *folder == "" {
		t.Skip("no folder is given: go test ./test/screens -screenshots=docs/screenshots")
	}
	if err := os.MkdirAll(*folder, 0o755); err != nil {
		t.Fatal(err)
	}
	server := gallery(t)
	tab := testkit.Chromium(t)
	for _, example := range ui.Examples(time.Now()) {
		for _, width := range []int64{desktop, phone} {
			for _, scheme := range schemes {
				err := visit(tab, server.URL+"/gallery/"+example.Name(), width, scheme)
				var image []byte
				if err == nil {
					image, err = picture(tab, width)
				}
				if err == nil {
					err = os.WriteFile(filepath.Join(*folder, fmt.Sprintf("%s-%d-%s.png", example.Name(), width, scheme)), image, 0o644)
				}
				if err != nil {
					t.Fatalf("%s at %d, %s: %v", example.Name(), width, scheme, err)
				}
			}
		}
	}
}

// TestPagesFit wants no page to scroll sideways on a phone or a desk, and no
// page to break its own content policy.
func TestPagesFit(t *testing.T) {
	server := gallery(t)
	tab := testkit.Chromium(t)
	var mu sync.Mutex
	var complaints []string
	if err := chromedp.Listen(tab, func(event any) {
		if entry, ok := event.(*log.EventEntryAdded); ok && entry.Entry.Level == log.EntryLevelError {
			mu.Lock()
			complaints = append(complaints, entry.Entry.Text+" "+entry.Entry.URL)
			mu.Unlock()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	for _, example := range ui.Examples(time.Now()) {
		for _, width := range []int64{phone, desktop} {
			if err := visit(tab, server.URL+"/gallery/"+example.Name(), width, "light"); err != nil {
				t.Fatalf("%s at %d: %v", example.Name(), width, err)
			}
			wide, err := chromedp.Run(tab, chromedp.Evaluate[[]string](`(() => {
				const room = document.documentElement.clientWidth;
				if (document.documentElement.scrollWidth <= room) return [];
				return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > room + 0.5)
					.map((e) => e.tagName + "." + e.className).slice(0, 5);
			})()`))
			if err != nil {
				t.Fatal(err)
			}
			if len(wide) > 0 {
				t.Errorf("%s scrolls sideways at %d: %v", example.Name(), width, wide)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, complaint := range complaints {
		t.Errorf("the browser complains: %s", complaint)
	}
}

// contrast finds texts whose contrast with what is behind them is too low: 4.5
// for usual text, 3 for large one. Colours are mixed as the browser does.
const contrast = `(() => {
	const pen = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
	const rgba = (colour) => {
		pen.clearRect(0, 0, 1, 1);
		pen.fillStyle = colour;
		pen.fillRect(0, 0, 1, 1);
		return [...pen.getImageData(0, 0, 1, 1).data].map((v) => v / 255);
	};
	const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
	const behind = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) layers.unshift(rgba(getComputedStyle(e).backgroundColor));
		return layers.reduce((below, top) => over(top, below), rgba(matchMedia("(prefers-color-scheme: dark)").matches ? "#000" : "#fff"));
	};
	const light = (c) => c.slice(0, 3).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
	const low = [];
	for (const e of document.querySelectorAll("body *")) {
		const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.nodeValue.trim()).join("");
		if (!text || !e.checkVisibility({visibilityProperty: true}) || e.closest(":disabled, .visually-hidden, .skip, option")) continue;
		const style = getComputedStyle(e), ground = behind(e);
		const a = light(over(rgba(style.color), ground)), b = light(ground);
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
		if (ratio < (large ? 3 : 4.5)) low.push(ratio.toFixed(2) + " " + e.tagName + "." + e.className + " " + text.slice(0, 30));
	}
	return [...new Set(low)].slice(0, 8);
})()`

func TestTextCanBeRead(t *testing.T) {
	server := gallery(t)
	tab := testkit.Chromium(t)
	for _, example := range ui.Examples(time.Now()) {
		for _, scheme := range schemes {
			if err := visit(tab, server.URL+"/gallery/"+example.Name(), desktop, scheme); err != nil {
				t.Fatalf("%s, %s: %v", example.Name(), scheme, err)
			}
			low, err := chromedp.Run(tab, chromedp.Evaluate[[]string](contrast))
			if err != nil {
				t.Fatal(err)
			}
			if len(low) > 0 {
				t.Errorf("%s, %s, has texts of low contrast: %q", example.Name(), scheme, low)
			}
		}
	}
}

// firstVisit is how many bytes a first visit may take over the wire.
const firstVisit = 150_000

// counter counts what goes over the wire as answers.
type counter struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (c counter) Write(body []byte) (int, error) {
	c.bytes.Add(int64(len(body)))
	return c.ResponseWriter.Write(body)
}

// Unwrap lets a stream flush.
func (c counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func TestFirstVisitIsSmall(t *testing.T) {
	handler, err := ui.NewGallery()
	if err != nil {
		t.Fatal(err)
	}
	var counted atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(counter{w, &counted}, r)
	}))
	t.Cleanup(server.Close)
	tab := testkit.Chromium(t)
	if err := visit(tab, server.URL+"/gallery/fleet-failing", desktop, "light"); err != nil {
		t.Fatal(err)
	}
	bytes := counted.Load()
	t.Logf("a first visit takes %d bytes", bytes)
	if bytes > firstVisit {
		t.Errorf("a first visit takes %d bytes, more than %d", bytes, firstVisit)
	}
	if bytes < 50_000 {
		t.Errorf("a first visit takes only %d bytes: the files were not fetched", bytes)
	}
}
