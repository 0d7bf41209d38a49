// Package follow is what the controllers of sources have in common: a source follows something elsewhere, and stores what
// it finds as an artifact.
package follow

import (
	"context"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
)

// Deps are what every controller of sources needs.
type Deps struct {
	Artifacts *artifact.Store
	Events    reconcile.EventRecorder
	Metrics   *reconcile.Metrics
	// Concurrent is how many objects of the kind are worked on at the same time.
	Concurrent int
}

// Source is an object that follows something elsewhere.
type Source interface {
	reconcile.Object
	GetArtifact() *meta.Artifact
	GetRequeueAfter() time.Duration
}

// Kind is what one kind of source has of its own.
type Kind[T Source] struct {
	// Name of the kind, as in logs, events and metrics.
	Name string
	// New returns an empty object.
	New func() T
	// Fields returns the shared fields of an object's status.
	Fields func(T) reconcile.Fields
	// Suspended says whether an object is to be left alone.
	Suspended func(T) bool
	// Plan returns the pass over an object.
	Plan func(T) reconcile.Pass
	// Metadata adds to the facts that every event of an object with an artifact carries. Optional.
	Metadata func(obj T, facts map[string]string)
	// Mute says that no Kubernetes event tells what went well with an object: see reconcile.Kind. Optional.
	Mute func(T) bool
	// Forget drops what is kept of an object beside its artifact. Optional.
	Forget func(T)
}

// Setup adds the controller of a kind to mgr; watch adds what wakes its objects beside their own changes.
func Setup[T Source](mgr ctrl.Manager, kind Kind[T], d Deps, watch ...func(*ctrl.Builder)) error {
	return NewRunner(mgr.GetClient(), kind, d).AddTo(mgr, d.Concurrent, watch...)
}

// NewRunner returns what makes the passes over the objects of a kind.
func NewRunner[T Source](api client.Client, kind Kind[T], d Deps) *reconcile.Runner[T] {
	return reconcile.NewRunner(kind.kind(d.Artifacts), reconcile.Options{Client: api, Events: d.Events, Metrics: d.Metrics})
}

func (k Kind[T]) kind(artifacts *artifact.Store) reconcile.Kind[T] {
	return reconcile.Kind[T]{
		Name:      k.Name,
		New:       k.New,
		Finalizer: sourcev1.SourceFinalizer,
		Fields:    k.Fields,
		Suspended: k.Suspended,
		Interval:  func(obj T) time.Duration { return obj.GetRequeueAfter() },
		Plan:      k.Plan,
		Metadata:  k.metadata,
		Mute:      k.Mute,
		// A source that is ready for yet another revision has told of the artifact.
		Finished: func(obj T, _ time.Duration) (string, map[string]string) { return readyMessage(obj), nil },
		Finalize: func(_ context.Context, obj T) error {
			if k.Forget != nil {
				k.Forget(obj)
			}
			return artifacts.Remove(RefOf(k.Name, obj))
		},
	}
}

// metadata are the facts of an object's events.
func (k Kind[T]) metadata(obj T) map[string]string {
	a := obj.GetArtifact()
	if a == nil {
		return nil
	}
	facts := map[string]string{reconcile.MetaRevision: a.Revision, "digest": a.Digest}
	if k.Metadata != nil {
		k.Metadata(obj, facts)
	}
	return facts
}

// RefOf returns where the artifact of an object is stored.
func RefOf(kind string, obj client.Object) artifact.Ref {
	return artifact.Ref{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// defaultTimeout is how long one pass may take where spec.timeout says nothing.
const defaultTimeout = 60 * time.Second

// Within returns ctx that ends when spec.timeout is over.
func Within(ctx context.Context, timeout *metav1.Duration) (context.Context, context.CancelFunc) {
	if timeout == nil {
		return context.WithTimeout(ctx, defaultTimeout)
	}
	return context.WithTimeout(ctx, timeout.Duration)
}
