package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/peyk/peyk/internal/kube"
)

// RequestAnnotation asks for a pass now; its value is an opaque token that ends up in the status.
const RequestAnnotation = "reconcile.fluxcd.io/requestedAt"

// Runner reconciles the objects of one kind. It implements controller-runtime's Reconciler.
type Runner[T Object] struct {
	kind    Kind[T]
	client  client.Client
	events  EventRecorder
	metrics *Metrics
	clock   clock.PassiveClock
	owner   client.FieldOwner

	mu       sync.Mutex
	failures map[types.NamespacedName]int
	written  map[types.NamespacedName]write  // that the cache has not shown yet
	untold   map[types.NamespacedName][]note // of passes that were not written to the status
}

// Options are what every Runner of a process shares.
type Options struct {
	Client  client.Client
	Events  EventRecorder
	Metrics *Metrics
	Clock   clock.PassiveClock
}

// NewRunner returns a Runner for kind.
func NewRunner[T Object](kind Kind[T], o Options) *Runner[T] {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Runner[T]{
		kind: kind, client: o.Client, events: o.Events, metrics: o.Metrics, clock: o.Clock,
		owner: "peyk", failures: map[types.NamespacedName]int{}, written: map[types.NamespacedName]write{}, untold: map[types.NamespacedName][]note{},
	}
}

// Reconcile makes one pass over the object that req names. It returns an error only when the API server refused the
// status or the finalizer; everything else is on the object's status.
func (r *Runner[T]) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := r.kind.New()
	if err := r.client.Get(ctx, req.NamespacedName, obj); err != nil {
		r.forget(req.NamespacedName)
		r.forgetWritten(req.NamespacedName)
		r.takeUntold(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if r.outdated(obj) {
		return ctrl.Result{RequeueAfter: cacheLag}, nil
	}
	if !obj.GetDeletionTimestamp().IsZero() {
		return r.finalize(ctx, obj)
	}
	if r.kind.Suspended != nil && r.kind.Suspended(obj) {
		return ctrl.Result{}, nil
	}
	if err := r.ensureFinalizer(ctx, obj); err != nil {
		return ctrl.Result{}, err
	}
	start := r.clock.Now()
	before := obj.DeepCopyObject().(T)
	notes := &notes{}
	err := r.runPhases(withNotes(ctx, notes), obj)
	if again := r.settlesDown(before, err); again > 0 {
		return ctrl.Result{RequeueAfter: again}, nil
	}
	notes.list = append(r.takeUntold(req.NamespacedName), notes.list...)
	after := r.conclude(ctx, before, obj, err)
	took := r.clock.Since(start)
	r.metrics.observe(r.kind.Name, obj, took)
	if err != nil && asError(err).unsaid {
		r.keepUntold(req.NamespacedName, notes.list)
		return ctrl.Result{RequeueAfter: after, Priority: new(usual)}, nil
	}
	r.publish(before, obj, notes, took, err)
	return ctrl.Result{RequeueAfter: after, Priority: new(usual)}, r.patchStatus(ctx, before, obj)
}

// usual is the priority of the next pass: whatever made this one come first or last is over with it.
const usual = 0

// settlingDown is how long a new object may wait for others, which are often made together with it, before that is said.
const settlingDown = 2 * time.Second

// settlesDown returns when to look again at an object that was just made and waits for something, or 0. To say so would
// cost a write for each of a thousand objects that are made at once, and be wrong a moment later.
func (r *Runner[T]) settlesDown(obj T, err error) time.Duration {
	if err == nil || asError(err).meaning != wait || len(obj.GetConditions()) > 0 {
		return 0
	}
	return settlingDown - r.clock.Since(obj.GetCreationTimestamp().Time)
}

// runPhases makes the pass. A panic in a phase is that object's failure, not the process's.
func (r *Runner[T]) runPhases(ctx context.Context, obj T) (err error) {
	pass := r.kind.Plan(obj)
	for _, phase := range pass.Phases {
		if err = runPhase(ctx, phase); err != nil {
			setPhaseCondition(obj, phase, asError(err))
			break
		}
		clearPhaseCondition(obj, phase)
	}
	setBehind(obj, pass.Behind, err)
	if pass.Settle != nil {
		pass.Settle(err)
	}
	if err == nil {
		reason, message := pass.Ready()
		setReady(obj, reason, message)
	}
	return err
}

func runPhase(ctx context.Context, phase Phase) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.FromContext(ctx).Error(fmt.Errorf("panic: %v", p), "phase panicked", "phase", phase.Name, "stack", string(debug.Stack()))
			err = Failf(ReasonInternal, "phase %s panicked; the stack is in Peyk's log", phase.Name)
		}
	}()
	return phase.Run(ctx)
}

