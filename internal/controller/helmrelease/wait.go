package helmrelease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/kube"
)

// readiness tells when the objects of a release are ready, by the watches of the apply engine. What they do not show, such
// as objects without the labels of the HelmRelease, is looked at now and then.
type readiness struct {
	engine *apply.Engine
	client *kube.Client
	owner  apply.Owner
	health *healthRules
}

func (p *pass) readiness() readiness {
	return readiness{engine: p.Clusters.Engine(p.owner, p.cluster), client: p.cluster, owner: p.owner, health: p.health}
}

const (
	// lookAgain is how often objects are looked at that no watch shows.
	lookAgain = time.Second
	// watchPatience is how long it may take until a watch shows anything. After that the objects are looked at.
	watchPatience = 10 * time.Second
)

// Ready implements helm.Readiness.
func (r readiness) Ready(ctx context.Context, objects []*unstructured.Unstructured, jobs bool) error {
	objects = slices.DeleteFunc(objects, isPaused)
	w := r.wait(objects, func(obj *unstructured.Unstructured) (apply.State, bool) {
		if state, ok := r.health.judge(ctx, obj); ok {
			return state, true
		}
		if jobs && isJob(obj.GroupVersionKind()) {
			return jobState(obj), true
		}
		return apply.State{}, false
	})
	w.failFast = true
	return w.run(ctx)
}

// Done implements helm.Readiness: a Job or a Pod has run when it is complete, everything else when it is there.
func (r readiness) Done(ctx context.Context, hooks []*unstructured.Unstructured) error {
	w := r.wait(hooks, func(obj *unstructured.Unstructured) (apply.State, bool) {
		if state, ok := r.health.judge(ctx, obj); ok {
			return state, true
		}
		switch gvk := obj.GroupVersionKind(); {
		case isJob(gvk):
			return jobState(obj), true
		case gvk.Group == "" && gvk.Kind == "Pod":
			return podState(obj), true
		}
		return apply.State{Health: apply.HealthCurrent}, true
	})
	return w.run(ctx)
}

// Gone implements helm.Readiness.
func (r readiness) Gone(ctx context.Context, objects []*unstructured.Unstructured) error {
	follower := r.follow(ctx, objects)
	if follower != nil {
		defer follower.Close()
	}
	for {
		var left []string
		objects = slices.DeleteFunc(objects, func(obj *unstructured.Unstructured) bool {
			_, err := r.client.Get(ctx, obj.GroupVersionKind(), obj.GetNamespace(), obj.GetName())
			if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
				return true
			}
			left = append(left, apply.IDOf(obj).String())
			return false
		})
		if len(objects) == 0 {
			return nil
		}
		if err := pause(ctx, follower, lookAgain); err != nil {
			return fmt.Errorf("timeout waiting for the termination of: [%s]", strings.Join(left, ", "))
		}
	}
}

// follow returns nil when the kinds cannot be watched.
func (r readiness) follow(ctx context.Context, objects []*unstructured.Unstructured) *apply.Follower {
	ctx, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	follower, err := r.engine.Follow(ctx, r.owner, kindsOf(objects))
	if err != nil {
		return nil
	}
	return follower
}

func kindsOf(objects []*unstructured.Unstructured) []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for _, obj := range objects {
		if gvk := obj.GroupVersionKind(); !slices.Contains(kinds, gvk) {
			kinds = append(kinds, gvk)
		}
	}
	return kinds
}

// waiting is one wait for objects.
type waiting struct {
	readiness
	objects []*unstructured.Unstructured
	// judge says how an object is for which the rules of kstatus do not suffice.
	judge    func(*unstructured.Unstructured) (apply.State, bool)
	failFast bool

	follower *apply.Follower
	looked   map[apply.ObjectID]apply.State // as it was when it was last looked at
	blind    bool                           // some objects are shown by no watch
	begun    time.Time
}

func (r readiness) wait(objects []*unstructured.Unstructured, judge func(*unstructured.Unstructured) (apply.State, bool)) *waiting {
	return &waiting{readiness: r, objects: objects, judge: judge, looked: map[apply.ObjectID]apply.State{}}
}

func (w *waiting) run(ctx context.Context) error {
	if len(w.objects) == 0 {
		return nil
	}
	if w.follower = w.follow(ctx, w.objects); w.follower != nil {
		defer w.follower.Close()
	}
	w.begun = time.Now()
	for {
		waiting, failed := w.check(ctx)
		switch {
		case len(failed) > 0 && (w.failFast || len(waiting) == len(failed)):
			return fmt.Errorf("failed early due to stalled resources: [%s]", strings.Join(failed, ", "))
		case len(waiting) == 0:
			return nil
		}
		longest := 30 * time.Second
		if w.blind {
			longest = lookAgain
		}
		if err := pause(ctx, w.follower, longest); err != nil {
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return fmt.Errorf("the health check was canceled: %w", cause)
			}
			return fmt.Errorf("timeout waiting for: [%s]", strings.Join(waiting, ", "))
		}
	}
}

