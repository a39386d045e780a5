package ui

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// GroupCard is one source group with what its last backup left.
type GroupCard struct {
	Group          fleet.SourceGroup
	RepositoryName string
	Ready          bool // its repository can take a backup
	HostOnline     bool
	Removed        bool // its host is
	Result         State
	Running        *RunningJob
	Queued         bool
	Last           *job.Summary // of the last backup that ended
	LastJob        job.ID
	When           []WhenLine
	Now            time.Time // when the card was made
	// PausedUntil is when its schedules go on; zero is now.
	PausedUntil time.Time
}

// CanRun tells whether a backup can be asked for; while the host is offline it waits
// for it.
func (c GroupCard) CanRun() bool { return c.Ready && c.Running == nil && !c.Queued }

// WhyNot says why no backup can be asked for.
func (c GroupCard) WhyNot() string {
	switch {
	case !c.Ready:
		return "The repository is not ready."
	case c.Running != nil:
		return "It is running."
	case c.Queued:
		return "It is asked for already."
	}
	return ""
}

// shownIncludes is how many paths a card shows.
const shownIncludes = 4

// FirstIncludes are the paths that a card shows.
func (c GroupCard) FirstIncludes() []string {
	return c.Group.Includes[:min(len(c.Group.Includes), shownIncludes)]
}

// MoreIncludes is how many paths it does not show.
func (c GroupCard) MoreIncludes() int { return max(len(c.Group.Includes)-shownIncludes, 0) }

// Keep says in words what the retention keeps.
func (c GroupCard) Keep() []string { return retentionWords(c.Group.Retention) }

func retentionWords(r fleet.Retention) []string {
	var words []string
	for _, rule := range []struct {
		number    int
		one, many string
	}{
		{r.KeepLast, "last", "last"}, {r.KeepHourly, "hourly", "hourly"}, {r.KeepDaily, "daily", "daily"},
		{r.KeepWeekly, "weekly", "weekly"}, {r.KeepMonthly, "monthly", "monthly"}, {r.KeepYearly, "yearly", "yearly"},
	} {
		if rule.number > 0 {
			words = append(words, plural(int64(rule.number), rule.one, rule.many))
		}
	}
	if r.KeepWithinDays > 0 {
		words = append(words, "all of "+plural(int64(r.KeepWithinDays), "day", "days"))
	}
	return words
}

// Notes point out what of the rule no schedule can fill.
func (c GroupCard) Notes() []string {
	if c.Removed {
		return nil
	}
	return c.Group.Retention.Notes(finestGap(c.When, c.Now))
}

// ByItself tells whether any schedule runs the group.
func (c GroupCard) ByItself() bool {
	return slices.ContainsFunc(c.When, func(line WhenLine) bool { return line.Enabled })
}

// Retry says how often a run is tried.
func (c GroupCard) Retry() string {
	return retryWords(c.Group.Options.RetryMax, time.Duration(c.Group.Options.RetryBackoffSeconds)*time.Second)
}

// Hooks say what is run beside a backup; "" is nothing.
func (c GroupCard) Hooks() string {
	if c.Group.Options.PreHook == nil && c.Group.Options.PostHook == nil {
		return ""
	}
	return sourceFormOf(c.Group).HooksNote()
}

// WhenLine is one schedule of a group: in words, and when it is next due.
type WhenLine struct {
	ID       job.ScheduleID
	Words    string // "every day at 02:30"
	Zone     string
	Enabled  bool
	Next     time.Time // zero when it is not enabled
	calendar *schedule.Calendar
}

// linesOf are the schedules that name a group, with when each is next due after an
// instant.
func linesOf(schedules []fleet.Schedule, group job.GroupID, after time.Time) []WhenLine {
	var lines []WhenLine
	for _, one := range schedules {
		for _, named := range one.Groups {
			if named != group {
				continue
			}
			line := WhenLine{ID: one.ID, Words: schedule.Describe(one.Rule), Zone: one.TimeZone, Enabled: one.Enabled}
			var err error
			if line.calendar, err = schedule.Parse(one.Rule); err == nil && one.Enabled {
				line.Next = line.calendar.Next(after)
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// finestGap is the smallest time between two moments of those that are enabled;
// 0 when none is.
func finestGap(lines []WhenLine, now time.Time) time.Duration {
	var calendars []*schedule.Calendar
	for _, line := range lines {
		if line.Enabled && line.calendar != nil {
			calendars = append(calendars, line.calendar)
		}
	}
	return schedule.FinestGap(calendars, now)
}

// groupCards shows the groups of a host with what their last backups left.
func (u *UI) groupCards(ctx context.Context, view hostView, repositories []fleet.Repository) ([]GroupCard, error) {
	groups, err := u.Store.Groups(ctx, view.host.ID)
	if err != nil {
		return nil, err
	}
	schedules, err := u.Store.SchedulesOf(ctx, view.host.ID)
	if err != nil {
		return nil, err
	}
	now := u.Now()
	pauses, err := u.Store.Pauses(ctx, now)
	if err != nil {
		return nil, err
	}
	paused := fleet.PausedUntil(pauses, view.host.ID, view.host.Tags, now)
	var cards []GroupCard
	for _, group := range groups {
		card := GroupCard{Group: group, HostOnline: view.host.Online, Removed: view.head.Removed(), Result: groupResult(group), LastJob: group.LastJobID,
			When: linesOf(schedules, group.ID, wallClock{now: now}.runsAfter(pauses, view.host)), Now: now, PausedUntil: paused}
		for _, repository := range repositories {
			if repository.ID == group.Repository {
				card.RepositoryName, card.Ready = repository.Name, repository.Ready()
			}
		}
		for _, one := range view.active {
			if one.Group == group.ID {
				card.Queued = card.Queued || one.State != job.Running
				if running := u.running([]fleet.Job{one}); len(running) > 0 {
					card.Running = &running[0]
				}
			}
		}
		if group.LastJobID != "" {
			last, err := u.Store.Job(ctx, group.LastJobID)
			switch {
			case errors.Is(err, fleet.ErrNotFound):
				card.LastJob = "" // its time to be kept is over
			case err != nil:
				return nil, err
			default:
				card.Last = last.Summary
			}
		}
		cards = append(cards, card)
	}
	return cards, nil
}
