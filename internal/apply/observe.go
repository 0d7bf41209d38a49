package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Observe takes objects that somebody else has just applied with the class's field manager and labels, such as Helm, as
// the desired state of the request's owner: from now on they are watched, and Apply with the same objects repairs only
// what drifts. An object that is not there is taken as drifted.
//
// Answers are what the API server answered when objects were applied: these are not read, and what was done to them since
// then is drift. An object without one is taken as it is found.
func (e *Engine) Observe(ctx context.Context, r Request, answers ...*unstructured.Unstructured) error {
	class := e.classes[r.Owner.Kind]
	e.recall(ctx)
	e.begin(r)
	defer e.end(r.Owner)
	if err := e.watchKinds(ctx, class, kindsOf(r.Objects)); err != nil {
		return err
	}
	var all []*item
	for _, stage := range stages(r.Objects) {
		items, err := e.prepare(ctx, r, class, stage)
		if err != nil {
			return err
		}
		all = append(all, items...)
	}
	known := map[ObjectID]*unstructured.Unstructured{}
	for _, answer := range answers {
		known[IDOf(answer)] = answer
	}
	err := e.each(ctx, all, func(ctx context.Context, it *item) error {
		if answer := known[it.change.ID]; answer != nil {
			e.adopt(r.Owner, class, it, answer)
			e.recheck(r.Owner, it.change.ID)
			return nil
		}
		obj, err := r.Client.Get(ctx, it.object.GroupVersionKind(), it.entry.Namespace, it.entry.Name)
		if apierrors.IsNotFound(err) {
			obj = &unstructured.Unstructured{}
		} else if err != nil {
			return fmt.Errorf("reading %s: %w", it.change.ID, err)
		}
		e.adopt(r.Owner, class, it, obj)
		return nil
	})
	if err != nil {
		return err
	}
	inventory := Inventory{}
	for _, it := range all {
		inventory = append(inventory, it.entry)
	}
	e.retain(r.Owner, inventory)
	return nil
}

// Doubt takes objects of owner, which Observe took as it found them, for drifted: Apply repairs them.
func (e *Engine) Doubt(owner Owner, objects []*unstructured.Unstructured) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, obj := range objects {
		if t := e.trackedBy(owner, IDOf(obj)); t != nil {
			t.live, t.version = Hash{}, ""
		}
	}
}

// adopt tracks an object as it is now.
func (e *Engine) adopt(owner Owner, class Class, it *item, obj *unstructured.Unstructured) {
	l := e.observe(class, obj)
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.version != "" {
		e.seen(class, it.change.ID, l)
	}
	e.track(owner, it, l)
}

// recheck wakes the owner when a watch has seen the object change before there was anything to compare it with.
func (e *Engine) recheck(owner Owner, id ObjectID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.trackedBy(owner, id); t != nil && e.drifted(owner, t) {
		e.wake(owner, t)
	}
}
