package control_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// TestACheckGoesWhereTheFilesAre: to the storage box, with the key alone, or to the
// host of a repository that was brought.
func TestACheckGoesWhereTheFilesAre(t *testing.T) {
	r := newRig(t)
	box := r.box()
	a := r.kept(box, "web")
	box.connect()
	box.ended(box.next(1, job.Provision), well)
	box.ended(box.next(2, job.Init), well)
	repository := r.repository(a.host)

	asked, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Kind: job.Check, Repository: repository.ID})
	if err != nil || asked.Host != box.host || asked.Repository != repository.ID {
		t.Fatalf("check = %+v, %v", asked, err)
	}
	order := box.next(3, job.Check)
	var spec job.CheckSpec
	if err := json.Unmarshal(order.Spec, &spec); err != nil || spec.User != repository.User || spec.ReadMiB != 1024 || spec.ReadAll || spec.MostSeconds >= 30*60 {
		t.Errorf("spec = %+v, %v", spec, err)
	}
	if order.Access == nil || order.Access.Key == "" || order.Access.Password != "" || order.Access.Username != "" {
		t.Error("the box has not the key alone")
	}
	broken := strings.Repeat("ab", 32)
	box.ended(order, api.Ended{State: job.Failed, Trouble: job.TroubleDamaged, Summary: &job.Summary{Check: &job.CheckResult{
		Errors: 2, ReadMiB: 1024, Seconds: 600, BrokenPacks: []string{broken, "<script>"}, BrokenCount: 2}}})
	repository = r.repository(a.host)
	if repository.Check == nil || repository.Check.Errors != 2 || repository.CheckJob != asked.ID || repository.CheckedAt.IsZero() || !slices.Equal(repository.Check.BrokenPacks, []string{broken}) {
		t.Errorf("repository = %+v", repository)
	}

	// Without a size that was counted, it is not known how much was truly read.
	if _, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Kind: job.Check, Host: a.host}); err != nil {
		t.Fatal(err)
	}
	order = box.next(4, job.Check)
	if err := json.Unmarshal(order.Spec, &spec); err != nil || spec.ReadMiB != 1024 {
		t.Errorf("spec = %+v, %v", spec, err)
	}
	box.ended(order, api.Ended{State: job.Failed, Trouble: job.TroubleUnreachable}) // which says nothing of the repository
	if again := r.repository(a.host); again.CheckJob != asked.ID {
		t.Errorf("repository = %+v", again)
	}

	// One that was cut off may have left its lock, and the next one takes it away.
	if _, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Kind: job.Check, Host: a.host, ReadAll: true}); err != nil {
		t.Fatal(err)
	}
	box.ended(box.next(5, job.Check), api.Ended{State: job.Lost, Cause: job.CauseRestarted})
	order = box.next(6, job.Check)
	if err := json.Unmarshal(order.Spec, &spec); err != nil || !spec.ReadAll || r.job(order.ID).Origin != job.BySystem {
		t.Errorf("spec = %+v, %v", spec, err)
	}
	box.ended(order, api.Ended{State: job.Lost, Cause: job.CauseRestarted}) // the sixth within an hour
	if got := r.active(box.host); len(got) != 0 {
		t.Errorf("checks are asked for for ever: %+v", got)
	}

	brought := r.endpoint("brought")
	brought.connect()
	asked, err = r.CreateJob(t.Context(), auth.Server, control.NewJob{Kind: job.Check, Repository: r.repository(brought.host).ID, ReadAll: true})
	if err != nil || asked.Host != brought.host {
		t.Fatalf("check = %+v, %v", asked, err)
	}
	order = brought.next(1, job.Check)
	spec = job.CheckSpec{}
	if err := json.Unmarshal(order.Spec, &spec); err != nil || spec.User != "" || !spec.ReadAll || spec.ReadMiB != 0 {
		t.Errorf("spec = %+v, %v", spec, err)
	}
	if _, err := r.CreateJob(t.Context(), auth.Server, control.NewJob{Kind: job.Check, Host: brought.host, Repository: repository.ID}); err == nil {
		t.Error("a host checks the repository of another")
	}
}

// TestPaceOfChecks: each reads as much as fits into its time.
func TestPaceOfChecks(t *testing.T) {
	const tib = 1 << 20 // in MiB
	for _, c := range []struct {
		name    string
		read    int64
		all     bool
		seconds float64
		stored  int64
		want    int64
	}{
		{"size not known", 1024, false, 6, 0, 1024},
		{"small: all of it each time", 1024, false, 6, 20, 20},
		{"fast: twice as much", 1024, false, 100, tib, 2048},
		{"as fast as it was", 10_000, false, 1200, tib, 10_000},
		{"slow: less", 10_000, false, 2400, tib, 5_000},
		{"too slow for its time", 1024, false, 0, tib, 256},
		{"never less than one", 1, false, 0, 0, 1},
		{"all was read", 0, true, 12_000, 100_000, 10_000},
	} {
		if got := control.PaceOf(job.CheckSpec{ReadMiB: c.read, ReadAll: c.all}, c.seconds, c.stored); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
