package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// bytesText is a size in binary units with one decimal.
func bytesText(size int64) string {
	if size < 1024 {
		return strconv.FormatInt(size, 10) + " B"
	}
	value, unit := float64(size)/1024, 0
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for value >= 1023.95 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + units[unit]
}

// countText is a number with a comma between its thousands.
func countText(number int64) string {
	digits := strconv.FormatInt(number, 10)
	sign := ""
	if number < 0 {
		sign, digits = "-", digits[1:]
	}
	var out strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(digit)
	}
	return sign + out.String()
}

// plural is a number with its noun.
func plural(number int64, one, many string) string {
	if number == 1 {
		return "1 " + one
	}
	return countText(number) + " " + many
}

// addedRule says what "added" means, on every page: data_added of restic.
const addedRule = "New data of this backup, before it was compressed."

// lastBackupRule says what "last backup" means, on every page.
const lastBackupRule = "The last run that saved a snapshot, also one with warnings."

// durationText is a span of time in its two largest units.
func durationText(span time.Duration) string {
	switch {
	case span < time.Second:
		return strconv.FormatInt(max(span.Milliseconds(), 0), 10) + " ms"
	case span < 10*time.Second:
		return strconv.FormatFloat(span.Seconds(), 'f', 1, 64) + " s"
	case span < time.Minute:
		return strconv.Itoa(int(span.Seconds())) + " s"
	case span < time.Hour:
		return fmt.Sprintf("%d min %d s", int(span.Minutes()), int(span.Seconds())%60)
	case span < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(span.Hours()), int(span.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(span.Hours())/24, int(span.Hours())%24)
}

// secondsText is a span that is known to the second only.
func secondsText(seconds int64) string {
	if seconds < 60 {
		return strconv.FormatInt(seconds, 10) + " s"
	}
	return durationText(time.Duration(seconds) * time.Second)
}

// agoText is how long ago an instant was; app.js says the same afterwards.
func agoText(now, at time.Time) string {
	span := now.Sub(at)
	if span < 0 {
		if span > -45*time.Second {
			return "just now"
		}
		return "in " + roundText(-span)
	}
	if span < 5*time.Second {
		return "just now"
	}
	return roundText(span) + " ago"
}

func roundText(span time.Duration) string {
	switch {
	case span < time.Minute:
		return strconv.Itoa(int(span.Seconds())) + " s"
	case span < time.Hour:
		return strconv.Itoa(int(span.Minutes())) + " min"
	case span < 48*time.Hour:
		return strconv.Itoa(int(span.Hours())) + " h"
	}
	return strconv.Itoa(int(span.Hours())/24) + " days"
}

// shortHash is the usual first part of a snapshot's or lock's id.
func shortHash(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

// shortID is the part of one of our ids that tells it from its neighbours: ids
// made in the same minute begin alike.
func shortID(id string) string {
	if len(id) > 6 {
		return id[len(id)-6:]
	}
	return id
}
