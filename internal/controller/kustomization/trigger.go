package kustomization

import (
	"context"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
)

// The indexes by which Kustomizations are found.
const (
	bySource     = "peyk.source"
	byDependency = "peyk.dependency"
	byReference  = "peyk.reference"
)

func index(mgr ctrl.Manager, ageKeys types.NamespacedName) error {
	for field, keys := range map[string]func(*ksv1.Kustomization) []string{
		bySource: func(k *ksv1.Kustomization) []string { return []string{sourceOf(k).String()} },
		byDependency: func(k *ksv1.Kustomization) []string {
			var all []string
			for _, key := range dependenciesOf(k) {
				all = append(all, key.String())
			}
			return all
		},
		byReference: func(k *ksv1.Kustomization) []string {
			var all []string
			for _, ref := range referencesOf(k, ageKeys) {
				all = append(all, ref.String())
			}
			return all
		},
	} {
		err := mgr.GetFieldIndexer().IndexField(context.Background(), &ksv1.Kustomization{}, field, func(obj client.Object) []string {
			return keys(obj.(*ksv1.Kustomization))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// newArtifacts is a source that wakes the Kustomizations of an artifact as soon as it is stored.
func (c *Controller) newArtifacts() source.Source {
	return source.Func(func(ctx context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		c.sources.Artifacts.Subscribe(func(ref artifact.Ref) {
			c.wakeFollowers(ctx, q, ref)
		})
		return nil
	})
}

// wakeFollowers wakes the Kustomizations of a source. Those for which the new artifact is as the old one only note the new
// revision, and do so after everybody else; unless others depend on them, who wait for that revision.
func (c *Controller) wakeFollowers(ctx context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request], ref artifact.Ref) {
	found, ok := c.sources.Artifacts.Get(ref)
	if !ok {
		return
	}
	var unchanged []ctrl.Request
	for _, k := range c.find(ctx, bySource, ref.String()) {
		if m := c.remembered(&k); m.built.reads == nil || !m.built.reads.SameIn(found.Dir) {
			q.Add(requestFor(&k))
			continue
		}
		c.remember(&k, func(m *memo) { m.built.digest, m.built.revision, m.built.dir = found.Digest, found.Revision, found.Dir })
		if len(c.find(ctx, byDependency, requestFor(&k).String())) > 0 {
			q.Add(requestFor(&k))
			continue
		}
		unchanged = append(unchanged, requestFor(&k))
	}
	if prioritized, ok := q.(priorityqueue.PriorityQueue[ctrl.Request]); ok {
		prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: new(handler.LowPriority)}, unchanged...)
		return
	}
	for _, request := range unchanged {
		q.Add(request)
	}
}

// followers finds the Kustomizations of an artifact that another program made: it is fetched when one of them asks for it.
func (c *Controller) followers(ctx context.Context, obj client.Object) []ctrl.Request {
	ref := artifact.Ref{Kind: sourcev1.ExternalArtifactKind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
	var requests []ctrl.Request
	for _, k := range c.find(ctx, bySource, ref.String()) {
		requests = append(requests, requestFor(&k))
	}
	return requests
}

// referrers finds the Kustomizations that read a ConfigMap or Secret.
func (c *Controller) referrers(kind string) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []ctrl.Request {
		var requests []ctrl.Request
		for _, k := range c.find(ctx, byReference, reference{kind, client.ObjectKeyFromObject(obj)}.String()) {
			requests = append(requests, requestFor(&k))
		}
		return requests
	}
}

// dependents wakes the Kustomizations that depend on one which became ready or applied another revision, and those that
// ask for something else of it when anything of it changed.
func (c *Controller) dependents() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
		was, ok := e.ObjectOld.(*ksv1.Kustomization)
		is, okNew := e.ObjectNew.(*ksv1.Kustomization)
		if !ok || !okNew || equality.Semantic.DeepEqual(was, is) {
			return
		}
		key := client.ObjectKeyFromObject(is)
		all := progressed(was, is)
		for _, k := range c.find(ctx, byDependency, key.String()) {
			if all || asks(&k, key) {
				q.Add(requestFor(&k))
			}
		}
	}}
}

// asks says whether k has an expression over the dependency of that key.
func asks(k *ksv1.Kustomization, key types.NamespacedName) bool {
	for i, dependency := range dependenciesOf(k) {
		if dependency == key && k.Spec.DependsOn[i].ReadyExpr != "" {
			return true
		}
	}
	return false
}

// progressed says whether a Kustomization became ready or applied another revision: its dependents may go on.
func progressed(was, is *ksv1.Kustomization) bool {
	if !reconcile.IsReady(is, is.Status.ObservedGeneration) {
		return false
	}
	return !reconcile.IsReady(was, was.Status.ObservedGeneration) || was.Status.LastAppliedRevision != is.Status.LastAppliedRevision
}

func requestFor(k *ksv1.Kustomization) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(k)}
}

func (c *Controller) find(ctx context.Context, field, value string) []ksv1.Kustomization {
	found := &ksv1.KustomizationList{}
	if err := c.reader.List(ctx, found, client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	return found.Items
}
