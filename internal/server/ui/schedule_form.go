package ui

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/schedule"
)

// Repeats are the forms of a rule that are built by choosing.
const (
	repeatDaily  = "daily"
	repeatWeekly = "weekly"
	repeatHourly = "hourly"
	repeatCustom = "custom"
)

// hourSteps divide a day evenly.
var hourSteps = []string{"1", "2", "3", "4", "6", "8", "12"}

// ScheduleForm is what was typed. Numbers stay text, so that a wrong one comes
// back as it was.
type ScheduleForm struct {
	Name     string
	Repeat   string
	At       string   // "02:30", for daily and weekly
	Days     []string // "0" is Sunday, for weekly
	Every    string   // hours, for hourly
	Minute   string   // of the hour, for hourly
	Cron     string   // for custom
	TimeZone string
	Jitter   string // minutes
	Missed   string
	Enabled  bool
	Groups   []string
}

// Weekday is one choice of days.
type Weekday struct {
	Value, Label string
	Chosen       bool
}

// Weekdays are the days, beginning with Monday.
func (f ScheduleForm) Weekdays() []Weekday {
	var days []Weekday
	for n := 1; n <= 7; n++ {
		value := strconv.Itoa(n % 7)
		days = append(days, Weekday{value, time.Weekday(n % 7).String()[:3], slices.Contains(f.Days, value)})
	}
	return days
}

// HourSteps are the choices of hours between two runs.
func (f ScheduleForm) HourSteps() []Choice {
	var steps []Choice
	for _, step := range hourSteps {
		label := "every " + step + " hours"
		if step == "1" {
			label = "every hour"
		}
		steps = append(steps, Choice{step, label})
	}
	return steps
}

// Has tells whether a group is chosen.
func (f ScheduleForm) Has(group job.GroupID) bool { return slices.Contains(f.Groups, string(group)) }

// newScheduleForm is the form of a schedule to be, for all groups at first.
func newScheduleForm(groups []fleet.SourceGroup, zone string) ScheduleForm {
	form := ScheduleForm{Repeat: repeatDaily, At: "02:30", Days: []string{"1"}, Every: "6", Minute: "0", Cron: "30 2 * * *", TimeZone: zone,
		Jitter: strconv.Itoa(fleet.DefaultJitterSeconds / 60), Missed: string(schedule.RunOnce), Enabled: true}
	for _, group := range groups {
		form.Groups = append(form.Groups, string(group.ID))
	}
	return form
}

var (
	dailyCron  = regexp.MustCompile(`^(\d{1,2}) (\d{1,2}) \* \* (\*|[0-7](?:,[0-7])*)$`)
	hourlyCron = regexp.MustCompile(`^(\d{1,2}) \*(?:/(\d{1,2}))? \* \* \*$`)
)

// scheduleFormOf is the form of a schedule as it stands.
func scheduleFormOf(s fleet.Schedule) ScheduleForm {
	form := newScheduleForm(nil, s.TimeZone)
	form.Name, form.Missed, form.Enabled, form.Cron, form.Repeat = s.Name, string(s.Missed), s.Enabled, s.Cron, repeatCustom
	form.Jitter = strconv.FormatFloat(float64(s.JitterSeconds)/60, 'f', -1, 64)
	for _, group := range s.Groups {
		form.Groups = append(form.Groups, string(group))
	}
	cron := s.Cron
	if named, ok := map[string]string{"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@hourly": "0 * * * *"}[cron]; ok {
		cron = named
	}
	if parts := dailyCron.FindStringSubmatch(cron); parts != nil {
		minute, _ := strconv.Atoi(parts[1]) // digits, by the pattern
		hour, _ := strconv.Atoi(parts[2])
		form.Repeat, form.At = repeatDaily, fmt.Sprintf("%02d:%02d", hour, minute)
		if parts[3] != "*" {
			form.Repeat, form.Days = repeatWeekly, strings.Split(strings.ReplaceAll(parts[3], "7", "0"), ",")
		}
	} else if parts := hourlyCron.FindStringSubmatch(cron); parts != nil {
		if parts[2] == "" {
			parts[2] = "1"
		}
		if slices.Contains(hourSteps, parts[2]) {
			form.Repeat, form.Minute, form.Every = repeatHourly, parts[1], parts[2]
		}
	}
	return form
}

