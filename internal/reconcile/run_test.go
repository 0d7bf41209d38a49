package reconcile

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// bench is one Pack, a Runner for it, and what the Runner wrote.
type bench struct {
	client client.Client
	runner *Runner[*packv1.Pack]
	writes int
	events []string
}

func (b *bench) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	b.events = append(b.events, eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func newBench(t *testing.T, run func(context.Context) error, finalize func() error) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := packv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	pack := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b", Generation: 3}}
	b := &bench{}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(pack).WithStatusSubresource(pack).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
				b.writes++
				return c.SubResource(sub).Patch(ctx, obj, p, o...)
			},
		}).Build()
	b.runner = NewRunner(Kind[*packv1.Pack]{
		Name: "Pack", New: func() *packv1.Pack { return &packv1.Pack{} }, Finalizer: "peyk.dev/test",
		Fields: func(p *packv1.Pack) Fields {
			return Fields{&p.Status.ObservedGeneration, &p.Status.LastHandledReconcileAt}
		},
		Interval: func(*packv1.Pack) time.Duration { return time.Hour },
		Plan: func(*packv1.Pack) Pass {
			return Pass{
				Phases: []Phase{{Name: "work", Run: run, Failed: "WorkFailed"}},
				Ready:  func() (string, string) { return ReasonSucceeded, "done" },
			}
		},
		Finalize: func(context.Context, *packv1.Pack) error { return finalize() },
	}, Options{Client: b.client, Events: b})
	return b
}

func (b *bench) pass(t *testing.T) (ctrl.Result, *packv1.Pack) {
	t.Helper()
	key := client.ObjectKey{Namespace: "b", Name: "a"}
	result, err := b.runner.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
	if err != nil {
		t.Fatal(err)
	}
	pack := &packv1.Pack{}
	if err := b.client.Get(t.Context(), key, pack); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return result, pack
}

// states reduces conditions to type, status and reason.
func states(pack *packv1.Pack) map[string]string {
	got := map[string]string{}
	for _, c := range pack.Status.Conditions {
		got[c.Type] = string(c.Status) + " " + c.Reason
	}
	return got
}

