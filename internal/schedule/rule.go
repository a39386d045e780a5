package schedule

import "time"

// Missed says what becomes of moments at which the machine was off or asleep.
type Missed string

// Policies for missed moments.
const (
	// RunOnce runs the newest one after a settle time; the others are coalesced.
	RunOnce Missed = "run-once"
	// Skip lets them go.
	Skip Missed = "skip"
)

// Rule is when a schedule is due.
type Rule struct {
	// Cron has five fields, or is one of @hourly, @daily, @weekly, @monthly, @yearly.
	Cron string `json:"cron"`
	// TimeZone is a name of the IANA database, such as Europe/Berlin; "" is not
	// allowed.
	TimeZone string `json:"time_zone"`
	// JitterSeconds spreads the starts of a fleet while its server is away: each
	// begins up to so much later, the same for the same host and moment.
	JitterSeconds int    `json:"jitter_seconds"`
	Missed        Missed `json:"missed_policy"`
	// EffectiveFrom is in milliseconds since 1970, UTC: no moment before it counts.
	EffectiveFrom int64 `json:"effective_from"`
}

// Times that both sides go by.
const (
	// OnTime is how late a moment may be noticed and still be on time: loops wake
	// every 30 s, since a suspended machine's timers stand still.
	OnTime = 2 * time.Minute
	// Settle is how long a machine that was off is left alone before a missed run,
	// so that its disks and its network are there.
	Settle = time.Minute
	// ServerPatience is how long an agent holds a due run without a session, an
	// acknowledgement or a healthy answer before it begins it by itself.
	ServerPatience = time.Minute
	// AnswerPatience is how long a server waits for the agent's word about a job.
	AnswerPatience = 15 * time.Second
	// Wake is how often a loop looks at the wall clock at least.
	Wake = 30 * time.Second
	// MaxBackoff caps the wait before a retry.
	MaxBackoff = 30 * time.Minute
	// SeenWithin is how lately a host must have been seen for its jobs to hold slots.
	SeenWithin = 2 * time.Minute
	// MaxJitter bounds what a person may set.
	MaxJitter = 6 * time.Hour
)
