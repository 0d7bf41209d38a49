// Package notify brings what happens to objects to the people who asked for it with Alerts and Providers. Notifications
// wait on disk until their service took them, so they arrive at least once, in the order of the events for each Provider,
// also when the process or the service dies in between.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// Options are what a Bus needs.
type Options struct {
	// Path of the file that holds the queue.
	Path string
	// Reader reads Alerts and Providers, best from a cache, and Secrets.
	Reader client.Reader
	// Scheme knows the kinds of the objects that events are about.
	Scheme *runtime.Scheme
	// Events records Kubernetes events: those that are heard, and those about Alerts.
	Events reconcile.EventRecorder
	Policy tenancy.Policy
	// Metrics is where the Bus registers its metrics. Optional.
	Metrics prometheus.Registerer
	Log     *slog.Logger
	// Timing and Clock are for tests.
	Timing Timing
	Clock  clock.PassiveClock
}

// Timing says how patient a Bus is.
type Timing struct {
	// First is the pause after the first failure, which doubles up to Longest.
	First, Longest time.Duration
	// GiveUp is the age at which a notification is dropped.
	GiveUp time.Duration
	// Window is how long an event that says the same about the same is not sent again.
	Window time.Duration
	// Idle is how long a worker without work lives.
	Idle time.Duration
	// TellAfter is the failure in a row that people are told about.
	TellAfter int
	// PerSecond and Burst limit the notifications to one Provider.
	PerSecond rate.Limit
	Burst     int
}

// DefaultTiming returns the timing of a Bus in a cluster.
func DefaultTiming() Timing {
	return Timing{
		First: time.Second, Longest: 5 * time.Minute, GiveUp: 24 * time.Hour, Window: 5 * time.Minute,
		Idle: time.Minute, TellAfter: 3, PerSecond: 10, Burst: 50,
	}
}

// Bus takes events, keeps those that Alerts ask for, and sends them to the Alerts' Providers.
type Bus struct {
	reconcile.EventRecorder
	reader   client.Reader
	scheme   *runtime.Scheme
	policy   tenancy.Policy
	log      *slog.Logger
	clock    clock.PassiveClock
	timing   Timing
	queue    *queue
	metrics  *metrics
	instance string

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // workers start with it, whenever their work comes
	workers map[string]*worker
	running sync.WaitGroup
}

// New opens the queue. Start sends what is in it; Close lets go of the file.
func New(o Options) (*Bus, error) {
	if o.Timing == (Timing{}) {
		o.Timing = DefaultTiming()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	q, err := openQueue(o.Path, bounds{items: 1000, bytes: 8 << 20, total: 64 << 20, window: o.Timing.Window}, o.Log)
	if err != nil {
		return nil, err
	}
	b := &Bus{
		EventRecorder: o.Events, reader: o.Reader, scheme: o.Scheme, policy: o.Policy, log: o.Log, clock: o.Clock,
		timing: o.Timing, queue: q, instance: hostname(), workers: map[string]*worker{},
	}
	if b.metrics, err = newMetrics(o.Metrics, q); err != nil {
		return nil, err
	}
	return b, nil
}

// Start sends notifications until ctx is done.
func (b *Bus) Start(ctx context.Context) error {
	b.mu.Lock()
	b.ctx = ctx
	b.mu.Unlock()
	for _, provider := range b.queue.providers() {
		b.work(provider)
	}
	<-ctx.Done()
	b.running.Wait()
	return nil
}

// NeedLeaderElection says that every replica sends what is on its own disk.
func (b *Bus) NeedLeaderElection() bool { return false }

// Close lets go of the queue's file. What is in it stays.
func (b *Bus) Close() error { return b.queue.close() }

// Outcome is what became of an event.
type Outcome int

// The outcomes.
const (
	// Unheard: no Alert asks for the event.
	Unheard Outcome = iota
	// Duplicate: an event that says the same was taken a short while ago.
	Duplicate
	// Queued: the event is on disk and will be sent.
	Queued
)

// Publish takes an event. When it returns without an error, the notifications about the event are on disk. of is asked
// for the object's labels when an Alert selects by them.
func (b *Bus) Publish(ctx context.Context, e event.Event, of Labels) (Outcome, error) {
	e.Clean()
	now, key := b.clock.Now(), e.Key()
	if b.queue.duplicate(key, now) {
		b.metrics.count("", "duplicate")
		return Duplicate, nil
	}
	items, err := b.notifications(ctx, &e, of, now)
	if err != nil || len(items) == 0 {
		return Unheard, err
	}
	taken, dropped, err := b.queue.add(key, items, now)
	if err != nil {
		return Unheard, fmt.Errorf("writing the queue of notifications: %w", err)
	}
	for provider, n := range dropped {
		b.metrics.add("", "overflow", n)
		b.log.Error("notifications dropped, the queue of the provider is full", "provider", provider, "count", n)
	}
	if !taken {
		return Duplicate, nil
	}
	for _, e := range items {
		b.work(e.provider)
	}
	return Queued, nil
}

// notifications lists what the Alerts make of an event.
func (b *Bus) notifications(ctx context.Context, e *event.Event, of Labels, now time.Time) ([]entry, error) {
	alerts := &v1beta3.AlertList{}
	// The cache's own objects are read and not changed.
	if err := b.reader.List(ctx, alerts, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Alerts: %w", err)
	}
	var items []entry
	for i := range alerts.Items {
		alert := &alerts.Items[i]
		if !b.matches(ctx, alert, e, of) {
			continue
		}
		provider := types.NamespacedName{Namespace: alert.Namespace, Name: alert.Spec.ProviderRef.Name}
		if !b.wanted(ctx, provider, e) {
			continue
		}
		items = append(items, entry{provider.String(), item{Alert: client.ObjectKeyFromObject(alert), Event: *e, At: now}})
	}
	return items, nil
}

// wanted says whether the Provider is for the event. One that is not there yet may be; but of the many states of commits
// nobody wants to hear later.
func (b *Bus) wanted(ctx context.Context, name types.NamespacedName, e *event.Event) bool {
	p := &v1beta3.Provider{}
	if err := b.reader.Get(ctx, name, p); err != nil {
		return e.Meta(reconcile.MetaCommitStatus) != reconcile.CommitStatusUpdate
	}
	return !p.Spec.Suspend && wants(p.Spec.Type, e)
}

// work wakes the worker of a Provider, or makes one.
func (b *Bus) work(provider string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx == nil || b.ctx.Err() != nil {
		return
	}
	if w := b.workers[provider]; w != nil {
		signal(w.wake)
		return
	}
	w := &worker{
		Bus: b, provider: provider, wake: make(chan struct{}, 1), mended: make(chan struct{}, 1),
		limit: rate.NewLimiter(b.timing.PerSecond, b.timing.Burst),
	}
	b.workers[provider] = w
	b.running.Go(func() {
		for w.run(b.ctx); !b.retire(w); {
			w.run(b.ctx)
		}
	})
}

// retire lets a worker go, unless work came in between.
func (b *Bus) retire(w *worker) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() == nil && b.queue.has(w.provider) {
		return false
	}
	delete(b.workers, w.provider)
	return true
}

// Mended says that a Provider was changed, so that what waits for it is tried now.
func (b *Bus) Mended(provider types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.workers[provider.String()]; w != nil {
		signal(w.mended)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// warn records a Warning event on an Alert.
func (b *Bus) warn(alert *v1beta3.Alert, reason, message string) {
	reconcile.Record(b.EventRecorder, alert, corev1.EventTypeWarning, reason, message)
}
