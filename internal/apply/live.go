package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/peyk/peyk/internal/kube"
)

type liveKey struct {
	class string
	id    ObjectID
}

// live is what is kept of an object in the cluster: its body is dropped.
type live struct {
	owner   Owner
	uid     types.UID
	version string
	hash    Hash
	keep    bool // annotated not to be pruned
	health  status.Status
	message string
}

type watchKey struct {
	class string
	kind  schema.GroupKind
}

// watch follows the objects of one kind that one class of owners has.
type watch struct {
	synced bool
	err    error // of the last list or watch, until it works again
}

// syncTimeout is how long Apply waits for the first list of a kind.
const syncTimeout = 30 * time.Second

// watchKinds starts the watches of the kinds that are not watched yet, and waits for their first lists. Kinds that the
// cluster does not serve are left out.
func (e *Engine) watchKinds(ctx context.Context, class Class, kinds []schema.GroupVersionKind) error {
	if err := e.waitUntil(ctx, func() bool { return e.ctx != nil }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	for _, gvk := range kinds {
		if err := e.watchKind(class, gvk); err != nil {
			return err
		}
	}
	for _, gvk := range kinds {
		w := e.watchOf(watchKey{class.Kind, gvk.GroupKind()})
		if w == nil {
			continue
		}
		if err := e.waitUntil(ctx, func() bool { return w.synced }); err != nil {
			return e.syncError(gvk, w, err)
		}
	}
	return nil
}

func (e *Engine) syncError(gvk schema.GroupVersionKind, w *watch, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.err != nil {
		err = w.err
	}
	return fmt.Errorf("watching %s: %w; Peyk needs list and watch on the kinds that it applies", gvk.Kind, err)
}

func (e *Engine) watchOf(key watchKey) *watch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.watches[key]
}

func (e *Engine) watchKind(class Class, gvk schema.GroupVersionKind) error {
	key := watchKey{class.Kind, gvk.GroupKind()}
	if e.watchOf(key) != nil {
		return nil
	}
	mapping, err := e.own.Mapping(gvk)
	if err != nil {
		return nil //nolint:nilerr // an unknown kind is the dry run's error, which names the object
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watches[key] != nil {
		return nil
	}
	w := &watch{}
	e.watches[key] = w
	resource := e.own.Dynamic.Resource(mapping.Resource)
	ctx := e.ctx
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = class.NameLabel
			list, err := resource.List(ctx, o)
			return list, e.note(w, err)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.LabelSelector = class.NameLabel
			events, err := resource.Watch(ctx, o)
			return events, e.note(w, err)
		},
	}
	expected := &unstructured.Unstructured{}
	expected.SetGroupVersionKind(mapping.GroupVersionKind)
	store := &liveStore{engine: e, class: class, watch: w, kind: gvk.GroupKind()}
	reflector := cache.NewReflectorWithOptions(lw, expected, store, cache.ReflectorOptions{
		Name: class.Kind + "s' " + gvk.Kind, TypeDescription: gvk.String(),
	})
	go reflector.RunWithContext(ctx)
	return nil
}

func (e *Engine) note(w *watch, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.err = err
	return err
}

// liveStore receives what a reflector sees. It implements cache.ReflectorStore and keeps hashes instead of objects.
type liveStore struct {
	engine *Engine
	class  Class
	watch  *watch
	kind   schema.GroupKind
}

// Add takes in a new object.
func (s *liveStore) Add(obj any) error { return s.Update(obj) }

// Update takes in a changed object.
func (s *liveStore) Update(obj any) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("watching %s: unexpected %T", s.kind, obj)
	}
	l := s.class.observe(u)
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	s.engine.seen(s.class, IDOf(u), l)
	s.engine.notify()
	return nil
}

// Delete takes in that an object is gone, or is no longer labelled.
func (s *liveStore) Delete(obj any) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("watching %s: unexpected %T", s.kind, obj)
	}
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	s.engine.gone(s.class, IDOf(u), u.GetResourceVersion())
	s.engine.notify()
	return nil
}

// Replace takes in everything that there is: the first list, or one after the watch was lost.
func (s *liveStore) Replace(list []any, version string) error {
	there := make(map[ObjectID]live, len(list))
	for _, obj := range list {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("listing %s: unexpected %T", s.kind, obj)
		}
		there[IDOf(u)] = s.class.observe(u)
	}
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	for key := range s.engine.live {
		if key.class != s.class.Kind || key.id.Group != s.kind.Group || key.id.Kind != s.kind.Kind {
			continue
		}
		if _, ok := there[key.id]; !ok {
			s.engine.gone(s.class, key.id, version)
		}
	}
	for id, l := range there {
		s.engine.seen(s.class, id, l)
	}
	s.watch.synced = true
	s.engine.notify()
	return nil
}

// Resync does nothing: there is no second consumer to bring up to date.
func (s *liveStore) Resync() error { return nil }

// The annotations with which a user keeps an object from being pruned, or from being touched at all.
const (
	pruneAnnotation     = "kustomize.toolkit.fluxcd.io/prune"
	reconcileAnnotation = "kustomize.toolkit.fluxcd.io/reconcile"
	ssaAnnotation       = "kustomize.toolkit.fluxcd.io/ssa"
	disabled            = "disabled"
)

// observe reduces an object to what is kept of it.
func (c Class) observe(u *unstructured.Unstructured) live {
	labels, annotations := u.GetLabels(), u.GetAnnotations()
	l := live{
		owner:   Owner{c.Kind, labels[c.NamespaceLabel], labels[c.NameLabel]},
		uid:     u.GetUID(),
		version: u.GetResourceVersion(),
		hash:    liveHash(u, c.Manager),
		keep: annotations[pruneAnnotation] == disabled || annotations[reconcileAnnotation] == disabled ||
			annotations[ssaAnnotation] == "Ignore",
	}
	result, err := status.Compute(u)
	if err != nil {
		l.health, l.message = status.UnknownStatus, err.Error()
		return l
	}
	l.health, l.message = result.Status, result.Message
	return l
}

// seen takes in the state of an object, unless a newer one is known. The lock is held.
func (e *Engine) seen(class Class, id ObjectID, l live) {
	key := liveKey{class.Kind, id}
	was, known := e.live[key]
	if known && was.uid == l.uid && !kube.Newer(l.version, was.version) {
		return
	}
	e.live[key] = l
	t := e.trackedBy(l.owner, id)
	switch {
	case t == nil && known && was.owner != l.owner:
		e.wake(was.owner, e.trackedBy(was.owner, id))
	case t == nil:
	case l.hash != t.live && kube.Newer(l.version, t.version):
		e.wake(l.owner, t)
	case !known || was.health != l.health || was.message != l.message:
		e.wake(l.owner, nil)
	}
}

// gone takes in that an object was deleted at a resource version. The lock is held.
func (e *Engine) gone(class Class, id ObjectID, version string) {
	key := liveKey{class.Kind, id}
	was, known := e.live[key]
	if !known || !kube.Newer(version, was.version) {
		return
	}
	delete(e.live, key)
	e.wake(was.owner, e.trackedBy(was.owner, id))
}

func (e *Engine) trackedBy(owner Owner, id ObjectID) *tracked {
	if o := e.owned[owner]; o != nil {
		return o.objects[id]
	}
	return nil
}
