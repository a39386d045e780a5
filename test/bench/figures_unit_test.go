//go:build linux

package bench

import (
	"strings"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var hundred samples
	for i := 100; i >= 1; i-- {
		hundred = append(hundred, time.Duration(i))
	}
	for _, c := range []struct {
		of   samples
		p    float64
		want time.Duration
	}{
		{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred, 0, 1},
		{samples{7}, 50, 7}, {samples{3, 1, 2}, 50, 2}, {samples{2, 1}, 95, 2}, {nil, 50, 0},
	} {
		if got := c.of.at(c.p); got != c.want {
			t.Errorf("percentile %v of %d samples is %d, want %d", c.p, len(c.of), got, c.want)
		}
	}
}

func TestTableIsAligned(t *testing.T) {
	var rows figures
	rows.add("short", "≤ 1", "", "é")
	rows.add("a longer name", "2", "3", "")
	var text strings.Builder
	rows.print(&text)
	want := "| what          | measured | design | beside it |\n" +
		"| ------------- | -------- | ------ | --------- |\n" +
		"| short         | ≤ 1      |        | é         |\n" +
		"| a longer name | 2        | 3      |           |\n"
	if text.String() != want {
		t.Errorf("the table is\n%swant\n%s", text.String(), want)
	}
}
