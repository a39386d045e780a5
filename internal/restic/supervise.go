package restic

import (
	"context"
	"sync"
	"time"
)

// ending is how a child's life ended.
type ending struct {
	exit                ExitCode
	at                  time.Time
	cause               error
	interrupted, killed bool
	err                 error // a kill that the system refused
}

// supervise waits for the child and ends it when the context does or the first contact does not come:
// it asks, waits for the grace time, then kills the group. It returns only when the child is gone; one
// that the system can't kill at the moment (a dead disk) keeps it waiting, since it is still alive.
func (r Runner) supervise(ctx context.Context, child Child, hooks Hooks, record *record) ending {
	exited := make(chan ExitCode, 1)
	go func() { exited <- child.Wait() }()

	quiet := newQuietWatch(ctx, hooks, record)
	defer quiet.stop()
	var end ending
	done := ctx.Done()
	contact := record.contact
	late := after(hooks.FirstContact)
	var impatient <-chan time.Time
	kill := func() {
		end.killed = true
		end.err = child.Kill()
	}
	stop := func(cause error) {
		end.cause, end.interrupted = cause, true
		done, late = nil, nil
		if child.Stop() != nil {
			// It can't be asked (on Windows: no console), so there is nothing to wait for.
			kill()
			return
		}
		impatient = after(r.grace())
	}
	for {
		select {
		case code := <-exited:
			end.exit, end.at = code, r.now()
			// What restic started must not outlive it. A refusal says nothing about this run (macOS
			// refuses to signal a group of zombies); FindLeft shows what is really left.
			_ = child.Kill()
			return end
		case <-contact:
			contact, late = nil, nil
		case <-late:
			stop(ErrNoContact)
		case <-done:
			stop(context.Cause(ctx))
		case <-impatient:
			kill()
		case <-quiet.timer:
			quiet.tick()
		}
	}
}

// after is time.After, but never for 0.
func after(wait time.Duration) <-chan time.Time {
	if wait <= 0 {
		return nil
	}
	return time.After(wait)
}

// longestPause is how rarely a long silence is looked into, in times of
// Hooks.SilenceAfter: each look is a process that opens the repository.
const longestPause = 8

// quietWatch calls Hooks.Silence in a goroutine of its own, one call at a time.
type quietWatch struct {
	hooks  Hooks
	record *record
	ctx    context.Context //nolint:containedctx // it ends the calls of the hook, with the process
	cancel context.CancelFunc
	timer  <-chan time.Time
	pause  time.Duration // until the next call of a silence that lasts
	busy   chan struct{} // holds one token while a call runs
	calls  sync.WaitGroup
}

func newQuietWatch(ctx context.Context, hooks Hooks, record *record) *quietWatch {
	watch := &quietWatch{hooks: hooks, record: record, pause: hooks.SilenceAfter, busy: make(chan struct{}, 1)}
	watch.ctx, watch.cancel = context.WithCancel(ctx)
	if hooks.Silence != nil {
		watch.timer = after(hooks.SilenceAfter)
	}
	return watch
}

// tick calls the hook if the silence has lasted, and sets the next look.
func (w *quietWatch) tick() {
	silent := w.record.silent()
	if silent < w.hooks.SilenceAfter {
		w.timer, w.pause = after(w.hooks.SilenceAfter-silent), w.hooks.SilenceAfter
		return
	}
	w.timer = after(w.pause)
	w.pause = min(2*w.pause, longestPause*w.hooks.SilenceAfter)
	select {
	case w.busy <- struct{}{}:
	default:
		return
	}
	w.calls.Go(func() {
		if w.hooks.Silence(w.ctx, silent) {
			w.record.reached()
		}
		<-w.busy
	})
}

// stop ends a running call and waits for it.
func (w *quietWatch) stop() {
	w.cancel()
	w.calls.Wait()
}
