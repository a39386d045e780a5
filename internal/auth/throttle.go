package auth

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/crypto"
)

// Throttle counts the failed sign-ins of one subject.
type Throttle struct {
	Subject  string
	Failures int
	LastAt   time.Time
}

// throttleRule says how one kind of subject is slowed down: free failures cost
// nothing, then the wait doubles from first to longest.
type throttleRule struct {
	name           string
	free           int
	first, longest time.Duration
}

// The three rules. An account is held strongly only against one address, so
// that a stranger elsewhere can't lock its owner out; against everybody it is
// slowed just enough to make guessing from many addresses pointless.
var (
	throttlePair    = throttleRule{"pair", 5, time.Second, 15 * time.Minute}
	throttleAddress = throttleRule{"address", 20, time.Second, 15 * time.Minute}
	throttleAccount = throttleRule{"account", 50, time.Second, 5 * time.Second}
)

// ThrottleForget is how long a failure is remembered after the last one.
const ThrottleForget = 24 * time.Hour

// Throttled means that an attempt was not even looked at.
type Throttled struct{ Wait time.Duration }

// Error implements error.
func (t *Throttled) Error() string {
	return fmt.Sprintf("Too many attempts went wrong. Try again in %s.", (t.Wait + time.Second - 1).Truncate(time.Second))
}

// Attempt is one try to sign in, before it is known how it ends.
type Attempt struct{ rules []throttleAt }

type throttleAt struct {
	throttleRule
	subject string
}

// NewAttempt describes an attempt at the account named account from a peer. An
// empty account is one that needs no name, as the setup token. familiar says that
// this address holds a session of that account already: its owner is not slowed
// by what others do.
func NewAttempt(account, address string, familiar bool) Attempt {
	account, address = strings.ToLower(account), network(address)
	rules := []throttleAt{
		throttlePair.at(account, address),
		throttleAddress.at(address),
	}
	if account != "" && !familiar {
		rules = append(rules, throttleAccount.at(account))
	}
	return Attempt{rules}
}

// at names the subject of a rule. It is a hash: people type passwords into the
// field for the name, and this is stored.
func (r throttleRule) at(parts ...string) throttleAt {
	return throttleAt{r, crypto.HashSecret(r.name + "\x00" + strings.Join(parts, "\x00"))}
}

// Subjects are the rows that the attempt is counted in, always in the same order
// of rules.
func (a Attempt) Subjects() []string {
	subjects := make([]string, 0, len(a.rules))
	for _, rule := range a.rules {
		subjects = append(subjects, rule.subject)
	}
	return subjects
}

// Wait is how long the attempt has to wait, given its rows; 0 is not at all.
func (a Attempt) Wait(rows map[string]Throttle, now time.Time) time.Duration {
	var wait time.Duration
	for _, rule := range a.rules {
		wait = max(wait, rule.wait(rows[rule.subject], now))
	}
	return wait
}

// Fail returns the rows with one more failure each, and whether that is worth an
// audit entry: the first failures are, and then each doubling.
func (a Attempt) Fail(rows map[string]Throttle, now time.Time) (failed []Throttle, notable bool) {
	notable = true
	for _, rule := range a.rules {
		failures := rows[rule.subject].remembered(now) + 1
		failed = append(failed, Throttle{rule.subject, failures, now})
		if failures > rule.free && bits.OnesCount(uint(failures)) != 1 {
			notable = false
		}
	}
	return failed, notable
}

// Succeed returns the rows after the attempt that Fail had counted beforehand
// went well: the account is free again from this address. The other counts lose
// only this attempt, since whoever guesses at many accounts may own one.
func (a Attempt) Succeed(rows map[string]Throttle) []Throttle {
	var left []Throttle
	for _, rule := range a.rules {
		row := rows[rule.subject]
		row.Subject, row.Failures = rule.subject, max(0, row.Failures-1)
		if rule.name == throttlePair.name {
			row.Failures = 0
		}
		left = append(left, row)
	}
	return left
}

// remembered forgets what is long past, and what is said to be in the future: the
// clock was ahead then, and nobody must wait until it is that late.
func (t Throttle) remembered(now time.Time) int {
	if ago := now.Sub(t.LastAt); ago >= ThrottleForget || ago < -time.Minute {
		return 0
	}
	return t.Failures
}

func (r throttleRule) wait(row Throttle, now time.Time) time.Duration {
	failures := row.remembered(now)
	if failures < r.free {
		return 0
	}
	wait := r.longest
	if doublings := failures - r.free; doublings < 20 {
		wait = min(r.longest, r.first<<doublings)
	}
	return max(0, row.LastAt.Add(wait).Sub(now))
}

// network is what counts as one peer: an IPv4 address, or the /64 of an IPv6
// address, since a single machine has all of that.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		return netip.PrefixFrom(ip, 64).Masked().String()
	}
	return ip.String()
}
