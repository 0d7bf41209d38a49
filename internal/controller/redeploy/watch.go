package redeploy

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/apply"
	rules "github.com/peyk/peyk/internal/pack"
)

// watchList knows who watches what.
type watchList struct {
	mu       sync.Mutex
	watches  map[workload][]object
	watchers map[object]map[workload]bool
}

// set says what w watches from now on. It returns what nobody watches any more.
func (l *watchList) set(w workload, objects []object) (unwatched []object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Equal(l.watches[w], objects) {
		return nil
	}
	for _, o := range l.watches[w] {
		delete(l.watchers[o], w)
		if len(l.watchers[o]) == 0 {
			delete(l.watchers, o)
			unwatched = append(unwatched, o)
		}
	}
	delete(l.watches, w)
	if len(objects) == 0 {
		return unwatched
	}
	if l.watches == nil {
		l.watches, l.watchers = map[workload][]object{}, map[object]map[workload]bool{}
	}
	l.watches[w] = objects
	for _, o := range objects {
		if l.watchers[o] == nil {
			l.watchers[o] = map[workload]bool{}
		}
		l.watchers[o][w] = true
	}
	return slices.DeleteFunc(unwatched, func(o object) bool { return l.watchers[o] != nil })
}

// of lists who watches an object.
func (l *watchList) of(o object) []workload {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []workload
	for w := range l.watchers[o] {
		all = append(all, w)
	}
	return all
}

func objectsOf(namespace string, refs []Ref) []object {
	var all []object
	for _, ref := range refs {
		all = append(all, object{ref.Kind, types.NamespacedName{Namespace: namespace, Name: ref.Name}})
	}
	return all
}

// refsOf returns what a workload watches: what its own annotation names, and that of its Pack. It says too whether that is all:
// an annotation that is written wrongly, which is said once, or whose Pack is suspended names nothing for the time being.
func (c *Controller) refsOf(ctx context.Context, w workload, obj *metav1.PartialObjectMetadata) (refs []Ref, keep bool, err error) {
	if value, ok := obj.Annotations[Annotation]; ok {
		refs, ok = c.parse(w, obj, value)
		keep = !ok
	}
	pack, err := c.packOf(ctx, obj)
	if pack == nil || err != nil || pack.Annotations[Annotation] == "" {
		return refs, keep, err
	}
	named, err := Parse(pack.Annotations[Annotation])
	if err != nil || pack.Spec.Suspend {
		return refs, true, nil
	}
	for _, ref := range named {
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs, keep, nil
}

// packOf returns the Pack whose release a workload belongs to, or nil. A Pack of another namespace, which a label can name
// that anybody set, is none.
func (c *Controller) packOf(ctx context.Context, obj *metav1.PartialObjectMetadata) (*packv1.Pack, error) {
	name := obj.Labels[apply.Packs.NameLabel]
	if name == "" || obj.Labels[apply.Packs.NamespaceLabel] != obj.Namespace {
		return nil, nil
	}
	pack := &packv1.Pack{}
	err := c.client.Get(ctx, types.NamespacedName{Namespace: obj.Namespace, Name: name}, pack)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return pack, err
}

// parse reads the annotation of obj, and says once what is wrong with it.
func (c *Controller) parse(w workload, obj client.Object, value string) ([]Ref, bool) {
	refs, err := Parse(value)
	m := c.memo(w)
	if err == nil {
		m.wrong = nil
		return refs, true
	}
	if m.wrong == nil || *m.wrong != value {
		c.say(obj, corev1.EventTypeWarning, "Invalid", err.Error())
	}
	m.wrong = &value
	return nil, false
}

// checkPack says when the annotation of a Pack is wrong. Its workloads are woken by the same event.
func (c *Controller) checkPack(ctx context.Context, w workload) error {
	pack := &packv1.Pack{}
	err := c.client.Get(ctx, w.NamespacedName, pack)
	if value, ok := pack.Annotations[Annotation]; ok && err == nil {
		c.parse(w, pack, value)
		return nil
	}
	c.forgetMemo(w)
	return client.IgnoreNotFound(err)
}

// annotated lets through what says something else than before about what is watched.
func annotated() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return said(e.ObjectOld) != said(e.ObjectNew)
	}}
}

// said is what an object says about what is watched. Of a Pack that watches something its last application is a part, for that is
// when there are workloads which nobody has seen that are not watched themselves.
func said(obj client.Object) [7]string {
	pack, _ := obj.(*packv1.Pack)
	suspended, going, applied := "", "", ""
	if pack != nil && pack.Spec.Suspend {
		suspended = "suspended"
	}
	if pack != nil && pack.Annotations[Annotation] != "" {
		applied = fmt.Sprint(pack.Status.ReleaseRevision, pack.Status.LastAppliedTime)
	}
	if obj.GetDeletionTimestamp() != nil {
		going = "going"
	}
	return [7]string{
		obj.GetAnnotations()[Annotation], obj.GetAnnotations()[stateAnnotation],
		obj.GetLabels()[apply.Packs.NameLabel], obj.GetLabels()[apply.Packs.NamespaceLabel], suspended, going, applied,
	}
}

type wake = handler.TypedEventHandler[client.Object, workload]

// workloads wakes a workload for what happens to itself.
func workloads(gvk schema.GroupVersionKind) wake {
	return handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []workload {
		return []workload{{gvk, client.ObjectKeyFromObject(obj)}}
	})
}

// watchers wakes those who watch a ConfigMap or Secret.
func (c *Controller) watchers(kind string) wake {
	return handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []workload {
		return c.watch.of(object{kind, client.ObjectKeyFromObject(obj)})
	})
}

// ofPack wakes a Pack and the workloads of its release.
func (c *Controller) ofPack() wake {
	return handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, pack client.Object) []workload {
		all := []workload{{packs, client.ObjectKeyFromObject(pack)}}
		labels := client.MatchingLabels{apply.Packs.NameLabel: pack.GetName(), apply.Packs.NamespaceLabel: pack.GetNamespace()}
		for _, kind := range rules.Workloads() {
			if kind.Foreign && pack.GetAnnotations()[Annotation] == "" {
				continue // nothing of it is asked for, and a call for each Pack is much
			}
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
			err := c.readerOf(kind.GroupVersionKind).List(ctx, list, client.InNamespace(pack.GetNamespace()), labels, client.UnsafeDisableDeepCopy)
			if err != nil && !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
				log.FromContext(ctx).Error(err, "listing the workloads of a Pack", "kind", kind.Kind)
			}
			for i := range list.Items {
				all = append(all, workload{kind.GroupVersionKind, client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
		return all
	})
}