// readScheduleForm reads what was sent, by a form or in an address.
func readScheduleForm(values url.Values) ScheduleForm {
	value := values.Get
	return ScheduleForm{Name: strings.TrimSpace(value("name")), Repeat: value("repeat"), At: value("at"), Days: values["day"], Every: value("every"), Minute: strings.TrimSpace(value("minute")),
		Cron: strings.TrimSpace(value("cron")), TimeZone: strings.TrimSpace(value("time_zone")), Jitter: strings.TrimSpace(value("jitter")), Missed: value("missed_policy"),
		Enabled: value("enabled") != "", Groups: values["group"]}
}

// rule is when the form says, and what is wrong with it.
func (f ScheduleForm) rule(invalid *fleet.Invalid) schedule.Rule {
	rule := schedule.Rule{TimeZone: f.TimeZone, Missed: schedule.Missed(f.Missed)}
	switch f.Repeat {
	case repeatDaily, repeatWeekly:
		at, err := time.Parse("15:04", f.At)
		if err != nil {
			invalid.Add("at", "Say the time of the day as hours and minutes, such as 02:30.")
		}
		days := "*"
		if f.Repeat == repeatWeekly {
			days = strings.Join(f.Days, ",")
			if days == "" {
				invalid.Add("days", "Choose at least one day.")
			}
		}
		rule.Cron = fmt.Sprintf("%d %d * * %s", at.Minute(), at.Hour(), days)
	case repeatHourly:
		minute, err := strconv.Atoi(f.Minute)
		if err != nil || minute < 0 || minute > 59 {
			invalid.Add("minute", "The minute of the hour goes from 0 to 59.")
		}
		rule.Cron = fmt.Sprintf("%d */%s * * *", minute, f.Every)
		if f.Every == "1" {
			rule.Cron = fmt.Sprintf("%d * * * *", minute)
		}
		if !slices.Contains(hourSteps, f.Every) {
			invalid.Add("every", "Choose one of the steps offered.")
		}
	case repeatCustom:
		rule.Cron = f.Cron
	default:
		invalid.Add("repeat", "Choose how often it runs.")
	}
	minutes, err := strconv.ParseFloat(f.Jitter, 64)
	if f.Jitter != "" && (err != nil || minutes != minutes || minutes < 0 || minutes > schedule.MaxJitter.Minutes()) {
		invalid.Add("jitter", "The spread goes from 0 to %d minutes.", int(schedule.MaxJitter.Minutes()))
		minutes = 0
	}
	rule.JitterSeconds = int(minutes * 60)
	return rule
}

// fill writes the form into a schedule. What only the form knows is told at once,
// the rest is for control to check.
func (f ScheduleForm) fill(s *fleet.Schedule) error {
	var invalid fleet.Invalid
	from := s.EffectiveFrom
	s.Name, s.Rule, s.Enabled = f.Name, f.rule(&invalid), f.Enabled
	s.EffectiveFrom = from
	s.Groups = nil
	for _, group := range f.Groups {
		s.Groups = append(s.Groups, job.GroupID(group))
	}
	// All that is wrong at once: the check of a rule stops at the first, and one
	// that was not built says nothing.
	s.Check(&invalid)
	invalid.Fields = slices.DeleteFunc(invalid.Fields, func(one fleet.FieldError) bool {
		return one.Field == "time_zone" || one.Field == "cron" && f.Repeat != repeatCustom
	})
	zone := schedule.Rule{Cron: "@daily", TimeZone: f.TimeZone, Missed: schedule.RunOnce}
	if field, problem := zone.Check(); field != "" {
		invalid.Add(field, "%s", problem)
	}
	return invalid.Err()
}

// times are the moments that the form has ahead.
func (f ScheduleForm) times(w wallClock) NextTimes {
	var invalid fleet.Invalid
	f.Jitter, f.Missed = "", string(schedule.RunOnce) // neither moves a moment
	rule := f.rule(&invalid)
	if len(invalid.Fields) > 0 {
		return NextTimes{Problem: invalid.Fields[0].Sentence}
	}
	return nextTimes(rule, w)
}

// formErrors puts what control says of a schedule beside the field that it was
// typed into.
func (f ScheduleForm) formErrors(fields FieldErrors) FieldErrors {
	at := map[string]string{"jitter_seconds": "jitter", "source_group_ids": "groups"}
	if f.Repeat != repeatCustom {
		at["cron"] = "repeat"
	}
	moved := slices.Clone(fields)
	for i, one := range moved {
		if to, ok := at[one.Field]; ok {
			moved[i].Field = to
		}
	}
	return slices.CompactFunc(moved, func(a, b fleet.FieldError) bool { return a == b })
}

// usualZones are offered without a script; with one the browser offers all it
// knows.
var usualZones = []string{"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Madrid", "Europe/Warsaw", "America/New_York", "America/Chicago",
	"America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Singapore", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland"}
