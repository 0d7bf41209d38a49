package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/reconcile"
)

// The steps of a rollout, in their order. The last three are ends.
const (
	stepAccepted = "accepted"
	stepCommit   = "commit"
	stepSync     = "sync"
	stepApply    = "apply"
	stepPods     = "pods"

	resultReady   = "ready"
	resultFailed  = "failed"
	resultTimeout = "timeout"
	// resultSuperseded is a rollout that a later call took the place of.
	resultSuperseded = "superseded"
)

// mostWaiters bounds how many calls wait at the same time.
const mostWaiters = 2000

// rollouts watch what becomes of changes. Waiting costs one goroutine that sleeps until its Pack changes.
type rollouts struct {
	packs client.Reader

	mu      sync.Mutex
	waiters map[types.NamespacedName]map[chan struct{}]bool
	count   int
	// latest are the vars that were set last, of the Packs that somebody waits for.
	latest map[types.NamespacedName]map[string]json.RawMessage
}

func newRollouts(packs client.Reader) *rollouts {
	return &rollouts{
		packs: packs, waiters: map[types.NamespacedName]map[chan struct{}]bool{}, latest: map[types.NamespacedName]map[string]json.RawMessage{},
	}
}

// Start wakes those who wait as soon as their Pack changes, until ctx ends. Without it they look every few seconds. It
// implements manager.Runnable.
func (h *PackVars) Start(ctx context.Context) error {
	informer, err := h.Informers.GetInformer(ctx, &packv1.Pack{})
	if err != nil {
		return fmt.Errorf("watching Packs for the deploy webhook: %w", err)
	}
	wake := func(obj any) {
		if o, ok := obj.(client.Object); ok {
			h.rollouts.wake(client.ObjectKeyFromObject(o))
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, obj any) { wake(obj) }, DeleteFunc: wake,
	})
	if err != nil {
		return fmt.Errorf("watching Packs for the deploy webhook: %w", err)
	}
	<-ctx.Done()
	return informer.RemoveEventHandler(registration)
}

// NeedLeaderElection says that every replica answers webhooks.
func (h *PackVars) NeedLeaderElection() bool { return false }

func (r *rollouts) wake(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for waiter := range r.waiters[key] {
		select {
		case waiter <- struct{}{}:
		default: // it is awake already
		}
	}
}

// join announces a waiter. It returns nil when there are too many.
func (r *rollouts) join(key types.NamespacedName) (wakes <-chan struct{}, leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count >= mostWaiters {
		return nil, nil
	}
	r.count++
	if r.waiters[key] == nil {
		r.waiters[key] = map[chan struct{}]bool{}
	}
	waiter := make(chan struct{}, 1)
	r.waiters[key][waiter] = true
	return waiter, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.count--
		if delete(r.waiters[key], waiter); len(r.waiters[key]) == 0 {
			delete(r.waiters, key)
			delete(r.latest, key)
		}
	}
}

// set notes what was set last, so that those who wait for something else learn that it will not come.
func (r *rollouts) set(key types.NamespacedName, vars map[string]json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters[key] == nil {
		return
	}
	if r.latest[key] == nil {
		r.latest[key] = map[string]json.RawMessage{}
	}
	maps.Copy(r.latest[key], vars)
}

func (r *rollouts) last(key types.NamespacedName, name string) json.RawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest[key][name]
}

// progress is where a rollout is.
type progress struct {
	Step    string `json:"step"`
	Message string `json:"message,omitempty"`
}

func (p progress) ended() bool {
	switch p.Step {
	case resultReady, resultFailed, resultTimeout, resultSuperseded:
		return true
	}
	return false
}

// grace is how long what may pass must last before it counts: a failure to apply, which is tried again, and the value of
// another call, which may be about to be followed by that of this one.
const grace = 20 * time.Second

// rollout is one change that somebody waits for.
type rollout struct {
	*rollouts
	key  types.NamespacedName
	vars map[string]json.RawMessage
	now  func() time.Time
	// arrived says that the cluster was seen with the vars.
	arrived bool
	// failing is since when applying fails, overtaken since when the cluster shows what somebody else set.
	failing, overtaken time.Time
}

// lasting says whether what began at a time, or begins now, lasts.
func (r *rollout) lasting(since *time.Time) bool {
	if since.IsZero() {
		*since = r.now()
	}
	return r.now().Sub(*since) >= grace
}

// look says where the rollout is.
func (r *rollout) look(ctx context.Context) (progress, error) {
	var obj packv1.Pack
	err := r.packs.Get(ctx, r.key, &obj)
	if apierrors.IsNotFound(err) || err == nil && !obj.DeletionTimestamp.IsZero() {
		return progress{resultFailed, "the Pack was removed"}, nil
	}
	if err != nil {
		return progress{}, err
	}
	if names := differing(&obj, r.vars); len(names) > 0 {
		for _, name := range names {
			later := r.last(r.key, name)
			if r.arrived || later != nil && sameJSON(later, obj.Spec.Vars[name].Raw) && r.lasting(&r.overtaken) {
				return progress{resultSuperseded, name + " was set to something else since"}, nil
			}
		}
		return progress{stepSync, "waiting until the change is in the cluster"}, nil
	}
	r.arrived = true
	return r.judge(&obj), nil
}

// judge says how far a Pack is that has the vars.
func (r *rollout) judge(obj *packv1.Pack) progress {
	if obj.Spec.Suspend {
		return progress{resultFailed, "the Pack is suspended: nothing is applied until spec.suspend is false"}
	}
	ready := apimeta.FindStatusCondition(obj.Status.Conditions, reconcile.Ready)
	if ready == nil || ready.ObservedGeneration < obj.Generation {
		return progress{stepApply, "waiting until the Pack is applied"}
	}
	if ready.Reason != "ApplyFailed" {
		r.failing = time.Time{}
	}
	switch {
	case ready.Status == metav1.ConditionTrue:
		return progress{resultReady, ready.Message}
	case ready.Reason == "Invalid", ready.Reason == "HealthCheckFailed", apimeta.IsStatusConditionTrue(obj.Status.Conditions, reconcile.Stalled):
		return progress{resultFailed, ready.Message}
	case ready.Reason == "ApplyFailed":
		if r.lasting(&r.failing) {
			return progress{resultFailed, ready.Message}
		}
		return progress{stepApply, ready.Message}
	case strings.HasPrefix(ready.Message, "applied"):
		return progress{stepPods, ready.Message}
	}
	return progress{stepApply, ready.Message}
}

// lookEvery is how often a waiter looks when nothing wakes it.
const lookEvery = 2 * time.Second

// wait tells what the rollout does until it ends, the time is over, or ctx ends.
func (r *rollout) wait(ctx context.Context, wakes <-chan struct{}, timeout time.Duration, tell func(progress) error) (progress, error) {
	end := time.NewTimer(timeout)
	defer end.Stop()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var told progress
	for {
		now, err := r.look(ctx)
		if err != nil {
			return told, err
		}
		if now.ended() {
			return now, nil
		}
		if now != told {
			told = now
			if err := tell(now); err != nil {
				return told, err
			}
		}
		select {
		case <-ctx.Done():
			return told, ctx.Err()
		case <-end.C:
			return progress{resultTimeout, fmt.Sprintf("not ready after %s: %s", timeout, now.Message)}, nil
		case <-wakes:
		case <-ticker.C:
		}
	}
}
