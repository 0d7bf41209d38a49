package kustomization

import (
	"context"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
)

// The indexes by which Kustomizations are found.
const (
	bySource     = "peyk.source"
	byDependency = "peyk.dependency"
)

func index(mgr ctrl.Manager) error {
	indexer := mgr.GetFieldIndexer()
	err := indexer.IndexField(context.Background(), &ksv1.Kustomization{}, bySource, func(obj client.Object) []string {
		return []string{sourceOf(obj.(*ksv1.Kustomization)).String()}
	})
	if err != nil {
		return err
	}
	return indexer.IndexField(context.Background(), &ksv1.Kustomization{}, byDependency, func(obj client.Object) []string {
		var keys []string
		for _, key := range dependenciesOf(obj.(*ksv1.Kustomization)) {
			keys = append(keys, key.String())
		}
		return keys
	})
}

// newArtifacts is a source that wakes the Kustomizations of an artifact as soon as it is stored.
func (c *Controller) newArtifacts() source.Source {
	return source.Func(func(ctx context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		c.artifacts.Subscribe(func(ref artifact.Ref) {
			for _, request := range c.find(ctx, bySource, ref.String()) {
				q.Add(request)
			}
		})
		return nil
	})
}

// dependents finds the Kustomizations that depend on obj.
func (c *Controller) dependents(ctx context.Context, obj client.Object) []ctrl.Request {
	return c.find(ctx, byDependency, client.ObjectKeyFromObject(obj).String())
}

func (c *Controller) find(ctx context.Context, field, value string) []ctrl.Request {
	found := &ksv1.KustomizationList{}
	if err := c.reader.List(ctx, found, client.MatchingFields{field: value}); err != nil {
		return nil
	}
	requests := make([]ctrl.Request, 0, len(found.Items))
	for i := range found.Items {
		requests = append(requests, ctrl.Request{NamespacedName: types.NamespacedName{
			Namespace: found.Items[i].Namespace, Name: found.Items[i].Name,
		}})
	}
	return requests
}

// progressed lets through a Kustomization that became ready or applied another revision: its dependents may go on.
func progressed() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			was, ok := e.ObjectOld.(*ksv1.Kustomization)
			is, okNew := e.ObjectNew.(*ksv1.Kustomization)
			if !ok || !okNew || !reconcile.IsReady(is, is.Status.ObservedGeneration) {
				return false
			}
			return !reconcile.IsReady(was, was.Status.ObservedGeneration) ||
				was.Status.LastAppliedRevision != is.Status.LastAppliedRevision
		},
	}
}
