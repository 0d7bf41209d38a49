// Package bench is what the tests of a controller stand on: a cluster in memory with one kind of objects, an artifact
// store, and a record of what the controller said and wrote.
package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/peyk/peyk/internal/artifact"
)

// Object is what a controller reconciles.
type Object interface {
	client.Object
	GetConditions() []metav1.Condition
}

// Bench is a cluster, and the controller of one kind.
type Bench[T Object] struct {
	*testing.T
	Client client.Client
	Store  *artifact.Store
	// Controller makes the passes; the test sets it.
	Controller reconcile.Reconciler
	// Events are what was said: object, type, reason and message.
	Events []string
	// Writes counts the patches of statuses.
	Writes int
	// Data is the folder for what outlives a restart of the process: Store keeps its artifacts in it.
	Data string

	new func() T
}

// New returns a bench with objects in its cluster, and without a controller. empty returns an object of the kind.
func New[T Object](t *testing.T, empty func() T, objects ...client.Object) *Bench[T] {
	t.Helper()
	b := &Bench[T]{T: t, new: empty, Data: t.TempDir()}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, notificationv1.AddToScheme, corev1.AddToScheme} {
		b.Must(add(scheme))
	}
	b.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(empty()).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
				b.Writes++
				return c.SubResource(sub).Patch(ctx, obj, p, o...)
			},
		}).Build()
	b.Reopen()
	return b
}

// Reopen makes Store anew on the same data, as a restart of the process does.
func (b *Bench[T]) Reopen() {
	b.Helper()
	b.Store = NewStore(b.T, filepath.Join(b.Data, "artifacts"))
}

// NewStore returns an artifact store in dir.
func NewStore(t *testing.T, dir string) *artifact.Store {
	t.Helper()
	store, err := artifact.New(dir, "http://peyk.test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// Eventf records an event. It makes the bench the controller's recorder.
func (b *Bench[T]) Eventf(regarding, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	name := regarding.(client.Object).GetName()
	b.Events = append(b.Events, name+" "+eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

// Must ends the test with err, if there is one.
func (b *Bench[T]) Must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// Create makes an object, in the namespace default and of the first generation.
func (b *Bench[T]) Create(name string, obj T) {
	b.Helper()
	obj.SetNamespace("default")
	obj.SetName(name)
	obj.SetGeneration(1)
	b.Must(b.Client.Create(b.Context(), obj))
}

// Update changes the spec of an object.
func (b *Bench[T]) Update(name string, change func(T)) {
	b.Helper()
	obj := b.Get(name)
	change(obj)
	obj.SetGeneration(obj.GetGeneration() + 1)
	b.Must(b.Client.Update(b.Context(), obj))
}

// Get returns an object as the cluster has it.
func (b *Bench[T]) Get(name string) T {
	b.Helper()
	obj := b.new()
	b.Must(b.Client.Get(b.Context(), key(name), obj))
	return obj
}

// Pass makes one pass over an object and returns what became of it.
func (b *Bench[T]) Pass(name string) (T, ctrl.Result) {
	b.Helper()
	result, err := b.Controller.Reconcile(b.Context(), ctrl.Request{NamespacedName: key(name)})
	b.Must(err)
	return b.Get(name), result
}

// MustBeReady makes one pass over an object, which must be ready then.
func (b *Bench[T]) MustBeReady(name string) T {
	b.Helper()
	obj, _ := b.Pass(name)
	if c := apimeta.FindStatusCondition(obj.GetConditions(), "Ready"); c == nil || c.Status != metav1.ConditionTrue {
		b.Fatalf("not ready: %+v", obj.GetConditions())
	}
	return obj
}

// Delete deletes an object and makes the pass that ends it. Neither it nor its artifact may be left, which is at ref.
func (b *Bench[T]) Delete(obj T, ref artifact.Ref) {
	b.Helper()
	b.Must(b.Client.Delete(b.Context(), obj))
	_, err := b.Controller.Reconcile(b.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)})
	b.Must(err)
	if err := b.Client.Get(b.Context(), client.ObjectKeyFromObject(obj), b.new()); !apierrors.IsNotFound(err) {
		b.Errorf("the object is still there: %v", err)
	}
	if _, ok := b.Store.Get(ref); ok {
		b.Error("the artifact is still there")
	}
}

func key(name string) client.ObjectKey { return client.ObjectKey{Namespace: "default", Name: name} }

// Good are the conditions of a source that has its artifact.
var Good = map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"}

// States reduces the conditions of an object to type, status and reason.
func States(obj Object) map[string]string {
	states := map[string]string{}
	for _, c := range obj.GetConditions() {
		states[c.Type] = string(c.Status) + " " + c.Reason
	}
	return states
}

// Message returns the message of an object's condition Ready.
func Message(obj Object) string {
	if c := apimeta.FindStatusCondition(obj.GetConditions(), "Ready"); c != nil {
		return c.Message
	}
	return ""
}

// Equal fails the test when got is not what is wanted.
func Equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}
