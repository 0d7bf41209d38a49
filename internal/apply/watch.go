package apply

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

type watchKey struct {
	class string
	kind  schema.GroupVersionKind
}

// watch follows the objects of one kind that one class of owners has.
type watch struct {
	synced bool
	// polled says that Peyk may not list the kind: its objects are looked at one by one, with the rights of their owners.
	polled bool
	err    error // of the last list or watch, until it works again
	absent int   // how many times in a row the cluster said that there is no such kind
	stop   context.CancelFunc
}

// definitionLag is how often a kind may be unknown before that is believed: right after its definition is in place it still
// is for a moment.
const definitionLag = 3

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
		e.watchKind(class, gvk)
	}
	for _, gvk := range kinds {
		w := e.watchOf(watchKey{class.Kind, gvk})
		if w == nil {
			continue
		}
		if err := e.waitUntil(ctx, func() bool { return w.synced || w.polled }); err != nil {
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
	return fmt.Errorf("watching %s: %w", gvk.Kind, err)
}

func (e *Engine) watchOf(key watchKey) *watch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.watches[key]
}

// isPolled says whether the objects of a kind are looked at one by one.
func (e *Engine) isPolled(class Class, gvk schema.GroupVersionKind) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.watches[watchKey{class.Kind, gvk}]
	return w != nil && w.polled
}

func (e *Engine) watchKind(class Class, gvk schema.GroupVersionKind) {
	key := watchKey{class.Kind, gvk}
	if e.watchOf(key) != nil {
		return
	}
	mapping, err := e.own.Mapping(gvk)
	if err != nil {
		return // an unknown kind is the dry run's error, which names the object
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watches[key] != nil {
		return
	}
	ctx, stop := context.WithCancel(e.ctx)
	w := &watch{stop: stop}
	e.watches[key] = w
	resource := e.own.Dynamic.Resource(mapping.Resource)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = class.NameLabel
			list, err := resource.List(ctx, o)
			return list, e.note(key, w, err)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.LabelSelector = class.NameLabel
			events, err := resource.Watch(ctx, o)
			if apierrors.IsForbidden(err) {
				return events, err // a list follows, again and again: that does too, when it is allowed
			}
			return events, e.note(key, w, err)
		},
	}
	expected := &unstructured.Unstructured{}
	expected.SetGroupVersionKind(mapping.GroupVersionKind)
	store := &liveStore{engine: e, class: class, watch: w, kind: gvk}
	reflector := cache.NewReflectorWithOptions(lw, expected, store, cache.ReflectorOptions{
		Name: class.Kind + "s' " + gvk.Kind, TypeDescription: gvk.String(),
	})
	go reflector.RunWithContext(ctx)
}

// note takes in how a list or the start of a watch went.
func (e *Engine) note(key watchKey, w *watch, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.err = err
	if err == nil {
		w.absent = 0
	}
	switch {
	case apierrors.IsForbidden(err):
		if !w.polled {
			e.log.Info("kind cannot be watched, so its objects are polled", "kind", key.kind.String(), "reason", err.Error())
		}
		w.polled = true
		e.notify()
	case apierrors.IsNotFound(err):
		if w.absent++; w.absent > definitionLag {
			e.unwatch(key, w)
		}
	}
	return err
}

// unwatch ends the watch of a kind that the cluster does not serve any more. The lock is held.
func (e *Engine) unwatch(key watchKey, w *watch) {
	w.stop()
	if e.watches[key] == w {
		delete(e.watches, key)
	}
	for known := range e.live {
		if known.class == key.class && known.id.Group == key.kind.Group && known.id.Kind == key.kind.Kind && !e.watchedOtherwise(known) {
			e.vanished(e.classes[key.class], known.id)
		}
	}
	w.synced = true // nobody is to wait for it
	e.notify()
}

// watchedOtherwise says whether another version of an object's kind is watched. The lock is held.
func (e *Engine) watchedOtherwise(key liveKey) bool {
	for other := range e.watches {
		if other.class == key.class && other.kind.Group == key.id.Group && other.kind.Kind == key.id.Kind {
			return true
		}
	}
	return false
}

// liveStore receives what a reflector sees. It implements cache.ReflectorStore and keeps hashes instead of objects.
type liveStore struct {
	engine *Engine
	class  Class
	watch  *watch
	kind   schema.GroupVersionKind
}

// Add takes in a new object.
func (s *liveStore) Add(obj any) error { return s.Update(obj) }

// Update takes in a changed object.
func (s *liveStore) Update(obj any) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("watching %s: unexpected %T", s.kind, obj)
	}
	l := s.engine.observe(s.class, u)
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	s.take(u, l)
	s.engine.notify()
	return nil
}

// take takes in the state of an object, unless a watch of the version that it was applied in tells it better. The lock
// is held.
func (s *liveStore) take(u *unstructured.Unstructured, l live) {
	if l.flags.has(flagInexact) {
		own, _ := applied(managedFields(u), s.class.Manager)
		gvk := schema.FromAPIVersionAndKind(own.version, s.kind.Kind)
		if w := s.engine.watches[watchKey{s.class.Kind, gvk}]; w != nil && !w.polled {
			return
		}
	}
	s.engine.seen(s.class, IDOf(u), l)
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
	objects := make(map[ObjectID]*unstructured.Unstructured, len(list))
	states := make(map[ObjectID]live, len(list))
	for _, obj := range list {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("listing %s: unexpected %T", s.kind, obj)
		}
		id := IDOf(u)
		objects[id], states[id] = u, s.engine.observe(s.class, u)
	}
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	for key := range s.engine.live {
		if key.class != s.class.Kind || key.id.Group != s.kind.Group || key.id.Kind != s.kind.Kind {
			continue
		}
		if _, ok := objects[key.id]; !ok {
			s.engine.gone(s.class, key.id, version)
		}
	}
	for id, u := range objects {
		s.take(u, states[id])
	}
	s.watch.synced, s.watch.polled = true, false
	s.engine.notify()
	return nil
}

// Resync does nothing: there is no second consumer to bring up to date.
func (s *liveStore) Resync() error { return nil }
