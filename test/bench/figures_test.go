//go:build linux

package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// figure is one row of the table.
type figure struct {
	what     string
	measured string
	design   string // what the design wants, "" for nothing
	beside   string // what helps to judge it
}

// figures are the rows in the order in which they were measured.
type figures []figure

func (f *figures) add(what, measured, design, beside string) {
	*f = append(*f, figure{what, measured, design, beside})
}

// print writes the rows as a table of Markdown that is readable as it is.
func (f figures) print(out io.Writer) {
	rows := append(figures{{"what", "measured", "design", "beside it"}}, f...)
	var widths [4]int
	for _, row := range rows {
		for i, cell := range row.cells() {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		writeRow(out, row.cells(), widths, " ")
		if i == 0 {
			writeRow(out, [4]string{}, widths, "-")
		}
	}
}

func (f figure) cells() [4]string { return [4]string{f.what, f.measured, f.design, f.beside} }

func writeRow(out io.Writer, cells [4]string, widths [4]int, fill string) {
	line := "|"
	for i, cell := range cells {
		line += " " + cell + strings.Repeat(fill, widths[i]-utf8.RuneCountInString(cell)) + " |"
	}
	fmt.Fprintln(out, line) // to a terminal or a file that is read at once
}

// samples are repeated measurements of one thing.
type samples []time.Duration

// at is the percentile p, from 0 to 100, by the nearest rank. It is zero for no
// samples.
func (s samples) at(p float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(p/100*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// spread says the median and the upper end: of fewer than a hundred samples the
// largest, of more the 99th percentile.
func (s samples) spread() string {
	if len(s) < 100 {
		return fmt.Sprintf("p50 %s, p95 %s, max %s", ms(s.at(50)), ms(s.at(95)), ms(s.at(100)))
	}
	return fmt.Sprintf("p50 %s, p99 %s", ms(s.at(50)), ms(s.at(99)))
}

// ms shows a duration in milliseconds, with a decimal where it matters.
func ms(d time.Duration) string {
	value := float64(d) / float64(time.Millisecond)
	if value < 10 && value > -10 {
		return fmt.Sprintf("%.1f ms", value)
	}
	return fmt.Sprintf("%.0f ms", value)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
