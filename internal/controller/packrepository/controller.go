// Package packrepository reconciles PackRepositories and ClusterPackRepositories: it keeps the catalog of charts that
// Packs are resolved from.
package packrepository

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// Reasons of the Ready condition.
const (
	reasonFetched = "Succeeded"
	reasonFailed  = "FetchFailed"
	reasonInvalid = "InvalidSpec"
	reasonSecret  = "AuthenticationFailed"
)

// defaultInterval is the time between two reads of an index.
const defaultInterval = 10 * time.Minute

// Catalog is where the indexes of repositories are kept.
type Catalog interface {
	Refresh(ctx context.Context, key helm.Key, r helm.Repository) (*helm.Index, error)
	Fail(key helm.Key, problem error)
	Drop(key helm.Key)
}

// Deps are what the controllers need.
type Deps struct {
	Catalog Catalog
	Events  reconcile.EventRecorder
	Metrics *reconcile.Metrics
	// Namespace is Peyk's own, where the Secrets of ClusterPackRepositories are.
	Namespace string
	// Concurrent is how many repositories of each kind are read at the same time.
	Concurrent int
}

// repository is what the two kinds have in common.
type repository interface {
	reconcile.Object
	RepositorySpec() *packv1.PackRepositorySpec
	RepositoryStatus() *packv1.PackRepositoryStatus
}

// Setup adds the two controllers, and the built-in repositories, to mgr.
func Setup(mgr ctrl.Manager, d Deps) error {
	return errors.Join(
		add(mgr, d, packv1.PackRepositoryKind, func() *packv1.PackRepository { return &packv1.PackRepository{} }),
		add(mgr, d, packv1.ClusterPackRepositoryKind, func() *packv1.ClusterPackRepository { return &packv1.ClusterPackRepository{} }),
		mgr.Add(EnsureBuiltin{Client: mgr.GetClient()}),
	)
}

func add[T repository](mgr ctrl.Manager, d Deps, kind string, empty func() T) error {
	r := reader{catalog: d.Catalog, secrets: mgr.GetAPIReader(), namespace: d.Namespace}
	runner := reconcile.NewRunner(kindOf(kind, empty, r), reconcile.Options{
		Client: mgr.GetClient(), Events: d.Events, Metrics: d.Metrics,
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named(strings.ToLower(kind)).
		For(empty(), builder.WithPredicates(reconcile.Changed())).
		WithOptions(controller.Options{MaxConcurrentReconciles: d.Concurrent}).
		Complete(&dropper[T]{Runner: runner, kind: kind, empty: empty, client: mgr.GetClient(), catalog: d.Catalog})
	if err != nil {
		return fmt.Errorf("adding the controller of %s: %w", kind, err)
	}
	return nil
}

func kindOf[T repository](name string, empty func() T, r reader) reconcile.Kind[T] {
	return reconcile.Kind[T]{
		Name: name,
		New:  empty,
		Fields: func(obj T) reconcile.Fields {
			status := obj.RepositoryStatus()
			return reconcile.Fields{ObservedGeneration: &status.ObservedGeneration, LastHandled: &status.LastHandledReconcileAt}
		},
		Suspended: func(obj T) bool { return obj.RepositorySpec().Suspend },
		Interval:  func(obj T) time.Duration { return interval(obj.RepositorySpec()) },
		Retry: func(obj T, n int) time.Duration {
			if every := interval(obj.RepositorySpec()); every > 0 {
				return min(reconcile.Backoff(n), every)
			}
			return reconcile.Backoff(n)
		},
		Plan: func(obj T) reconcile.Pass {
			p := &pass{reader: r, obj: obj, kind: name}
			return reconcile.Pass{
				Phases: []reconcile.Phase{
					{Name: "credentials", Run: p.readCredentials},
					{Name: "index", Run: p.readIndex},
				},
				Ready: p.ready,
			}
		},
	}
}

// interval is zero for built-in repositories, which never change while the process runs.
func interval(spec *packv1.PackRepositorySpec) time.Duration {
	if strings.HasPrefix(spec.URL, "builtin://") {
		return 0
	}
	if spec.Interval == nil || spec.Interval.Duration <= 0 {
		return defaultInterval
	}
	return spec.Interval.Duration
}

// dropper takes a repository that was deleted out of the catalog.
type dropper[T repository] struct {
	*reconcile.Runner[T]
	kind    string
	empty   func() T
	client  client.Reader
	catalog Catalog
}

// Reconcile implements controller-runtime's Reconciler.
func (d *dropper[T]) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	result, err := d.Runner.Reconcile(ctx, req)
	if apierrors.IsNotFound(d.client.Get(ctx, req.NamespacedName, d.empty())) {
		d.catalog.Drop(helm.Key{Kind: d.kind, Namespace: req.Namespace, Name: req.Name})
	}
	return result, err
}
