package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed alone and print what it does")
	seeds   = flag.Int("seeds", 0, "how many seeds to run; 0 is as many as fit a test run")
	soak    = flag.Int("soak", 0, "how many seeds to run and report on meanwhile; 0 is no soak")
	first   = flag.Uint64("first", 1, "the first of them")
	stop    = flag.Bool("stop", false, "run them one after the other, until one fails")
	verbose = flag.Bool("log", false, "print what server and agents log")
)

// TestMain lets the collector rest: a world leaves much behind and lives for a second.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}

// TestSimulation lets worlds live through three dense days in which everything
// goes wrong that can, and then through calm ones, and holds what is told against
// what truly happened.
func TestSimulation(t *testing.T) {
	if *oneSeed != 0 {
		simulate(t, *oneSeed, (*world).threeDays)
		return
	}
	count := *seeds + *soak
	if count == 0 {
		count = usualSeeds
		if testing.Short() {
			count /= 5
		}
	}
	var done, failed atomic.Int64
	for n := range uint64(count) {
		fine := t.Run(itoa(int(*first+n)), func(t *testing.T) {
			if !*stop {
				t.Parallel()
			}
			t.Cleanup(func() {
				if t.Failed() {
					failed.Add(1)
				}
				if done := done.Add(1); *soak > 0 && (t.Failed() || done%100 == 0) {
					fmt.Fprintf(os.Stderr, "%s: %d seeds, %d failed\n", t.Name(), done, failed.Load())
				}
			})
			simulate(t, *first+n, (*world).threeDays)
		})
		if *stop && !fine {
			return
		}
	}
}

func (w *world) threeDays() {
	w.setOdds(odds{longest: 20 * time.Minute, crash: 3000, serverCrash: 3000,
		endings: []ending{endsWell, endsWell, endsWell, endsWell, endsWell, endsIncomplete, endsUnreachable, endsLocked, endsKilled, endsFatal}})
	w.ended = map[job.ID]job.State{}
	w.build()
	w.play(time.Now().Add(3*24*time.Hour), func() {
		switch w.number(10) {
		case 0, 1, 2:
			w.wish()
		case 3, 4, 5, 6:
			w.fail()
		default:
			w.decide()
		}
	})
	w.settle()
	w.compare()
}
