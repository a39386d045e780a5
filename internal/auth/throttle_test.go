package auth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/auth"
)

// counts is the table of throttles in memory.
type counts struct {
	t    *testing.T
	now  time.Time
	rows map[string]auth.Throttle
}

func newCounts(t *testing.T) *counts {
	return &counts{t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), map[string]auth.Throttle{}}
}

// fail tries and fails if the attempt may be made, and returns the wait.
func (c *counts) fail(account, address string) (time.Duration, bool) {
	attempt := auth.NewAttempt(account, address, false)
	if wait := attempt.Wait(c.rows, c.now); wait > 0 {
		return wait, false
	}
	failed, notable := attempt.Fail(c.rows, c.now)
	c.put(failed)
	return 0, notable
}

func (c *counts) put(rows []auth.Throttle) {
	for _, row := range rows {
		c.rows[row.Subject] = row
	}
}

func (c *counts) wait(account, address string, familiar bool) time.Duration {
	return auth.NewAttempt(account, address, familiar).Wait(c.rows, c.now)
}

func TestWaitsGrowFromASecondToAQuarterHour(t *testing.T) {
	c := newCounts(t)
	for n := range 5 {
		if wait, _ := c.fail("ann", "192.0.2.1"); wait != 0 {
			t.Fatalf("attempt %d waits %s", n+1, wait)
		}
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900} {
		wait, _ := c.fail("ann", "192.0.2.1")
		if wait != want*time.Second {
			t.Fatalf("wait = %s, want %s", wait, want*time.Second)
		}
		c.now = c.now.Add(wait)
		if wait, _ := c.fail("ann", "192.0.2.1"); wait != 0 {
			t.Fatalf("after its wait the attempt waits %s more", wait)
		}
	}
	c.now = c.now.Add(auth.ThrottleForget)
	if wait := c.wait("ann", "192.0.2.1", false); wait != 0 {
		t.Errorf("after a day of quiet the wait is %s", wait)
	}
}

func TestStrangerDoesNotLockTheOwnerOut(t *testing.T) {
	c := newCounts(t)
	for range 200 {
		c.now = c.now.Add(c.wait("ann", "203.0.113.9", false))
		c.fail("ann", "203.0.113.9")
	}
	if wait := c.wait("ann", "203.0.113.9", false); wait < time.Minute {
		t.Errorf("the stranger waits only %s", wait)
	}
	if wait := c.wait("ann", "192.0.2.1", false); wait > 5*time.Second {
		t.Errorf("the owner waits %s", wait)
	}
	for n := range 1000 { // and from everywhere
		address := fmt.Sprintf("198.51.%d.%d", n/250, n%250)
		c.now = c.now.Add(c.wait("ann", address, false))
		c.fail("ann", address)
	}
	if wait := c.wait("ann", "192.0.2.1", false); wait == 0 || wait > 5*time.Second {
		t.Errorf("under fire from everywhere an account waits %s", wait)
	}
	if wait := c.wait("ann", "192.0.2.1", true); wait != 0 {
		t.Errorf("from an address with a session the owner waits %s", wait)
	}
}

func TestOneAddressCanNotTryManyAccounts(t *testing.T) {
	c := newCounts(t)
	for n := range 20 {
		if wait, _ := c.fail(fmt.Sprint("user", n), "2001:db8::1"); wait != 0 {
			t.Fatalf("attempt %d waits %s", n+1, wait)
		}
	}
	if wait := c.wait("another", "2001:db8::ffff", false); wait == 0 {
		t.Error("another address of the same /64 goes free")
	}
	if wait := c.wait("another", "2001:db8:0:1::1", false); wait != 0 {
		t.Errorf("another /64 waits %s", wait)
	}
	if wait := c.wait("another", "::ffff:192.0.2.1", false); wait != 0 {
		t.Errorf("an IPv4 address waits %s", wait)
	}
}

func TestSuccessFreesThePairAndNothingElse(t *testing.T) {
	c := newCounts(t)
	for range 5 {
		c.fail("ann", "192.0.2.1")
	}
	c.now = c.now.Add(time.Minute)
	attempt := auth.NewAttempt("ANN", "192.0.2.1", false) // names have no case
	failed, _ := attempt.Fail(c.rows, c.now)
	c.put(failed)
	c.put(attempt.Succeed(c.rows))
	for range 5 {
		if wait, _ := c.fail("ann", "192.0.2.1"); wait != 0 {
			t.Fatalf("after a success the wait is %s", wait)
		}
	}
	for n := range 10 {
		c.fail(fmt.Sprint("user", n), "192.0.2.1")
	}
	if wait := c.wait("fresh", "192.0.2.1", false); wait == 0 {
		t.Error("a success wiped out what the address did to other accounts")
	}
}

func TestAFloodIsAuditedALittle(t *testing.T) {
	c, audited := newCounts(t), 0
	for range 5000 {
		wait, notable := c.fail("ann", "192.0.2.1")
		if notable {
			audited++
		}
		c.now = c.now.Add(wait)
	}
	if audited < 5 || audited > 20 {
		t.Errorf("%d audit entries for one flood", audited)
	}
}

func TestAClockThatWasAheadHoldsNobody(t *testing.T) {
	c := newCounts(t)
	c.now = c.now.AddDate(1, 0, 0)
	for range 6 {
		wait, _ := c.fail("ann", "192.0.2.1")
		c.now = c.now.Add(wait)
	}
	c.now = c.now.AddDate(-1, 0, 0)
	if wait := c.wait("ann", "192.0.2.1", false); wait != 0 {
		t.Errorf("wait = %s", wait)
	}
}
