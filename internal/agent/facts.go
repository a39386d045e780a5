package agent

import (
	"context"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// binaryHolder is the restic that was found last.
type binaryHolder struct {
	mutex  sync.Mutex
	binary restic.Binary
	err    error     // why there is none
	at     time.Time // when it was looked for, by the clock that nobody sets
}

// fresh tells whether it was there a short while ago.
func (h *binaryHolder) fresh() bool {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.err == nil && time.Since(h.at) < restFromLooking
}

// restFromLooking is how long a restic that was found is not looked for again:
// an agent whose server is away would start one twice a minute.
const restFromLooking = 10 * time.Minute

func (h *binaryHolder) get() (restic.Binary, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.binary, h.err
}

// findRestic looks for restic again: it may have been installed or updated.
func (a *Agent) findRestic(ctx context.Context) {
	binary, err := restic.Find(ctx, a.options.System, a.policy.Restic)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		a.log.Warn("there is no restic to work with", "error", err)
	}
	a.binary.mutex.Lock()
	a.binary.binary, a.binary.err, a.binary.at = binary, err, time.Now()
	a.binary.mutex.Unlock()
	a.status.update(a, func(s *Status) { s.ResticVersion = binary.Version })
}

// runner gives what starts restic, or why nothing can.
func (a *Agent) runner() (restic.Runner, error) {
	binary, err := a.binary.get()
	return restic.Runner{Binary: binary, CacheDir: a.cacheDir(), TempDir: a.tempDir(), Grace: a.patience.stopGrace,
		System: a.options.System, Now: a.options.Now}, err
}

// facts describe this machine as it is now.
func (a *Agent) facts() api.Facts {
	binary, _ := a.binary.get()
	return describe(a.options, a.policy, binary)
}

func newFacts(ctx context.Context, o Options, policy Policy) api.Facts {
	binary, err := restic.Find(ctx, o.System, policy.Restic)
	if err != nil {
		o.Log.Warn("there is no restic to work with yet", "error", err)
	}
	return describe(o, policy, binary)
}

func describe(o Options, policy Policy, binary restic.Binary) api.Facts {
	hostname, err := os.Hostname()
	if err != nil {
		o.Log.Warn("this machine does not tell its name", "error", err)
	}
	facts := api.Facts{Hostname: hostname, OS: runtime.GOOS, Arch: runtime.GOARCH, AgentVersion: o.Version,
		ResticVersion: binary.Version, Allowed: policy.Allow,
		Hooks: api.HookFacts{Names: policy.Hooks.names(), Sent: policy.Hooks.Sent}}
	if policy.Storage != nil {
		facts.Storage = &api.StorageFacts{URL: policy.Storage.URL}
		free, total, err := diskSpace(policy.Storage.Path)
		if err != nil {
			o.Log.Warn("the space of the storage disk is not known", "error", err)
		}
		facts.Storage.BytesFree, facts.Storage.BytesTotal = free, total
	}
	return facts
}