// conclude turns the outcome of a pass into conditions and the time of the next pass.
func (r *Runner[T]) conclude(ctx context.Context, before, obj T, err error) time.Duration {
	key := client.ObjectKeyFromObject(obj)
	fields := r.kind.Fields(obj)
	if token := obj.GetAnnotations()[RequestAnnotation]; token != "" {
		*fields.LastHandled = token
	}
	logger := log.FromContext(ctx)
	if err == nil {
		*fields.ObservedGeneration = obj.GetGeneration()
		r.forget(key)
		if ready(before) != ready(obj) {
			logger.Info("ready", "message", ready(obj).message)
		}
		return jitter(r.kind.Interval(obj))
	}
	e := asError(err)
	setNotReady(obj, e)
	if ready(before) != ready(obj) {
		if e.meaning == wait || e.meaning == progress {
			logger.Info("not ready", "reason", e.Reason, "message", e.Error())
		} else {
			logger.Error(e, "not ready", "reason", e.Reason)
		}
	}
	switch e.meaning {
	case stall:
		*fields.ObservedGeneration = obj.GetGeneration()
		r.forget(key)
		return 0
	case settled:
		*fields.ObservedGeneration = obj.GetGeneration()
		r.forget(key)
		return jitter(r.kind.Interval(obj))
	case wait, progress:
		r.forget(key)
		return e.after
	}
	n := r.fail(key)
	if r.kind.Retry != nil {
		return max(r.kind.Retry(obj, n), e.after)
	}
	return max(Backoff(n), e.after)
}

func (r *Runner[T]) finalize(ctx context.Context, obj T) (ctrl.Result, error) {
	if r.kind.Finalizer == "" || !controllerutil.ContainsFinalizer(obj, r.kind.Finalizer) {
		return ctrl.Result{}, nil
	}
	before := obj.DeepCopyObject().(T)
	notes := &notes{}
	phase := Phase{Name: "finalize", Run: func(ctx context.Context) error { return r.kind.Finalize(ctx, obj) }}
	if err := runPhase(withNotes(ctx, notes), phase); err != nil {
		after := r.conclude(ctx, before, obj, err)
		r.publish(before, obj, notes, 0, err)
		return ctrl.Result{RequeueAfter: max(after, time.Second)}, r.patchStatus(ctx, before, obj)
	}
	r.publish(before, obj, notes, 0, nil)
	r.forget(client.ObjectKeyFromObject(obj))
	r.metrics.forget(r.kind.Name, obj)
	bare := obj.DeepCopyObject().(T)
	controllerutil.RemoveFinalizer(bare, r.kind.Finalizer)
	err := r.client.Patch(ctx, bare, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), r.owner)
	return requeueOnConflict(client.IgnoreNotFound(err))
}

func (r *Runner[T]) ensureFinalizer(ctx context.Context, obj T) error {
	if r.kind.Finalizer == "" || controllerutil.ContainsFinalizer(obj, r.kind.Finalizer) {
		return nil
	}
	before := obj.DeepCopyObject().(T)
	controllerutil.AddFinalizer(obj, r.kind.Finalizer)
	if err := r.client.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), r.owner); err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	r.wrote(obj)
	return nil
}

// cacheLag is how long an object is put off that the cache does not show as it was written here, longestLag when it is
// taken as it is nevertheless.
const (
	cacheLag   = 20 * time.Millisecond
	longestLag = 10 * time.Second
)

// write is a version of an object that was written here.
type write struct {
	version string
	at      time.Time
}

// wrote remembers the version of an object that was written here.
func (r *Runner[T]) wrote(obj T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[client.ObjectKeyFromObject(obj)] = write{obj.GetResourceVersion(), r.clock.Now()}
}

// outdated says whether obj, from the cache, is older than what was written here: a pass would take its own last status
// back.
func (r *Runner[T]) outdated(obj T) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	written, ok := r.written[client.ObjectKeyFromObject(obj)]
	if ok && written.version != obj.GetResourceVersion() && kube.Newer(written.version, obj.GetResourceVersion()) && r.clock.Since(written.at) < longestLag {
		return true
	}
	delete(r.written, client.ObjectKeyFromObject(obj))
	return false
}

// requeueOnConflict asks for another pass when somebody else changed the object in between.
func requeueOnConflict(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	return ctrl.Result{}, err
}

// patchStatus writes the status when it changed, and is silent about an object that is gone.
func (r *Runner[T]) patchStatus(ctx context.Context, before, obj T) error {
	// Most passes change nothing. To see that is cheaper than to compute a patch, which encodes both.
	if equality.Semantic.DeepEqual(statusOf(before), statusOf(obj)) {
		return nil
	}
	patch := client.MergeFrom(before)
	data, err := patch.Data(obj)
	if err != nil {
		return fmt.Errorf("computing the status patch: %w", err)
	}
	if string(data) == "{}" {
		return nil
	}
	err = r.client.Status().Patch(ctx, obj, client.RawPatch(patch.Type(), data), r.owner)
	if err = client.IgnoreNotFound(err); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("writing the status: %w", err)
	}
	if err == nil {
		r.wrote(obj)
	}
	return nil
}

// statusOf returns the status of an object, as its type has it.
func statusOf(obj client.Object) any {
	return reflect.ValueOf(obj).Elem().FieldByName("Status").Interface()
}

// takeUntold returns the notes of the passes before this one that nobody was told yet.
func (r *Runner[T]) takeUntold(key types.NamespacedName) []note {
	r.mu.Lock()
	defer r.mu.Unlock()
	untold := r.untold[key]
	delete(r.untold, key)
	return untold
}

func (r *Runner[T]) keepUntold(key types.NamespacedName, list []note) {
	if len(list) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.untold[key] = list
}

func (r *Runner[T]) fail(key types.NamespacedName) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures[key]++
	return r.failures[key]
}

func (r *Runner[T]) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failures, key)
}

func (r *Runner[T]) forgetWritten(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, key)
}

// jitter spreads d by 5 % either way, so that objects made together do not reconcile together for ever.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(float64(d) * (0.95 + 0.1*rand.Float64()))
}
