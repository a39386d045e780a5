//go:build linux

package bench

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/test/rig"
)

var (
	part    = flag.String("part", "", "small, large, schedules or due: only what is measured with that fleet")
	runs    = flag.Int("runs", 30, "how many backups are asked for to measure how soon restic starts")
	pairs   = flag.Int("pairs", 10, "how many pairs of backups, through the agent and by bare restic")
	cancels = flag.Int("cancels", 20, "how many backups are cancelled at a random moment")
	agents  = flag.Int("agents", 2000, "how many light agents connect to the large server")
	hosts   = flag.Int("hosts", 10_000, "how many hosts the large server has")
	jobs    = flag.Int("jobs", 200_000, "how many jobs the large server has")
	due     = flag.Int("due", 2000, "how many hosts are due at once where 200 are not enough")
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// BenchmarkDesign measures every figure of the design that exists by now, and
// prints them as one table. No figure makes it fail.
func BenchmarkDesign(b *testing.B) {
	if *agents > *hosts {
		b.Fatalf("%d agents need as many hosts, and there are %d", *agents, *hosts)
	}
	began, before := time.Now(), load(b)
	var table figures
	defer func() {
		fmt.Printf("\n\n%s; measured in %s; load of the last minute %s before, %s at the end\n\n", machine(), seconds(time.Since(began)), before, load(b))
		table.print(os.Stdout)
		fmt.Println()
	}()
	step := func(what string, measure func()) {
		began := time.Now()
		measure()
		fmt.Fprintf(os.Stderr, "%s: %s\n", what, seconds(time.Since(began)))
	}

	if *part == "" || *part == "small" {
		var small *smallFleet
		step("programs and a small fleet", func() {
			table.sizes(b, rig.Build(b))
			small = startSmall(b, &table)
		})
		step("idle", func() { small.idle(b, &table) })
		step("wrong logins", func() { small.wrongLogins(b, &table) })
		step("run now", func() { small.runNow(b, &table) })
		step("beside bare restic", func() { small.besideBareRestic(b, &table) })
		step("cancels", func() { small.cancels(b, &table) })
		step("restart", func() { small.restart(b, &table) })
		small.end()
	}
	if *part == "" || *part == "large" {
		var large *largeFleet
		step("a large fleet", func() { large = startLarge(b, &table) })
		step("many agents", func() { large.connect(b, &table) })
		step("pages", func() { large.pages(b, &table) })
		step("restart with many agents", func() { large.restart(b, &table) })
	}
	if *part == "" || *part == "schedules" {
		step("a large plan", func() { table.plan(b) })
		step("lists of what schedules ask for", func() { table.lists(b) })
		step("a night of 200", func() { table.night(b, rig.ServerOptions{}, 200, 4) })
		step("a night of 200, PostgreSQL", func() { table.night(b, rig.ServerOptions{Postgres: true}, 200, 4) })
	}
	if *part == "" || *part == "due" {
		step("a large night", func() { table.night(b, rig.ServerOptions{}, *due, 40) })
		step("ticks", func() { table.tick(b, 10_000, 40) })
	}
}
