package agent

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
)

// TestAPlanThatNoServerShouldSend costs no more than a plan may.
func TestAPlanThatNoServerShouldSend(t *testing.T) {
	plan := planOf(1)
	for range 10_000 {
		plan.Schedules = append(plan.Schedules, api.PlanSchedule{ID: "same", Rule: ruleOf("every day")})
	}
	plan.PausedUntil = math.MaxInt64
	r := newClockRig(t, plan)
	var reports []api.Report
	records, err := r.journal.Read(0, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		report := api.Report{}
		if err := json.Unmarshal(record.Body, &report); err != nil || record.Kind != api.RecordReport {
			t.Fatal(record.Kind, err)
		}
		reports = append(reports, report)
	}
	if len(reports) != 1 || len(reports[0].Detail) > 2000 || !strings.HasSuffix(reports[0].Detail, "So it is with 9995 more.") {
		t.Errorf("%d reports, the first is %.2000v", len(reports), reports)
	}
	if err := r.writeStatus(); err != nil {
		t.Error(err)
	}
}

// TestACancelThatNoServerShouldSend still lets go of the run.
func TestACancelThatNoServerShouldSend(t *testing.T) {
	r := newClockRig(t, nil)
	id := job.NewID(noon)
	if err := r.takeCancel(&api.Cancel{ID: id, State: job.Succeeded, Error: strings.Repeat("why ", 100_000)}); err != nil || !r.journal.Known(id) {
		t.Error(err)
	}
	r.expect("ended cancelled ")
}
