package ui_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// TestARepositoryTellsWhetherItIsWhole, what it stores, and who may ask for more.
func TestARepositoryTellsWhetherItIsWhole(t *testing.T) {
	r := newRig(t)
	host, group := r.host("web-1")
	path := "/repositories/" + string(group.Repository)
	page := r.ask(auth.Viewer, path, nil)
	for _, want := range []string{"never checked", "Not counted yet", "There is no snapshot in it yet", "web-1 is not in contact"} {
		if !strings.Contains(page.text("main"), want) {
			t.Errorf("a new one does not say %q: %s", want, page.text("main"))
		}
	}
	if got := r.ask(auth.Operator, path+"/check", url.Values{}); got.status != http.StatusConflict {
		t.Errorf("a check while the host is offline = %d %s", got.status, got.text("main"))
	}
	r.machine(host, "linux")
	if page := r.ask(auth.Operator, path, nil); !strings.Contains(page.text("main"), "The policy file on web-1 does not allow check.") {
		t.Errorf("what the policy does not allow is offered: %s", page.text("main"))
	}
	host.Allowed = append(host.Allowed, job.Check, job.Stats)
	r.machine(host, "linux")
	for step, kind := range map[string]job.Kind{"/check": job.Check, "/count": job.Stats} {
		if got := r.ask(auth.Viewer, path+step, url.Values{}); got.status != http.StatusForbidden {
			t.Errorf("a viewer asks for %s = %d", step, got.status)
		}
		got := r.ask(auth.Operator, path+step, url.Values{})
		if got.status != http.StatusSeeOther {
			t.Fatalf("%s = %d %s", step, got.status, got.text("main"))
		}
		made, err := r.store.Job(t.Context(), job.ID(strings.TrimPrefix(got.header.Get("Location"), "/jobs/")))
		if err != nil || made.Kind != kind || made.Host != host.ID {
			t.Errorf("%s made %+v, %v", step, made, err)
		}
	}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CheckedRepository(ctx, group.Repository, "01JNQ8Z4M2R7S9T1V3X5Y6Z7CK", &job.CheckResult{Errors: 2, BrokenPacks: []string{"x"}}, time.Now()); err != nil {
			return err
		}
		return tx.CountedRepository(ctx, group.Repository, &job.StatsResult{StoredBytes: 1 << 30, UncompressedBytes: 2 << 30, RestoredBytes: 8 << 30}, time.Now())
	})
	page = r.ask(auth.Viewer, path, nil)
	for _, want := range []string{"damaged", "1.0 GiB", "2.00 : 1", "4.0 : 1", "Check on web-1", "Count on web-1"} {
		if !strings.Contains(page.text("main"), want) {
			t.Errorf("a damaged one does not say %q: %s", want, page.text("main"))
		}
	}
	if got := r.ask(auth.Viewer, "/repositories/01JNQ8Z4M2R7S9T1V3X5Y6Z7CK", nil); got.status != http.StatusNotFound {
		t.Errorf("no such repository = %d", got.status)
	}
}
