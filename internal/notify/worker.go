package notify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"github.com/fluxcd/notification-controller/api/v1beta3"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
)

// worker sends what one Provider has in the queue, one after the other. Each Provider has its own, so that one that does
// not answer delays nobody else.
type worker struct {
	*Bus
	provider string
	// wake says that there is work, mended that the Provider was changed.
	wake, mended chan struct{}
	limit        *rate.Limiter
	// failures counts in a row.
	failures int
}

// run sends until there is nothing left for a while, or ctx is done.
func (w *worker) run(ctx context.Context) {
	idle := time.NewTimer(w.timing.Idle)
	defer idle.Stop()
	for {
		i, ok, err := w.queue.first(w.provider)
		if err != nil {
			if !w.skip(ctx, i, err) {
				return
			}
			continue
		}
		if ok {
			if !w.attempt(ctx, i) {
				return
			}
			idle.Reset(w.timing.Idle)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-idle.C:
			return
		}
	}
}

// attempt tries to deliver the first item, and waits when that fails. It returns false when ctx is done.
func (w *worker) attempt(ctx context.Context, i item) bool {
	if w.limit.Wait(ctx) != nil {
		return false
	}
	namespace, name, _ := strings.Cut(w.provider, "/")
	alert, kind, err := w.guarded(ctx, types.NamespacedName{Namespace: namespace, Name: name}, i)
	if err != nil && ctx.Err() != nil {
		return false
	}
	gone, isObsolete := errors.AsType[obsolete](err)
	hopeless, after := permanent(err)
	hopeless = hopeless || errors.Is(err, errPanicked)
	switch {
	case err == nil:
		w.finish(i, kind, "sent")
	case isObsolete:
		w.log.Debug("notification dropped", "provider", w.provider, "reason", gone.why)
		w.finish(i, kind, "unwanted")
	case hopeless:
		w.report(alert, i, err, "")
		w.finish(i, kind, "refused")
	case w.clock.Since(i.At) > w.timing.GiveUp:
		w.report(alert, i, err, fmt.Sprintf("; given up after %s", w.timing.GiveUp))
		w.finish(i, kind, "expired")
	default:
		return w.pause(ctx, alert, i, err, after)
	}
	return true
}

// errPanicked is of an item that brings a defect to light.
var errPanicked = errors.New("Peyk panicked; the stack is in its log") //nolint:staticcheck // a name

// guarded delivers an item. One that makes Peyk panic is given up: it would end the process, and again after every restart,
// for it is still in the queue then.
func (w *worker) guarded(ctx context.Context, provider types.NamespacedName, i item) (alert *v1beta3.Alert, kind string, err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("sending a notification panicked", "provider", w.provider, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if alert = (&v1beta3.Alert{}); w.reader.Get(ctx, i.Alert, alert) != nil {
				alert = nil
			}
			err = errPanicked
		}
	}()
	return w.deliver(ctx, provider, i)
}

func (w *worker) finish(i item, kind, result string) {
	w.failures = 0
	w.metrics.count(kind, result)
	if err := w.queue.remove(w.provider, i.seq); err != nil && !errors.Is(err, errClosed) {
		w.log.Error("writing the queue of notifications", "error", err.Error())
	}
}

// pause waits before the next attempt. A failure is told when it is not the blink of an eye, and once.
func (w *worker) pause(ctx context.Context, alert *v1beta3.Alert, i item, err error, after time.Duration) bool {
	w.failures++
	w.metrics.count("", "retried")
	if w.failures == w.timing.TellAfter {
		w.report(alert, i, err, "; it is tried again")
	}
	wait := w.timing.Longest
	if w.failures < 20 {
		wait = min(w.timing.First<<(w.failures-1), w.timing.Longest)
	}
	wait = max(time.Duration(float64(wait)*(0.8+0.4*rand.Float64())), min(after, w.timing.Longest)) //nolint:gosec // jitter
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-w.mended:
	}
	return true
}

// skip gets over an item that cannot be read.
func (w *worker) skip(ctx context.Context, i item, err error) bool {
	w.log.Error("reading the queue of notifications", "provider", w.provider, "error", err.Error())
	if i.seq != 0 && w.queue.remove(w.provider, i.seq) == nil {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(w.timing.Longest):
		return true
	}
}

// report tells people, on the Alert, that a notification did not arrive.
func (w *worker) report(alert *v1beta3.Alert, i item, err error, then string) {
	obj := i.Event.InvolvedObject
	message := fmt.Sprintf("sending a notification about %s/%s in namespace %s: %v%s", obj.Kind, obj.Name, obj.Namespace, err, then)
	w.log.Error("sending a notification", "provider", w.provider, "alert", i.Alert.String(),
		"object", obj.Kind+"/"+obj.Namespace+"/"+obj.Name, "error", err.Error()+then)
	if alert != nil {
		w.warn(alert, "NotificationDispatchFailed", message)
	}
}
