package ui

import (
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

func (s sample) audit() AuditPage {
	page := AuditPage{Frame: s.frame("Audit", "/audit"), Next: "/audit?cursor=z", CSV: "/audit.csv",
		Head: AuditHead{Seal: fleet.AuditSeal{Number: 1204, SealedAt: s.ago(40 * time.Second)}, Unsealed: 2}}
	const host = "/hosts/01JNQ8Z4M2R7S9T1V3X5Y6Z7A8"
	for i, row := range []AuditRow{
		{Entry: s.entry("ann", "source_group.changed", "192.0.2.5"), Name: "documents", Link: host + "/sources",
			Changes: []AuditChange{{"excludes", "", "/home/ann/.cache, *.tmp"}, {"limit upload KiB", "0", "4,096"}, {"keep daily", "30", "14"}}},
		{Entry: s.entry("server", "pending_run.abandoned", ""), Name: "Backup of documents on web-1", Link: "/jobs/01JNQ8Z4M2R7S9T1V3X5Y6Z7A8", Detail: "reason The schedule was disabled while the run waited."},
		{Entry: s.entry("ann", "schedule.changed", "192.0.2.5"), Name: "nightly", Link: host + "/schedules",
			Changes: []AuditChange{{"cron", "30 2 * * *", "0 1 * * *"}, {"enabled", "yes", "no"}, {"source groups", "databases", ""}}},
		{Entry: s.entry("token ansible", "host.changed", "2001:db8:85a3::8a2e:370:7334"), Name: "web-1.frankfurt.example.net", Link: host,
			Changes: []AuditChange{{"name", "web-1", "web-1.frankfurt.example.net"}, {"tags", "test", "production"}}},
		{Entry: s.entry("ann", "job.cancelled", "192.0.2.5"), Name: "Check on web-1", Link: "/jobs/01JNQ8Z4M2R7S9T1V3X5Y6Z7A8"},
		{Entry: s.entry("(not signed in)", "session.refused", "203.0.113.9"), Name: "ann"},
		{Entry: s.entry("ann", "api_token.created", "192.0.2.5"), Name: "grafana", Detail: "expires 2027-01-01 00:00 UTC · role viewer"},
		{Entry: s.entry("server", "host.enrolled", "192.0.2.31"), Name: "web-1", Link: host, Detail: "fingerprint SHA256:8c5hxkzPqzGmIu1rX0yTqQ3c9v0sV5o2bq7uEJ1m0dE · os linux · token Y6Z7A8"},
	} {
		row.Entry.At, row.Did = s.ago(time.Duration(i*i*7+1)*time.Minute), auditWords(row.Entry.Action)
		page.Rows = append(page.Rows, row)
	}
	return page
}

// auditOfOne is narrowed to one thing, and nothing is sealed yet.
func (s sample) auditOfOne() AuditPage {
	page := s.audit()
	page.Filter, page.About = AuditFilter{Noun: "host", Subject: "01JNQ8Z4M2R7S9T1V3X5Y6Z7A8", Actor: "ann", From: "2026-03-01", To: "2026-03-14"}, "web-1"
	page.Rows, page.Next, page.Head = page.Rows[:1], "", AuditHead{}
	return page
}

func (s sample) entry(actor, action, address string) fleet.AuditEntry {
	return fleet.AuditEntry{Actor: actor, Action: action, Noun: "host", Subject: "01JNQ8Z4M2R7S9T1V3X5Y6Z7A8", Address: address}
}