// pause returns when an object changed or the time is over. An error says that ctx is done.
func pause(ctx context.Context, follower *apply.Follower, longest time.Duration) error {
	var changed <-chan struct{}
	if follower != nil {
		changed = follower.C
	}
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-timer.C:
	}
	return nil
}

// check returns the objects that are not ready, and those of them that never will be.
func (w *waiting) check(ctx context.Context) (waiting, failed []string) {
	w.blind = false
	for _, obj := range w.objects {
		state := w.state(ctx, obj)
		if state.Health == apply.HealthCurrent {
			continue
		}
		text := fmt.Sprintf("%s status: '%s'", apply.IDOf(obj), state.Health)
		if state.Message != "" {
			text += ": " + state.Message
		}
		waiting = append(waiting, text)
		if state.Health == apply.HealthFailed {
			failed = append(failed, text)
		}
	}
	return waiting, failed
}

// state returns how an object is now.
func (w *waiting) state(ctx context.Context, obj *unstructured.Unstructured) apply.State {
	id := apply.IDOf(obj)
	shown, isShown := apply.State{}, false
	if w.follower != nil {
		shown, isShown = w.follower.State(id)
	}
	if isShown && obj.GetResourceVersion() != "" && kube.Newer(obj.GetResourceVersion(), shown.Version) {
		return apply.State{Health: apply.HealthInProgress, Message: "not seen as it was applied yet"}
	}
	_, special := w.judge(obj)
	if isShown && !special {
		return shown
	}
	if looked, ok := w.looked[id]; ok && isShown && looked.Version == shown.Version {
		return looked
	}
	w.blind = w.blind || !isShown
	if !isShown && !special && w.willBeShown(obj) && time.Since(w.begun) < lookAgain {
		return apply.State{Health: apply.HealthInProgress, Message: "not seen yet"}
	}
	live, err := w.client.Get(ctx, obj.GroupVersionKind(), obj.GetNamespace(), obj.GetName())
	if apierrors.IsNotFound(err) {
		if hasTTL(obj) {
			return apply.State{Health: apply.HealthCurrent}
		}
		return apply.State{Health: apply.HealthNotFound}
	}
	if err != nil {
		w.blind = true
		return apply.State{Health: apply.HealthUnknown, Message: err.Error()}
	}
	state, ok := w.judge(live)
	if !ok {
		state = apply.HealthOf(live)
	}
	state.Version = live.GetResourceVersion()
	w.looked[id] = state
	return state
}

// willBeShown says whether a watch is going to show an object that was just applied.
func (w *waiting) willBeShown(obj *unstructured.Unstructured) bool {
	labels := obj.GetLabels()
	return w.follower != nil && labels[apply.HelmReleases.NameLabel] == w.owner.Name && labels[apply.HelmReleases.NamespaceLabel] == w.owner.Namespace
}

func isJob(gvk schema.GroupVersionKind) bool { return gvk.Group == "batch" && gvk.Kind == "Job" }

// hasTTL says whether an object removes itself some time after it is complete.
func hasTTL(obj *unstructured.Unstructured) bool {
	_, found, err := unstructured.NestedFieldNoCopy(obj.Object, "spec", "ttlSecondsAfterFinished")
	return isJob(obj.GroupVersionKind()) && found && err == nil
}

// isPaused says whether a Deployment is not to become what it says for now.
func isPaused(obj *unstructured.Unstructured) bool {
	gvk := obj.GroupVersionKind()
	paused, _, _ := unstructured.NestedBool(obj.Object, "spec", "paused")
	return paused && gvk.Group == "apps" && gvk.Kind == "Deployment"
}

func jobState(obj *unstructured.Unstructured) apply.State {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["status"] != "True" {
			continue
		}
		message, _ := condition["message"].(string)
		switch condition["type"] {
		case "Complete":
			return apply.State{Health: apply.HealthCurrent, Message: message}
		case "Failed":
			return apply.State{Health: apply.HealthFailed, Message: "Job Failed: " + message}
		}
	}
	return apply.State{Health: apply.HealthInProgress, Message: "Job in progress"}
}

func podState(obj *unstructured.Unstructured) apply.State {
	phase, _, _ := unstructured.NestedString(obj.Object, "status", "phase")
	switch phase {
	case "Succeeded":
		return apply.State{Health: apply.HealthCurrent}
	case "Failed":
		return apply.State{Health: apply.HealthFailed, Message: "Pod failed"}
	}
	return apply.State{Health: apply.HealthInProgress, Message: "Pod is " + strings.ToLower(phase)}
}