func TestOutcomes(t *testing.T) {
	for name, tc := range map[string]struct {
		err      error
		want     map[string]string
		observed int64
		after    time.Duration
		events   []string
	}{
		"success": {nil, map[string]string{"Ready": "True Succeeded"}, 3, time.Hour, []string{"Normal Succeeded done"}},
		"a plain error": {
			errors.New("boom"),
			map[string]string{"Ready": "False Failed", "Reconciling": "True ProgressingWithRetry", "WorkFailed": "True Failed"},
			0, 750 * time.Millisecond, []string{"Warning Failed boom"},
		},
		"a failure with a reason, wrapped": {
			fmt.Errorf("doing: %w", Failf("Broken", "boom")),
			map[string]string{"Ready": "False Broken", "Reconciling": "True ProgressingWithRetry", "WorkFailed": "True Broken"},
			0, 750 * time.Millisecond, []string{"Warning Broken doing: boom"},
		},
		"a stall": {
			Stallf("Wrong", "spec.x is wrong"),
			map[string]string{"Ready": "False Wrong", "Stalled": "True Wrong", "WorkFailed": "True Wrong"},
			3, 0, []string{"Warning Wrong spec.x is wrong"},
		},
		"a wait": {
			Wait("DependencyNotReady", "x is not ready", time.Minute),
			map[string]string{"Ready": "False DependencyNotReady", "Reconciling": "True ProgressingWithRetry"},
			0, time.Minute, []string{"Warning DependencyNotReady x is not ready"},
		},
		"progress": {
			Progress("waiting for x", time.Minute),
			map[string]string{"Ready": "Unknown Progressing", "Reconciling": "True Progressing"},
			0, time.Minute, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(context.Context) error { return tc.err }, nil)
			result, pack := b.pass(t)
			if diff := cmp.Diff(tc.want, states(pack)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if pack.Status.ObservedGeneration != tc.observed {
				t.Errorf("observed generation %d, want %d", pack.Status.ObservedGeneration, tc.observed)
			}
			if off := result.RequeueAfter - tc.after; off.Abs() > tc.after/20 {
				t.Errorf("next pass after %s, want %s", result.RequeueAfter, tc.after)
			}
			if result.Priority == nil || *result.Priority != usual {
				t.Errorf("the next pass has the priority %v, want the usual one whatever this one had", result.Priority)
			}
			if diff := cmp.Diff(tc.events, b.events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoWriteWhenNothingChanged(t *testing.T) {
	b := newBench(t, func(context.Context) error { return errors.New("boom") }, nil)
	for range 3 {
		b.pass(t)
	}
	if b.writes != 1 || len(b.events) != 1 {
		t.Errorf("%d status writes and %d events, want one of each", b.writes, len(b.events))
	}
}

func TestFailuresBackOffAndForget(t *testing.T) {
	err := errors.New("boom")
	b := newBench(t, func(context.Context) error { return err }, nil)
	for _, want := range []time.Duration{750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second} {
		if result, _ := b.pass(t); result.RequeueAfter != want {
			t.Errorf("next pass after %s, want %s", result.RequeueAfter, want)
		}
	}
	err = nil
	_, pack := b.pass(t)
	if diff := cmp.Diff(map[string]string{"Ready": "True Succeeded"}, states(pack)); diff != "" {
		t.Errorf("conditions after success (-want +got):\n%s", diff)
	}
	err = errors.New("boom again")
	if result, _ := b.pass(t); result.RequeueAfter != 750*time.Millisecond {
		t.Errorf("next pass after %s, want the first delay again", result.RequeueAfter)
	}
}

func TestAPanicIsTheObjectsFailure(t *testing.T) {
	b := newBench(t, func(context.Context) error { panic("oops") }, nil)
	_, pack := b.pass(t)
	if got := meta.FindStatusCondition(pack.Status.Conditions, Ready); got == nil || got.Reason != ReasonInternal {
		t.Errorf("Ready is %v, want reason %s", got, ReasonInternal)
	}
}

func TestRequestIsHandled(t *testing.T) {
	b := newBench(t, func(context.Context) error { return nil }, nil)
	_, pack := b.pass(t)
	pack.Annotations = map[string]string{RequestAnnotation: "now"}
	if err := b.client.Update(t.Context(), pack); err != nil {
		t.Fatal(err)
	}
	if _, pack = b.pass(t); pack.Status.LastHandledReconcileAt != "now" {
		t.Errorf("last handled %q, want now", pack.Status.LastHandledReconcileAt)
	}
}

func TestDeletion(t *testing.T) {
	left := errors.New("volume still in use")
	b := newBench(t, func(context.Context) error { return nil }, func() error { return left })
	_, pack := b.pass(t)
	if len(pack.Finalizers) != 1 {
		t.Fatalf("finalizers %v, want one", pack.Finalizers)
	}
	if err := b.client.Delete(t.Context(), pack); err != nil {
		t.Fatal(err)
	}
	result, pack := b.pass(t)
	if states(pack)["Ready"] != "False Failed" || result.RequeueAfter == 0 {
		t.Errorf("conditions %v, next pass after %s: want the reason, and another try", states(pack), result.RequeueAfter)
	}
	left = nil
	if _, pack = b.pass(t); pack.Name != "" {
		t.Error("want the object gone after its finalizer ran")
	}
}

// What a new object waits for is often made together with it: nothing is said before it had time to come.
func TestANewObjectMayWaitInSilence(t *testing.T) {
	b := newBench(t, func(context.Context) error { return Wait("DependencyNotReady", "x is not ready", time.Minute) }, nil)
	pack := &packv1.Pack{}
	if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: "b", Name: "a"}, pack); err != nil {
		t.Fatal(err)
	}
	recreate := func(made time.Time) {
		t.Helper()
		pack.CreationTimestamp = metav1.NewTime(made)
		if err := b.client.Update(t.Context(), pack); err != nil {
			t.Fatal(err)
		}
	}
	recreate(time.Now())
	result, now := b.pass(t)
	if result.RequeueAfter <= 0 || result.RequeueAfter > settlingDown {
		t.Errorf("the next look is after %s, want at most %s", result.RequeueAfter, settlingDown)
	}
	if len(now.Status.Conditions) != 0 || len(b.events) != 0 {
		t.Errorf("conditions %v and events %v, want none", now.Status.Conditions, b.events)
	}
	pack = now
	recreate(time.Now().Add(-time.Minute))
	if _, now = b.pass(t); states(now)["Ready"] != "False DependencyNotReady" {
		t.Errorf("conditions %v, want that it waits", states(now))
	}
}
