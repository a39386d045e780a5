package schedule

import (
	"fmt"
	"regexp"
	"time"
	_ "time/tzdata" // a machine without zones of its own must know them too
)

// zoneName keeps out names that mean something else on each machine (localtime),
// count leap seconds (right/…) or are found by the file systems of some only.
var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)

// Check says which field of the rule is wrong, by its name in JSON, and what the
// problem is in one sentence for a person. Both are "" when the rule is right.
func (r Rule) Check() (field, problem string) {
	if _, problem := parsePattern(r.Cron); problem != "" {
		return "cron", problem
	}
	if _, problem := loadZone(r.TimeZone); problem != "" {
		return "time_zone", problem
	}
	if most := int(MaxJitter / time.Second); r.JitterSeconds < 0 || r.JitterSeconds > most {
		return "jitter_seconds", fmt.Sprintf("The spread goes from 0 to %d seconds.", most)
	}
	if r.Missed != RunOnce && r.Missed != Skip {
		return "missed_policy", fmt.Sprintf("What becomes of missed moments is either %s or %s.", RunOnce, Skip)
	}
	return "", ""
}

func loadZone(name string) (zone *time.Location, problem string) {
	if name == "" {
		return nil, "Name the time zone, for example Europe/Berlin or UTC."
	}
	if zoneName.MatchString(name) && name != "Local" && name != "Factory" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, ""
		}
	}
	return nil, fmt.Sprintf("%.60q is not a known time zone. Use a name such as Europe/Berlin or UTC.", name)
}
