package secretreflector

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// The indexes by which SecretReflectors, and copies, are found.
const (
	bySource = "peyk.source"
	byName   = "peyk.copy"
	byOwner  = "peyk.reflector"
)

func index(mgr ctrl.Manager) error {
	ctx, indexer := context.Background(), mgr.GetFieldIndexer()
	for field, key := range map[string]func(*packv1.SecretReflector) string{
		bySource: func(r *packv1.SecretReflector) string { return r.Namespace + "/" + r.Spec.SecretRef.Name },
		byName:   func(r *packv1.SecretReflector) string { return r.CopyName() },
	} {
		err := indexer.IndexField(ctx, &packv1.SecretReflector{}, field, func(obj client.Object) []string {
			return []string{key(obj.(*packv1.SecretReflector))} //nolint:forcetypeassert // of that kind
		})
		if err != nil {
			return err
		}
	}
	secrets := &metav1.PartialObjectMetadata{}
	secrets.SetGroupVersionKind(secretKind)
	return indexer.IndexField(ctx, secrets, byOwner, func(obj client.Object) []string {
		if owner := ownerOf(obj); owner.Name != "" {
			return []string{owner.String()}
		}
		return nil
	})
}

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// secrets wakes the SecretReflectors that copy a Secret, that a copy belongs to, and that found one in their way which goes.
func (c *Controller) secrets() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { c.secretChanged(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if was := ownerOf(e.ObjectOld); was.Name != "" && was != ownerOf(e.ObjectNew) {
				q.Add(ctrl.Request{NamespacedName: was})
			}
			c.secretChanged(ctx, e.ObjectNew, q)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			if owner := ownerOf(e.Object); owner.Name != "" {
				c.lost(owner, e.Object.GetNamespace())
			}
			c.secretChanged(ctx, e.Object, q)
			c.wake(ctx, q, byName, e.Object.GetName())
		},
	}
}

func (c *Controller) secretChanged(ctx context.Context, secret client.Object, q queue) {
	owner := ownerOf(secret)
	if owner.Name != "" && !c.isOwnEcho(owner, secret.GetNamespace(), secret.GetResourceVersion()) {
		q.Add(ctrl.Request{NamespacedName: owner})
	}
	c.wake(ctx, q, bySource, client.ObjectKeyFromObject(secret).String())
}

func (c *Controller) wake(ctx context.Context, q queue, field, value string) {
	found := &packv1.SecretReflectorList{}
	if err := c.cached.List(ctx, found, client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "listing SecretReflectors")
	}
	for i := range found.Items {
		q.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&found.Items[i])})
	}
}

// namespaces wakes the SecretReflectors that a namespace is, or was, a target of.
func (c *Controller) namespaces() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { c.namespaceChanged(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if said(e.ObjectOld) != said(e.ObjectNew) {
				c.namespaceChanged(ctx, q, e.ObjectOld, e.ObjectNew)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { c.namespaceChanged(ctx, q, e.Object) },
	}
}

// said is what a namespace says about what may be copied into it.
func said(namespace client.Object) [3]string {
	going := ""
	if namespace.GetDeletionTimestamp() != nil {
		going = "going"
	}
	return [3]string{labels.Set(namespace.GetLabels()).String(), namespace.GetAnnotations()[packv1.AllowReflectionFrom], going}
}

func (c *Controller) namespaceChanged(ctx context.Context, q queue, states ...client.Object) {
	all := &packv1.SecretReflectorList{}
	if err := c.cached.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "listing SecretReflectors")
	}
	for i := range all.Items {
		targets := &all.Items[i].Spec.Targets
		if slices.ContainsFunc(states, func(namespace client.Object) bool { return concerns(targets, namespace) }) {
			q.Add(ctrl.Request{NamespacedName: types.NamespacedName{Namespace: all.Items[i].Namespace, Name: all.Items[i].Name}})
		}
	}
}

// concerns says whether a namespace is among the targets, or was in that state.
func concerns(targets *packv1.ReflectorTargets, namespace client.Object) bool {
	if slices.Contains(targets.Namespaces, namespace.GetName()) {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(targets.NamespaceSelector) // of nil: nothing
	return err == nil && selector.Matches(labels.Set(namespace.GetLabels()))
}
