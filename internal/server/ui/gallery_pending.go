package ui

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// waiting is one run that waits for each reason.
func (s sample) waiting() []PendingRow {
	lines := s.lines(false)
	var rows []PendingRow
	for i, look := range waitLooks {
		line := lines[i%3]
		planned, group := line.schedules[0], line.groups[0]
		run := fleet.PendingRun{Job: s.run(planned, group, s.ago(time.Duration(i*9+2)*time.Minute), job.Queued, 0, 0), Reason: look.reason}
		box := "vault"
		switch look.reason {
		case fleet.WaitsForSlot:
			run.Position, run.Busy, run.Slots = 3, 4, 4
		case fleet.WaitsForBackoff:
			run.Until, run.Attempt, run.Error = s.now.Add(4*time.Minute), 2, "The agent did not answer within 15 s."
		case fleet.WaitsForPause:
			run.Until = s.pauses()[0].Until
		case fleet.WaitsForRepository:
			run.Blocker = "01JNQ8Z4M2R7S9T1V3X5Y6Z7RR"
		case fleet.WaitsForAgent:
			run.State = job.Sent
		case fleet.WaitsForHost:
			line.host.LastSeenAt = s.ago(7 * time.Hour)
		case fleet.WaitsForQuarantine, fleet.WaitsForTurn:
		}
		rows = append(rows, pendingRow(run, line.host, group, planned, box, s.clock()))
	}
	return rows
}

func (s sample) pending() PendingPage {
	return PendingPage{Frame: s.frame("Waiting runs", "/jobs"), Rows: s.waiting(), Tabs: JobTabs{true, 8}, MayRun: true, MayDrop: true, Live: "/pending?part=live"}
}

func (s sample) pendingHuge() PendingPage {
	page := s.pending()
	for range 12 {
		page.Rows = append(page.Rows, s.waiting()...)
	}
	for i := range page.Rows { // each is there once
		page.Rows[i].Job.ID = job.DueID("", page.Rows[i].Job.Group, s.ago(time.Duration(i)*time.Second))
		page.Rows[i].HostName = "app-007.a-rather-long-subdomain.of-a-customer.example"
	}
	page.Tabs.Waiting, page.Next = 1_204, "/pending?cursor=next"
	return page
}

func (s sample) pendingDrop() PendingDropPage {
	return PendingDropPage{Frame: s.frame("Drop waiting runs", "/jobs"), Rows: s.waiting()[3:6], Gone: 1, Back: "/pending"}
}

// jobWaits is a run of a schedule that stands in line.
func (s sample) jobWaits() JobPage {
	page := s.jobPage(job.Queued)
	row := s.waiting()[4]
	page.Job.ScheduledAt, page.Job.Schedule = row.Job.ScheduledAt, row.Job.Schedule
	page.Occasion = JobOccasion{Schedule: row.Job.Schedule, ScheduleName: "nightly", Moment: s.clock().moment(row.Job.ScheduledAt), Wait: &row, MayRun: true, MayDrop: true,
		Chain: []ChainLink{{"01JNQ8Z4M2R7S9T1V3X5Y6Z7A8", "first run"}, {page.Job.ID, "1st retry"}}}
	return page
}

// jobSkipped is a moment that was not run.
func (s sample) jobSkipped() JobPage {
	page := s.jobPage(job.Skipped)
	page.Job.Cause, page.Job.By, page.Job.ScheduledAt = job.CauseOverlapped, "01JNQ8Z4M2R7S9T1V3X5Y6Z7A8", s.ago(3*time.Hour)
	page.Job.StartedAt, page.Job.SentAt, page.Job.Command = time.Time{}, time.Time{}, nil
	page.State = jobState(page.Job)
	page.Occasion = JobOccasion{Schedule: "01JNQ8Z4M2R7S9T1V3X5Y6SCH1", ScheduleName: "nightly", Moment: s.clock().moment(page.Job.ScheduledAt), Skipped: skippedWords(page.Job), By: page.Job.By}
	return page
}
